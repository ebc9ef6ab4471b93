"""What a torrent is doing, as typed objects: a snapshot and its parts, and events."""

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
    "MediaStatus",
    "PeerStatus",
    "Playhead",
    "ReaderStatus",
    "SlotStatus",
    "TimelineStatus",
    "TrackStatus",
    "ViewerStatus",
    "Waste",
]

T = TypeVar("T")


def _known(cls: type[T], values: Mapping[str, Any]) -> T:
    """Makes a dataclass of a mapping. What a newer engine says in addition is left out."""
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in values.items() if name in names})


@dataclass(frozen=True, slots=True)
class Waste:
    """Bytes received for nothing, by reason."""

    duplicate_bytes: int = 0
    """Blocks that had come from another peer before."""
    unasked_bytes: int = 0
    """Blocks that nobody asked for (or not any more)."""
    failed_bytes: int = 0
    """Pieces that failed their hash."""
    forgotten_bytes: int = 0
    """Blocks given up to make room in memory."""

    @property
    def total_bytes(self) -> int:
        return self.duplicate_bytes + self.unasked_bytes + self.failed_bytes + self.forgotten_bytes


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """An open reader."""

    file: int
    """The number of the file that it reads."""
    position: int
    """The next byte that it will read."""
    ahead_bytes: int
    """Verified bytes that lie ahead of it without a gap."""
    ahead_s: float | None
    """The same in seconds of the media, where its rate is known."""
    waiting: bool
    """Whether it is waiting for data now."""
    index: bool
    """Whether it is one of the engine's own that reads the file's index, and no player's."""


@dataclass(frozen=True, slots=True)
class Playhead:
    """Where the player is: what was read last, a player's look at the index apart."""

    file: int
    position: int
    time_s: float | None
    """The same as a time, where the file's time is known."""
    buffered_until: int
    """Verified bytes lie from there up to this byte without a gap."""
    buffered_until_s: float | None


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """A stream of a media file."""

    kind: str
    """``video``, ``audio``, ``subtitle`` or ``other``."""
    codec: str
    """By FFmpeg's name."""
    language: str | None
    title: str | None
    width: int | None
    height: int | None
    channels: int | None
    sample_rate: int | None


@dataclass(frozen=True, slots=True)
class TimelineStatus:
    """What is known of a file's time."""

    file: int
    container: str
    duration_s: float
    accuracy: str
    """``exact``, ``sparse`` or ``estimate``."""
    why: str | None
    """Why it is only an estimate, as a sentence."""
    keyframes: int
    """How many of the main track are known."""
    bytes_per_s: float
    tracks: tuple[TrackStatus, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TimelineStatus:
        return _known(cls, {**values, "tracks": tuple(_known(TrackStatus, t) for t in values["tracks"])})


@dataclass(frozen=True, slots=True)
class ViewerStatus:
    """What another viewer said of itself, moved on by the clock. Not checked."""

    file: int
    slot: int
    """Its virtual slot."""
    playhead_s: float
    """Where it plays."""
    playing: bool
    ahead_s: float
    """Seconds of film that it has in hand."""
    spare_bytes_per_s: int
    """Upload that it has to spare."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The viewer's place in the slot index, and what the index has cost and brought."""

    file: int
    slot: int | None
    width_s: int
    playhead_s: float
    """Where our player is taken to be: players read ahead of what they show."""
    playing: bool
    parents: int
    """Viewers ahead of ours with a kept place."""
    parents_bytes_per_s: float
    parent_bytes: int
    """Useful bytes that came from parents."""
    other_bytes: int
    """Useful bytes that came from all other peers."""
    lookups: int
    announces: int
    failed_operations: int
    operations_per_hour: float
    """The budget of lookups and announces together."""
    found: int
    """Addresses that the DHT named."""
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
    """Its client's name and version."""
    transport: str
    """``tcp`` or ``utp``."""
    incoming: bool
    """Whether it connected to us."""
    origin: str
    """How we came to know it: ``tracker``, ``dht``, ``lsd``, ``pex``, ``slots``, ``given`` or
    ``incoming``."""
    has: float
    """Share of the pieces that it has, 0 to 1."""
    rate_bytes_per_s: float | None
    """Measured rate towards us."""
    rtt_ms: float
    """Round trip."""
    outstanding: int
    """Blocks asked of it and not yet here."""
    downloaded_bytes: int
    uploaded_bytes: int
    choked_by: bool
    """It chokes us."""
    choking: bool
    """We choke it."""
    interested: bool
    """It wants something of ours."""
    snubbed: bool
    """It has gone quiet while something was asked of it."""
    parent: bool
    """It has a place kept for viewers ahead of ours."""
    viewer: ViewerStatus | None
    """Where it is in the film, if it is a viewer that says so."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PeerStatus:
        viewer = values["viewer"]
        return _known(cls, {**values, "viewer": _known(ViewerStatus, viewer) if viewer else None})


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """A tracker, and what came of asking it."""

    url: str
    """Its announce URL, without what may be a passkey."""
    tier: int
    state: str
    """``idle`` while another of its tier answers, ``asking``, ``working`` or ``failed``."""
    message: str | None
    """Why it failed, or a warning that came with its answer; its own words where it gave some."""
    peers: int
    """Peers in its last answer."""
    seeds: int | None
    """Seeds of the torrent that it knows of."""
    leeches: int | None
    next_announce_s: float | None
    """Seconds until it is asked next."""


@dataclass(frozen=True, slots=True)
class MediaStatus:
    """A snapshot of one torrent."""

    info_hash: str
    name: str
    total_bytes: int
    """Bytes of all files."""
    verified_bytes: int
    """Bytes of the pieces that are verified and here."""
    piece_bytes: int
    pieces: int
    piece_map: str = field(repr=False)
    """One character a piece: ``#`` here, ``+`` being fetched, ``.`` missing."""
    download_bytes_per_s: float
    upload_bytes_per_s: float
    downloaded_bytes: int
    """Payload received since the torrent was opened."""
    uploaded_bytes: int
    waste: Waste
    readers: tuple[ReaderStatus, ...]
    playhead: Playhead | None
    """Where the player is; None until something was read."""
    slots: SlotStatus | None = field(repr=False)
    """The viewer's place in the slot index; None where it is off, or nothing is watched whose time is known."""
    timelines: tuple[TimelineStatus, ...] = field(repr=False)
    """What is known of the files' time, of those whose index was read."""
    peers: tuple[PeerStatus, ...] = field(repr=False)
    trackers: tuple[TrackerStatus, ...] = field(repr=False)
    """The trackers that are asked for peers, in the order of their tiers."""
    known_peers: int
    """Peers known but not connected."""
    banned_peers: int
    trouble: str | None
    """Why nothing is fetched at the moment, as a sentence, if so."""
    notices: tuple[str, ...]
    """Sentences about the torrent's files that the user should know; the latest is the last."""
    memory_bytes: int
    disk_bytes: int
    background: bool
    """Whether the torrent is kept by the session in the background instead of watched."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MediaStatus:
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
                "trackers": tuple(_known(TrackerStatus, t) for t in values["trackers"]),
            },
        )

    @classmethod
    def from_json(cls, text: str) -> MediaStatus:
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dicts, lists, numbers and strings."""
        values = dataclasses.asdict(self)
        for name in ("readers", "peers", "trackers", "timelines", "notices"):
            values[name] = list(values[name])
        for timeline in values["timelines"]:
            timeline["tracks"] = list(timeline["tracks"])
        return values

    @property
    def progress(self) -> float:
        """Share of the bytes that are here, 0 to 1."""
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
        """Draws the piece map, the peers and the buffers with matplotlib; gives the figure."""
        from . import _plot

        return _plot.status(self, figure)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a torrent. What does not belong to its kind is ``None``."""

    event: str
    """The kind: ``peer_connected``, ``peer_disconnected``, ``peer_banned``, ``piece_verified``, ``piece_failed``, ``piece_lost``,
    ``trouble``, ``trouble_over``, ``notice`` or ``completed``."""
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
