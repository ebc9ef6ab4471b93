"""Bytes of the Gnutella network: messages, GGEP, URNs, queries, hits, QRP tables. No I/O.

Written from the protocol's drafts and from recorded conversations, not from the codec under test: a mistake in one is
then seen by the other. Integers are little-endian unless said; addresses are 4 bytes and a little-endian port.
"""

from __future__ import annotations

import base64
import os
import re
import struct
import unicodedata
import zlib
from dataclasses import dataclass, field

PING, PONG, BYE, QRP, VENDOR, PUSH, QUERY, HIT = 0x00, 0x01, 0x02, 0x30, 0x31, 0x40, 0x80, 0x81
HEADER = struct.Struct("<16sBBBI")
# Largest payload of each type that gtk-gnutella reads; others have OTHER_LIMIT.
LIMITS = {QUERY: 1_024, HIT: 65_536}
OTHER_LIMIT = 40_960

# Flags of a query, the only big-endian integer.
FLAGS, FIREWALLED, LEAF_GUIDED, GGEP_H, OOB, SR_UDP = 0x8000, 0x4000, 0x1000, 0x0800, 0x0400, 0x0100

Address = tuple[str, int]


class WireError(Exception):
    """Bytes that are no Gnutella message."""


def new_guid() -> bytes:
    """Returns a random GUID with the marks of a modern servent."""
    guid = bytearray(os.urandom(16))
    guid[8], guid[15] = 0xFF, 0
    return bytes(guid)


@dataclass(frozen=True)
class Message:
    """A message with its header."""

    guid: bytes
    type: int
    ttl: int
    hops: int
    payload: bytes

    def encode(self) -> bytes:
        """Returns header and payload."""
        return HEADER.pack(self.guid, self.type, self.ttl, self.hops, len(self.payload)) + self.payload

    def forwarded(self) -> Message:
        """Returns the message one hop further."""
        return Message(self.guid, self.type, max(self.ttl - 1, 1), self.hops + 1, self.payload)


class Reader:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Returns the messages that are whole now. Raises WireError for one that is too long."""
        self.buffer += data
        whole = []
        while len(self.buffer) >= HEADER.size:
            guid, kind, ttl, hops, length = HEADER.unpack_from(self.buffer)
            if length > LIMITS.get(kind, OTHER_LIMIT):
                raise WireError(f"a message of type {kind:#x} with {length} bytes")
            end = HEADER.size + length
            if len(self.buffer) < end:
                break
            whole.append(Message(guid, kind, ttl, hops, bytes(self.buffer[HEADER.size : end])))
            del self.buffer[:end]
        return whole


def datagram(data: bytes) -> Message:
    """Returns the message of a datagram. Raises WireError for anything else."""
    whole = Reader().feed(data)
    if len(whole) != 1 or HEADER.size + len(whole[0].payload) != len(data):
        raise WireError("a datagram that is not one message")
    return whole[0]


# Addresses


def pack_address(address: Address) -> bytes:
    """Returns the six bytes of GGEP lists."""
    return bytes(int(part) for part in address[0].split(".")) + struct.pack("<H", address[1])


def unpack_addresses(data: bytes) -> list[Address]:
    """Returns the addresses of a GGEP list."""
    return [
        (".".join(map(str, data[at : at + 4])), int.from_bytes(data[at + 4 : at + 6], "little"))
        for at in range(0, len(data) - 5, 6)
    ]


def with_address(guid: bytes, address: Address) -> bytes:
    """Returns the GUID of a query whose hits are to come to an address by UDP."""
    packed = pack_address(address)
    return packed[:4] + guid[4:13] + packed[4:] + guid[15:]


def oob_address(guid: bytes) -> Address:
    """Returns the address in such a GUID."""
    return unpack_addresses(guid[:4] + guid[13:15])[0]


def parse_addresses(text: str) -> list[Address]:
    """Returns the addresses of a header: IP:PORT or IP, which means port 6346. What is none is left out."""
    found = re.findall(r"(?:^|[,\s])(\d+\.\d+\.\d+\.\d+)(?::(\d+))?(?=$|[,\s])", text)
    return [(host, int(port or 6346)) for host, port in found]


# GGEP


def cobs(data: bytes) -> bytes:
    """Returns the bytes without zeros (consistent overhead byte stuffing)."""
    out = bytearray()
    for run in data.split(b"\0"):
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
        out += bytes([len(run) + 1]) + run
    return bytes(out)


def uncobs(data: bytes) -> bytes:
    """Undoes `cobs`."""
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            raise WireError("wrong COBS")
        out += data[at + 1 : at + code]
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def ggep(blocks: dict[str, bytes], *, without_nul: bool = False, deflate: tuple[str, ...] = ()) -> bytes:
    """Returns the blocks of a dictionary, none for none. `without_nul` stuffs data that has zeros."""
    out = bytearray(b"\xc3") if blocks else bytearray()
    for at, (name, data) in enumerate(blocks.items()):
        flags = len(name) | (0x80 if at == len(blocks) - 1 else 0)
        if name in deflate:
            data, flags = zlib.compress(data), flags | 0x20
        if without_nul and b"\0" in data:
            data, flags = cobs(data), flags | 0x40
        out += bytes([flags]) + name.encode()
        length = len(data)
        if length > 0xFFF:
            out.append(0x80 | length >> 12)
        if length > 0x3F:
            out.append(0x80 | length >> 6 & 0x3F)
        out.append(0x40 | length & 0x3F)
        out += data
    return bytes(out)


def read_ggep(data: bytes) -> dict[str, bytes]:
    """Returns the blocks at the beginning of the bytes, which must start with the mark."""
    if not data.startswith(b"\xc3"):
        raise WireError("no GGEP")
    blocks: dict[str, bytes] = {}
    at = 1
    try:
        while True:
            flags = data[at]
            name = data[at + 1 : at + 1 + (flags & 15)].decode("ascii", "replace")
            at += 1 + (flags & 15)
            length = 0
            while True:
                byte = data[at]
                at += 1
                length = length << 6 | byte & 0x3F
                if byte & 0x40:
                    break
            if at + length > len(data):
                raise WireError("GGEP longer than its message")
            block = data[at : at + length]
            at += length
            if flags & 0x40:
                block = uncobs(block)
            if flags & 0x20:
                block = zlib.decompressobj().decompress(block, 65_536)
            blocks[name] = block
            if flags & 0x80:
                return blocks
    except (IndexError, zlib.error) as error:
        raise WireError("wrong GGEP") from error


# URNs


def base32(data: bytes) -> str:
    """Returns base32 in upper case without padding."""
    return base64.b32encode(data).decode().rstrip("=")


def unbase32(text: str) -> bytes:
    """Returns the bytes of base32 text. Raises WireError if it is none."""
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError as error:
        raise WireError(f"{text!r} is no base32") from error


def sha1_of_urn(urn: str) -> bytes | None:
    """Returns the SHA-1 that a URN names: urn:sha1 or urn:bitprint."""
    found = re.fullmatch(r"urn:(?:sha1:([a-z2-7]{32})|bitprint:([a-z2-7]{32})\.[a-z2-7]{39})", urn, re.I)
    return unbase32(found[1] or found[2]) if found else None


# Words and QRP


# Marks that are kept: voiced sounds of Japanese, and those that suppress or change a letter of Indic writing.
KEPT_MARKS = {"\u3099", "\u309a"} | {
    letter for letter in map(chr, range(0x900, 0xE00)) if unicodedata.combining(letter) in (7, 9) and letter != "\u0d4d"
}
# Writings whose letters begin a new word after those of another.
WRITINGS = (
    "\u0370-\u03ff", "\u0400-\u04ff", "\u0590-\u05ff", "\u0600-\u06ff", "\u0900-\u097f", "\u0e00-\u0e7f",
    "\u3040-\u309f", "\u30a0-\u30ff", "\u3400-\u4dbf", "\u4e00-\u9fff", "\uac00-\ud7af",
)  # fmt: skip
WORD = re.compile("|".join(f"[{writing}]+" for writing in WRITINGS) + f"|[^ {''.join(WRITINGS)}]+")


def words_of(text: str) -> list[str]:
    """Returns the words of a name or a query, as gtk-gnutella cuts it: no case, no accents, two letters or more."""

    def plain(letter: str) -> str:
        category = unicodedata.category(letter)
        if category == "Mn":
            return letter if letter in KEPT_MARKS else ""
        return letter if category in ("Ll", "Lo", "Lm", "Nd", "Cn") else " "

    letters = "".join(map(plain, unicodedata.normalize("NFKD", text.casefold())))
    words = WORD.findall(unicodedata.normalize("NFC", letters))
    return [word for word in words if len(word) > 1 or word >= "\u2e80"]


def qrp_hash(word: str, bits: int) -> int:
    """Returns the slot of a word in a table of 2**bits slots."""
    mixed = 0
    for at, byte in enumerate(word.lower().encode("utf-16-le")[::2]):
        mixed ^= byte << at % 4 * 8
    return (mixed * 0x4F1BBCDC & 0xFFFFFFFF) >> 32 - bits


@dataclass
class Table:
    """A QRP table as its receiver keeps it."""

    slots: int = 0
    infinity: int = 7
    values: list[int] = field(default_factory=list)
    patch: bytearray = field(default_factory=bytearray)
    expected: int = 1

    def receive(self, payload: bytes) -> str | None:
        """Takes a RESET or PATCH. Returns what is wrong with it."""
        if payload[:1] == b"\0" and len(payload) == 6:
            self.slots, self.infinity = struct.unpack_from("<IB", payload, 1)
            if not 8 <= self.slots <= 1 << 21 or self.slots & self.slots - 1:
                return "Invalid QRP table size"
            self.values, self.expected = [self.infinity] * self.slots, 1
            self.patch.clear()
            return None
        if payload[:1] != b"\1" or len(payload) < 5:
            return "Invalid QRP message"
        if not self.slots:
            return "No QRP RESET received before PATCH"
        sequence, count, compressor, bits = payload[1:5]
        if sequence != self.expected:
            return "Invalid QRP sequence number"
        self.patch += payload[5:]
        self.expected += 1
        if sequence < count:
            return None
        return self._apply(compressor, bits)

    def _apply(self, compressor: int, bits: int) -> str | None:
        size = self.slots * bits // 8
        try:
            data = zlib.decompressobj().decompress(bytes(self.patch), size + 1) if compressor else bytes(self.patch)
        except zlib.error:
            return "Invalid QRP compression"
        self.patch.clear()
        self.expected = 1
        if len(data) != size or bits not in (1, 4, 8):
            return "Invalid QRP patch size"
        for slot in range(self.slots):
            shift = 8 - bits - slot * bits % 8
            change = data[slot * bits // 8] >> shift & (1 << bits) - 1
            if bits == 1:
                self.values[slot] = self.infinity - self.values[slot] + 1 if change else self.values[slot]
            else:
                self.values[slot] += change - (1 << bits) if change >> bits - 1 else change
        return None

    def has(self, word: str) -> bool:
        """Whether the word's slot is set."""
        return bool(self.slots) and self.values[qrp_hash(word, self.slots.bit_length() - 1)] < self.infinity

    def wants(self, text: str) -> bool:
        """Whether a query is to be routed there: two thirds of its words. A query without words is not."""
        words = set(words_of(text))
        return bool(words) and 3 * sum(self.has(word) for word in words) >= 2 * len(words)


def qrp_messages(words: set[str], slots: int = 16_384) -> list[bytes]:
    """Returns the payloads that tell a table with these words, as gtk-gnutella's leaf does: one bit each, deflated."""
    table = bytearray(slots // 8)
    for word in words:
        slot = qrp_hash(word, slots.bit_length() - 1)
        table[slot // 8] |= 0x80 >> slot % 8
    reset = struct.pack("<BIB", 0, slots, 2)
    return [reset, bytes([1, 1, 1, 1, 1]) + zlib.compress(bytes(table))]


# Queries


@dataclass(frozen=True)
class Query:
    """The payload of a query."""

    flags: int
    text: str
    urns: tuple[str, ...] = ()
    blocks: dict[str, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Returns the payload."""
        extensions = [urn.encode() for urn in self.urns]
        if self.blocks:
            extensions.append(ggep(self.blocks))
        return struct.pack(">H", self.flags) + self.text.encode() + b"\0" + b"\x1c".join(extensions)


def read_query(payload: bytes) -> Query:
    """Returns the query of a payload."""
    if len(payload) < 3 or b"\0" not in payload[2:]:
        raise WireError("a query without its end")
    text, rest = payload[2:].split(b"\0", 1)
    urns, blocks = extensions_of(rest)
    return Query(int.from_bytes(payload[:2], "big"), text.decode("utf-8", "replace"), urns, blocks)


def extensions_of(data: bytes) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """Returns URNs and GGEP blocks of the extensions of a query or a record."""
    urns: list[str] = []
    while data and data[0] != 0xC3:
        one, _, data = data.partition(b"\x1c")
        if one.strip(b"\0"):
            urns.append(one.strip(b"\0").decode("latin-1"))
    return tuple(urns), read_ggep(data) if data else {}


# Hits


@dataclass(frozen=True)
class Record:
    """A file of a hit."""

    index: int
    size: int
    name: str
    urns: tuple[str, ...]
    blocks: dict[str, bytes]
    # Names of the blocks that are deflated.
    deflate: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Returns the record."""
        extensions = [urn.encode() for urn in self.urns]
        if self.blocks:
            extensions.append(ggep(self.blocks, without_nul=True, deflate=self.deflate))
        name = self.name.encode() + b"\0"
        return struct.pack("<II", self.index, self.size) + name + b"\x1c".join(extensions) + b"\0"


@dataclass(frozen=True)
class Hit:
    """The payload of a query hit."""

    address: Address
    speed: int
    records: tuple[Record, ...]
    vendor: str
    open_data: bytes
    blocks: dict[str, bytes]
    servent: bytes

    def encode(self) -> bytes:
        """Returns the payload."""
        ip = bytes(int(part) for part in self.address[0].split("."))
        head = struct.pack("<BH4sI", len(self.records), self.address[1], ip, self.speed)
        records = b"".join(record.encode() for record in self.records)
        tail = self.vendor.encode() + bytes([len(self.open_data)]) + self.open_data + ggep(self.blocks)
        return head + records + tail + self.servent


def read_hit(payload: bytes) -> Hit:
    """Returns the hit of a payload."""
    if len(payload) < 11 + 16:
        raise WireError("a hit that is too short")
    count, port, ip, speed = struct.unpack_from("<BH4sI", payload)
    at, records = 11, []
    for _ in range(count):
        index, size = struct.unpack_from("<II", payload, at)
        end = payload.index(b"\0", at + 8)
        name = payload[at + 8 : end].decode("utf-8", "replace")
        after = payload.index(b"\0", end + 1)
        records.append(Record(index, size, name, *extensions_of(payload[end + 1 : after])))
        at = after + 1
    trailer = payload[at:-16]
    length = trailer[4] if len(trailer) > 4 else 0
    private = trailer[5 + length :]
    return Hit(
        (".".join(map(str, ip)), port),
        speed,
        tuple(records),
        trailer[:4].decode("latin-1"),
        trailer[5 : 5 + length],
        read_ggep(private) if private.startswith(b"\xc3") else {},
        payload[-16:],
    )


# Vendor messages


def vendor(name: str, number: int, version: int, data: bytes = b"", guid: bytes | None = None) -> Message:
    """Returns a vendor message. `null` stands for four zeros."""
    code = b"\0\0\0\0" if name == "null" else name.encode()
    return Message(guid or new_guid(), VENDOR, 1, 0, code + struct.pack("<HH", number, version) + data)


def read_vendor(payload: bytes) -> tuple[str, bytes]:
    """Returns a vendor message's name, as LIME/12v3, and its data."""
    if len(payload) < 8:
        raise WireError("a vendor message that is too short")
    number, version = struct.unpack_from("<HH", payload, 4)
    code = "null" if payload[:4] == b"\0\0\0\0" else payload[:4].decode("latin-1")
    return f"{code}/{number}v{version}", payload[8:]


# What an ultrapeer says first: the vendor messages that it reads, and features that it has.
SUPPORTED = (
    ("BEAR", 4, 1), ("BEAR", 7, 1), ("BEAR", 11, 1), ("BEAR", 12, 1), ("GTKG", 7, 1), ("GTKG", 7, 2), ("GTKG", 9, 1),
    ("GTKG", 10, 1), ("GTKG", 21, 1), ("GTKG", 22, 1), ("GTKG", 23, 1), ("LIME", 5, 1), ("LIME", 11, 2),
    ("LIME", 11, 3), ("LIME", 12, 1), ("LIME", 12, 2), ("LIME", 12, 3), ("LIME", 13, 1), ("LIME", 21, 1),
    ("LIME", 21, 2), ("LIME", 22, 1), ("LIME", 22, 2), ("LIME", 23, 1), ("LIME", 23, 2), ("LIME", 24, 1),
    ("LIME", 24, 2),
)  # fmt: skip


def greetings() -> list[Message]:
    """Returns the first two messages of an ultrapeer: the vendor messages it reads, and its features."""
    each = b"".join(name.encode() + struct.pack("<HH", number, version) for name, number, version in SUPPORTED)
    features = b"".join(
        name + struct.pack("<H", version) for name, version in ((b"HSEP", 1), (b"WHAT", 1), (b"QRP1", 1))
    )
    return [
        vendor("null", 0, 0, struct.pack("<H", len(SUPPORTED)) + each, bytes(16)),
        vendor("null", 10, 0, struct.pack("<H", 3) + features, bytes(16)),
    ]
