"""The session (settings, listener, peer discovery), and `open`, which needs no session."""

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
from ._live import Cast, Channel, LiveFile, folder_of
from ._metainfo import Metainfo, Source, raw_source
from ._search import Search
from ._status import OpeningStatus, TorrentStatus
from ._torrent_handle import TorrentHandle

if TYPE_CHECKING:
    from typing import Unpack

    from ._config import Settings

__all__ = ["Session", "cast", "default_session", "open", "watch"]

CLOSING_S = 1.5
"""Longest time that the end of the interpreter waits for open sessions, in seconds."""

sessions: weakref.WeakSet[SessionBase] = weakref.WeakSet()


class SessionBase:
    """Shared base of the blocking and the asynchronous session."""

    _raw: _playswarm.Session | None = None

    def _started(self, raw: _playswarm.Session) -> None:
        self._config = Config(json.loads(raw.config))
        self._pid = os.getpid()
        # Set last: an interrupted start leaves no unclosed session.
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
        """Address on which peers can connect. The host may be a wildcard address; the port is the
        actual one.
        """
        return self._get().listen_addr

    @property
    def closed(self) -> bool:
        return self._raw is not None and self._raw.is_closed

    def opening(self) -> list[OpeningStatus]:
        """Returns the progress of the magnet links that are being opened, whose metadata is not known
        yet.
        """
        return [OpeningStatus.from_dict(s) for s in json.loads(self._get().opening())]

    def seeded_in_background(self) -> list[TorrentStatus]:
        """Returns the torrents that no caller has open and that download and seed in the background
        (the setting ``keep``).
        """
        return [TorrentStatus.from_dict(s) for s in json.loads(self._get().seeded_in_background())]

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
    """The root object: one listener, one DHT node, any number of torrents. It takes settings as
    keywords, a dict or a `Config`.

    ``with playswarm.Session(dir="films") as session: …``; threads may share it.
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None, /, **settings: Unpack[Settings]) -> None:
        text = as_json(config, settings)
        _logging.refresh()
        self._started(_playswarm.open_session(text).wait())

    def open(self, source: Source, *, timeout: float | None = None) -> TorrentHandle:
        """Opens a torrent: a path, a URL, a magnet link, an info-hash, the content of a
        ``.torrent`` file, or a `Metainfo`.

        A magnet link waits for its metadata. ``timeout`` limits this call and each later read of
        its files, in seconds.
        """
        return TorrentHandle(self._get().open(raw_source(source)).wait(timeout), timeout)

    def describe(self, source: Source, *, timeout: float | None = None) -> Metainfo:
        """Returns the metainfo of a torrent, without downloading any of its files."""
        return Metainfo(self._get().describe(raw_source(source)).wait(timeout))

    def watch(
        self, link: str, *, archive: str | os.PathLike[str] | None = None, timeout: float | None = None
    ) -> Channel:
        """Joins a live channel: ``playswarm:KEY?at=…`` or ``magnet:?xt=urn:psl:KEY&x.pe=…``. Never waits.
        A channel that is already open is shared. ``archive`` is a folder in which the minutes are kept
        that the source archives. ``timeout`` limits each later read, in seconds.
        """
        return Channel(self._get().watch(link, folder_of(archive)), timeout)

    def search(self, words: str, *, kind: str | None = None, wait: float | None = None, most: int = 50) -> Search:
        """Searches the Gnutella network for files, by the words of their names. Strangers see the words, so
        the setting ``gnutella={"enabled": True}`` has to allow it. ``kind`` is ``"video"`` or ``"audio"``.
        ``wait`` is the longest duration in seconds, and ``most`` the number of files after which it ends.
        """
        return Search(self._get().search(words, kind, wait, most))

    def cast(
        self,
        name: str = "",
        *,
        key: bytes | None = None,
        content_type: str | None = None,
        bytes_per_s: int = 0,
        archive: str | os.PathLike[str] | None = None,
    ) -> Cast:
        """Begins to cast a live channel; see `playswarm.cast`."""
        return Cast(self._get().cast(name, key, content_type, bytes_per_s, folder_of(archive)))

    def close(self, timeout: float | None = None) -> None:
        """Closes the session. Waiting reads fail with `ClosedError`, and verified data is written.
        It may be called twice.

        If the timeout expires first, closing continues in the background.
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
    """Returns the session that `open` uses by default. It has default settings and uses the user's
    cache folder. It is closed when Python ends.
    """
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
    """Opens a file of a torrent for reading: ``with playswarm.open("magnet:?…") as film:
    film.read(1000)``.

    ``source`` is a path, a URL, a magnet link, an info-hash, the content of a ``.torrent`` file, or
    a `Metainfo`. ``file`` is an index, a name or a part of a name; the default is the largest
    playable file. ``timeout`` limits opening and each later read, in seconds. Without ``session``,
    a session with default settings is started. It is closed when Python ends.
    """
    torrent = (session or default_session()).open(source, timeout=timeout)
    try:
        return torrent.open(file, _owns_torrent=True)
    except BaseException:
        torrent.close()
        raise


def watch(
    link: str,
    *,
    archive: str | os.PathLike[str] | None = None,
    session: Session | None = None,
    timeout: float | None = None,
) -> LiveFile:
    """Opens the stream of a live channel for reading: ``with playswarm.watch("playswarm:KEY?at=…") as
    live: live.read(1000)``.

    It is passed on to other viewers meanwhile. ``archive`` is a folder in which the minutes are kept
    that the source archives; they are seeded. ``timeout`` limits each read, in seconds. Without
    ``session``, a session with default settings is started. It is closed when Python ends.
    """
    return (session or default_session()).watch(link, archive=archive, timeout=timeout).open(_owns_channel=True)


def cast(
    name: str = "",
    *,
    key: bytes | None = None,
    content_type: str | None = None,
    bytes_per_s: int = 0,
    archive: str | os.PathLike[str] | None = None,
    session: Session | None = None,
) -> Cast:
    """Begins to cast a live channel: ``with playswarm.cast("Film night") as out: print(out.link);
    out.write(data)``.

    ``key`` is the seed of the channel's secret key, 32 bytes; by default each cast is a new channel.
    ``content_type`` is the media type of the stream, such as ``video/mp2t``; by default it is
    detected. ``bytes_per_s`` is the rate of the stream, about; 0 stands for 3 Mbit/s. ``archive`` is a
    folder to which the stream is written, in files of about a minute that are torrents.
    """
    return (session or default_session()).cast(
        name, key=key, content_type=content_type, bytes_per_s=bytes_per_s, archive=archive
    )


def _at_exit() -> None:
    """Closes open sessions within the time limit. Afterwards the engine does not use Python any
    more.
    """
    global _default
    try:
        until = time.monotonic() + CLOSING_S
        here = [s._raw for s in list(sessions) if s._raw is not None and not s.closed and s._pid == os.getpid()]
        for job in [raw.close() for raw in here]:
            job.wait(max(0.0, until - time.monotonic()))
    except Exception:
        _logging.logger.debug("a session was not closed in time", exc_info=True)
    finally:
        # The last reference may be dropped when modules are cleared, which is too late for a
        # warning.
        _default = None
        _playswarm.shut_down()


atexit.register(_at_exit)


def _after_fork() -> None:
    global _lock, _default
    _lock, _default = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
