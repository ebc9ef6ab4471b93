"""The timing of a file: its duration, tracks and keyframes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import _playswarm
from ._status import TimelineStatus, TrackStatus

__all__ = ["Keyframe", "SeekPoint", "Timeline"]


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A point where playback can start."""

    time: float
    """Seconds from the start of the film."""
    offset: int
    """Offset of its packet in the file."""
    start: int
    """First byte that a player needs to start here."""


@dataclass(frozen=True, slots=True)
class SeekPoint:
    """The result of a seek to a time."""

    time: float
    """Time of the keyframe in seconds. If the position is an estimate, it is the requested time."""
    position: int
    """Position where reading begins."""
    estimated: bool
    """Whether the position is a linear estimate."""


class Timeline:
    """The timing information in a file's index. Times are seconds from the start of the film, as
    players show them.
    """

    __slots__ = ("_keyframes", "_raw", "_summary")

    def __init__(self, raw: _playswarm.Timeline) -> None:
        self._raw = raw
        self._summary = TimelineStatus.from_dict(json.loads(raw.summary()))
        self._keyframes: tuple[Keyframe, ...] | None = None

    @property
    def duration(self) -> float:
        """Duration in seconds; 0 if unknown."""
        return self._summary.duration_s

    @property
    def container(self) -> str:
        """``MP4``, ``Matroska``, …"""
        return self._summary.container

    @property
    def tracks(self) -> tuple[TrackStatus, ...]:
        """The tracks of the file, in file order."""
        return self._summary.tracks

    @property
    def accuracy(self) -> str:
        """``exact`` (every keyframe is known), ``sparse`` (a seek searches for them) or
        ``estimate`` (linear).
        """
        return self._summary.accuracy

    @property
    def why(self) -> str | None:
        """Reason for an estimate, as a sentence."""
        return self._summary.why

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """Known keyframes of the main track in ascending order."""
        if self._keyframes is None:
            self._keyframes = tuple(Keyframe(*k) for k in self._raw.keyframes())
        return self._keyframes

    def byte_range(self, start: float, end: float) -> tuple[int, int]:
        """Returns the byte range that a player needs for a time range: the first byte and the one
        after the last.
        """
        return self._raw.byte_range(start, end)

    def byte_at(self, time: float) -> int:
        """Returns the approximate byte position of a time."""
        return self._raw.byte_at(time)

    def time_at(self, byte: int) -> float:
        """Returns the approximate time of a byte position."""
        return self._raw.time_at(byte)

    def __repr__(self) -> str:
        s = self._summary
        minutes, seconds = divmod(s.duration_s, 60)
        codecs = ", ".join(f"{t.kind} {t.codec}" for t in s.tracks)
        return f"<Timeline of {s.container}, {minutes:.0f} min {seconds:.1f} s, {codecs or 'no tracks'}, {s.accuracy}>"
