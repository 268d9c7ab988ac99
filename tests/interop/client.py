"""What every client script shares: its command line, and one line of JSON as its whole output.

The clients' native code writes to both streams as it likes. So file descriptor 1 is pointed at standard error while it
runs, and the answer goes to the real standard output at the end.
"""

import argparse
import importlib.metadata
import json
import os
import sys
from pathlib import Path

PROMPT = "The old man said"
NEW_TOKENS = 16
CONTEXT = 512
# ggml's threads wait for each other by spinning: on a busy machine two take many times as long as one.
THREADS = 1


def answer(package, ask):
    """Runs `ask(arguments)` and prints what it returns as {"client": ..., "version": ..., **returned}.

    Exits with 1 and one line on standard error when the client refuses the file; a crash of its native code exits
    with its signal, as usual.
    """
    parser = argparse.ArgumentParser(description=f"Opens a GGUF file with {package} and prints one line of JSON.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--prompt", default=PROMPT, help="text to continue (default: %(default)r)")
    parser.add_argument("--tokens", type=int, default=NEW_TOKENS, help="tokens to generate (default: %(default)s)")
    parser.add_argument("--ids", help="token ids to continue instead of a text, separated by commas")
    parser.add_argument("--context", type=int, default=CONTEXT, help="positions of the context (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        parser.error(f"{arguments.file} is not a file")

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        found = ask(arguments)
    except Exception as error:
        sys.exit(f"{package} on {arguments.file}: {type(error).__name__}: {error}")
    version = importlib.metadata.version(package)
    print(json.dumps({"client": package, "version": version, **found}), file=out, flush=True)


def generated(text):
    """The answer of a client that generates: its text, which must not be blank."""
    if not text.strip():
        raise RuntimeError(f"generated no text: {text!r}")
    return {"text": text}
