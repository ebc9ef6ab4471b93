"""A TCP connection with its buffer in sight, and the heads of HTTP and of the handshake."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from .wire import Address

# Longest head that is read.
MOST_HEAD = 16 << 10
# Seconds of a step in which silence is counted.
STEP = 0.01


class Gone(Exception):
    """The other end closed the connection."""


@dataclass
class Head:
    """A start line with headers. Names are compared without case; the last of a name counts."""

    line: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str:
        """Returns a header's value, or nothing."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name.lower()), "")

    def has(self, name: str) -> bool:
        """Whether the header is there."""
        return any(key.lower() == name.lower() for key, _ in self.headers)

    def encode(self) -> bytes:
        """Returns the bytes with the blank line."""
        return "".join([f"{self.line}\r\n", *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]).encode()


@dataclass
class Answer:
    """Status and headers of an answer with their body."""

    status: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    close: bool = False
    # Whether the connection has then served something, and whether the features are told if they were not yet.
    serves: bool = False
    features: bool = True
    # Whether the connection is kept even if the client did not ask for that.
    keeps: bool = False


def parse_head(text: str) -> Head:
    """Returns the head of a text without its blank line. Continuation lines are joined."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and len(lines) > 1:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    pairs = [line.split(":", 1) for line in lines[1:] if ":" in line]
    return Head(lines[0], [(name.strip(), value.strip()) for name, value in pairs])


class Conn:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.buffer = bytearray()
        name = writer.get_extra_info("peername")
        self.peer: Address = (name[0], name[1])

    async def more(self, seconds: float | None = None) -> None:
        """Reads what comes next into the buffer. Raises Gone at the end and TimeoutError."""
        async with asyncio.timeout(seconds):
            try:
                data = await self.reader.read(65_536)
            except OSError as error:
                raise Gone from error
        if not data:
            raise Gone
        self.buffer += data

    async def head(self, seconds: float | None = None) -> Head:
        """Reads a head. Raises Gone for one that is too long."""
        while not (end := re.search(rb"\r?\n\r?\n", self.buffer)):
            if len(self.buffer) > MOST_HEAD:
                raise Gone
            await self.more(seconds)
        text = bytes(self.buffer[: end.start()]).decode("latin-1")
        del self.buffer[: end.end()]
        return parse_head(text)

    async def more_within(self, seconds: float) -> bool:
        """Reads what comes next. Returns False after a silence, and raises Gone at the end.

        The silence is counted in short steps, so that a process that was held up does not take that for silence.
        """
        reading = asyncio.ensure_future(self.more())
        for _ in range(max(round(seconds / STEP), 1)):
            if (await asyncio.wait({reading}, timeout=STEP))[0]:
                await reading
                return True
        if reading.done():
            await reading
            return True
        reading.cancel()
        return False

    async def send(self, data: bytes) -> None:
        """Sends all. Raises Gone if that is not possible."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        """Closes the connection after what was sent."""
        self.writer.close()

    async def until_gone(self) -> None:
        """Waits for the other end to close, and ignores what it says."""
        while True:
            self.buffer.clear()
            await self.more()
