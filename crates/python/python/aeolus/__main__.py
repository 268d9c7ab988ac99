"""The `aeolus` program: what the console scripts and `python -m aeolus` run."""

import signal
import sys

from . import _native


def main() -> int:
    # An interruption ends the program as it ends the one without Python, which would only note it down.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(["aeolus", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
