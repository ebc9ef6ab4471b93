"""The engine's log in Python's ``logging``. Its events become records of the loggers
``playswarm.…``.

The engine's threads put records into a queue. One Python thread, started with the first session,
passes them to ``logging``. The level of the logger ``playswarm`` is read on each open and whenever
records are passed on. ``logging.basicConfig(level=logging.DEBUG)`` is therefore sufficient.
Addresses of peers appear only at DEBUG.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback

from . import _playswarm

TRACE = 5
Record = tuple[int, str, str, list[tuple[str, str]], list[str], str | None, int]
"""Level, target, message, fields, spans from the outermost to the innermost, file, line."""
logger = logging.getLogger("playswarm")
logger.addHandler(logging.NullHandler())
logging.addLevelName(TRACE, "TRACE")

_lock = threading.Lock()
_thread: threading.Thread | None = None


def refresh() -> None:
    """Passes the current level to the engine, and starts the thread on the first call."""
    global _thread
    _set_level()
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="playswarm-log", daemon=True)
            _thread.start()


_level: int | None = None


def _set_level() -> None:
    global _level
    level = logger.getEffectiveLevel()
    if logger.disabled or logger.manager.disable >= logging.CRITICAL:
        level = logging.CRITICAL
    if level != _level:
        _level = level
        _playswarm.log_level(max(0, min(level, 255)))


def _run() -> None:
    while (news := _playswarm.next_log()) is not None:
        records, dropped = news
        for record in records:
            try:
                _handle(record)
            except Exception:
                # A filter or handler of the user failed; logging continues, as in the logging
                # module.
                if logging.raiseExceptions:
                    traceback.print_exc()
        if dropped:
            logger.warning("%d records of the log came too fast and were dropped", dropped)
        _set_level()


def _name(target: str) -> str:
    name = target.replace("::", ".")
    return name if name == "playswarm" or name.startswith("playswarm.") else f"playswarm.{name}"


def _handle(record: Record) -> None:
    level, target, message, fields, spans, path, line = record
    to = logging.getLogger(_name(target))
    if not to.isEnabledFor(level):
        return
    text = " ".join([message, *(f"{name}={value}" for name, value in fields)]).strip()
    if spans:
        text = f"{text} [{' > '.join(spans)}]"
    made = to.makeRecord(
        to.name, level, path or "", line, "%s", (text,), None, "", {"fields": dict(fields), "spans": tuple(spans)}
    )
    made.threadName = "playswarm-engine"
    to.handle(made)


def _after_fork() -> None:
    """The child process does not have the thread, and its lock may be held there forever."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
