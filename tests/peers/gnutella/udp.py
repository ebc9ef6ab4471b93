"""Datagrams: pings as a host cache answers them, GUESS, out-of-band hits, HEAD pings, pushes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import time
from typing import TYPE_CHECKING

from . import wire
from .dht import DHT
from .wire import Address, Message

if TYPE_CHECKING:
    from .node import Node


class Datagrams(asyncio.DatagramProtocol):
    """The UDP socket of a servent."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.transport: asyncio.DatagramTransport | None = None
        self.pinged: dict[str, float] = {}
        self.secret = os.urandom(8)

    async def open(self, address: Address) -> None:
        """Opens the socket."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=address)
        self.transport = transport

    def close(self) -> None:
        """Closes the socket."""
        if self.transport:
            self.transport.close()

    def send(self, address: Address, message: Message) -> None:
        """Sends a message."""
        if self.transport and not self.transport.is_closing():
            self.transport.sendto(message.encode(), address)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Handles a datagram. What is no message is ignored."""
        address = (str(addr[0]), int(addr[1]))
        self.node.heard["datagrams"] += 1
        try:
            self.handle(wire.datagram(data), address)
        except (wire.WireError, ValueError, IndexError, struct.error):
            self.node.heard["bad datagrams"] += 1

    def handle(self, message: Message, address: Address) -> None:
        """Handles a message."""
        hits = self.node.hits
        if message.type == wire.PING:
            self.ping(message, address)
        elif message.type == wire.QUERY:
            self.guess(message, address)
        elif message.type == wire.HIT:
            hits.arrived(message)
        elif message.type == DHT:
            self.node.dht.handle(message, address)
        elif message.type == wire.PUSH and len(message.payload) >= 26:
            self.node.push(message)
        elif message.type == wire.VENDOR:
            name, data = wire.read_vendor(message.payload)
            if name.startswith("LIME/12v"):
                hits.announced(message.guid, data, address)
            elif name.startswith("LIME/11v"):
                hits.claimed(message.guid, data, address)
            elif name.startswith("LIME/23v"):
                self.head_ping(message.guid, data, address, version=int(name[-1]))

    def key_of(self, address: Address) -> bytes:
        """Returns the query key of an address."""
        return hashlib.blake2b(address[0].encode(), key=self.secret, digest_size=4).digest()

    def ultrapeers(self) -> list[Address]:
        """Returns other ultrapeers."""
        return [link.address for link in self.node.neighbours()] + self.node.known

    def ping(self, message: Message, address: Address) -> None:
        """Answers a ping as a host cache: seldom for each address, and with a query key always."""
        asked = wire.read_ggep(message.payload) if message.payload else {}
        now = time.monotonic()
        if "QK" not in asked:
            if now - self.pinged.get(address[0], -1e9) < self.node.conduct.ping_interval:
                return
            self.pinged[address[0]] = now
        blocks = self.node.pong_blocks()
        if "SCP" in asked and (others := self.ultrapeers()):
            blocks["IPP"] = b"".join(wire.pack_address(other) for other in others[:10])
        if "IP" in asked:
            blocks["IP"] = wire.pack_address(address)
        if "QK" in asked and self.node.ultrapeer:
            blocks["QK"] = self.key_of(address)
        self.send(address, Message(message.guid, wire.PONG, 1, 0, self.node.pong(blocks)))

    def guess(self, message: Message, address: Address) -> None:
        """Answers a query by UDP: a pong of another ultrapeer acknowledges it, the hits follow."""
        query = wire.read_query(message.payload)
        if not self.node.ultrapeer:
            return
        others = self.ultrapeers()
        known = query.blocks.get("QK") == self.key_of(address)
        blocks = {"GUE": b"\x02"}
        if not known:
            blocks["QK"] = self.key_of(address)
        elif others and "SCP" in query.blocks:
            blocks["IPP"] = wire.pack_address(self.node.address)
        pong = self.node.pong(blocks, others[0] if others else None, (40, 0))
        self.send(address, Message(message.guid, wire.PONG, 1, 1, pong))
        self.node.say(guess={"from": address[0], "text": query.text, "key": known})
        if known and self.node.route(message.guid, lambda hit: self.send(address, hit)):
            self.node.hits.answer(query, message, lambda hit: self.send(address, hit))
            passed = wire.Query(query.flags, query.text, query.urns)
            self.node.pass_on(Message(message.guid, wire.QUERY, 2, 0, passed.encode()), query.text, None)

    def head_ping(self, guid: bytes, data: bytes, address: Address, version: int) -> None:
        """Says whether a file is here, whole or in part, how long the queue is, and who else has it."""
        node = self.node
        file = node.library.by_sha1(wire.sha1_of_urn(data[1:].split(b"\0")[0].decode("latin-1")))
        flags = data[0]
        if file is None or node.conduct.answer == "missing":
            pong = b"\0\0" if version == 1 else wire.ggep({"C": b"\0"})
            self.send(address, wire.vendor("LIME", 24, version, pong, guid))
            return
        code = (1 if file.have is None else 10) + 4 * node.firewalled
        free = node.conduct.slots - len(node.queue.active)
        # Negative are free slots, the others those who wait.
        queue = -free if free > 0 and node.conduct.queue != "forever" else len(node.queue.waiting) + 1
        alternates = b"".join(wire.pack_address(place) for place in file.alternates) if flags & 2 else b""
        if version == 1:
            told = flags & 8 | (2 if alternates else 0)
            pong = bytes([told, code]) + node.vendor.encode() + struct.pack("b", queue)
            if alternates:
                pong += struct.pack(">H", len(alternates)) + alternates
        else:
            blocks = {"C": bytes([code]), "Q": struct.pack("b", queue), "V": node.vendor.encode(), "F": b"\0"}
            pong = wire.ggep(blocks | ({"A": alternates} if alternates else {}))
        self.send(address, wire.vendor("LIME", 24, version, pong, guid))
