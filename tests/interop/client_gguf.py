"""Lists a file's metadata keys and tensors with the `gguf` package, the reference reader of the format."""

import hashlib

import gguf

from client import answer


def ask(arguments):
    reader = gguf.GGUFReader(arguments.file)
    return {
        "keys": {key: [kind.name for kind in field.types] for key, field in reader.fields.items()},
        # shape in GGUF order: row length first
        "tensors": [[t.name, t.tensor_type.name, t.shape.tolist(), int(t.n_bytes)] for t in reader.tensors],
        "sha256": {t.name: hashlib.sha256(t.data.tobytes()).hexdigest() for t in reader.tensors},
    }


answer("gguf", ask)
