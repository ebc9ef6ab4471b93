"""An open torrent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import _playswarm, _show
from ._config import Address, address_text
from ._file import MediaFile
from ._metainfo import FileEntry, Metainfo
from ._progress import Progress, report
from ._rtsp import RtspServer
from ._status import Event, TorrentStatus
from ._timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "TorrentHandle"]

SLICE_S = 0.04
"""Longest delay before a sleep notices Ctrl-C or a closed torrent, in seconds."""


class TorrentHandleBase:
    """Shared base of the blocking and the asynchronous torrent: everything that never waits."""

    def __init__(self, raw: _playswarm.TorrentHandle) -> None:
        self._raw = raw
        self.metainfo = Metainfo(raw.metainfo)
        """The metainfo of the torrent."""

    @property
    def name(self) -> str:
        return self.metainfo.name

    @property
    def info_hash(self) -> str:
        """The info-hash: 40 hexadecimal digits."""
        return self.metainfo.info_hash

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return self.metainfo.files

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    def status(self) -> TorrentStatus:
        """Returns a status snapshot."""
        return TorrentStatus.from_json(self._raw.status())

    def piece_map(self) -> bytes:
        """Returns a byte for each piece: 0 missing, 1 being downloaded, 2 available.

        ``numpy.frombuffer(torrent.piece_map(), numpy.uint8)`` converts it to an array.
        """
        return self._raw.piece_map()

    def known_timeline(self, file: int | str | None = None) -> Timeline | None:
        """Returns the timing information of a file that is known now. Opening the file starts to
        read it.
        """
        raw = self._raw.known_timeline(self.metainfo.find_file(file).index)
        return None if raw is None else Timeline(raw)

    def add_peer(self, address: str | tuple[str, int]) -> None:
        """Connects to a peer: ``"192.0.2.7:6881"``, ``"peer.example:6881"`` or a pair of host and
        port.
        """
        self._raw.add_peer(address_text(address))

    def add_source(self, url: str) -> None:
        """Adds a mirror: the URL of a web server that has the torrent's file, or the folder of its
        files. What it sends is verified like data of peers.
        """
        self._raw.add_source(url)

    def _serving(
        self, file: int | str | None, listen: Address | None, token: str | None
    ) -> _playswarm.Job[_playswarm.RtspServer]:
        address = None if listen is None else address_text(listen)
        return self._raw.serve_rtsp(self.metainfo.find_file(file).index, address, token)

    def prefetch(self, file: int | str | None = None) -> None:
        """Starts to download the beginning of a file before the first read. It ends after 30
        seconds.
        """
        self._raw.prefetch(self.metainfo.find_file(file).index)

    def fetch_all(self, on: bool = True) -> None:
        """Downloads every piece, including data that no reader needs."""
        self._raw.fetch_all(on)

    def plot(self, *, figure: Figure | None = None) -> Figure:
        """Draws the current status with matplotlib. Returns the figure."""
        return self.status().plot(figure=figure)

    def _repr_html_(self) -> str | None:
        return None if self.closed else self.status()._repr_html_()

    def __str__(self) -> str:
        return repr(self) if self.closed else str(self.status())

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{100 * self.status().progress:.1f} % here"
        files = len(self.files)
        return f"<{type(self).__name__} {self.name!r}, {files} file{'' if files == 1 else 's'}, {state}>"


class TorrentHandle(TorrentHandleBase):
    """An open torrent. It closes when it and all of its files are closed."""

    def __init__(self, raw: _playswarm.TorrentHandle, timeout: float | None = None) -> None:
        super().__init__(raw)
        self.timeout = timeout
        """Longest wait of reads in files opened from now on, in seconds; None for no limit."""

    def open(
        self, file: int | str | None = None, *, ahead: int | None = None, _owns_torrent: bool = False
    ) -> MediaFile:
        """Opens a file by its index, its name or a part of its name. The default is the largest
        playable file.

        ``ahead`` limits the bytes downloaded beyond the data being read.
        """
        entry = self.metainfo.find_file(file)
        made = MediaFile(self._raw.stream(entry.index), self, entry, self.timeout, _owns_torrent)
        if ahead is not None:
            made.ahead = ahead
        return made

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yields each `Event` from now on, until the torrent is closed.

        With a timeout, `TimedOutError` is raised if no event occurs for that many seconds. A slow
        consumer loses the oldest events.
        """
        events = self._raw.events()
        return self._events(events, timeout)

    @staticmethod
    def _events(events: _playswarm.Events, timeout: float | None) -> Iterator[Event]:
        while (text := events.next().wait(timeout)) is not None:
            yield Event.from_json(text)

    def choose_file(self, timeout: float | None = None) -> FileEntry:
        """Returns the file to play by default: the largest playable file. Where the names of large
        files tell nothing, their first bytes are read, for ten seconds at most.
        """
        return self.files[self._raw.choose_file().wait(timeout)]

    def serve_rtsp(
        self, file: int | str | None = None, *, listen: Address | None = None, token: str | None = None
    ) -> RtspServer:
        """Serves the files over RTSP. ``file`` is the one that the server's URL names.

        ``listen`` is an IP address and a port; the default is loopback and any free port. With
        ``token``, a secret, players need the whole URL.
        """
        return RtspServer(self._serving(file, listen, token).wait())

    def timeline(self, file: int | str | None = None, *, timeout: float | None = None) -> Timeline:
        """Returns the timing information of a file: duration, tracks, keyframes. Its index is read
        from the swarm if it is not known.

        A file with a missing or wrong index has an estimate, which gives the reason.
        """
        return Timeline(self._raw.timeline(self.metainfo.find_file(file).index).wait(timeout))

    def download(self, *, timeout: float | None = None, progress: Progress = False) -> int:
        """Downloads all files and waits for completion. Returns their size in bytes.

        ``progress`` is True for a progress bar, or a function of the available bytes and the total
        bytes. If the wait ends early, the download stops.
        """
        with report(progress, self.name) as tell:
            return self._raw.download().wait(timeout, tell)

    def recheck(self, *, progress: Progress = False) -> int:
        """Checks the files in the download folder and accepts every correct piece. Use it for files
        that another program wrote.

        Returns the size of the correct pieces in bytes.
        """
        with report(progress, "checking") as tell:
            return self._raw.recheck().wait(progress=tell)

    def sync(self, timeout: float | None = None) -> None:
        """Waits until all verified data is on disk."""
        self._raw.sync().wait(timeout)

    def watch(self, every: float = 0.5, seconds: float | None = None) -> Iterator[TorrentStatus]:
        """Yields a status at each interval until the torrent closes or ``seconds`` have passed."""
        began = time.monotonic()
        due = began
        while not self.closed and (seconds is None or due - began <= seconds):
            yield self.status()
            due += every
            while (left := due - time.monotonic()) > 0 and not self.closed:
                time.sleep(min(left, SLICE_S))

    def live(self, every: float = 0.5, seconds: float | None = None) -> None:
        """Shows the torrent in a notebook and updates the display until it is interrupted. Outside
        of notebooks it prints lines.
        """
        display = _show.Display()
        for status in self.watch(every, seconds):
            display.show(status)

    def close(self) -> None:
        """Closes the torrent. Its open files stay open."""
        self._raw.close()

    def __enter__(self) -> TorrentHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class History:
    """A series of statuses for a plot: call ``history.add(torrent.status())`` periodically, then
    ``history.plot()``.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statuses: list[TorrentStatus] = []
        self._began = time.monotonic()

    def add(self, status: TorrentStatus) -> None:
        self.seconds.append(time.monotonic() - self._began)
        self.statuses.append(status)

    def plot(self, *, figure: Figure | None = None) -> Figure:
        """Draws rates, read-ahead and the arrival of pieces over time. Returns the figure."""
        from . import _plot

        return _plot.history(self.seconds, self.statuses, figure)

    def __len__(self) -> int:
        return len(self.statuses)

    def __repr__(self) -> str:
        return f"<History of {len(self)} statuses, {self.seconds[-1] if self.seconds else 0:.1f} s>"
