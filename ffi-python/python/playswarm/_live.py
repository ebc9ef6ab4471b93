"""Live channels: casting a stream, and watching one."""

from __future__ import annotations

import io
import json
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from . import _playswarm
from ._raw_file import RawFile, RawReader
from ._status import _known

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Cast", "Channel", "ChannelHead", "ChannelMinute", "ChannelStatus", "LiveFile"]


def folder_of(archive: str | os.PathLike[str] | None) -> str | None:
    """Returns the path of an archive's folder."""
    return None if archive is None else os.fspath(archive)


READALL_BYTES = 1 << 20
"""Most bytes that `LiveFile.readall` reads at once."""


@dataclass(frozen=True, slots=True)
class ChannelHead:
    """The description of a channel's stream, which its source signed."""

    name: str
    """Name of the channel for people. May be empty."""
    content_type: str
    """Media type of the stream, such as ``video/mp2t``. Empty before the source has detected it."""
    bytes_per_s: int
    """Rate of the stream in bytes per second, about."""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """A node's place in a channel."""

    ended: bool
    """Whether the stream has ended. A source may begin a new one."""
    title: str | None
    """Title of what is playing, if the source tells it."""
    delay_ms: int | None
    """Time from the arrival of the newest bytes at the source until they were here, by the clocks of
    both machines.
    """
    first_packet_ms: int | None
    """Time from the joining of the channel until the first verified packet was here."""
    stripes: int
    """Stripes of the channel; 0 before its head is known."""
    fed: int
    """Stripes for which this node has a parent."""
    stripe_map: str
    """A character for each stripe: ``#`` if this node has a parent for it, ``-`` if not."""
    depth: int
    """Nodes from the source to this one, over the longest path."""
    parents: int
    """Nodes that feed this one."""
    children: int
    """Nodes that are fed with a stripe here, counted for each stripe."""
    connections: int
    addresses: int
    """Addresses of other nodes that are known."""
    on_air: bool | None
    """Whether the source is on air, as it says on the DHT; None if nothing was found there."""
    free_places: int | None
    """Further viewers that the whole channel can feed, as far as the neighbours know."""
    full_for_s: int | None
    """Time until this node asks for a place again, if the channel is full: all nodes that were asked
    answered that their places are taken. None if it is not, or the stream arrives here.
    """
    reachable: bool | None
    """Whether other nodes can dial this one. None if nothing has shown it yet."""
    readers: int
    """Open streams of this session."""
    packets: int
    """Packets that were verified and new."""
    refused: int
    """Packets that did not verify. Their senders are banned."""
    restored: int
    """Groups that were restored from parity."""
    lost: int
    """Groups that were lost for good."""
    gaps: int
    """Gaps in the stream: each is one or more lost groups."""
    minutes: int
    """Minutes of this cast's archive that the source has announced; at most the newest 120."""
    archived: int | None
    """Minutes of this cast that are complete in this node's archive. None if it keeps none."""
    trouble: str | None
    """The reason why this node's archive is incomplete."""

    @classmethod
    def from_json(cls, text: str) -> ChannelStatus:
        values: Mapping[str, Any] = json.loads(text)
        return _known(cls, values)


@dataclass(frozen=True, slots=True)
class ChannelMinute:
    """A minute of a channel's archive."""

    number: int
    """Its number within the cast, from 1."""
    begun_ms: int
    """When its first byte reached the source, milliseconds since 1970."""
    duration_ms: int
    """About its duration."""
    bytes: int
    """Bytes of its file."""
    info_hash: str
    """Info-hash of its torrent."""
    magnet: str
    """Link to its torrent, for `open`."""


class CastBase(RawFile[_playswarm.Cast]):
    """Shared base of the blocking and the asynchronous cast: everything that never waits."""

    mode = "wb"

    def __init__(self, raw: _playswarm.Cast) -> None:
        super().__init__()
        self._raw = raw

    @property
    def link(self) -> str:
        """The link for viewers, with the addresses at which this machine can be reached as far as it
        knows them.
        """
        return self._raw.link()

    def status(self) -> ChannelStatus:
        """Returns the source's place in the channel."""
        return ChannelStatus.from_json(self._raw.status())

    def writable(self) -> bool:
        self._check_open()
        return True

    def write(self, data: Buffer, /) -> int:
        """Sends bytes of the stream, which may end anywhere. Never waits: the caller gives the pace.
        Raises `BadConfigError` if viewers could not join the stream; the message names the remedy.
        """
        self._check_open()
        return self._raw.write(bytes(memoryview(data).cast("B")))

    def readinto(self, buffer: Buffer, /) -> NoReturn:
        """Fails: `playswarm.watch` reads channels."""
        raise io.UnsupportedOperation("not readable")

    def set_title(self, title: str) -> None:
        """Tells viewers the title of what is playing from now on, such as ``ARTIST - TITLE``. An empty one
        takes it back.
        """
        self._check_open()
        self._raw.set_title(title)

    def end(self) -> None:
        """Ends the stream. Viewers receive all written bytes before the end."""
        self._check_open()
        self._raw.end()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self.closed else 'on air'}>"


class Cast(CastBase):
    """The source of a live channel: a raw binary file that encoders write to.

    ``with playswarm.cast(name="Film night") as out: print(out.link); out.write(…)``. PyAV,
    ``shutil.copyfileobj`` and ``subprocess`` pumps accept it. It is not seekable.
    """

    def close(self) -> None:
        """Ends the stream and takes the channel off the air. Waits up to a second for the last packets, and
        until the archive is complete if there is one.
        It may be called twice.
        """
        if not self.closed:
            try:
                self._raw.end()
            finally:
                self._raw.close().wait()
        super().close()

    def __enter__(self) -> Cast:
        self._check_open()
        return self


class ChannelBase:
    """Shared base of the blocking and the asynchronous channel: everything that never waits."""

    def __init__(self, raw: _playswarm.Channel, timeout: float | None = None) -> None:
        self._raw = raw
        self.timeout = timeout
        """Longest wait of reads in streams opened from now on, in seconds; None for no limit."""

    @property
    def link(self) -> str:
        """The link by which the channel was found."""
        return self._raw.link

    @property
    def head(self) -> ChannelHead | None:
        """The description of the stream; None before a node has sent it."""
        head = self._raw.head()
        return None if head is None else ChannelHead(*head)

    @property
    def closed(self) -> bool:
        return self._raw.is_closed

    def minutes(self) -> list[ChannelMinute]:
        """Returns the minutes of the archive that the source has announced, the newest 120."""
        return [ChannelMinute(*minute) for minute in self._raw.minutes()]

    def status(self) -> ChannelStatus:
        """Returns this node's place in the channel."""
        return ChannelStatus.from_json(self._raw.status())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.link!r}{' closed' if self.closed else ''}>"


class Channel(ChannelBase):
    """A live channel that is watched and passed on, until it is closed or dropped."""

    def on_air(self, timeout: float | None = None) -> ChannelHead:
        """Waits until a player can begin. Returns the description of the stream."""
        return ChannelHead(*self._raw.on_air().wait(timeout))

    def archived(self, timeout: float | None = None) -> None:
        """Waits until all of an ended stream that can be had is in the archive."""
        self._raw.archived().wait(timeout)

    def open(self, *, _owns_channel: bool = False) -> LiveFile:
        """Opens the stream, from the present on. Never waits."""
        return LiveFile(self._raw.stream(), self, self.timeout, _owns_channel)

    def close(self) -> None:
        """Leaves the channel, if nothing else in the session uses it. Waits up to two seconds until the
        nodes that are fed here have other parents. It may be called twice.
        """
        self._raw.close().wait()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LiveFile(RawReader[_playswarm.LiveFile]):
    """The stream of a live channel, opened for reading. It has no size and is not seekable.

    It begins at the present, with what a player needs first. ``read(n)`` and ``readinto`` return what
    is there, at least one byte; nothing at the end of the stream. A reader that is slower than the
    stream jumps to the present. PyAV and ``io.BufferedReader`` accept it.
    """

    mode = "rb"

    def __init__(self, raw: _playswarm.LiveFile, channel: Channel, timeout: float | None, owns_channel: bool) -> None:
        super().__init__()
        self._owns_channel = owns_channel
        self.channel = channel
        """The channel of this stream."""
        self.timeout = timeout
        """Longest wait of a read, in seconds; None for no limit."""
        # Set last: the file is open from here on.
        self._raw = raw

    @property
    def head(self) -> ChannelHead | None:
        """The description of the stream; None before a node has sent it."""
        return self.channel.head

    def status(self) -> ChannelStatus:
        """Returns this node's place in the channel."""
        return self.channel.status()

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns up to ``size`` bytes that are there, at least one; all bytes until the end of the
        stream for None or a negative number.
        """
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        return self._raw.read(operator.index(size)).wait(self.timeout)

    def readall(self) -> bytes:
        """Returns all bytes until the end of the stream."""
        self._check_open()
        whole = bytearray()
        while chunk := self._raw.read(READALL_BYTES).wait(self.timeout):
            whole += chunk
        return bytes(whole)

    def close(self) -> None:
        """Closes the stream. Waiting reads fail with `ClosedError`. The node leaves its channel in the
        background if this was its last use. It may be called twice.
        """
        if not self.closed:
            self._raw.close()
            if self._owns_channel:
                # Begun here, and not waited for.
                self.channel._raw.close()
        super().close()

    def __enter__(self) -> LiveFile:
        self._check_open()
        return self

    def __repr__(self) -> str:
        return f"<LiveFile {'closed' if self.closed else f'at {self._raw.position}'}>"
