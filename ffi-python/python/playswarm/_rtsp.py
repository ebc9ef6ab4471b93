"""An RTSP server of a torrent, for players that take RTSP."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import _playswarm
from ._status import _known

__all__ = ["RtspServer", "RtspSession"]


@dataclass(frozen=True, slots=True)
class RtspSession:
    """A player's session."""

    file: int
    """Index of the file."""
    position_s: float
    """Time of the film that the player shows, in seconds; at most a second old."""
    lead_s: float
    """Film that was sent and not shown yet, in seconds."""
    transport: str
    """``tcp``, ``udp`` or ``http``, which is TCP in a tunnel over HTTP."""
    format: str
    """``elementary`` or ``mpegts``."""
    lost: int
    """Number of lost packets, as the player reports them."""
    client: str
    """The player's ``User-Agent``; empty if it sent none."""


class RtspServerBase:
    """Shared base of the blocking and the asynchronous server: everything that never waits."""

    def __init__(self, raw: _playswarm.RtspServer) -> None:
        self._raw = raw

    @property
    def url(self) -> str:
        """The URL of the file, with the token."""
        return self._raw.url

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    def sessions(self) -> list[RtspSession]:
        """Returns the sessions of players, the oldest first."""
        return [_known(RtspSession, session) for session in json.loads(self._raw.sessions())]

    def __repr__(self) -> str:
        # The URL may have the token.
        return f"<{type(self).__name__} {'closed' if self.closed else 'open'}>"


class RtspServer(RtspServerBase):
    """A running RTSP server. It keeps its torrent open, and ends when it is closed or dropped."""

    def close(self, timeout: float | None = None) -> None:
        """Stops listening and closes the connections of all players. It may be called twice."""
        self._raw.close().wait(timeout)

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
