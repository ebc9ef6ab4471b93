"""Hits: what a query finds here, sent on its link or out of band, and the hits that an ultrapeer fetches for its leaves."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import trees, wire
from .library import Shared
from .wire import Address, Message

if TYPE_CHECKING:
    from .node import Node

# Most records of a hit, and alternates of a record.
MOST_RECORDS, MOST_ALT = 10, 10
# Files that spam promises, and addresses that no stranger may name.
SPAM = 30
PRIVATE = ("10.1.2.3", "127.0.0.1", "192.168.1.1", "172.16.1.1", "169.254.1.1", "100.64.0.1", "224.0.0.1", "0.0.0.0")


class Hits:
    """The hits of a servent."""

    def __init__(self, node: Node) -> None:
        self.node = node
        # Hits that wait for their claim; queries of leaves that we asked as our own, and the tokens of our claims.
        self.unclaimed: dict[bytes, list[tuple[wire.Query, list[Shared]]]] = {}
        self.proxied: dict[bytes, tuple[bytes, Callable[[Message], None]]] = {}
        self.tokens: dict[bytes, bytes] = {}

    def record(self, file: Shared, ggep_h: bool) -> wire.Record:
        """Returns a file's record, with its hashes in the form that the query understands."""
        root = trees.root_of(file, self.node.conduct)
        blocks: dict[str, bytes] = {}
        urns: tuple[str, ...] = ()
        if self.node.conduct.hits == "hashless":
            pass
        elif ggep_h:
            blocks["H"] = b"\2" + file.sha1 + root
        else:
            urns, blocks["TT"] = (file.urn,), root
        blocks["CT"] = struct.pack("<I", int(file.modified))
        if file.alternates:
            blocks["ALT"] = b"".join(wire.pack_address(place) for place in list(file.alternates)[:MOST_ALT])
        if self.node.conduct.hits == "inflating":
            blocks["ZZ"] = bytes(1 << 20)
        return wire.Record(file.index, min(len(file.data), 0xFFFFFFFF), file.name, urns, blocks, deflate=("ZZ",))

    def hit(self, records: list[wire.Record], token: bytes | None) -> bytes:
        """Returns the payload of a hit."""
        node = self.node
        blocks = {"SO": token} if token is not None else {}
        if node.firewalled:
            blocks["PUSH"] = b"".join(wire.pack_address(proxy) for proxy in node.proxies[:8])
        address: Address = ("127.0.0.0", 0) if node.firewalled else node.address
        if node.conduct.hits_at:
            address = wire.parse_addresses(node.conduct.hits_at)[0]
        flags = bytes([0x2D if node.firewalled else 0x2C, 0x21 | 4 * node.conduct.busy | 8 * (node.uploaded > 0)])
        payload = wire.Hit(address, 464, tuple(records), node.vendor, flags, blocks, node.guid).encode()
        return payload[:11] + b"\xff" * 200 if node.conduct.hits == "broken" else payload

    def spam(self, query: wire.Query) -> list[list[wire.Record]]:
        """Returns records that carry the words of the query and are nothing."""
        return [
            [wire.Record(0xFFFFFFFF, 5_000_000 + n, f"{query.text} {n}.exe", (), {"H": b"\1" + os.urandom(20)})]
            for n in range(SPAM)
        ]

    def payloads(self, query: wire.Query, files: list[Shared], token: bytes | None) -> list[bytes]:
        """Returns the hits for the files that were found."""
        ggep_h = bool(query.flags & wire.GGEP_H)
        groups = [files[at : at + MOST_RECORDS] for at in range(0, len(files), MOST_RECORDS)]
        records = [[self.record(file, ggep_h) for file in group] for group in groups]
        kind = self.node.conduct.hits
        if kind == "spam":
            records += self.spam(query)
        if kind == "private":
            return self.at_private(records, token)
        return [self.hit(one, token) for one in records]

    def at_private(self, records: list[list[wire.Record]], token: bytes | None) -> list[bytes]:
        """Returns each hit with addresses that no stranger may name."""
        kept, payloads = self.node.conduct.hits_at, []
        for host in PRIVATE:
            self.node.conduct.hits_at = f"{host}:6346"
            payloads += [self.hit(one, token) for one in records]
        self.node.conduct.hits_at = kept
        return payloads

    def answer(self, query: wire.Query, message: Message, reply: Callable[[Message], None]) -> None:
        """Sends the hits of a query: announced by UDP if it asks for that, otherwise on its link."""
        conduct = self.node.conduct
        # Two firewalled servents cannot connect to each other.
        blocked = self.node.firewalled and query.flags & wire.FIREWALLED
        files = [] if blocked else self.node.library.matches(query)
        if conduct.hits == "none" or (not files and conduct.hits != "spam"):
            return
        wanted = query.flags & wire.OOB and message.hops > 0 and not self.node.firewalled
        if not wanted or conduct.oob == "off":
            for payload in self.payloads(query, files, None):
                reply(Message(message.guid, wire.HIT, max(message.hops + 2, 7), 0, payload))
            return
        address = wire.oob_address(message.guid)
        if conduct.oob == "unasked":
            self.by_udp(message.guid, query, files, None, address)
            return
        self.unclaimed.setdefault(message.guid, []).append((query, files))
        count = min(max(len(files), SPAM if conduct.hits == "spam" else 0), 255)
        self.node.datagrams.send(address, wire.vendor("LIME", 12, 3, bytes([count, 1]), message.guid))

    def by_udp(
        self, guid: bytes, query: wire.Query, files: list[Shared], token: bytes | None, address: Address
    ) -> None:
        """Sends hits by UDP."""
        for payload in self.payloads(query, files, token):
            self.node.datagrams.send(address, Message(guid, wire.HIT, 1, 0, payload))

    def claimed(self, guid: bytes, data: bytes, address: Address) -> None:
        """Sends the hits that were claimed, with the token of the claim."""
        if self.node.conduct.oob == "silent":
            return
        token = wire.read_ggep(data[1:]).get("SO") if data[1:2] == b"\xc3" else None
        if self.node.conduct.oob == "forged":
            token = os.urandom(4)
        for query, files in self.unclaimed.pop(guid, []):
            self.by_udp(guid, query, files, token, address)

    # For the leaves of an ultrapeer

    def proxy(self, guid: bytes, reply: Callable[[Message], None]) -> bytes:
        """Returns the GUID with which a leaf's query is asked as our own, so that its hits come to us."""
        own = wire.with_address(wire.new_guid(), self.node.address)
        self.proxied[own] = (guid, reply)
        self.node.route(own, lambda message: reply(dataclasses.replace(message, guid=guid)))
        return own

    def announced(self, guid: bytes, data: bytes, address: Address) -> None:
        """Claims hits that a servent announces for a query of one of our leaves."""
        if guid in self.proxied and data:
            token = self.tokens.setdefault(guid, os.urandom(4))
            claim = data[:1] + wire.ggep({"SO": token})
            self.node.datagrams.send(address, wire.vendor("LIME", 11, 3, claim, guid))

    def arrived(self, message: Message) -> None:
        """Passes hits that came by UDP on to the leaf that asked, if they have our token."""
        if message.guid in self.proxied and message.guid in self.tokens:
            if wire.read_hit(message.payload).blocks.get("SO") == self.tokens[message.guid]:
                guid, reply = self.proxied[message.guid]
                reply(Message(guid, wire.HIT, 1, 1, message.payload))
