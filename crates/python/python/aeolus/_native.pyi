"""The extension that the package's modules are made of; users import `aeolus`."""

from collections.abc import Buffer, Callable
from pathlib import Path
from typing import Any

__version__: str

class Error(Exception):
    """What went wrong: what happened, where, and what to do, in one paragraph."""

def main(args: list[str]) -> int: ...
def types() -> list[tuple[str, bool, bool]]: ...
def row_bytes(ty: str, cols: int) -> int: ...
def encode(
    weights: Buffer, cols: int, ty: str, importance: Buffer | None = None
) -> bytearray: ...
def decode(bytes: Buffer, cols: int, ty: str) -> bytearray: ...
def read_header(
    path: str,
) -> tuple[int, str, dict[str, Any], list[tuple[str, str, list[int], Path, int, int]]]: ...
def quantize_model(
    source: str,
    out: str,
    types: list[str],
    imatrix: str | None = None,
    recipe: str | None = None,
    via: str | None = None,
    threads: int = 0,
    force: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> list[tuple[Path, int, str]]: ...
