"""A file's time: how long it plays, what is in it, where its keyframes are."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import _playswarm
from ._status import TimelineStatus, TrackStatus

__all__ = ["Keyframe", "Landing", "Timeline"]


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A point where playing can start."""

    time: float
    """Seconds from the start of the film."""
    offset: int
    """Where its packet begins in the file."""
    start: int
    """The first byte that a player needs to play from here."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a seek to a time came down."""

    time: float
    """The keyframe's time in seconds; the time asked for where that is only an estimate."""
    position: int
    """The byte where reading begins."""
    estimated: bool
    """Whether it is a guess along a straight line."""


class Timeline:
    """What a file's index says. Times are seconds from the start of the film, as players show them."""

    __slots__ = ("_keyframes", "_raw", "_summary")

    def __init__(self, raw: _playswarm.Timeline) -> None:
        self._raw = raw
        self._summary = TimelineStatus.from_dict(json.loads(raw.summary()))
        self._keyframes: tuple[Keyframe, ...] | None = None

    @property
    def duration(self) -> float:
        """How long it plays, in seconds; 0 where that is not known."""
        return self._summary.duration_s

    @property
    def container(self) -> str:
        """``MP4``, ``Matroska``, …"""
        return self._summary.container

    @property
    def tracks(self) -> tuple[TrackStatus, ...]:
        """The streams in the file, in its order."""
        return self._summary.tracks

    @property
    def accuracy(self) -> str:
        """``exact`` (every keyframe is known), ``sparse`` (a seek looks for them) or ``estimate`` (a straight line)."""
        return self._summary.accuracy

    @property
    def why(self) -> str | None:
        """Why it is only an estimate, as a sentence."""
        return self._summary.why

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The known ones of the main track, ascending."""
        if self._keyframes is None:
            self._keyframes = tuple(Keyframe(*k) for k in self._raw.keyframes())
        return self._keyframes

    def byte_range(self, start: float, end: float) -> tuple[int, int]:
        """The bytes that a player needs for a stretch of time: the first, and the one after the last."""
        return self._raw.byte_range(start, end)

    def byte_at(self, time: float) -> int:
        """The byte that is played then, about."""
        return self._raw.byte_at(time)

    def time_at(self, byte: int) -> float:
        """The time at which a byte is played, about."""
        return self._raw.time_at(byte)

    def __repr__(self) -> str:
        s = self._summary
        minutes, seconds = divmod(s.duration_s, 60)
        codecs = ", ".join(f"{t.kind} {t.codec}" for t in s.tracks)
        return f"<Timeline of {s.container}, {minutes:.0f} min {seconds:.1f} s, {codecs or 'no tracks'}, {s.accuracy}>"
