"""GGUF from Python: encode and decode every type, read files, make the files of a model.

>>> import aeolus, numpy
>>> weights = numpy.linspace(-1, 1, 512, dtype=numpy.float32).reshape(2, 256)
>>> codes = aeolus.quantize(weights, "Q4_K")
>>> codes.shape, codes.dtype
((2, 144), dtype('uint8'))
>>> again = aeolus.dequantize(codes, "Q4_K", weights.shape)
>>> bool(abs(again - weights).max() < 0.06)
True

Whatever goes wrong is an `aeolus.Error` with the paragraph that the program prints.

>>> aeolus.quantize(weights, "Q9_K")
Traceback (most recent call last):
    ...
aeolus.Error: "Q9_K" is not a type of weights; there are ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._native import Error, __version__

__all__ = [
    "Error",
    "File",
    "Made",
    "Tensor",
    "Type",
    "__version__",
    "dequantize",
    "open",
    "quantize",
    "quantize_model",
    "types",
]

# Types whose weights are plain numbers, as numpy has them. It has no BF16: those are their 16 bits.
_PLAIN = {
    "F32": "f4",
    "F64": "f8",
    "F16": "f2",
    "BF16": "u2",
    "I8": "i1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
}


@dataclass(frozen=True)
class Type:
    """A type that weights can be encoded as."""

    name: str
    """`Q4_K`."""
    guided: bool
    """Its encoder heeds an importance."""
    needs_importance: bool
    """Its encoder refuses to work without one."""


def types() -> list[Type]:
    """All types that `quantize` can encode.

    >>> [t.name for t in types() if t.needs_importance][:2]
    ['IQ2_XXS', 'IQ2_XS']
    """
    return [Type(*found) for found in _native.types()]


def quantize(
    array: ArrayLike, type: str, importance: ArrayLike | None = None
) -> NDArray[np.uint8]:
    """Encodes weights, and gives their bytes as a GGUF file has them.

    `array` is taken as float32; its last axis is the rows that blocks are cut from. The result has the
    shape of `array` with the bytes of a row in the place of its weights.

    `importance` has one number for each column, such as the mean squares of an importance matrix, or for an
    array of three axes (experts) one row of them for each of the first.

    >>> importance = numpy.ones(256)
    >>> quantize(numpy.ones((4, 256)), "IQ2_XS", importance).shape
    (4, 74)
    """
    weights = np.ascontiguousarray(array, dtype=np.float32)
    if weights.ndim == 0:
        raise Error("a single number has no rows to encode; an array was expected")
    cols = weights.shape[-1]
    shape = (*weights.shape[:-1], _native.row_bytes(type, cols))
    if importance is None:
        encoded = _native.encode(weights, cols, type)
        return np.frombuffer(encoded, np.uint8).reshape(shape)
    guide = np.ascontiguousarray(importance, dtype=np.float32)
    if guide.ndim == 1:
        encoded = _native.encode(weights, cols, type, guide)
        return np.frombuffer(encoded, np.uint8).reshape(shape)
    if weights.ndim != 3 or guide.ndim != 2 or len(guide) != len(weights):
        raise Error(
            f"importance of shape {guide.shape} does not fit weights of shape {weights.shape}: "
            "one number for each column was expected, or one row of them for each expert"
        )
    parts = [_native.encode(w, cols, type, g) for w, g in zip(weights, guide)]
    return np.frombuffer(bytearray().join(parts), np.uint8).reshape(shape)


def dequantize(
    data: bytes | bytearray | memoryview | NDArray[Any], type: str, shape: Sequence[int]
) -> NDArray[np.float32]:
    """Decodes the bytes of weights of a type and shape to float32.

    >>> again = dequantize(quantize(numpy.ones((2, 32)), "Q8_0"), "Q8_0", (2, 32))
    >>> bool(abs(again - 1).max() < 0.001)
    True
    """
    shape = tuple(int(n) for n in shape)
    if not shape or min(shape) <= 0:
        raise Error(f"no weights have the shape {shape}")
    found = np.ascontiguousarray(np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else data)
    found = found.reshape(-1).view(np.uint8)
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    expected = rows * _native.row_bytes(type, shape[-1])
    if found.size != expected:
        raise Error(
            f"{found.size} bytes are not weights of type {type} and shape {shape}, "
            f"which take {expected}"
        )
    decoded = _native.decode(found, shape[-1], type)
    return np.frombuffer(decoded, np.float32).reshape(shape)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file."""

    name: str
    """Its GGUF name: `blk.0.attn_q.weight`."""
    type: str
    """`Q4_K`."""
    shape: tuple[int, ...]
    """As numpy has it: the length of a row last."""
    data: NDArray[Any]
    """The file itself, mapped: numbers of this shape where the type is plain (of BF16 its 16 bits), else
    the bytes of each row."""

    def dequantize(self) -> NDArray[np.float32]:
        """Its weights as float32."""
        if self.data.dtype.byteorder == ">":
            raise Error(f"{self.name}: is big-endian, and only little-endian tensors are decoded")
        return dequantize(self.data, self.type, self.shape)


class File:
    """A GGUF file, or all parts of a split one. Its tensors are mapped: what is not read takes no memory.

    Can be used in a `with` statement, at whose end the mappings go as soon as no array uses them.
    """

    version: int
    """GGUF version."""
    endian: str
    """`little` or `big`."""
    metadata: dict[str, Any]
    """Its keys."""
    tensors: dict[str, Tensor]
    """Its tensors, in the order of the file."""

    def __init__(self, path: str | os.PathLike[str]):
        self.version, self.endian, self.metadata, found = _native.read_header(os.fspath(path))
        order = "<" if self.endian == "little" else ">"
        maps: dict[str, NDArray[np.uint8]] = {}
        self.tensors = {}
        for name, type, shape, file, offset, length in found:
            if file not in maps:
                maps[file] = np.memmap(file, np.uint8, "r")
            data = maps[file][offset : offset + length].view(np.ndarray)
            if type in _PLAIN:
                data = data.view(order + _PLAIN[type]).reshape(shape)
            elif shape and 0 not in shape:
                data = data.reshape(*shape[:-1], -1)
            self.tensors[name] = Tensor(name, type, tuple(shape), data)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.tensors = {}

    def __repr__(self) -> str:
        return f"<aeolus.File of {len(self.tensors)} tensors and {len(self.metadata)} keys>"


def open(path: str | os.PathLike[str]) -> File:
    """Opens a GGUF file, or all parts of a split one."""
    return File(path)


@dataclass(frozen=True)
class Made:
    """A file that was made."""

    path: str
    bytes: int
    sha256: str


def quantize_model(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    types: str | Iterable[str],
    *,
    imatrix: str | os.PathLike[str] | None = None,
    recipe: str | None = None,
    via: str | None = None,
    threads: int = 0,
    force: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> list[Made]:
    """Makes the files of a model in one pass over its weights, as `aeolus table` does.

    `source` is a checkpoint folder or a GGUF file, `out` the folder of the files, `types` what to make:
    `"Q4_K_M"` or a list. `imatrix` is an importance matrix, `recipe` whose mixes (`"current"`,
    `"2023-11"`), `via` what weights are rounded to first (`"f16"`, `"source"`), `threads` how many (0: all
    cores). Files that exist are refused unless `force` is given.

    `progress` is called with the bytes of the source that are done, all of them, and the tensor at work, from
    any thread. If it raises an exception, the run stops with it; another run goes on from there.
    """
    made = _native.quantize_model(
        os.fspath(source),
        os.fspath(out),
        [types] if isinstance(types, str) else list(types),
        imatrix=None if imatrix is None else os.fspath(imatrix),
        recipe=recipe,
        via=via,
        threads=threads,
        force=force,
        progress=progress,
    )
    return [Made(str(path), size, sha256) for path, size, sha256 in made]
