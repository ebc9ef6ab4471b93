"""The session: settings, one listener, what finds peers; and `open`, which needs none of that."""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _logging, _playswarm
from ._config import Config, as_json
from ._file import MediaFile
from ._media import Media
from ._status import MediaStatus
from ._torrent import Source, Torrent, raw_source

if TYPE_CHECKING:
    from typing import Unpack

    from ._config import Settings

__all__ = ["Session", "default_session", "open"]

CLOSING_S = 1.5
"""Seconds that the end of the interpreter gives to sessions that are open still."""

sessions: weakref.WeakSet[SessionBase] = weakref.WeakSet()


class SessionBase:
    """What the blocking and the asynchronous session share."""

    _raw: _playswarm.Session | None = None

    def _started(self, raw: _playswarm.Session) -> None:
        self._config = Config(json.loads(raw.config))
        self._pid = os.getpid()
        # Last: whoever was interrupted before has no session that could be unclosed.
        self._raw = raw
        sessions.add(self)

    def _get(self) -> _playswarm.Session:
        _logging.refresh()
        if self._raw is None:
            raise RuntimeError("this session was not started")
        return self._raw

    @property
    def config(self) -> Config:
        """The settings."""
        self._get()
        return self._config

    @property
    def listen_addr(self) -> tuple[str, int] | None:
        """Where peers can connect to; the host may stand for all interfaces, the port is real."""
        return self._get().listen_addr

    @property
    def closed(self) -> bool:
        return self._raw is not None and self._raw.is_closed

    def kept(self) -> list[MediaStatus]:
        """The torrents that nobody has open and that are completed and seeded on in the background (the setting ``keep``)."""
        return [MediaStatus.from_dict(s) for s in json.loads(self._get().kept())]

    def __repr__(self) -> str:
        if self._raw is None:
            return f"<{type(self).__name__} not started>"
        if self.closed:
            return f"<{type(self).__name__} closed>"
        host, port = self.listen_addr or ("", 0)
        return f"<{type(self).__name__} in {self._config.dir!r}, listening on {host}:{port}>"

    def __del__(self, _warn: Any = warnings.warn, _pid: Any = os.getpid) -> None:
        if self._raw is not None and not self._raw.is_closed and self._pid == _pid():
            _warn(f"unclosed session {self!r}", ResourceWarning, source=self)


class Session(SessionBase):
    """The root of everything: one listener, one DHT node, many torrents. Settings as keywords, a dict or a `Config`.

    ``with playswarm.Session(dir="films") as session: …``; threads may share it.
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None, /, **settings: Unpack[Settings]) -> None:
        text = as_json(config, settings)
        _logging.refresh()
        self._started(_playswarm.open_session(text).wait())

    def open(self, source: Source, *, timeout: float | None = None) -> Media:
        """Opens a torrent: a path, a URL, a magnet link, an info-hash, bytes of a ``.torrent`` file, or a `Torrent`.

        A magnet waits for its metadata. ``timeout`` is the seconds that this, and later each read of its files, may take.
        """
        return Media(self._get().open(raw_source(source)).wait(timeout), timeout)

    def describe(self, source: Source, *, timeout: float | None = None) -> Torrent:
        """What is in a torrent, without fetching any of its files."""
        return Torrent(self._get().describe(raw_source(source)).wait(timeout))

    def close(self, timeout: float | None = None) -> None:
        """Stops all: reads that wait end with `ClosedError`, and what is verified is written. Can be called twice.

        If the time runs out first, closing goes on in the background.
        """
        if self._raw is not None:
            self._raw.close().wait(timeout)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_lock = threading.Lock()
_default: Session | None = None


def default_session() -> Session:
    """The session that `open` uses where none is given: all defaults, in the user's cache folder; closed when Python ends."""
    global _default
    with _lock:
        if _default is None or _default.closed:
            _default = Session()
        return _default


def open(
    source: Source,
    file: int | str | None = None,
    *,
    session: Session | None = None,
    timeout: float | None = None,
) -> MediaFile:
    """Opens a file of a torrent for reading: ``with playswarm.open("magnet:?…") as film: film.read(1000)``.

    ``source`` is a path, a URL, a magnet link, an info-hash, bytes of a ``.torrent`` file, or a `Torrent`; ``file`` a number, a name or a part of
    it (without: the largest that can be played); ``timeout`` the seconds that opening, and later each read, may wait. Without a
    session, one is started with all defaults, and closed when Python ends.
    """
    media = (session or default_session()).open(source, timeout=timeout)
    try:
        return media.open(file, _owns_media=True)
    except BaseException:
        media.close()
        raise


def _at_exit() -> None:
    """Closes what is open, within bounds; then nothing of the engine touches Python any more."""
    global _default
    try:
        until = time.monotonic() + CLOSING_S
        here = [s._raw for s in list(sessions) if s._raw is not None and not s.closed and s._pid == os.getpid()]
        for job in [raw.close() for raw in here]:
            job.wait(max(0.0, until - time.monotonic()))
    except Exception:
        _logging.logger.debug("a session was not closed in time", exc_info=True)
    finally:
        # The last reference may go when modules are cleared, where nobody can be warned any more.
        _default = None
        _playswarm.shut_down()


atexit.register(_at_exit)


def _after_fork() -> None:
    global _lock, _default
    _lock, _default = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
