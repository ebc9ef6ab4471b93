"""An open torrent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import _playswarm, _show
from ._file import MediaFile
from ._progress import Progress, report
from ._status import Event, MediaStatus
from ._timeline import Timeline
from ._torrent import FileEntry, Torrent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "Media"]

SLICE_S = 0.04
"""How long a sleep may hide a Ctrl-C or a torrent that was closed."""


class MediaBase:
    """What the blocking and the asynchronous torrent share: everything that never waits."""

    def __init__(self, raw: _playswarm.Media) -> None:
        self._raw = raw
        self.torrent = Torrent(raw.torrent)
        """What is in it."""

    @property
    def name(self) -> str:
        return self.torrent.name

    @property
    def info_hash(self) -> str:
        """40 hexadecimal digits."""
        return self.torrent.info_hash

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return self.torrent.files

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    def status(self) -> MediaStatus:
        """A snapshot."""
        return MediaStatus.from_json(self._raw.status())

    def piece_map(self) -> bytes:
        """A byte for each piece: 0 missing, 1 being fetched, 2 here. ``numpy.frombuffer(media.piece_map(), numpy.uint8)`` is an array."""
        return self._raw.piece_map()

    def known_timeline(self, file: int | str | None = None) -> Timeline | None:
        """What is known of a file's time by now. It is read by itself once the file is opened."""
        raw = self._raw.known_timeline(self.torrent.find_file(file).index)
        return None if raw is None else Timeline(raw)

    def add_peer(self, address: str | tuple[str, int]) -> None:
        """A peer to be dialled: ``"192.0.2.7:6881"``, ``"peer.example:6881"`` or the two by themselves."""
        if not isinstance(address, str):
            host, port = address
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._raw.add_peer(address)

    def prefetch(self, file: int | str | None = None) -> None:
        """Starts fetching the beginning of a file before anybody reads it. It ends by itself after half a minute."""
        self._raw.prefetch(self.torrent.find_file(file).index)

    def fetch_all(self, on: bool = True) -> None:
        """Fetches every piece, whether anybody reads or not."""
        self._raw.fetch_all(on)

    def plot(self, *, figure: Figure | None = None) -> Figure:
        """Draws what `status` says now with matplotlib; gives the figure."""
        return self.status().plot(figure=figure)

    def _repr_html_(self) -> str | None:
        return None if self.closed else self.status()._repr_html_()

    def __str__(self) -> str:
        return repr(self) if self.closed else str(self.status())

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{100 * self.status().progress:.1f} % here"
        files = len(self.files)
        return f"<{type(self).__name__} {self.name!r}, {files} file{'' if files == 1 else 's'}, {state}>"


class Media(MediaBase):
    """An open torrent. When it and all of its files are closed, so is the torrent."""

    def __init__(self, raw: _playswarm.Media, timeout: float | None = None) -> None:
        super().__init__(raw)
        self.timeout = timeout
        """Seconds that reads of files opened from now on may wait; None for no limit."""

    def open(self, file: int | str | None = None, *, ahead: int | None = None, _owns_media: bool = False) -> MediaFile:
        """Opens a file: its number, its name or a part of it; without, the largest that can be played.

        ``ahead`` bounds the bytes that are fetched beyond what is read.
        """
        entry = self.torrent.find_file(file)
        made = MediaFile(self._raw.stream(entry.index), self, entry, self.timeout, _owns_media)
        if ahead is not None:
            made.ahead = ahead
        return made

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """What happens from now on, one `Event` after the other, until the torrent is closed.

        With a timeout, `TimedOutError` is raised where nothing happens for so many seconds. Who lags behind loses the oldest.
        """
        events = self._raw.events()
        return self._events(events, timeout)

    @staticmethod
    def _events(events: _playswarm.Events, timeout: float | None) -> Iterator[Event]:
        while (text := events.next().wait(timeout)) is not None:
            yield Event.from_json(text)

    def timeline(self, file: int | str | None = None, *, timeout: float | None = None) -> Timeline:
        """What a file says of its time: duration, tracks, keyframes. Its index is read from the swarm where it is not known.

        A file that has none, or one that lies, has an estimate that says why.
        """
        return Timeline(self._raw.timeline(self.torrent.find_file(file).index).wait(timeout))

    def download(self, *, timeout: float | None = None, progress: Progress = False) -> int:
        """Fetches everything and waits until it is here; gives the bytes.

        ``progress`` is True for a bar, or a function of the bytes here and the bytes in all. Given up, it stops fetching.
        """
        with report(progress, self.name) as tell:
            return self._raw.download().wait(timeout, tell)

    def check_files(self, *, progress: Progress = False) -> int:
        """Looks through the files that are here and takes over every piece that is right: for files that playswarm did not write.

        Gives the bytes of the pieces that are right.
        """
        with report(progress, "checking") as tell:
            return self._raw.check_files().wait(progress=tell)

    def sync(self, timeout: float | None = None) -> None:
        """Waits until everything verified is on disk."""
        self._raw.sync().wait(timeout)

    def watch(self, every: float = 0.5, seconds: float | None = None) -> Iterator[MediaStatus]:
        """A status now and then, until the torrent is closed or the seconds are over."""
        began = time.monotonic()
        due = began
        while not self.closed and (seconds is None or due - began <= seconds):
            yield self.status()
            due += every
            while (left := due - time.monotonic()) > 0 and not self.closed:
                time.sleep(min(left, SLICE_S))

    def live(self, every: float = 0.5, seconds: float | None = None) -> None:
        """Shows the torrent in a notebook and keeps the display up to date, until it is interrupted; elsewhere prints lines."""
        display = _show.Display()
        for status in self.watch(every, seconds):
            display.show(status)

    def close(self) -> None:
        """Lets go of it. Files of it that are open stay open."""
        self._raw.close()

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class History:
    """Statuses over time, for a plot: ``history.add(media.status())`` now and then, then ``history.plot()``."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statuses: list[MediaStatus] = []
        self._began = time.monotonic()

    def add(self, status: MediaStatus) -> None:
        self.seconds.append(time.monotonic() - self._began)
        self.statuses.append(status)

    def plot(self, *, figure: Figure | None = None) -> Figure:
        """Draws rates, buffer and the arrival of pieces over time; gives the figure."""
        from . import _plot

        return _plot.history(self.seconds, self.statuses, figure)

    def __len__(self) -> int:
        return len(self.statuses)

    def __repr__(self) -> str:
        return f"<History of {len(self)} statuses, {self.seconds[-1] if self.seconds else 0:.1f} s>"
