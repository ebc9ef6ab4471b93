"""The servent: its sockets, the routes of messages, and what it answers to each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from . import link as links
from . import wire
from .conduct import Conduct
from .dht import Contact, Dht
from .hits import Hits
from .library import Library
from .link import Link
from .parq import Bans, Limiter, Queue
from .stream import Conn, Gone
from .udp import Datagrams
from .upload import Upload
from .wire import Address, Message

T = TypeVar("T")
# Seconds between two looks at the queue, and most routes that are remembered.
QUEUE_LOOK, MOST_ROUTES = 0.2, 5_000


class Node:
    """A leaf or an ultrapeer."""

    def __init__(
        self,
        address: Address,
        *,
        ultrapeer: bool = False,
        firewalled: bool = False,
        guid: bytes | None = None,
        conduct: Conduct | None = None,
        say: Callable[[dict[str, object]], None] | None = None,
    ) -> None:
        self.address, self.ultrapeer, self.firewalled = address, ultrapeer, firewalled
        self.guid = guid or wire.new_guid()
        self.conduct = conduct or Conduct()
        self.agent, self.vendor = "TestServent/1.0", "TSRV"
        self.since = time.time()
        self.library = Library()
        self.links: list[Link] = []
        self.known: list[Address] = []
        self.proxies: list[Address] = []
        # Leaves for which this servent is a push proxy.
        self.proxied: list[bytes] = []
        self.queue, self.limiter, self.bans = Queue(self.conduct), Limiter(self.conduct), Bans(self.conduct)
        self.uploads: set[Upload] = set()
        self.transfers: dict[tuple[str, bytes], Upload] = {}
        self.uploaded = 0
        self.heard: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        # Where the hits of a query go, and by which link a servent is reached.
        self.routes: dict[bytes, Callable[[Message], None]] = {}
        self.servents: dict[bytes, Link] = {}
        self.hits = Hits(self)
        self.datagrams = Datagrams(self)
        self.dht = Dht(address, self.conduct, self.datagrams.send)
        self.report = say or (lambda event: print(json.dumps(event), flush=True))
        self.tasks: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    def say(self, **event: object) -> None:
        """Reports what happened, a line of JSON."""
        self.report(event)

    def violation(self, kind: str, address: str, then: T) -> T:
        """Counts and reports a breach of the servent's rules. Returns what is to be answered."""
        self.violations[kind] += 1
        self.say(violation=kind, address=address)
        return then

    def spawn(self, work: object) -> None:
        """Runs a coroutine beside the others."""
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, (Gone, OSError)):
            print(f"servent: {error!r}", file=sys.stderr, flush=True)
            sys.excepthook(type(error), error, error.__traceback__)

    async def start(self) -> None:
        """Opens the sockets. A firewalled servent does not listen."""
        if not self.firewalled:
            self.server = await asyncio.start_server(self._accepted, *self.address)
            self.address = self.server.sockets[0].getsockname()[:2]
            self.dht.me = Contact(self.dht.me.kuid, self.address)
        await self.datagrams.open(self.address if not self.firewalled else (self.address[0], 0))
        self.spawn(self._watch_queue())

    async def stop(self) -> None:
        """Closes everything."""
        if self.server:
            self.server.close()
        self.datagrams.close()
        for task in list(self.tasks):
            task.cancel()
        for link in list(self.links):
            link.conn.close()

    async def dial(self, address: Address) -> Conn:
        """Connects from the servent's own address."""
        async with asyncio.timeout(10):
            return Conn(*await asyncio.open_connection(*address, local_addr=(self.address[0], 0)))

    def connect(self, address: Address) -> None:
        """Connects to an ultrapeer."""
        self.spawn(links.connect(self, address))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conn = Conn(reader, writer)
        try:
            while b"\n" not in conn.buffer and len(conn.buffer) < 1_024:
                await conn.more(20)
        except (Gone, TimeoutError):
            conn.close()
            return
        line = bytes(conn.buffer.split(b"\n", 1)[0])
        if line.startswith(b"GNUTELLA CONNECT/"):
            self.spawn(links.accept(self, conn))
        elif line.startswith((b"GET ", b"HEAD ", b"POST ")):
            self.spawn(self.upload(conn, pushed=False))
        else:
            self.say(called={"from": conn.peer[0], "line": line.decode("latin-1").strip()})
            conn.close()

    async def upload(self, conn: Conn, *, pushed: bool) -> None:
        """Answers the HTTP requests of a connection."""
        upload = Upload(self, conn)
        upload.pushed = pushed
        self.uploads.add(upload)
        await upload.run(None)

    async def _watch_queue(self) -> None:
        """Calls the client back whose turn it is, if it closed its connection and told its address."""
        while True:
            await asyncio.sleep(QUEUE_LOOK)
            self.queue.expire(time.monotonic())
            if self.conduct.queue != "right":
                continue
            for entry in self.queue.waiting:
                if entry.node and not entry.connected and self.queue.free_for(entry):
                    node, entry.node = entry.node, None
                    self.spawn(self._call_back(node, entry.id))

    async def _call_back(self, node: Address, name: str) -> None:
        try:
            conn = await self.dial(node)
        except (OSError, TimeoutError):
            return
        self.say(queue_callback=f"{node[0]}:{node[1]}")
        await conn.send(f"QUEUE {name} {self.address[0]}:{self.address[1]}\r\n".encode())
        await self.upload(conn, pushed=True)

    # Messages of links

    def greet(self, link: Link) -> None:
        """Sends the first messages of a link."""
        if self.ultrapeer:
            for message in wire.greetings():
                link.send(message)
            return
        for payload in wire.qrp_messages(self.library.words()):
            link.send(Message(wire.new_guid(), wire.QRP, 1, 0, payload))
        link.send(Message(wire.new_guid(), wire.PING, 4, 0, wire.ggep({"SCP": b"\0"})))
        if self.firewalled:
            link.send(wire.vendor("LIME", 21, 1, guid=self.guid))

    def forget(self, link: Link) -> None:
        """Drops a link and the routes over it."""
        if link in self.links:
            self.links.remove(link)
        self.servents = {guid: one for guid, one in self.servents.items() if one is not link}
        self.say(closed=link.conn.peer[0])

    def message(self, link: Link, message: Message) -> None:
        """Handles a message of a link."""
        if message.type == wire.PING:
            self.ping(link, message)
        elif message.type == wire.QRP:
            if wrong := link.table.receive(message.payload):
                link.bye(413, wrong)
        elif message.type == wire.VENDOR:
            self.vendor_message(link, message)
        elif message.type == wire.QUERY:
            self.query(link, message)
        elif message.type == wire.HIT:
            self.servents[message.payload[-16:]] = link
            if route := self.routes.get(message.guid):
                route(message.forwarded())
        elif message.type == wire.PUSH and len(message.payload) >= 26:
            self.push(message)
        elif message.type == wire.BYE:
            self.say(bye={"from": link.conn.peer[0], "code": int.from_bytes(message.payload[:2], "little")})
            link.closed = True

    def ping(self, link: Link, message: Message) -> None:
        """Answers a ping: with our own pong, or with those of our neighbours if it may go further."""
        if message.ttl <= 1:
            link.send(Message(message.guid, wire.PONG, 1, 0, self.pong(self.pong_blocks())))
            return
        for other in self.neighbours():
            if other is not link:
                payload = self.pong({}, other.address, (0, 8))
                link.send(Message(message.guid, wire.PONG, 1, 1, payload))

    def neighbours(self) -> list[Link]:
        """Returns the links to ultrapeers."""
        return [link for link in self.links if not link.is_leaf]

    def pong_blocks(self) -> dict[str, bytes]:
        """Returns the GGEP blocks of each pong of ours."""
        days = max(int((time.time() - self.since) // 86_400), 1).to_bytes(1, "little")
        if not self.ultrapeer:
            return {"VC": self.vendor.encode() + b"\x10", "DU": days}
        free = max(self.conduct.leaves - sum(link.is_leaf for link in self.links), 0)
        return {"VC": self.vendor.encode() + b"\x10", "GUE": b"\x02", "UP": bytes([2, min(free, 255), 45]), "DU": days}

    def pong(
        self, blocks: dict[str, bytes], address: Address | None = None, counts: tuple[int, int] | None = None
    ) -> bytes:
        """Returns the payload of a pong. The KiB of an ultrapeer are a power of two."""
        host, port = address or self.address
        files, kib = counts or (len(self.library.files), 8 if self.ultrapeer else self.library.kib)
        ip = bytes(int(part) for part in host.split("."))
        return (
            port.to_bytes(2, "little")
            + ip
            + files.to_bytes(4, "little")
            + kib.to_bytes(4, "little")
            + wire.ggep(blocks)
        )

    def vendor_message(self, link: Link, message: Message) -> None:
        """Handles a vendor message."""
        name, data = wire.read_vendor(message.payload)
        if name == "BEAR/4v1" and data:
            link.hops_flow = data[0]
        elif name == "BEAR/7v1" and len(data) >= 2:
            self.spawn(self._knock((link.conn.peer[0], int.from_bytes(data[:2], "little"))))
        elif name.startswith("GTKG/7v") and len(data) >= 2:
            port = int.from_bytes(data[-2:] if len(data) == 2 else data[:2], "little")
            ping = Message(wire.new_guid(), wire.PING, 1, 0, b"")
            self.datagrams.send((link.conn.peer[0], port), ping)
        elif name == "BEAR/12v1" and len(data) >= 2:
            self.say(status={"guid": message.guid.hex(), "hits": int.from_bytes(data[:2], "little")})
        elif name.startswith("LIME/21v") and message.guid == link.guid:
            self.proxied.append(message.guid)
            link.send(wire.vendor("LIME", 22, 2, wire.pack_address(self.address), message.guid))
        elif name == "LIME/22v2" and len(data) >= 6:
            self.proxies += wire.unpack_addresses(data[:6])

    async def _knock(self, address: Address) -> None:
        conn = await self.dial(address)
        await conn.send(b"\n\n")
        conn.close()

    # Queries

    def route(self, guid: bytes, reply: Callable[[Message], None]) -> bool:
        """Remembers where the hits of a query go. Returns whether the query is new."""
        if guid in self.routes:
            return False
        if len(self.routes) >= MOST_ROUTES:
            self.routes.pop(next(iter(self.routes)))
        self.routes[guid] = reply
        return True

    def query(self, link: Link, message: Message) -> None:
        """Answers a query of a link; an ultrapeer also passes it on."""
        query = wire.read_query(message.payload)
        if not self.route(message.guid, link.send):
            return
        self.say(
            query={
                "from": link.conn.peer[0],
                "guid": message.guid.hex(),
                "flags": query.flags,
                "text": query.text,
                "urns": query.urns,
                "ggep": sorted(query.blocks),
                "ttl": message.ttl,
            }
        )
        self.hits.answer(query, message, link.send)
        if not self.ultrapeer:
            return
        if link.is_leaf and self.conduct.proxy_oob:
            guid = self.hits.proxy(message.guid, link.send)
            query = wire.Query(query.flags | wire.OOB | wire.SR_UDP, query.text, query.urns, {"SO": b""})
            message = Message(guid, wire.QUERY, message.ttl + 1, message.hops, query.encode())
        self.pass_on(message, query.text, link)
        if link.is_leaf and query.flags & wire.LEAF_GUIDED:
            asyncio.get_running_loop().call_later(0.5, link.send, wire.vendor("BEAR", 11, 1, guid=message.guid))

    def pass_on(self, message: Message, text: str, origin: Link | None) -> None:
        """Sends a query to the leaves whose tables have its words, and to other ultrapeers if it is fresh."""
        for link in self.links:
            if link is origin:
                continue
            if (link.is_leaf and link.hops_flow and link.table.wants(text)) or (not link.is_leaf and message.hops < 2):
                link.send(message.forwarded())

    def made_up_hit(self) -> bytes:
        """Returns a hit for nothing, of a servent that does not exist."""
        record = wire.Record(1, 1_000_000, f"flood {os.urandom(4).hex()}.mp4", (), {"H": b"\1" + os.urandom(20)})
        return wire.Hit(("61.1.2.3", 6346), 100, (record,), self.vendor, b"\x2c\x21", {}, os.urandom(16)).encode()

    # Pushes

    def push(self, message: Message) -> bool:
        """Passes a push to its servent, or obeys it."""
        guid, payload = message.payload[:16], message.payload
        index = int.from_bytes(payload[16:20], "little")
        address = wire.unpack_addresses(payload[20:26])[0]
        return self.push_to(guid, index, address)

    def push_to(self, guid: bytes, index: int, address: Address) -> bool:
        """Lets a servent connect to an address. Returns whether it is known."""
        if guid == self.guid:
            self.say(push=f"{address[0]}:{address[1]}")
            self.spawn(self._give(index, address))
            return True
        link = next((link for link in self.links if link.guid == guid), self.servents.get(guid))
        if link is None:
            return False
        payload = guid + index.to_bytes(4, "little") + wire.pack_address(address)
        link.send(Message(wire.new_guid(), wire.PUSH, 4, 1, payload))
        return True

    async def _give(self, index: int, address: Address) -> None:
        """Connects to who pushed us and says GIV, as the knob has it."""
        kind = self.conduct.giv
        if kind == "none":
            return
        if kind == "late":
            await asyncio.sleep(self.conduct.giv_delay)
        guid = os.urandom(16) if kind == "wrong" else self.guid
        for _ in range(2 if kind == "twice" else 1):
            conn = await self.dial(address)
            await conn.send(f"GIV {index}:{guid.hex()}/file\n\n".encode())
            self.spawn(conn.until_gone() if kind == "silent" else self.upload(conn, pushed=True))

    async def publish(self, others: list[Address]) -> None:
        """Joins the DHT, and stores there where the shared files are."""
        await self.dht.join(others)
        files = self.library.files
        stored = {file.name: await self.dht.publish(file, self.guid) for file in files}
        for leaf in self.proxied:
            await self.dht.publish_proxy(leaf)
        self.say(published=stored)

    def status(self) -> dict[str, object]:
        """Returns the figures that tests ask for."""
        return {
            "uploaded": self.uploaded,
            "uploads": len(self.uploads),
            "links": [f"{link.address[0]}:{link.address[1]}" for link in self.links],
            "violations": dict(self.violations),
            "heard": dict(self.heard),
            "waiting": len(self.queue.waiting),
            "proxies": [f"{host}:{port}" for host, port in self.proxies],
            "alternates": {
                file.name: [f"{host}:{port}" for host, port in file.alternates] for file in self.library.files
            },
        }
