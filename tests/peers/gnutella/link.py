"""A Gnutella connection: the handshake on both sides, deflate, and messages between leaf and ultrapeer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import zlib
from email.utils import formatdate
from typing import TYPE_CHECKING

from . import wire
from .stream import Conn, Gone, Head
from .wire import Message

if TYPE_CHECKING:
    from .conduct import Conduct
    from .node import Node

# Seconds for the handshake, and leaves of a servent that is full.
HANDSHAKE = 20.0


class Link:
    """A connection to another servent after its handshake."""

    def __init__(self, node: Node, conn: Conn, theirs: Head, *, inflate: bool, deflate: bool) -> None:
        self.node, self.conn, self.theirs = node, conn, theirs
        self.is_leaf = theirs.get("X-Ultrapeer").lower() == "false"
        guid = theirs.get("GUID")
        self.guid = bytes.fromhex(guid) if len(guid) == 32 else b""
        listening = wire.parse_addresses(theirs.get("Listen-IP") or theirs.get("Node"))
        self.address = listening[0] if listening else conn.peer
        self.table = wire.Table()
        self.hops_flow = 255
        self.reader = wire.Reader()
        self.inflater = zlib.decompressobj() if inflate else None
        self.deflater = zlib.compressobj() if deflate else None
        self.pending = bytearray()
        self.closed = False

    @property
    def conduct(self) -> Conduct:
        """The servent's knobs."""
        return self.node.conduct

    def send(self, message: Message) -> None:
        """Sends a message, on a deflated connection after the delay that collects others."""
        if self.closed or self.conduct.link == "silent":
            return
        if self.deflater is None:
            self.conn.writer.write(message.encode())
            return
        if not self.pending:
            asyncio.get_running_loop().call_later(self.conduct.deflate_delay, self.flush)
        self.pending += message.encode()

    def flush(self) -> None:
        """Sends what was collected."""
        if self.deflater is not None and self.pending and not self.closed:
            data = self.deflater.compress(bytes(self.pending)) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
            self.pending.clear()
            self.conn.writer.write(data)

    async def run(self) -> None:
        """Greets, then reads messages until the connection ends."""
        self.node.links.append(self)
        try:
            await self.misbehave()
            self.node.greet(self)
            if self.conn.buffer:
                self.read()
            while not self.closed:
                await self.conn.more()
                self.read()
        except (Gone, wire.WireError, zlib.error, ValueError, IndexError) as error:
            if not isinstance(error, Gone):
                self.node.say(broken={"from": self.conn.peer[0], "error": str(error)})
        finally:
            self.closed = True
            self.node.forget(self)
            self.conn.close()

    def read(self) -> None:
        """Handles the messages of what was received."""
        data = bytes(self.conn.buffer)
        self.conn.buffer.clear()
        for message in self.reader.feed(self.inflater.decompress(data) if self.inflater else data):
            self.node.heard["bytes"] += len(message.payload) + 23
            self.node.heard[f"{message.type:#04x}"] += 1
            self.node.message(self, message)

    def bye(self, code: int, text: str) -> None:
        """Says why the connection ends, and ends it."""
        payload = code.to_bytes(2, "little") + f"{text}\r\nServer: {self.node.agent}\r\n\r\n\0".encode()
        self.send(Message(wire.new_guid(), wire.BYE, 1, 0, payload))
        self.flush()
        self.closed = True
        self.conn.close()

    async def misbehave(self) -> None:
        """Does what the knob `link` says, as far as it is done on a connection."""
        kind = self.conduct.link
        if kind == "bye":
            self.bye(503, "Shutting down")
        elif kind == "long":
            await self.conn.send(wire.HEADER.pack(wire.new_guid(), wire.VENDOR, 1, 0, 70_008) + bytes(70_008))
        elif kind == "garbage":
            await self.conn.send(os.urandom(4_096))
        elif kind == "bomb":
            packed = zlib.compressobj(9)
            for _ in range(64):
                await self.conn.send(packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_SYNC_FLUSH))
        while kind in ("queries", "hits") and not self.closed:
            for _ in range(200):
                query = wire.Query(wire.FLAGS, f"flood {os.urandom(4).hex()}").encode()
                payload = query if kind == "queries" else self.node.made_up_hit()
                self.send(Message(wire.new_guid(), wire.QUERY if kind == "queries" else wire.HIT, 4, 1, payload))
            self.flush()
            await self.conn.send(b"")
            await asyncio.sleep(0.1)


def common_headers(node: Node, peer: str) -> list[tuple[str, str]]:
    """Returns the headers of a servent that is accepted or asks to be."""
    return [
        ("User-Agent", node.agent),
        ("Pong-Caching", "0.1"),
        ("Bye-Packet", "0.1"),
        ("GGEP", "0.5"),
        ("GUID", node.guid.hex()),
        ("Vendor-Message", "0.2"),
        ("Remote-IP", peer),
        ("X-Ultrapeer", str(node.ultrapeer)),
        ("X-Requeries", "False"),
        ("Accept-Encoding", "deflate"),
    ]


def routing_headers(node: Node) -> list[tuple[str, str]]:
    """Returns the headers about queries and times."""
    return [
        ("X-Query-Routing", "0.2"),
        ("X-Ultrapeer-Query-Routing", "0.1"),
        ("X-Degree", "46"),
        ("X-Max-TTL", "4"),
        ("X-Dynamic-Querying", "0.1"),
        *([("X-Ext-Probes", "0.1")] if node.ultrapeer else []),
        ("X-Guess", "0.2"),
        ("X-Live-Since", formatdate(node.since, usegmt=True)),
        ("X-Features", "sflag/0.1"),
    ]


def refusal(node: Node, theirs: Head, address: str, now: float) -> tuple[str, list[tuple[str, str]]] | None:
    """Returns status and further headers with which a connection is refused."""
    conduct = node.conduct
    mode = [("X-Ultrapeer", str(node.ultrapeer))]
    if node.bans.too_often("link", address, conduct.links, now):
        return node.violation(
            "links", address, (f"429 Banned for {int(conduct.ban) // 60}m {int(conduct.ban) % 60}s", [])
        )
    node.bans.note("link", address, now)
    if not theirs.has("X-Ultrapeer"):
        return "403 Normal nodes refused", []
    leaf = theirs.get("X-Ultrapeer").lower() == "false"
    if not node.ultrapeer and leaf:
        return "204 Shielded leaf node (5 peers max)", mode
    if node.ultrapeer and leaf and conduct.deflate_only and "deflate" not in theirs.get("Accept-Encoding"):
        return "403 Gnet connection not compressed", []
    if theirs.get("GUID") and any(link.guid.hex() == theirs.get("GUID").lower() for link in node.links):
        return "409 Already connected to this GUID", []
    full = sum(link.is_leaf for link in node.links) >= conduct.leaves
    if conduct.link == "full" or (leaf and full):
        hosts = conduct.try_hosts or ", ".join(f"{host}:{port}" for host, port in node.known)
        others = [("X-Try-Ultrapeers", hosts)] if hosts else []
        return f"503 Too many leaf connections ({conduct.leaves} max)", [*mode, *others]
    if conduct.link == "refuse":
        return "403 Not wanted", []
    return None


async def accept(node: Node, conn: Conn) -> None:
    """Answers a handshake, and becomes the link."""
    try:
        theirs = await conn.head(HANDSHAKE)
        node.say(handshake={"from": conn.peer[0], "headers": dict(theirs.headers)})
        now = time.monotonic()
        if node.conduct.link == "mute" or node.bans.banned(conn.peer[0], now):
            await conn.until_gone()
        refused = refusal(node, theirs, conn.peer[0], now)
        if refused:
            first = [("User-Agent", node.agent), ("Remote-IP", conn.peer[0])]
            await conn.send(Head(f"GNUTELLA/0.6 {refused[0]}", first + refused[1]).encode())
            conn.close()
            return
        deflate = "deflate" in theirs.get("Accept-Encoding")
        headers = common_headers(node, conn.peer[0])
        if deflate:
            headers.append(("Content-Encoding", "deflate"))
        if node.ultrapeer:
            headers.append(("X-Ultrapeer-Needed", "True"))
        await conn.send(Head("GNUTELLA/0.6 200 OK", headers + routing_headers(node)).encode())
        third = await conn.head(HANDSHAKE)
    except (Gone, TimeoutError):
        conn.close()
        return
    if " 200" not in third.line:
        conn.close()
        return
    await Link(node, conn, theirs, inflate="deflate" in third.get("Content-Encoding"), deflate=deflate).run()


async def connect(node: Node, address: wire.Address) -> None:
    """Connects to an ultrapeer and stays connected until that one ends it."""
    try:
        conn = await node.dial(address)
        headers = [("Node", f"{node.address[0]}:{node.address[1]}"), *common_headers(node, address[0])]
        await conn.send(Head("GNUTELLA CONNECT/0.6", headers + routing_headers(node)).encode())
        theirs = await conn.head(HANDSHAKE)
        node.say(connected={"to": f"{address[0]}:{address[1]}", "line": theirs.line})
        if " 200" not in theirs.line:
            conn.close()
            return
        deflate = "deflate" in theirs.get("Accept-Encoding")
        coding = [("Content-Encoding", "deflate")] if deflate else []
        await conn.send(Head("GNUTELLA/0.6 200 OK", coding).encode())
    except (Gone, TimeoutError, OSError) as error:
        node.say(error=f"The connection to {address[0]}:{address[1]} failed: {error!r}. See whether it listens.")
        return
    with contextlib.suppress(asyncio.CancelledError):
        link = Link(node, conn, theirs, inflate="deflate" in theirs.get("Content-Encoding"), deflate=deflate)
        link.address = address
        await link.run()
