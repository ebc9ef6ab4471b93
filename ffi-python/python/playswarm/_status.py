"""The status of a torrent as typed objects: a snapshot and its parts, and events."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Event",
    "OpeningStatus",
    "PeerStatus",
    "Playhead",
    "ReaderStatus",
    "SlotStatus",
    "TimelineStatus",
    "TorrentStatus",
    "TrackStatus",
    "ViewerStatus",
    "Waste",
]

T = TypeVar("T")


def _known(cls: type[T], values: Mapping[str, Any]) -> T:
    """Creates a dataclass from a mapping. Fields that a newer engine adds are ignored."""
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in values.items() if name in names})


@dataclass(frozen=True, slots=True)
class Waste:
    """Wasted bytes by reason."""

    duplicate_bytes: int = 0
    """Blocks that another peer had already sent."""
    unasked_bytes: int = 0
    """Blocks that were not requested, or not any more."""
    failed_bytes: int = 0
    """Pieces that failed their hash."""
    forgotten_bytes: int = 0
    """Blocks that were evicted to free memory."""

    @property
    def total_bytes(self) -> int:
        return self.duplicate_bytes + self.unasked_bytes + self.failed_bytes + self.forgotten_bytes


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """An open reader."""

    file: int
    """Index of the file that it reads."""
    position: int
    """Position of the next byte to read."""
    ahead_bytes: int
    """Contiguous verified bytes ahead of the reader."""
    ahead_s: float | None
    """The same read-ahead in seconds of media; None while the data rate is unknown."""
    window_until: int
    """End of the bytes of the file that are fetched for the reader."""
    waiting: bool
    """Whether the reader waits for data now."""
    index: bool
    """Whether this is an internal reader of the file's index, not one of a player."""


@dataclass(frozen=True, slots=True)
class Playhead:
    """Position of the player: the last read, except a player's reads of the index."""

    file: int
    position: int
    time_s: float | None
    """The time that an RTSP player shows; for other players the time at the position, None while the
    timing of the file is unknown.
    """
    buffered_until: int
    """End of the contiguous verified bytes after the position."""
    buffered_until_s: float | None
    initial_buffering_s: float | None
    """Seconds by which a player must wait before it plays the file from the beginning, so that it never
    stalls at the present rate. None until that rate and the timing of the file are known.
    """


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """A track of a media file."""

    kind: str
    """``video``, ``audio``, ``subtitle`` or ``other``."""
    codec: str
    """Name of the codec in FFmpeg."""
    language: str | None
    title: str | None
    width: int | None
    height: int | None
    channels: int | None
    sample_rate: int | None


@dataclass(frozen=True, slots=True)
class TimelineStatus:
    """Timing information of a file."""

    file: int
    container: str
    duration_s: float
    accuracy: str
    """``exact``, ``sparse`` or ``estimate``."""
    why: str | None
    """Reason for an estimate, as a sentence."""
    keyframes: int
    """Number of known keyframes of the main track."""
    bytes_per_s: float
    tracks: tuple[TrackStatus, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TimelineStatus:
        return _known(cls, {**values, "tracks": tuple(_known(TrackStatus, t) for t in values["tracks"])})


@dataclass(frozen=True, slots=True)
class ViewerStatus:
    """State that another viewer reported, extrapolated to the present. It is not verified."""

    file: int
    slot: int
    """Virtual slot of the viewer."""
    playhead_s: float
    """Position of the viewer's playhead, in seconds."""
    playing: bool
    ahead_s: float
    """Read-ahead of the viewer, in seconds of media."""
    spare_bytes_per_s: int
    """Spare upload capacity of the viewer, in bytes per second."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The viewer's place in the slot index, and the costs and benefits of the index."""

    file: int
    slot: int | None
    width_s: int
    playhead_s: float
    """Assumed playhead of our player, in seconds. Players read ahead of the picture they show."""
    playing: bool
    parents: int
    """Number of viewers ahead of ours with a reserved place."""
    parents_bytes_per_s: float
    parent_bytes: int
    """Useful payload received from parents, in bytes."""
    other_bytes: int
    """Useful payload received from all other peers, in bytes."""
    lookups: int
    announces: int
    failed_operations: int
    operations_per_hour: float
    """Budget for lookups and announces together."""
    found: int
    """Number of addresses that the DHT returned."""
    ignored: int
    dials: int
    failed_dials: int
    released: int
    clock_correction_s: float


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected peer."""

    addr: str
    client: str
    """Name and version of the peer's client."""
    transport: str
    """``tcp`` or ``utp``; ``http`` for a connection to a web seed or mirror."""
    incoming: bool
    """Whether the peer opened the connection."""
    origin: str
    """Source of the peer's address: ``tracker``, ``dht``, ``lsd``, ``pex``, ``slots``, ``given`` or
    ``incoming``; ``web_seed`` or ``mirror`` over HTTP.
    """
    has: float
    """Share of the pieces that the peer has, 0 to 1."""
    rate_bytes_per_s: float | None
    """Measured download rate from the peer."""
    rtt_ms: float
    """Round-trip time."""
    outstanding: int
    """Number of outstanding block requests."""
    downloaded_bytes: int
    uploaded_bytes: int
    choked_by: bool
    """Whether the peer chokes us."""
    choking: bool
    """Whether we choke the peer."""
    interested: bool
    """Whether the peer is interested in our pieces."""
    snubbed: bool
    """Whether the peer is snubbed: it does not answer outstanding requests."""
    parent: bool
    """Whether the peer has a place reserved for viewers ahead of ours."""
    viewer: ViewerStatus | None
    """Reported state of the peer as a viewer; None if it reports none."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PeerStatus:
        viewer = values["viewer"]
        return _known(cls, {**values, "viewer": _known(ViewerStatus, viewer) if viewer else None})


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A web seed, mirror or servent."""

    url: str
    """URL without a possible key."""
    origin: str
    """``web_seed`` if the torrent or the link names it, ``mirror`` if the user does, ``servent`` if it is one
    of Gnutella, ``alternate`` if another servent names it.
    """
    state: str
    """``standby``, ``dialling``, ``serving``, ``queued`` at a servent, ``waiting`` after a failure,
    ``refused`` if it is of no use, or ``banned`` because it sent wrong data.
    """
    message: str | None
    """The last failure, as a sentence."""
    lanes: int
    """Number of connections."""
    rate_bytes_per_s: float
    """Measured rate of all connections."""
    downloaded_bytes: int
    retry_s: float | None
    """Seconds until the next attempt."""
    queue_position: int | None
    """Place in the queue of a servent, from 1 on."""
    queue_length: int | None
    """Length of that queue."""
    queue_eta_s: int | None
    """Wait that the servent expects, in seconds."""


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """A tracker and the result of its announces."""

    url: str
    """Announce URL without a possible passkey."""
    tier: int
    state: str
    """``idle`` while another tracker of its tier answers, ``asking``, ``working`` or ``failed``."""
    message: str | None
    """Reason of a failure or a warning from the tracker, in its own words where available."""
    peers: int
    """Number of peers in the last response."""
    seeds: int | None
    """Number of seeds that the tracker reports."""
    leeches: int | None
    next_announce_s: float | None
    """Seconds until the next announce."""


@dataclass(frozen=True, slots=True)
class OpeningStatus:
    """Progress of the search for the metadata of a magnet link."""

    info_hash: str
    waited_s: float
    """Seconds since the search began."""
    found_peers: int
    """Number of known peer addresses, connected or not."""
    dialled_peers: int
    """Number of peers that are being dialled."""
    connected_peers: int
    met_peers: int
    """Number of peers that were connected since the search began."""
    offering_peers: int
    """Number of connected peers that offer the metadata."""
    received_bytes: int
    """Received bytes of the metadata."""
    total_bytes: int | None
    """Size of the metadata, according to the peers."""
    trackers: tuple[TrackerStatus, ...]
    """The trackers and what they said."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OpeningStatus:
        return _known(cls, {**values, "trackers": tuple(_known(TrackerStatus, t) for t in values["trackers"])})


@dataclass(frozen=True, slots=True)
class TorrentStatus:
    """Status snapshot of a torrent."""

    info_hash: str
    name: str
    total_bytes: int
    """Size of all files in bytes."""
    verified_bytes: int
    """Size of the verified pieces that are available locally, in bytes."""
    piece_bytes: int
    pieces: int
    piece_map: str = field(repr=False)
    """One character per piece: ``#`` available, ``+`` being downloaded, ``.`` missing."""
    download_bytes_per_s: float
    upload_bytes_per_s: float
    downloaded_bytes: int
    """Payload received since the torrent was opened."""
    uploaded_bytes: int
    waste: Waste
    readers: tuple[ReaderStatus, ...]
    playhead: Playhead | None
    """Position of the player; None before the first read."""
    slots: SlotStatus | None = field(repr=False)
    """The viewer's place in the slot index; None if the index is off or no film with known timing
    is played.
    """
    timelines: tuple[TimelineStatus, ...] = field(repr=False)
    """Timing information of the files whose index was read."""
    peers: tuple[PeerStatus, ...] = field(repr=False)
    sources: tuple[SourceStatus, ...] = field(repr=False)
    """Web seeds and mirrors. Their connections are among the peers too."""
    trackers: tuple[TrackerStatus, ...] = field(repr=False)
    """The trackers used, in the order of their tiers."""
    known_peers: int
    """Number of known peers that are not connected."""
    banned_peers: int
    trouble: str | None
    """Reason why nothing can be downloaded at present, as a sentence; None if there is none."""
    notices: tuple[str, ...]
    """Notices for the user about the torrent's files, the latest last."""
    memory_bytes: int
    disk_bytes: int
    proof: str
    """What the bytes are checked against before they are shown: ``pieces``, ``tree``,
    ``accepted tree`` or ``whole file``.
    """
    unproven_bytes: int
    """Bytes that are fetched and not shown, as only the whole file proves them."""
    background: bool
    """Whether the session keeps the torrent in the background without a viewer."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TorrentStatus:
        return _known(
            cls,
            {
                **values,
                "notices": tuple(values["notices"]),
                "waste": _known(Waste, values["waste"]),
                "readers": tuple(_known(ReaderStatus, r) for r in values["readers"]),
                "playhead": _known(Playhead, values["playhead"]) if values["playhead"] else None,
                "slots": _known(SlotStatus, values["slots"]) if values["slots"] else None,
                "timelines": tuple(TimelineStatus.from_dict(t) for t in values["timelines"]),
                "peers": tuple(PeerStatus.from_dict(p) for p in values["peers"]),
                "sources": tuple(_known(SourceStatus, s) for s in values["sources"]),
                "trackers": tuple(_known(TrackerStatus, t) for t in values["trackers"]),
            },
        )

    @classmethod
    def from_json(cls, text: str) -> TorrentStatus:
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """Returns the status as plain dicts, lists, numbers and strings."""
        values = dataclasses.asdict(self)
        for name in ("readers", "peers", "sources", "trackers", "timelines", "notices"):
            values[name] = list(values[name])
        for timeline in values["timelines"]:
            timeline["tracks"] = list(timeline["tracks"])
        return values

    @property
    def progress(self) -> float:
        """Share of the bytes that are available, 0 to 1."""
        return self.verified_bytes / self.total_bytes if self.total_bytes else 1.0

    @property
    def is_complete(self) -> bool:
        return self.verified_bytes == self.total_bytes

    def __str__(self) -> str:
        from . import _show

        return _show.line(self)

    def _repr_html_(self) -> str:
        from . import _show

        return _show.html(self)

    def plot(self, *, figure: Figure | None = None) -> Figure:
        """Draws the piece map, the peers and the read-ahead with matplotlib. Returns the figure."""
        from . import _plot

        return _plot.status(self, figure)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a torrent. Fields that do not apply to its kind are ``None``."""

    event: str
    """The kind: ``peer_connected``, ``peer_disconnected``, ``peer_banned``, ``piece_verified``,
    ``piece_failed``, ``piece_lost``, ``trouble``, ``trouble_over``, ``notice`` or ``completed``.
    """
    addr: str | None = None
    why: str | None = None
    piece: int | None = None
    message: str | None = None

    @classmethod
    def from_json(cls, text: str) -> Event:
        return _known(cls, json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    def __repr__(self) -> str:
        return f"Event({', '.join(f'{k}={v!r}' for k, v in self.to_dict().items())})"
