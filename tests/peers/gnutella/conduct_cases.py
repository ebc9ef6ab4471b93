"""Each knob of the servent turned once, and what a client then sees."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import dht, tiger, wire
from .conduct import CHOICES, Conduct
from .library import Shared
from .node import Node
from .stream import Conn, Gone, Head, parse_head

if TYPE_CHECKING:
    from .replay import Lab

DATA = hashlib.shake_256(b"a film for the knobs").digest(1_000_000)
NAME = "violet evening train.mp4"
# The range that is asked.
FIRST, LAST = 1_000, 1_999
ASKED = DATA[FIRST : LAST + 1]
WAIT = 10.0
HANDSHAKE = (
    "GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: {mode}\r\nAccept-Encoding: deflate\r\nX-Query-Routing: 0.2\r\n"
    "Listen-IP: {host}:6346\r\n\r\n"
)
_hosts = itertools.count(1)


class Trial:
    """A servent with one film and some knobs, and a client of it."""

    def __init__(self, lab: Lab, **knobs: object) -> None:
        self.lab = lab
        self.name = ", ".join(f"{name}={value}" for name, value in knobs.items())
        conduct = Conduct()
        for name, value in knobs.items():
            conduct.set(name, str(value))
        self.host = f"{lab.place}.99.{next(_hosts)}"
        self.node = Node((self.host, 6346), conduct=conduct, say=lab.events.append)
        self.node.library.files.append(Shared(1, NAME, DATA, 1_730_800_000))
        self.client = self.host.replace(".99.", ".98.")

    async def __aenter__(self) -> Trial:
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()

    def note(self, what: str, ours: object, wanted: object = True) -> None:
        """Compares what was seen with what the knob says."""
        self.lab.note(f"knob {self.name}", what, ours, wanted)

    async def dial(self) -> Conn:
        """Connects."""
        return Conn(*await asyncio.open_connection(self.host, 6346, local_addr=(self.client, 0)))

    async def all_of(self, conn: Conn, quiet: float = 0.1) -> bytes:
        """Returns what comes until the end or a silence."""
        with contextlib.suppress(Gone):
            while await conn.more_within(quiet):
                pass
        data = bytes(conn.buffer)
        conn.buffer.clear()
        return data

    def request(self, path: str = "", first: int = FIRST, last: int = LAST) -> bytes:
        """Returns a request of the film, or of another path."""
        path = path or f"/uri-res/N2R?{self.node.library.files[0].urn}"
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}:6346\r\nRange: bytes={first}-{last}\r\n\r\n".encode()

    async def fetch(self, path: str = "", conn: Conn | None = None) -> tuple[Head, bytes, bytes]:
        """Returns the head of an answer, all that came behind it, and the raw head."""
        conn = conn or await self.dial()
        await conn.send(self.request(path))
        raw, _, body = (await self.all_of(conn)).partition(b"\r\n\r\n")
        return parse_head(raw.decode("latin-1")), body, raw

    async def link(self, mode: str = "True", host: str = "") -> tuple[Head, Conn]:
        """Connects as another servent. Returns its answer."""
        conn = await self.dial()
        await conn.send(HANDSHAKE.format(mode=mode, host=host or self.client).encode())
        head = await conn.head(WAIT)
        if " 200" in head.line:
            await conn.send(b"GNUTELLA/0.6 200 OK\r\n\r\n")
        return head, conn

    async def listen(self) -> tuple[asyncio.Server, list[Conn]]:
        """Listens on the client's address. Returns the connections that come."""
        came: list[Conn] = []
        server = await asyncio.start_server(lambda reader, writer: came.append(Conn(reader, writer)), self.client, 6346)
        return server, came

    async def messages(self, conn: Conn, *sent: wire.Message) -> list[wire.Message]:
        """Sends messages on a new link, and returns all that came on it."""
        for message in sent:
            await conn.send(message.encode())
        return wire.Reader().feed(zlib.decompressobj().decompress(await self.all_of(conn)))


ANSWERS: dict[str, Callable[[Head, bytes], object]] = {
    "right": lambda head, body: " 206 " in head.line and body == ASKED,
    "busy": lambda head, body: head.line == "HTTP/1.1 503 Busy" and head.get("Retry-After") == "60",
    "banned": lambda head, body: " 429 " in head.line and head.get("Retry-After") == "300",
    "removed": lambda head, body: " 403 " in head.line,
    "missing": lambda head, body: " 404 " in head.line,
    "silent": lambda head, body: (head.line, body) == ("", b""),
    "middle": lambda head, body: head.get("Content-Range") == "bytes 1249-1750/1000000" and body == DATA[1_249:1_751],
    "elsewhere": lambda head, body: head.get("Content-Range") == "bytes 2000-2999/1000000" and body == ASKED,
    "longer": lambda head, body: len(body) == int(head.get("Content-Length")) > len(ASKED),
    "total": lambda head, body: head.get("Content-Range") == "bytes 1000-1999/1000001" and body == ASKED,
    "rangeless": lambda head, body: " 206 " in head.line and not head.has("Content-Range") and body == ASKED,
    "short": lambda head, body: 0 < len(body) < int(head.get("Content-Length")),
    "extra": lambda head, body: len(body) > int(head.get("Content-Length")) == len(ASKED),
    "whole": lambda head, body: " 200 " in head.line and body == DATA,
    "garbage": lambda head, body: not head.line.startswith("HTTP/") and len(head.line) + len(body) > 0,
    "http10": lambda head, body: head.line == "HTTP/1.0 206 Partial Content" and body == ASKED,
    "unavailable": lambda head, body: " 416 " in head.line and head.get("X-Available-Ranges") == "bytes 0-999999",
}


async def answers(lab: Lab) -> None:
    """The knob `answer`."""
    for kind in CHOICES["answer"]:
        async with Trial(lab, answer=kind) as trial:
            head, body, _ = await trial.fetch()
            trial.note("answer", ANSWERS[kind](head, body))


async def heads(lab: Lab) -> None:
    """The knob `head`."""
    wanted: dict[str, Callable[[bytes, bytes], bool]] = {
        "right": lambda raw, body: raw.count(b"\r\n") < 20,
        "continued": lambda raw, body: b";\r\n\t" in raw and body == ASKED,
        "many": lambda raw, body: raw.count(b"\r\n") > 200 and body == ASKED,
        "long": lambda raw, body: len(raw) > 7_000 and body == ASKED,
        "endless": lambda raw, body: raw.count(b"X-Padding") > 1 and not body,
    }
    for kind in CHOICES["head"]:
        async with Trial(lab, head=kind) as trial:
            conn = await trial.dial()
            await conn.send(trial.request())
            # An endless head says something every 0.05 s.
            for _ in range(8):
                if not await conn.more_within(0.1):
                    break
            raw, _, body = bytes(conn.buffer).partition(b"\r\n\r\n")
            trial.note("head", wanted[kind](raw, body))
            conn.close()


async def trees(lab: Lab) -> None:
    """The knob `tree`."""
    levels = tiger.levels_of(DATA)
    right = tiger.thex(len(DATA), tiger.kept_levels(levels, len(DATA)))
    wanted: dict[str, Callable[[Head, bytes], object]] = {
        "right": lambda head, body: body == right,
        "busy": lambda head, body: " 503 TTH" in head.line,
        "missing": lambda head, body: " 404 " in head.line,
        "root": lambda head, body: len(body) == len(right) and body[-24 * 6 :] == right[-24 * 6 :] and body != right,
        "middle": lambda head, body: len(body) == len(right) and levels[0][0] in body and body != right,
        "truncated": lambda head, body: right.startswith(body) and len(body) < len(right),
        "deep": lambda head, body: body == tiger.thex(len(DATA), levels),
        "large": lambda head, body: len(body) > 1 << 22,
        "version": lambda head, body: body[0] >> 3 == 0 and body[8:] != b"",
        "chunked": lambda head, body: head.get("Transfer-Encoding") == "chunked" and body.endswith(b"\r\n0\r\n\r\n"),
        "raw": lambda head, body: body.startswith(levels[0][0]) and b"xml" not in body,
        "lying": lambda head, body: len(body) == len(right) and levels[0][0] not in body,
        "close": lambda head, body: (head.line, body) == ("", b""),
    }
    for kind in CHOICES["tree"]:
        async with Trial(lab, tree=kind, corrupt=500_000) as trial:
            conn = await trial.dial()
            head, body, _ = await trial.fetch(conn=conn)
            trial.note("the file before the corrupt byte", body == ASKED)
            path = head.get("X-Thex-URI")
            told = wire.unbase32(path.partition(";")[2])
            lie = tiger.levels_of(DATA[:500_000] + bytes(byte ^ 255 for byte in DATA[500_000:]))[0][0]
            trial.note("root", told == (lie if kind == "lying" else levels[0][0]))
            head, body, _ = await trial.fetch(path, conn)
            trial.note("tree", wanted[kind](head, body))
            conn.close()


async def uploads(lab: Lab) -> None:
    """The other knobs of uploads."""
    async with Trial(lab, close_after=400) as trial:
        conn = await trial.dial()
        await conn.send(trial.request(last=90_000))
        sent = len(await trial.all_of(conn))
        trial.note("closed before the end", (conn.reader.at_eof(), 400 < sent < 60_000), (True, True))
    async with Trial(lab, close_each=True) as trial:
        conn = await trial.dial()
        head, _, _ = await trial.fetch(conn=conn)
        trial.note("closed", (head.get("Connection"), conn.reader.at_eof()), ("close", True))
    async with Trial(lab, corrupt=1_500) as trial:
        _, body, _ = await trial.fetch()
        trial.note("bytes", (body[:500] == ASKED[:500], body[500:] != ASKED[500:]), (True, True))
    async with Trial(lab, alternates="1.2.3.4:5, 6.7.8.9", made_up=3) as trial:
        head, _, _ = await trial.fetch()
        trial.note("X-Alt", wire.parse_addresses(head.get("X-Alt"))[:2], [("1.2.3.4", 5), ("6.7.8.9", 6346)])
        trial.note("number", len(wire.parse_addresses(head.get("X-Alt"))), 5)
    async with Trial(lab, lie_ranges=True) as trial:
        trial.node.library.files[0].have = [(0, 500)]
        head, _, _ = await trial.fetch()
        trial.note("lie", (head.line[9:12], head.get("X-Available-Ranges")), ("416", "bytes 0-999999"))
    async with Trial(lab, queue="forever", queue_unit=60, patience=2) as trial:
        conn = await trial.dial()
        lines = [(await trial.fetch(conn=conn))[0].line[9:] for _ in range(3)]
        trial.note("lines", [line.split(",")[0] for line in lines[:2]], ["503 Queued (slot 1"] * 2)
        trial.note("the impatient one is removed", lines[2], "403 File removed from PARQ queue")
        trial.note("violations", trial.node.violations["early_retry"], 2)
    async with Trial(lab, queue="old", slots=0) as trial:
        head, _, _ = await trial.fetch()
        trial.note("X-Queue", head.get("X-Queue").startswith("position=1,length=1,limit=0,pollMin="))
    async with Trial(lab, rate=100_000) as trial:
        conn = await trial.dial()
        await conn.send(trial.request(first=0, last=49_999))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        head = await conn.head(WAIT)
        while len(conn.buffer) < 50_000:
            await conn.more(WAIT)
        # The first tenth comes at once.
        trial.note("seconds for half of the rate", loop.time() - begin > 0.35)
        conn.close()


async def links(lab: Lab) -> None:
    """The knob `link`."""
    for kind in CHOICES["link"]:
        async with Trial(lab, link=kind, try_hosts="9.8.7.6:5") as trial:
            trial.node.ultrapeer = True
            if kind == "mute":
                conn = await trial.dial()
                await conn.send(HANDSHAKE.format(mode="True", host=trial.client).encode())
                trial.note("answer", await trial.all_of(conn), b"")
                continue
            head, conn = await trial.link()
            if kind in ("full", "refuse"):
                status = ("503", "9.8.7.6:5") if kind == "full" else ("403", "")
                trial.note("status", (head.line[13:16], head.get("X-Try-Ultrapeers")), status)
                continue
            trial.note("status", head.line, "GNUTELLA/0.6 200 OK")
            if kind == "bomb":
                await conn.more(WAIT)
                inflated = len(zlib.decompressobj().decompress(bytes(conn.buffer)))
                trial.note("inflated", inflated > 200 * len(conn.buffer))
                conn.close()
                continue
            if kind in ("queries", "hits"):
                for _ in range(3):
                    await conn.more(WAIT)
                data = bytes(conn.buffer)
            else:
                data = await trial.all_of(conn)
            if kind in ("garbage", "long"):
                announced = int.from_bytes(data[19:23], "little")
                trial.note("bytes", announced == 70_008 if kind == "long" else len(data) >= 4_096)
                continue
            got = [one.type for one in wire.Reader().feed(zlib.decompressobj().decompress(data))] if data else []
            expected = {
                "right": got == [wire.VENDOR] * 2,
                "bye": got == [wire.BYE] and conn.reader.at_eof(),
                "queries": got.count(wire.QUERY) >= 200,
                "hits": got.count(wire.HIT) >= 200,
                "silent": got == [],
            }
            trial.note("messages", expected[kind])
            conn.close()


def query(flags: int, host: str) -> wire.Message:
    """Returns a query for the film, whose hits may come to a host by UDP."""
    guid = wire.with_address(wire.new_guid(), (host, 6346))
    return wire.Message(guid, wire.QUERY, 1, 1, wire.Query(flags, "violet train", (), {"SO": b""}).encode())


async def hits(lab: Lab) -> None:
    """The knobs `hits`, `hits_at` and `busy`."""
    wanted: dict[str, Callable[[list[wire.Hit]], object]] = {
        "right": lambda got: [one.records[0].name for one in got] == [NAME],
        "none": lambda got: got == [],
        "spam": lambda got: len(got) == 31 and all(one.records[0].index == 0xFFFFFFFF for one in got[1:]),
        "hashless": lambda got: not got[0].records[0].urns and "H" not in got[0].records[0].blocks,
        "private": lambda got: {"10.1.2.3", "192.168.1.1"} < {one.address[0] for one in got},
        "inflating": lambda got: len(got[0].records[0].blocks["ZZ"]) == 65_536,
    }
    for kind in CHOICES["hits"]:
        async with Trial(lab, hits=kind) as trial:
            _, conn = await trial.link()
            found = await trial.messages(conn, query(wire.FLAGS | wire.GGEP_H, trial.client))
            payloads = [one.payload for one in found if one.type == wire.HIT]
            if kind == "broken":
                with contextlib.suppress(wire.WireError, ValueError):
                    wire.read_hit(payloads[0])
                    trial.note("hit", "read", "broken")
            else:
                trial.note("hits", wanted[kind]([wire.read_hit(one) for one in payloads]))
            conn.close()
    async with Trial(lab, hits_at="5.5.5.5:55", busy=True) as trial:
        _, conn = await trial.link()
        found = await trial.messages(conn, query(wire.FLAGS, trial.client))
        hit = wire.read_hit(found[-1].payload)
        trial.note("address and busy", (hit.address, hit.open_data[1] & 4), (("5.5.5.5", 55), 4))
        conn.close()


async def out_of_band(lab: Lab) -> None:
    """The knob `oob`."""
    from .gnet_cases import socket_at

    for kind in CHOICES["oob"]:
        async with Trial(lab, oob=kind) as trial:
            socket, transport = await socket_at(trial.client)
            _, conn = await trial.link()
            asked = query(wire.FLAGS | wire.OOB, trial.client)
            on_link = [one.type for one in await trial.messages(conn, asked)]
            first = [one.type for one in socket.got]
            claim = wire.vendor("LIME", 11, 3, b"\1" + wire.ggep({"SO": b"abcd"}), asked.guid)
            transport.sendto(claim.encode(), (trial.host, 6346))
            await socket.receive(len(first) + 1, 0.1)
            token = [wire.read_hit(one.payload).blocks.get("SO") for one in socket.got if one.type == wire.HIT]
            seen = (wire.HIT in on_link, first, len(token), token == [b"abcd"])
            expected = {
                "right": (False, [wire.VENDOR], 1, True),
                "off": (True, [], 0, False),
                "unasked": (False, [wire.HIT], 1, False),
                "forged": (False, [wire.VENDOR], 1, False),
                "silent": (False, [wire.VENDOR], 0, False),
            }
            trial.note("on the link, by UDP first, hits, right token", seen, expected[kind])
            transport.close()
            conn.close()


async def gives(lab: Lab) -> None:
    """The knob `giv`."""
    for kind in CHOICES["giv"]:
        async with Trial(lab, giv=kind, giv_delay=1.5) as trial:
            server, came = await trial.listen()
            _, conn = await trial.link()
            push = trial.node.guid + bytes(4) + wire.pack_address((trial.client, 6346))
            await trial.messages(conn, wire.Message(wire.new_guid(), wire.PUSH, 1, 0, push))
            before = min(len(came), 1)
            if kind in ("late", "twice"):
                await lab.until(lambda came=came, kind=kind: len(came) == (2 if kind == "twice" else 1))  # type: ignore[misc]
            lines = [(await trial.all_of(one, 0.05)).decode() for one in came]
            right = f"GIV 0:{trial.node.guid.hex()}/file\n\n"
            seen = (before, [line == right for line in lines])
            expected: dict[str, tuple[int, list[bool]]] = {
                "right": (1, [True]),
                "none": (0, []),
                "wrong": (1, [False]),
                "twice": (1, [True, True]),
                "late": (0, [True]),
                "silent": (1, [True]),
            }
            trial.note("connections at once, right lines", seen, expected[kind])
            if came:
                await came[0].send(trial.request())
                answer = await trial.all_of(came[0])
                trial.note("serves then", answer.endswith(ASKED), kind != "silent")
            for one in (*came, conn):
                one.close()
            server.close()


async def dht_nodes(lab: Lab) -> None:
    """The knob `dht`."""
    wanted: dict[str, Callable[[dht.Parcel], bool]] = {
        "right": lambda got: [one.creator.address[0][:3] for one in dht.values_of(got.body)] == ["127"],
        "private": lambda got: all(one.address[0].startswith("192.168.1.") for one in dht.nodes_of(got.body)[1]),
        "made_up": lambda got: len(dht.nodes_of(got.body)[1]) == dht.K,
        "values": lambda got: len(dht.values_of(got.body)) == dht.LIES,
    }
    for kind in CHOICES["dht"]:
        async with Trial(lab, dht=kind) as trial:
            asker = dht.DhtOnly((trial.client, 0), Conduct())
            await asker.open()
            file = trial.node.library.files[0]
            if kind == "right":
                await trial.node.publish([asker.dht.me.address])
            key = file.sha1 if kind in ("right", "values") else bytes(20)
            answer = await asker.dht.ask(trial.node.address, dht.FIND_VALUE, key + b"\0ALOC")
            trial.note("answer", answer is None if kind == "silent" else answer is not None and wanted[kind](answer))
            asker.close()


Case = Callable[["Lab"], Awaitable[None]]
CASES: list[tuple[str, Case]] = [
    ("answers", answers),
    ("heads", heads),
    ("trees", trees),
    ("uploads", uploads),
    ("links", links),
    ("hits", hits),
    ("out of band", out_of_band),
    ("gives", gives),
    ("nodes of the DHT", dht_nodes),
]
