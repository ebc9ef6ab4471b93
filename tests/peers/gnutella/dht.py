"""A node of the Mojito DHT, by UDP: contacts, stored values, and the publication of what is shared.

Its numbers are big-endian, unlike those of the other messages, and so are the ports.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from . import wire
from .conduct import Conduct
from .library import Shared
from .wire import Address, Message, WireError

DHT = 0x44
PING, PONG, STORE, STORE_ACK, FIND_NODE, NODES, FIND_VALUE, VALUE = range(1, 9)
# Nodes that store a value, questions at once, seconds for an answer.
K, ALPHA, PATIENCE = 20, 3, 1.0
STORED, WRONG_TOKEN = 1, 13
ANY = b"****"
# Nodes and values of a liar.
LIES = 30


def pack_address(address: Address) -> bytes:
    """Returns an address with its length first."""
    return b"\4" + bytes(int(part) for part in address[0].split(".")) + struct.pack(">H", address[1])


@dataclass(frozen=True)
class Contact:
    """A node."""

    kuid: bytes
    address: Address
    vendor: bytes = b"TSRV"

    def encode(self) -> bytes:
        """Returns the 33 bytes of lists and values."""
        return self.vendor + b"\0\0" + self.kuid + pack_address(self.address)


class Fields:
    """Reads the fields of a message one by one. Raises WireError at its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        """Returns the next bytes."""
        if len(self.data) < count:
            raise WireError("a DHT message that is too short")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def counted(self) -> bytes:
        """Returns bytes that have their number first."""
        return self.take(self.take(1)[0])

    def address(self) -> Address:
        """Returns an address."""
        ip = self.counted()
        return ".".join(map(str, ip)), int.from_bytes(self.take(2), "big")

    def contact(self) -> Contact:
        """Returns a node."""
        vendor, _ = self.take(4), self.take(2)
        return Contact(self.take(20), self.address(), vendor)

    def value(self) -> Value:
        """Returns a value."""
        creator, key, kind, version = self.contact(), self.take(20), self.take(4), self.take(2)
        return Value(creator, key, kind, version, self.take(int.from_bytes(self.take(2), "big")))


@dataclass(frozen=True)
class Value:
    """A stored value."""

    creator: Contact
    key: bytes
    kind: bytes
    version: bytes
    data: bytes

    def encode(self) -> bytes:
        """Returns the bytes of a list."""
        head = self.creator.encode() + self.key + self.kind + self.version
        return head + struct.pack(">H", len(self.data)) + self.data


@dataclass(frozen=True)
class Parcel:
    """A message: its opcode, sender, and body."""

    opcode: int
    sender: Contact
    flags: int
    body: bytes


def read(payload: bytes) -> Parcel:
    """Returns the message of a payload."""
    fields = Fields(payload)
    opcode = fields.take(1)[0]
    sender = fields.contact()
    flags = fields.take(2)[1]
    fields.take(int.from_bytes(fields.take(2), "big"))
    return Parcel(opcode, sender, flags, fields.data)


def nodes_of(body: bytes) -> tuple[bytes, list[Contact]]:
    """Returns the token and the nodes of a NODES body."""
    fields = Fields(body)
    token = fields.counted()
    return token, [fields.contact() for _ in range(fields.take(1)[0])]


def values_of(body: bytes) -> list[Value]:
    """Returns the values of a VALUE body."""
    fields = Fields(body)
    fields.take(4)
    return [fields.value() for _ in range(fields.take(1)[0])]


def distance(a: bytes, b: bytes) -> int:
    """Returns the XOR of two names."""
    return int.from_bytes(a, "big") ^ int.from_bytes(b, "big")


class Dht:
    """A node of the DHT."""

    def __init__(self, address: Address, conduct: Conduct, send: Callable[[Address, Message], None]) -> None:
        self.me = Contact(os.urandom(20), address)
        self.conduct, self.send = conduct, send
        self.contacts: dict[bytes, Contact] = {}
        self.values: dict[bytes, dict[bytes, Value]] = {}
        self.secret = os.urandom(8)
        self.answers: dict[bytes, asyncio.Future[Parcel]] = {}
        self.heard = 0

    def token_for(self, address: Address) -> bytes:
        """Returns the token with which an address may store."""
        return hashlib.blake2b(address[0].encode(), key=self.secret, digest_size=4).digest()

    def closest(self, key: bytes) -> list[Contact]:
        """Returns the nearest known nodes."""
        return sorted(self.contacts.values(), key=lambda contact: distance(contact.kuid, key))[:K]

    def say(self, to: Address, guid: bytes, opcode: int, body: bytes) -> None:
        """Sends a message."""
        payload = bytes([opcode]) + self.me.encode() + b"\1\0\0\0" + body
        self.send(to, Message(guid, DHT, 0, 0, payload))

    def handle(self, message: Message, address: Address) -> None:
        """Answers a question, or takes an answer."""
        parcel = read(message.payload)
        self.heard += 1
        # A firewalled node enters no routing table.
        if not parcel.flags & 1:
            self.contacts[parcel.sender.kuid] = Contact(parcel.sender.kuid, address, parcel.sender.vendor)
        if waiting := self.answers.pop(message.guid, None):
            if not waiting.done():
                waiting.set_result(parcel)
            return
        if self.conduct.dht == "silent":
            return
        fields = Fields(parcel.body)
        if parcel.opcode == PING:
            size = bytes([min(len(self.contacts) + 1, 255)])
            self.say(address, message.guid, PONG, pack_address(address) + b"\1" + size)
        elif parcel.opcode == FIND_NODE:
            self.say(address, message.guid, NODES, self.nodes(fields.take(20), address))
        elif parcel.opcode == FIND_VALUE:
            key = fields.take(20)
            wanted = [fields.take(20) for _ in range(fields.take(1)[0])]
            values = self.found(key, fields.take(4), wanted)
            if values:
                body = struct.pack(">fB", 0, len(values)) + b"".join(value.encode() for value in values) + b"\0"
                self.say(address, message.guid, VALUE, body)
            else:
                self.say(address, message.guid, NODES, self.nodes(key, address))
        elif parcel.opcode == STORE:
            self.store(message.guid, fields, address)

    def nodes(self, key: bytes, address: Address) -> bytes:
        """Returns the body of a NODES message, with the lies of the knob."""
        contacts = self.closest(key)
        if self.conduct.dht == "private":
            contacts = [Contact(os.urandom(20), (f"192.168.1.{n}", 6346)) for n in range(1, K + 1)]
        elif self.conduct.dht == "made_up":
            # Always nearer than any before, so that a lookup that believes it does not end.
            near = key[:16] + os.urandom(2)
            contacts = [Contact(near + os.urandom(2), (f"61.0.{os.urandom(1)[0]}.{n}", 6346)) for n in range(1, K + 1)]
        token = self.token_for(address)
        return bytes([len(token)]) + token + bytes([len(contacts)]) + b"".join(one.encode() for one in contacts)

    def found(self, key: bytes, kind: bytes, creators: list[bytes]) -> list[Value]:
        """Returns the values of a key, with the lies of the knob."""
        if self.conduct.dht == "values":
            blocks = {"client-id": os.urandom(16), "firewalled": b"\0", "port": b"\x18\xca", "length": b"\1"}
            liars = [Contact(os.urandom(20), (f"10.0.0.{n}", 6346)) for n in range(1, LIES + 1)]
            return [Value(liar, key, b"ALOC", b"\0\1", wire.ggep(blocks)) for liar in liars]
        values = self.values.get(key, {}).values()
        return [one for one in values if kind in (ANY, one.kind) and (not creators or one.creator.kuid in creators)][:K]

    def store(self, guid: bytes, fields: Fields, address: Address) -> None:
        """Stores values if the token is right."""
        status = STORED if fields.counted() == self.token_for(address) else WRONG_TOKEN
        acks = b""
        count = fields.take(1)[0]
        for _ in range(count):
            value = fields.value()
            if status == STORED:
                self.values.setdefault(value.key, {})[value.creator.kuid] = value
            acks += value.key + value.creator.kuid + struct.pack(">HH", status, 0)
        self.say(address, guid, STORE_ACK, bytes([count]) + acks)

    # What the node asks itself

    async def ask(self, to: Address, opcode: int, body: bytes = b"") -> Parcel | None:
        """Sends a question. Returns its answer, or none in time."""
        guid = wire.new_guid()
        self.answers[guid] = asyncio.get_running_loop().create_future()
        self.say(to, guid, opcode, body)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.answers[guid]
        except TimeoutError:
            return None
        finally:
            self.answers.pop(guid, None)

    async def join(self, others: list[Address]) -> None:
        """Makes itself known, and looks for its neighbours."""
        await asyncio.gather(*(self.ask(other, PING) for other in others))
        await self.lookup(self.me.kuid)

    async def lookup(self, key: bytes) -> dict[bytes, bytes]:
        """Asks nearer and nearer nodes. Returns the tokens of the nearest ones by their names."""
        tokens: dict[bytes, bytes] = {}
        asked: set[bytes] = set()
        while True:
            fresh = [one for one in self.closest(key) if one.kuid not in asked and one.kuid != self.me.kuid][:ALPHA]
            if not fresh:
                return tokens
            asked.update(one.kuid for one in fresh)
            for one, parcel in zip(
                fresh, await asyncio.gather(*(self.ask(one.address, FIND_NODE, key) for one in fresh)), strict=True
            ):
                if parcel is None or parcel.opcode != NODES:
                    self.contacts.pop(one.kuid, None)
                    continue
                tokens[one.kuid], nodes = nodes_of(parcel.body)
                for node in nodes:
                    self.contacts.setdefault(node.kuid, node)

    async def publish(self, file: Shared, guid: bytes) -> int:
        """Stores where a file is. Returns the number of nodes that took it."""
        blocks = {
            "client-id": guid,
            "firewalled": b"\0",
            "length": len(file.data).to_bytes(8, "little").rstrip(b"\0"),
            "port": struct.pack(">H", self.me.address[1]),
            "ttroot": file.root,
        }
        return await self.put(Value(self.me, file.sha1, b"ALOC", b"\0\1", wire.ggep(blocks)))

    async def publish_proxy(self, leaf: bytes) -> int:
        """Stores that this node passes pushes on to a leaf. Returns the number of nodes that took it."""
        blocks = {"guid": leaf, "port": struct.pack(">H", self.me.address[1])}
        return await self.put(Value(self.me, hashlib.sha1(leaf).digest(), b"NOPE", b"\0\0", wire.ggep(blocks)))

    async def put(self, value: Value) -> int:
        """Stores a value at the nodes nearest to its key, and here. Returns the number of other nodes that took it."""
        self.values.setdefault(value.key, {})[self.me.kuid] = value
        tokens = await self.lookup(value.key)
        stored = 0
        for contact in self.closest(value.key):
            if token := tokens.get(contact.kuid):
                body = bytes([len(token)]) + token + b"\1" + value.encode()
                answer = await self.ask(contact.address, STORE, body)
                stored += bool(answer and answer.opcode == STORE_ACK and answer.body[41:43] == b"\0\1")
        return stored


class DhtOnly(asyncio.DatagramProtocol):
    """A node that is nothing else: a crowd of them makes a network."""

    def __init__(self, address: Address, conduct: Conduct) -> None:
        self.dht = Dht(address, conduct, self.send)
        self.transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Opens its socket."""
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.dht.me.address)
        self.dht.me = Contact(self.dht.me.kuid, self.transport.get_extra_info("sockname")[:2])

    def send(self, address: Address, message: Message) -> None:
        """Sends a message."""
        if self.transport and not self.transport.is_closing():
            self.transport.sendto(message.encode(), address)

    def close(self) -> None:
        """Closes its socket."""
        if self.transport:
            self.transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Handles a datagram. What is no message is ignored."""
        try:
            message = wire.datagram(data)
            if message.type == DHT:
                self.dht.handle(message, (str(addr[0]), int(addr[1])))
        except WireError:
            return


async def crowd(host: str, count: int, conduct: Conduct, others: list[Address]) -> list[DhtOnly]:
    """Starts nodes at one address that know each other, and the others."""
    nodes = [DhtOnly((host, 0), conduct) for _ in range(count)]
    for node in nodes:
        await node.open()
    known = [node.dht.me for node in nodes]
    for node in nodes:
        node.dht.contacts = {one.kuid: one for one in known if one is not node.dht.me}
    await asyncio.gather(*(node.dht.ask(other, PING) for node in nodes for other in others))
    return nodes
