"""The asyncio interface. A cancelled read loses no data and can be repeated."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import _logging, _playswarm
from ._config import Address, Config, as_json
from ._file import target
from ._live import CastBase, ChannelBase, ChannelHead, ChannelStatus, folder_of
from ._metainfo import FileEntry, Metainfo, Source, creating, raw_source
from ._progress import Progress, Report, report
from ._rtsp import RtspServerBase
from ._search import Hit, SearchBase
from ._session import SessionBase
from ._status import Event, TorrentStatus
from ._timeline import SeekPoint, Timeline
from ._torrent_handle import TorrentHandleBase

if TYPE_CHECKING:
    from typing import Unpack

    from ._config import Settings

__all__ = [
    "AsyncCast",
    "AsyncChannel",
    "AsyncLiveFile",
    "AsyncMediaFile",
    "AsyncRtspServer",
    "AsyncSearch",
    "AsyncSession",
    "AsyncTorrentHandle",
    "create_torrent_async",
    "open_async",
    "watch_async",
]

T = TypeVar("T")

CHUNK_BYTES = 256 << 10
"""Largest chunk that ``async for`` returns, in bytes."""
PROGRESS_S = 0.1
"""Interval between calls of a progress function, in seconds."""


def _deliver(future: asyncio.Future[T], value: T | None, error: BaseException | None) -> None:
    """Delivers a result on the loop's thread. A cancelled future receives nothing."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]


async def _wait(job: _playswarm.Job[T], timeout: float | None = None, tell: Report | None = None) -> T:
    """Waits for a job. If the wait is cancelled, the job is dropped."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    running = job.start(loop, future, _deliver)
    try:
        if timeout is None and tell is None:
            return await future
        async with asyncio.timeout(timeout):
            while tell is not None and not future.done():
                await asyncio.wait({future}, timeout=PROGRESS_S)
                done, total = job.progress()
                if total:
                    tell(done, total)
            return await future
    finally:
        # Has no effect on a finished job.
        running.abort()


class AsyncMediaFile:
    """A file of a torrent for asyncio: ``async with``, ``await film.read(n)``,
    ``async for chunk in film``.

    It is not an `io` object, because those cannot wait for a loop. Tasks may share it; their reads
    run one after another.
    """

    def __init__(
        self,
        raw: _playswarm.File,
        torrent: AsyncTorrentHandle,
        entry: FileEntry,
        timeout: float | None,
        owns_torrent: bool,
    ) -> None:
        self._raw, self._owns_torrent = raw, owns_torrent
        self._position = 0
        self._ahead: int | None = None
        self._turn = asyncio.Lock()
        self.torrent = torrent
        self.entry = entry
        self.timeout = timeout
        """Longest wait of a read, in seconds; None for no limit."""

    @property
    def name(self) -> str:
        """The path within the torrent."""
        return self.entry.name

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.entry.size

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    @property
    def ahead(self) -> int | None:
        """Limit for downloading beyond the data being read, in bytes; None for no limit."""
        return self._ahead

    @ahead.setter
    def ahead(self, bytes: int | None) -> None:
        self._raw.set_ahead(bytes)
        self._ahead = bytes

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    async def read(self, size: int = -1, /) -> bytes:
        """Returns ``size`` bytes, fewer only at the end of the file; all remaining bytes for a
        negative number.

        If it is cancelled or times out, the position does not change and no data is lost.
        """
        async with self._turn:
            self._check_open()
            left = max(0, self.size - self._position)
            position = self._position
            data = await self._read_at(position, left if size < 0 else min(size, left))
            if self._position == position:
                self._position += len(data)
            return data

    async def read_at(self, position: int, size: int, /) -> bytes:
        """Returns ``size`` bytes from a position; fewer only at the end of the file. The position
        of the file does not change.
        """
        self._check_open()
        if position < 0 or size < 0:
            raise ValueError("a position or a size cannot be negative")
        return await self._read_at(position, min(size, max(0, self.size - position)))

    async def _read_at(self, position: int, size: int) -> bytes:
        if size == 0:
            return b""
        return await _wait(self._raw.read_at(position, size), self.timeout)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a position at once. Downloading follows with the next read."""
        self._check_open()
        self._position = target(self.size, self._position, offset, whence)
        return self._position

    async def seek_time(self, seconds: float, /) -> SeekPoint:
        """Moves to the keyframe at or before a time, and starts to download there. Returns the
        position.
        """
        async with self._turn:
            self._check_open()
            seek_point = SeekPoint(*await _wait(self._raw.seek_time(seconds), self.timeout))
            self._position = seek_point.position
            return seek_point

    @property
    def time(self) -> float | None:
        """Media time at the position, in seconds; None while the timing of the file is unknown."""
        self._check_open()
        return self._raw.time_at(self._position)

    def tell(self) -> int:
        self._check_open()
        return self._position

    async def chunks(self, start: int = 0, end: int | None = None, size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """Yields the bytes from ``start`` to before ``end`` (default: the end of the file), at most
        ``size`` per chunk. It suits the body of a Range response.

        The first chunks are small, so that a player receives data soon.
        """
        end = self.size if end is None else min(end, self.size)
        step = min(size, 16 << 10)
        while start < end:
            chunk = await self.read_at(start, min(step, end - start))
            if not chunk:
                return
            yield chunk
            start, step = start + len(chunk), min(size, step * 2)

    def __aiter__(self) -> AsyncMediaFile:
        return self

    async def __anext__(self) -> bytes:
        """Returns the next bytes at the position, at most 256 KiB."""
        if chunk := await self.read(CHUNK_BYTES):
            return chunk
        raise StopAsyncIteration

    async def close(self) -> None:
        """Closes the file and frees its read-ahead at once. Waiting reads fail with `ClosedError`.
        It may be called twice.
        """
        self._raw.close(self.torrent._raw if self._owns_torrent else None)

    async def __aenter__(self) -> AsyncMediaFile:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"at {self._position} of {self.size}"
        return f"<AsyncMediaFile {self.name!r} {where}>"


class AsyncRtspServer(RtspServerBase):
    """A running RTSP server, for asyncio."""

    async def close(self) -> None:
        """Stops listening and closes the connections of all players. It may be called twice."""
        await _wait(self._raw.close())

    async def __aenter__(self) -> AsyncRtspServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncTorrentHandle(TorrentHandleBase):
    """An open torrent, for asyncio."""

    def __init__(self, raw: _playswarm.TorrentHandle, timeout: float | None = None) -> None:
        super().__init__(raw)
        self.timeout = timeout
        """Longest wait of reads in files opened from now on, in seconds; None for no limit."""

    def open(
        self, file: int | str | None = None, *, ahead: int | None = None, _owns_torrent: bool = False
    ) -> AsyncMediaFile:
        """Opens a file by its index, its name or a part of its name. The default is the largest
        playable file. Never waits.
        """
        entry = self.metainfo.find_file(file)
        made = AsyncMediaFile(self._raw.stream(entry.index), self, entry, self.timeout, _owns_torrent)
        if ahead is not None:
            made.ahead = ahead
        return made

    async def events(self) -> AsyncIterator[Event]:
        """Yields each `Event` from now on, until the torrent is closed."""
        events = self._raw.events()
        while (text := await _wait(events.next())) is not None:
            yield Event.from_json(text)

    async def choose_file(self) -> FileEntry:
        """Returns the file to play by default: the largest playable file. Where the names of large
        files tell nothing, their first bytes are read, for ten seconds at most.
        """
        return self.files[await _wait(self._raw.choose_file())]

    async def serve_rtsp(
        self, file: int | str | None = None, *, listen: Address | None = None, token: str | None = None
    ) -> AsyncRtspServer:
        """Serves the files over RTSP; see `TorrentHandle.serve_rtsp`."""
        return AsyncRtspServer(await _wait(self._serving(file, listen, token)))

    async def timeline(self, file: int | str | None = None) -> Timeline:
        """Returns the timing information of a file: duration, tracks, keyframes. Its index is read
        from the swarm if it is not known.
        """
        return Timeline(await _wait(self._raw.timeline(self.metainfo.find_file(file).index)))

    async def download(self, *, progress: Progress = False) -> int:
        """Downloads all files and waits for completion. Returns their size in bytes. Cancelling it
        stops the download.
        """
        with report(progress, self.name) as tell:
            return await _wait(self._raw.download(), tell=tell)

    async def recheck(self, *, progress: Progress = False) -> int:
        """Checks the files in the download folder and accepts every correct piece. Returns their
        size in bytes.
        """
        with report(progress, "checking") as tell:
            return await _wait(self._raw.recheck(), tell=tell)

    async def sync(self) -> None:
        """Waits until all verified data is on disk."""
        await _wait(self._raw.sync())

    async def watch(self, every: float = 0.5, seconds: float | None = None) -> AsyncIterator[TorrentStatus]:
        """Yields a status at each interval until the torrent closes or ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        while not self.closed and (seconds is None or due - began <= seconds):
            yield self.status()
            due += every
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def close(self) -> None:
        """Closes the torrent. Its open files stay open."""
        self._raw.close()

    async def __aenter__(self) -> AsyncTorrentHandle:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncCast(CastBase):
    """The source of a live channel, for asyncio: ``async with``. Writing never waits."""

    def close(self) -> None:
        """Ends the stream and takes the channel off the air at once, in the background. `aclose` waits."""
        if not self.closed:
            try:
                self._raw.end()
            finally:
                self._raw.close()
        super().close()

    async def aclose(self) -> None:
        """Ends the stream and takes the channel off the air. Waits up to a second for the last packets."""
        if not self.closed:
            try:
                self._raw.end()
            finally:
                await _wait(self._raw.close())
        super().close()

    async def __aenter__(self) -> AsyncCast:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AsyncLiveFile:
    """The stream of a live channel, for asyncio: ``async with``, ``await live.read(n)``, ``async for
    chunk in live``.
    """

    def __init__(
        self, raw: _playswarm.LiveFile, channel: AsyncChannel, timeout: float | None, owns_channel: bool
    ) -> None:
        self._raw, self._owns_channel = raw, owns_channel
        self.channel = channel
        self.timeout = timeout
        """Longest wait of a read, in seconds; None for no limit."""

    @property
    def head(self) -> ChannelHead | None:
        """The description of the stream; None before a node has sent it."""
        return self.channel.head

    def status(self) -> ChannelStatus:
        """Returns this node's place in the channel."""
        return self.channel.status()

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    async def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        """Returns up to ``size`` bytes that are there, at least one; none at the end of the stream."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if size < 0:
            raise ValueError("a size cannot be negative: a channel has no end yet")
        return await _wait(self._raw.read(size), self.timeout)

    def __aiter__(self) -> AsyncLiveFile:
        return self

    async def __anext__(self) -> bytes:
        """Returns the next bytes, at most 256 KiB."""
        if chunk := await self.read():
            return chunk
        raise StopAsyncIteration

    async def close(self) -> None:
        """Closes the stream. Waiting reads fail with `ClosedError`. The node leaves its channel if this
        was its last use. It may be called twice.
        """
        self._raw.close()
        if self._owns_channel:
            await self.channel.close()

    async def __aenter__(self) -> AsyncLiveFile:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncLiveFile {'closed' if self.closed else 'open'}>"


class AsyncChannel(ChannelBase):
    """A live channel that is watched and passed on, for asyncio."""

    async def on_air(self, timeout: float | None = None) -> ChannelHead:
        """Waits until a player can begin. Returns the description of the stream."""
        return ChannelHead(*await _wait(self._raw.on_air(), timeout))

    async def archived(self, timeout: float | None = None) -> None:
        """Waits until all of an ended stream that can be had is in the archive."""
        await _wait(self._raw.archived(), timeout)

    def open(self, *, _owns_channel: bool = False) -> AsyncLiveFile:
        """Opens the stream, from the present on. Never waits."""
        return AsyncLiveFile(self._raw.stream(), self, self.timeout, _owns_channel)

    async def close(self) -> None:
        """Leaves the channel, if nothing else in the session uses it. Waits up to two seconds until the
        nodes that are fed here have other parents. It may be called twice.
        """
        await _wait(self._raw.close())

    async def __aenter__(self) -> AsyncChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSearch(SearchBase):
    """A search for asyncio: ``async for hit in session.search("big buck bunny"): …``"""

    async def __aiter__(self) -> AsyncIterator[Hit]:
        while (text := await _wait(self._raw.next())) is not None:
            yield Hit.from_dict(json.loads(text))

    async def close(self) -> None:
        """Ends the search, and forgets what it found."""
        self._raw.close()

    async def __aenter__(self) -> AsyncSearch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSession(SessionBase):
    """The root object for asyncio: ``async with playswarm.AsyncSession(dir="films") as session: …``

    Without ``async with``: ``session = await playswarm.AsyncSession(…)``, and
    ``await session.close()`` at the end.
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None, /, **settings: Unpack[Settings]) -> None:
        self._json = as_json(config, settings)
        self._starting = asyncio.Lock()

    async def start(self) -> AsyncSession:
        """Starts the session. Further calls do nothing."""
        async with self._starting:
            if self._raw is None:
                _logging.refresh()
                self._started(await _wait(_playswarm.open_session(self._json)))
        return self

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self.start().__await__()

    async def open(self, source: Source, *, timeout: float | None = None) -> AsyncTorrentHandle:
        """Opens a torrent. ``timeout`` limits this call and each later read of its files, in
        seconds.
        """
        return AsyncTorrentHandle(await _wait(self._get().open(raw_source(source)), timeout), timeout)

    async def describe(self, source: Source, *, timeout: float | None = None) -> Metainfo:
        """Returns the metainfo of a torrent, without downloading any of its files."""
        return Metainfo(await _wait(self._get().describe(raw_source(source)), timeout))

    def watch(
        self, link: str, *, archive: str | os.PathLike[str] | None = None, timeout: float | None = None
    ) -> AsyncChannel:
        """Joins a live channel; see `playswarm.watch`. Never waits. ``timeout`` limits each later read, in
        seconds.
        """
        return AsyncChannel(self._get().watch(link, folder_of(archive)), timeout)

    def search(self, words: str, *, kind: str | None = None, wait: float | None = None, most: int = 50) -> AsyncSearch:
        """Searches the Gnutella network; see `Session.search`. Never waits."""
        return AsyncSearch(self._get().search(words, kind, wait, most))

    def cast(
        self,
        name: str = "",
        *,
        key: bytes | None = None,
        content_type: str | None = None,
        bytes_per_s: int = 0,
        archive: str | os.PathLike[str] | None = None,
    ) -> AsyncCast:
        """Begins to cast a live channel; see `playswarm.cast`. Never waits."""
        return AsyncCast(self._get().cast(name, key, content_type, bytes_per_s, folder_of(archive)))

    async def close(self) -> None:
        """Closes the session. Waiting reads fail with `ClosedError`, and verified data is written.
        If this is cancelled, closing continues in the background.
        """
        if self._raw is not None:
            await _wait(self._raw.close())

    async def __aenter__(self) -> AsyncSession:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _session_or_default(session: AsyncSession | None) -> _playswarm.Session:
    if session is not None:
        return (await session.start())._get()
    from ._session import default_session

    # Opening a listener and a folder takes a few milliseconds, once per process.
    return (await asyncio.to_thread(default_session))._get()


class _Opening:
    """A file that is about to be opened, for ``await`` or ``async with``."""

    def __init__(
        self, source: Source, file: int | str | None, session: AsyncSession | None, timeout: float | None
    ) -> None:
        self._given = (source, file, session, timeout)
        self._file: AsyncMediaFile | None = None

    async def _open(self) -> AsyncMediaFile:
        source, file, session, timeout = self._given
        raw = await _session_or_default(session)
        torrent = AsyncTorrentHandle(await _wait(raw.open(raw_source(source)), timeout), timeout)
        try:
            return torrent.open(file, _owns_torrent=True)
        except BaseException:
            await torrent.close()
            raise

    def __await__(self) -> Generator[Any, None, AsyncMediaFile]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncMediaFile:
        self._file = await self._open()
        return self._file

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            await self._file.close()


def open_async(
    source: Source,
    file: int | str | None = None,
    *,
    session: AsyncSession | None = None,
    timeout: float | None = None,
) -> _Opening:
    """`playswarm.open` for asyncio: ``async with playswarm.open_async("magnet:?…") as film: await
    film.read(1000)``.
    """
    return _Opening(source, file, session, timeout)


class _Watching:
    """The stream of a channel that is about to be opened, for ``await`` or ``async with``."""

    def __init__(
        self,
        link: str,
        archive: str | os.PathLike[str] | None,
        session: AsyncSession | None,
        timeout: float | None,
    ) -> None:
        self._given = (link, archive, session, timeout)
        self._file: AsyncLiveFile | None = None

    async def _open(self) -> AsyncLiveFile:
        link, archive, session, timeout = self._given
        raw = (await _session_or_default(session)).watch(link, folder_of(archive))
        return AsyncChannel(raw, timeout).open(_owns_channel=True)

    def __await__(self) -> Generator[Any, None, AsyncLiveFile]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncLiveFile:
        self._file = await self._open()
        return self._file

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            await self._file.close()


def watch_async(
    link: str,
    *,
    archive: str | os.PathLike[str] | None = None,
    session: AsyncSession | None = None,
    timeout: float | None = None,
) -> _Watching:
    """`playswarm.watch` for asyncio: ``async with playswarm.watch_async("playswarm:KEY?at=…") as live:
    await live.read(1000)``.
    """
    return _Watching(link, archive, session, timeout)


async def create_torrent_async(
    path: str | os.PathLike[str],
    *,
    piece_bytes: int | None = None,
    trackers: Iterable[str] = (),
    private: bool = False,
    comment: str | None = None,
    name: str | None = None,
    progress: Progress = False,
) -> Metainfo:
    """`create_torrent` for asyncio. Cancelling it stops hashing."""
    job = creating(path, piece_bytes, trackers, private, comment, name)
    with report(progress, "hashing") as tell:
        raw, data, left_out = await _wait(job, tell=tell)
    return Metainfo(raw, data, left_out)
