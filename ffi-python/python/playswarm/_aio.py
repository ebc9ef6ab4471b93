"""The same for asyncio. Cancelling loses nothing: a read that was cancelled can be repeated."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import _logging, _playswarm
from ._config import Config, as_json
from ._file import target
from ._media import MediaBase
from ._progress import Progress, Report, report
from ._session import SessionBase
from ._status import Event, MediaStatus
from ._timeline import Landing, Timeline
from ._torrent import FileEntry, Source, Torrent, creating, raw_source

if TYPE_CHECKING:
    from typing import Unpack

    from ._config import Settings

__all__ = ["AsyncMedia", "AsyncMediaFile", "AsyncSession", "create_torrent_async", "open_async"]

T = TypeVar("T")

CHUNK_BYTES = 256 << 10
"""What ``async for`` gives at once, at most."""
PROGRESS_S = 0.1
"""How often a function is told of progress."""


def _deliver(future: asyncio.Future[T], value: T | None, error: BaseException | None) -> None:
    """Called on the loop's thread. Who was cancelled meanwhile wants nothing."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]


async def _wait(job: _playswarm.Job[T], timeout: float | None = None, tell: Report | None = None) -> T:
    """Waits for work; given up, the work is dropped."""
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
        # Does nothing to what is done.
        running.abort()


class AsyncMediaFile:
    """A file of a torrent for asyncio: ``async with``, ``await film.read(n)``, ``async for chunk in film``.

    Not an `io` object: those cannot wait for a loop. Tasks may share it; their reads take turns.
    """

    def __init__(
        self, raw: _playswarm.File, media: AsyncMedia, entry: FileEntry, timeout: float | None, owns_media: bool
    ) -> None:
        self._raw, self._owns_media = raw, owns_media
        self._position = 0
        self._ahead: int | None = None
        self._turn = asyncio.Lock()
        self.media = media
        self.entry = entry
        self.timeout = timeout
        """Seconds that a read may wait; None for no limit."""

    @property
    def name(self) -> str:
        """The path within the torrent."""
        return self.entry.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.entry.size

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    @property
    def ahead(self) -> int | None:
        """How many bytes beyond what is read may be fetched; None for no bound."""
        return self._ahead

    @ahead.setter
    def ahead(self, bytes: int | None) -> None:
        self._raw.set_ahead(bytes)
        self._ahead = bytes

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    async def read(self, size: int = -1, /) -> bytes:
        """``size`` bytes, fewer at the end of the file only; all that is left for a negative number.

        Where it is cancelled or runs out of time, the position stays and nothing is lost.
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
        """``size`` bytes from a position on, fewer at the end of the file only. The file's own position stays."""
        self._check_open()
        if position < 0 or size < 0:
            raise ValueError("a position or a size cannot be negative")
        return await self._read_at(position, min(size, max(0, self.size - position)))

    async def _read_at(self, position: int, size: int) -> bytes:
        if size == 0:
            return b""
        return await _wait(self._raw.read_at(position, size), self.timeout)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves there at once; what is fetched follows with the next read."""
        self._check_open()
        self._position = target(self.size, self._position, offset, whence)
        return self._position

    async def seek_time(self, seconds: float, /) -> Landing:
        """Goes to the keyframe at or before a time and begins to fetch from there; gives where it came down."""
        async with self._turn:
            self._check_open()
            landing = Landing(*await _wait(self._raw.seek_time(seconds), self.timeout))
            self._position = landing.position
            return landing

    @property
    def time(self) -> float | None:
        """The time in seconds that is played at the position; None where the file's time is not known yet."""
        self._check_open()
        return self._raw.time_at(self._position)

    def tell(self) -> int:
        self._check_open()
        return self._position

    async def chunks(self, start: int = 0, end: int | None = None, size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to before ``end`` (the file's end), at most ``size`` at a time: the body of a Range request.

        The first chunks are small, so that a player has something soon.
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
        """The next bytes from the position on, at most 256 KiB."""
        if chunk := await self.read(CHUNK_BYTES):
            return chunk
        raise StopAsyncIteration

    async def close(self) -> None:
        """Frees its window at once; a read that waits ends with `ClosedError`. Can be called twice."""
        self._raw.close(self.media._raw if self._owns_media else None)

    async def __aenter__(self) -> AsyncMediaFile:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"at {self._position} of {self.size}"
        return f"<AsyncMediaFile {self.name!r} {where}>"


class AsyncMedia(MediaBase):
    """An open torrent, for asyncio."""

    def __init__(self, raw: _playswarm.Media, timeout: float | None = None) -> None:
        super().__init__(raw)
        self.timeout = timeout
        """Seconds that reads of files opened from now on may wait; None for no limit."""

    def open(
        self, file: int | str | None = None, *, ahead: int | None = None, _owns_media: bool = False
    ) -> AsyncMediaFile:
        """Opens a file: its number, its name or a part of it; without, the largest that can be played. Never waits."""
        entry = self.torrent.find_file(file)
        made = AsyncMediaFile(self._raw.stream(entry.index), self, entry, self.timeout, _owns_media)
        if ahead is not None:
            made.ahead = ahead
        return made

    async def events(self) -> AsyncIterator[Event]:
        """What happens from now on, one `Event` after the other, until the torrent is closed."""
        events = self._raw.events()
        while (text := await _wait(events.next())) is not None:
            yield Event.from_json(text)

    async def timeline(self, file: int | str | None = None) -> Timeline:
        """What a file says of its time: duration, tracks, keyframes. Its index is read from the swarm where it is not known."""
        return Timeline(await _wait(self._raw.timeline(self.torrent.find_file(file).index)))

    async def download(self, *, progress: Progress = False) -> int:
        """Fetches everything and waits until it is here; gives the bytes. Cancelled, it stops fetching."""
        with report(progress, self.name) as tell:
            return await _wait(self._raw.download(), tell=tell)

    async def check_files(self, *, progress: Progress = False) -> int:
        """Looks through the files that are here and takes over every piece that is right; gives their bytes."""
        with report(progress, "checking") as tell:
            return await _wait(self._raw.check_files(), tell=tell)

    async def sync(self) -> None:
        """Waits until everything verified is on disk."""
        await _wait(self._raw.sync())

    async def watch(self, every: float = 0.5, seconds: float | None = None) -> AsyncIterator[MediaStatus]:
        """A status now and then, until the torrent is closed or the seconds are over."""
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        while not self.closed and (seconds is None or due - began <= seconds):
            yield self.status()
            due += every
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def close(self) -> None:
        """Lets go of it. Files of it that are open stay open."""
        self._raw.close()

    async def __aenter__(self) -> AsyncMedia:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSession(SessionBase):
    """The root of everything, for asyncio: ``async with playswarm.AsyncSession(dir="films") as session: …``

    Without ``async with``: ``session = await playswarm.AsyncSession(…)``, and ``await session.close()`` at the end.
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None, /, **settings: Unpack[Settings]) -> None:
        self._json = as_json(config, settings)
        self._starting = asyncio.Lock()

    async def start(self) -> AsyncSession:
        """Starts it, once."""
        async with self._starting:
            if self._raw is None:
                _logging.refresh()
                self._started(await _wait(_playswarm.open_session(self._json)))
        return self

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self.start().__await__()

    async def open(self, source: Source, *, timeout: float | None = None) -> AsyncMedia:
        """Opens a torrent. ``timeout`` is the seconds that this, and later each read of its files, may take."""
        return AsyncMedia(await _wait(self._get().open(raw_source(source)), timeout), timeout)

    async def describe(self, source: Source, *, timeout: float | None = None) -> Torrent:
        """What is in a torrent, without fetching any of its files."""
        return Torrent(await _wait(self._get().describe(raw_source(source)), timeout))

    async def close(self) -> None:
        """Stops all: reads that wait end with `ClosedError`, and what is verified is written. Cancelled, it goes on by itself."""
        if self._raw is not None:
            await _wait(self._raw.close())

    async def __aenter__(self) -> AsyncSession:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Opening:
    """A file that is about to be opened: ``await`` it, or ``async with`` it."""

    def __init__(
        self, source: Source, file: int | str | None, session: AsyncSession | None, timeout: float | None
    ) -> None:
        self._given = (source, file, session, timeout)
        self._file: AsyncMediaFile | None = None

    async def _open(self) -> AsyncMediaFile:
        source, file, session, timeout = self._given
        if session is None:
            from ._session import default_session

            # A few milliseconds of a listener and a folder; once in a process.
            raw = (await asyncio.to_thread(default_session))._get()
        else:
            raw = (await session.start())._get()
        media = AsyncMedia(await _wait(raw.open(raw_source(source)), timeout), timeout)
        try:
            return media.open(file, _owns_media=True)
        except BaseException:
            await media.close()
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
    """`playswarm.open` for asyncio: ``async with playswarm.open_async("magnet:?…") as film: await film.read(1000)``."""
    return _Opening(source, file, session, timeout)


async def create_torrent_async(
    path: str | os.PathLike[str],
    *,
    piece_bytes: int | None = None,
    trackers: Iterable[str] = (),
    private: bool = False,
    comment: str | None = None,
    name: str | None = None,
    progress: Progress = False,
) -> Torrent:
    """`create_torrent` for asyncio. Cancelled, it stops hashing."""
    job = creating(path, piece_bytes, trackers, private, comment, name)
    with report(progress, "hashing") as tell:
        raw, data, left_out = await _wait(job, tell=tell)
    return Torrent(raw, data, left_out)
