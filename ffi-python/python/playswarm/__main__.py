"""``python -m playswarm``: runs the program `playswarm` with the same code."""

import signal
import sys

from . import _playswarm


def main() -> int:
    # The program handles SIGINT itself. Python's handler would wait for the idle interpreter.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _playswarm.run_program(["playswarm", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
