"""The engine's log in Python's ``logging``: its events are records of the loggers ``playswarm.…``.

The engine's threads put records into a queue, and one thread of Python, started with the first session, hands them to
``logging``. The level is asked of the logger ``playswarm`` whenever something is opened and each time records are handed on, so
``logging.basicConfig(level=logging.DEBUG)`` is all that it takes. Addresses of peers appear at DEBUG only.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback

from . import _playswarm

TRACE = 5
Record = tuple[int, str, str, list[tuple[str, str]], list[str], str | None, int]
"""Level, target, message, fields, spans from the outermost on, file, line."""
logger = logging.getLogger("playswarm")
logger.addHandler(logging.NullHandler())
logging.addLevelName(TRACE, "TRACE")

_lock = threading.Lock()
_thread: threading.Thread | None = None


def refresh() -> None:
    """Tells the engine the level that is wanted now, and starts the thread with the first call."""
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
                # A filter or handler of the user's is broken; logging goes on, as it does by itself.
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
    """The thread is not in the child; its lock may be held there for ever."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
