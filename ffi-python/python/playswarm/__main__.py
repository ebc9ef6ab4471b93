"""``python -m playswarm``: the program, its very code."""

import signal
import sys

from . import _playswarm


def main() -> int:
    # The program has its own way with these; Python's would wait for an interpreter that has nothing to do.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _playswarm.run_program(["playswarm", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
