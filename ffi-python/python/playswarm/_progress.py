"""Progress of long work: a tqdm bar if tqdm is installed, otherwise a line on standard error, or
the caller's own function.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

Report = Callable[[int, int], object]
Progress = bool | Report
"""``True`` for a progress bar, or a function that receives the bytes done and the total bytes."""


def amount(n: float) -> str:
    """Formats a number of bytes for users: ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


class _Line:
    """A line that is rewritten at most ten times a second on a terminal. Elsewhere only its final
    state is printed.
    """

    def __init__(self, doing: str) -> None:
        self.doing, self.last, self.shown = doing, 0.0, ""

    def __call__(self, done: int, total: int) -> None:
        self.shown = f"{self.doing}: {100 * done / max(total, 1):.1f} % of {amount(total)}"
        now = time.monotonic()
        if now - self.last >= 0.1 and sys.stderr.isatty():
            self.last = now
            print(f"\r{self.shown}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.shown:
            print(f"\r{self.shown}" if sys.stderr.isatty() else self.shown, file=sys.stderr)


@contextlib.contextmanager
def report(progress: Progress, doing: str) -> Iterator[Report | None]:
    """Yields the function to call with the bytes done and the total bytes, or None."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        line = _Line(doing)
        try:
            yield line
        finally:
            line.close()
        return
    with tqdm(desc=doing, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def tell(done: int, total: int, bar: Any = bar) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
