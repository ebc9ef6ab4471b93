"""Uploads by HTTP as gtk-gnutella answers them: ranges, queue, one connection a file and address, bans."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import urllib.parse
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import PurePath
from typing import TYPE_CHECKING

from . import trees, wire
from .library import Shared
from .parq import Entry
from .stream import Answer, Conn, Gone, Head

if TYPE_CHECKING:
    from .conduct import Conduct
    from .node import Node

TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".webm": "video/webm", ".mp3": "audio/mpeg"}
# Seconds of the upload rate that an answer may last, and least bytes of one.
MOST_SECONDS, LEAST_BYTES = 20, 16 << 10
# Bytes that are written at once; those of the last part, which is late if nothing follows.
CHUNK, TAIL = 16 << 10, 1_448
# Seconds after which a transfer that was given up is noticed.
ABORT_NOTICED = 1.0


@dataclass
class Request:
    """A request, taken apart."""

    head: Head
    method: str
    path: str
    version: str

    @property
    def keep(self) -> bool:
        """Whether the client lets the connection be kept."""
        return self.version == "HTTP/1.1" and self.head.get("Connection").lower() != "close"

    def range_of(self, size: int) -> tuple[int, int]:
        """Returns the first of the asked ranges, ends included, within the file as gtk-gnutella cuts it."""
        found = re.match(r"bytes[= ](\d*)-(\d*)", self.head.get("Range"))
        if not found or not (found[1] or found[2]):
            return 0, size - 1
        if not found[1]:
            return max(size - int(found[2]), 0), size - 1
        last = min(int(found[2]), size - 1) if found[2] else size - 1
        # A range past the end gives the last byte.
        return min(int(found[1]), size - 1), max(last, min(int(found[1]), size - 1))


class Upload:
    """An HTTP connection of a client."""

    def __init__(self, node: Node, conn: Conn) -> None:
        self.node, self.conn = node, conn
        self.address = conn.peer[0]
        self.requests = 0
        self.told_features = False
        self.told: set[wire.Address] = set()
        self.refused = False
        self.served = False
        self.unserved_noted = False
        self.pushed = False
        self.entry: Entry | None = None
        self.sending = False
        self.early_noted = 0

    @property
    def conduct(self) -> Conduct:
        """The servent's knobs."""
        return self.node.conduct

    async def run(self, first: Head | None) -> None:
        """Answers requests until the connection ends."""
        try:
            while True:
                head = first
                first = None
                if head is None:
                    try:
                        head = await self.conn.head(self.conduct.idle)
                    except TimeoutError:
                        await self.timed_out()
                        return
                if not await self.answer(head):
                    return
        except Gone:
            pass
        finally:
            self.leave()
            self.conn.close()

    def leave(self) -> None:
        """Gives slot and file free."""
        self.node.uploads.discard(self)
        if self.entry:
            self.node.queue.left(self.entry.key, time.monotonic())
            holder = self.node.transfers.get(self.entry.key)
            if holder is self:
                noticed = ABORT_NOTICED if self.sending else 0
                asyncio.get_running_loop().call_later(noticed, self.node.transfers.pop, self.entry.key, None)

    async def timed_out(self) -> None:
        """Says what nobody asked for after a long silence, as gtk-gnutella does."""
        answer = Answer("400 Timeout waiting for follow-up", self.held("10"), close=True)
        self.told_features = False
        await self.conn.send(self.head_of(answer, None).encode())

    def held(self, retry: str) -> list[tuple[str, str]]:
        """Returns the headers that tell a client with a place in the queue that it keeps it."""
        if self.entry is None:
            return []
        return [("Retry-After", retry), ("X-Queued", f"ID={self.entry.id}; position=0; lifetime=75; length=1; ETA=0")]

    async def answer(self, head: Head) -> bool:
        """Answers a request. Returns whether the connection goes on."""
        self.requests += 1
        method, path, version = [*head.line.split(" "), "", ""][:3]
        request = Request(head, method, urllib.parse.unquote(path), version)
        now = time.monotonic()
        if self.node.bans.banned(self.address, now) or self.conduct.answer == "silent":
            await self.conn.until_gone()
        answer = self.decide(request, now)
        self.node.say(
            request={
                "from": f"{self.conn.peer[0]}:{self.conn.peer[1]}",
                "line": head.line,
                "range": head.get("Range"),
                "status": int(answer.status[:3]),
                "connection": id(self),
                "first": self.requests == 1,
            }
        )
        if answer.serves:
            self.served = True
        elif not self.served and not self.unserved_noted:
            self.unserved_noted = True
            self.node.bans.note("unserved", self.address, now)
        # After a refusal, and for a request that came two ahead, the first answer's headers are told again.
        anew = answer.status.startswith("4") or bool(self.conn.buffer)
        goes_on = await self.deliver(request, answer)
        if anew:
            self.told_features = False
        return goes_on

    def decide(self, request: Request, now: float) -> Answer:
        """Returns the answer to a request."""
        if self.node.bans.too_often("unserved", self.address, self.conduct.unserved, now):
            return self.node.violation("unserved", self.address, self.banned_answer())
        if self.requests == 1 and self.conn.buffer and not self.pushed:
            return self.node.violation("early", self.address, Answer("400 Extra data after HTTP header", close=True))
        if not request.head.get("Host"):
            return Answer("400 Missing Host Header", features=False)
        if request.head.get("Content-Length") not in ("", "0"):
            return self.node.violation("body", self.address, Answer("403 Request has a body", close=True))
        if request.method not in ("GET", "HEAD"):
            return Answer("501 Not Implemented", close=True)
        if request.path.startswith(("/gnutella/push-proxy?", "/gnet/push-proxy?")):
            return self.push_proxy(request)
        if request.path == "/":
            return Answer("403 Browse Host Disabled", features=False)
        if request.path.startswith("/uri-res/N2X?"):
            return trees.answer(self.node, request.path, self.node.library)
        if request.path.startswith("/uri-res/N2R?"):
            sha1 = wire.sha1_of_urn(request.path.partition("?")[2])
            if sha1 is None:
                return Answer("400 Malformed URN in /uri-res/N2R request", self.held("15"), close=True)
            file = self.node.library.by_sha1(sha1)
        else:
            found = re.match(r"/get/(\d+)/", request.path)
            file = self.node.library.by_index(int(found[1])) if found else None
        return self.file_answer(request, file, now)

    def banned_answer(self) -> Answer:
        """Returns the one answer that a banned client gets."""
        minutes, seconds = divmod(int(self.conduct.ban), 60)
        retry = [("Retry-After", str(int(self.conduct.ban)))]
        return Answer(f"429 Banned for {minutes}m {seconds}s", retry, close=True, features=False)

    def push_proxy(self, request: Request) -> Answer:
        """Passes a push on to one of our leaves."""
        name, _, value = request.path.partition("?")[2].partition("=")
        try:
            guid = wire.unbase32(value) if name.lower() == "serverid" else bytes.fromhex(value)
            host, _, port = request.head.get("X-Node").partition(":")
            address = (host, int(port))
        except (ValueError, wire.WireError):
            return Answer("400 Malformed push-proxy request", close=True, features=False)
        if self.node.push_to(guid, 0, address):
            return Answer("202 Push-proxy: message sent to node", close=True, serves=True, features=False)
        return Answer(f"410 Push proxy: no route to servent GUID {guid.hex()}", close=True, features=False)

    def file_answer(self, request: Request, file: Shared | None, now: float) -> Answer:
        """Returns the answer to a request for a file."""
        refusals = {
            "busy": Answer("503 Busy", [("Retry-After", "60")]),
            "banned": self.banned_answer(),
            "removed": Answer("403 File removed from PARQ queue", [("Retry-After", "1200")], close=True),
            "missing": Answer("404 Not Found", features=False),
        }
        if self.conduct.answer in refusals:
            return refusals[self.conduct.answer]
        if file is None:
            return refusals["missing"]
        self.note_alternates(request, file)
        key = (self.address, file.sha1)
        holder = self.node.transfers.get(key)
        if self.refused or (holder is not None and holder is not self):
            self.refused = True
            return self.node.violation("second", self.address, Answer("409 Already downloading this file"))
        size = len(file.data)
        first, last = request.range_of(size)
        part = file.available(first, last)
        if part is None or self.conduct.answer == "unavailable":
            headers = [
                ("X-Available-Ranges", self.ranges(file)),
                ("Last-Modified", formatdate(file.modified, usegmt=True)),
            ]
            headers += self.names(file) if not self.told_features else []
            return Answer("416 Requested range not available yet", headers, serves=True)
        if request.method == "HEAD":
            return self.part_answer(request, file, part, new=True)
        part = part[0], min(part[1], part[0] + self.most() - 1)
        if self.entry is None or self.entry.key != key:
            self.entry = self.node.queue.entry(key)
        self.entry.connected = True
        place = self.node.queue.admit(self.entry, part[1] - part[0] + 1, now)
        if place:
            return self.queued(request, file, self.entry, place)
        self.node.transfers[key] = self
        new, self.entry.announced = not self.entry.announced, True
        return self.part_answer(request, file, part, new=new)

    def most(self) -> int:
        """Returns the most bytes of the next answer."""
        most = self.conduct.first_most if not self.served else 1 << 40
        if self.conduct.rate:
            seconds = max(self.conduct.rate * MOST_SECONDS, LEAST_BYTES)
            most = min(most, 1 << seconds.bit_length() - 1)
        return most

    def note_alternates(self, request: Request, file: Shared) -> None:
        """Learns the places that the client names."""
        for name in ("X-Alt", "X-Nalt"):
            for address in wire.parse_addresses(request.head.get(name)):
                if name == "X-Alt":
                    file.add_alternate(address)
                else:
                    file.dead_alternate(address, self.address)
                    self.told.add(address)

    def ranges(self, file: Shared) -> str:
        """Returns the value of X-Available-Ranges."""
        have = file.have if file.have is not None and not self.conduct.lie_ranges else [(0, len(file.data))]
        return "bytes " + ",".join(f"{start}-{end - 1}" for start, end in have) if have else "bytes"

    def queued(self, request: Request, file: Shared, entry: Entry, place: int) -> Answer:
        """Returns the answer to a client that has to wait."""
        if entry.early > self.early_noted:
            self.early_noted = entry.early
            self.node.violation("early_retry", self.address, None)
            if self.conduct.patience and entry.early >= self.conduct.patience:
                self.node.queue.remove(entry)
                return Answer("403 File removed from PARQ queue", [("Retry-After", "1200")], close=True)
        node = wire.parse_addresses(request.head.get("X-Node"))
        entry.node = node[0] if node else None
        retry = max(int(self.node.queue.retry_after(place)), 1)
        length = len(self.node.queue.waiting)
        if self.conduct.queue == "old":
            value = f"position={place},length={length},limit={self.conduct.slots},pollMin={retry},pollMax={retry * 3}"
            return Answer("503 Service Unavailable", [("X-Queue", value)])
        parq = f"ID={entry.id}; position={place}; lifetime={retry + 60}; length={length}; ETA={retry}"
        headers = [("Retry-After", str(retry)), ("X-Queued", parq), *self.names(file)]
        return Answer(f"503 Queued (slot {place}, ETA: {retry}s)", headers, keeps=True)

    def names(self, file: Shared) -> list[tuple[str, str]]:
        """Returns the headers that name the file and its tree. A partial file has no tree."""
        names = [("X-Gnutella-Content-URN", file.urn)]
        if file.have is None:
            root = wire.base32(trees.root_of(file, self.conduct))
            names.append(("X-Thex-URI", f"/uri-res/N2X?{file.urn};{root}"))
        return names

    def part_answer(self, request: Request, file: Shared, part: tuple[int, int], *, new: bool) -> Answer:
        """Returns the answer with a part of the file."""
        first, last = part
        length = last - first + 1
        headers = []
        if new and request.method == "GET" and self.entry:
            headers.append(("X-Queued", f"ID={self.entry.id}"))
        headers += [
            ("Content-Range", f"bytes {first}-{last}/{len(file.data)}"),
            ("Content-Length", str(length)),
            ("Last-Modified", formatdate(file.modified, usegmt=True)),
            ("Content-Type", TYPES.get(PurePath(file.name).suffix, "application/octet-stream")),
        ]
        if new or not self.told_features:
            name = urllib.parse.quote(file.name)
            headers.append(("Content-Disposition", f"inline; filename*=\"utf-8'en'{name}\""))
            headers += self.names(file)
        if file.have is not None:
            headers.append(("X-Available-Ranges", self.ranges(file)))
        if alternates := self.alternates(file):
            headers.append(("X-Alt", alternates))
        body = trees.corrupted(file, self.conduct)[first : last + 1] if request.method == "GET" else b""
        return Answer("206 Partial Content", headers, body, serves=request.method == "GET")

    def alternates(self, file: Shared) -> str:
        """Returns the places that this client was not told yet. The usual port is left out."""
        places = list(file.alternates) + wire.parse_addresses(self.conduct.alternates)
        places += [
            (f"{61 + n % 30}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255 or 1}", 6346) for n in range(self.conduct.made_up)
        ]
        fresh = [place for place in places if place not in self.told and place[0] != self.address]
        self.told.update(fresh)
        return ", ".join(host if port == 6346 else f"{host}:{port}" for host, port in fresh)

    def head_of(self, answer: Answer, request: Request | None) -> Head:
        """Returns the head with the headers that each answer has."""
        headers = [("Server", self.node.agent), ("Date", formatdate(usegmt=True))]
        keep = (
            not answer.close and request is not None and (request.keep or answer.keeps) and not self.conduct.close_each
        )
        if not keep:
            headers.append(("Connection", "close"))
        elif not any(name in ("Content-Length", "Transfer-Encoding") for name, _ in answer.headers):
            headers.append(("Content-Length", str(len(answer.body))))
        if answer.features and not self.told_features:
            self.told_features = True
            headers.append(("X-Features", "fwalt/0.1, queue/1.1"))
            if not self.node.firewalled:
                headers.append(("X-GUID", self.node.guid.hex()))
        if self.node.firewalled and answer.serves:
            proxies = ", ".join(f"{host}:{port}" for host, port in self.node.proxies)
            headers += [("X-FW-Node-Info", f"{self.node.guid.hex()}; <none>"), ("X-Push-Proxies", proxies)]
        return Head(f"HTTP/1.1 {answer.status}", headers + answer.headers)

    async def deliver(self, request: Request, answer: Answer) -> bool:
        """Sends an answer. Returns whether the connection goes on."""
        head = self.head_of(answer, request)
        goes_on = not head.has("Connection")
        raw, body = self.distorted(head, answer)
        await self.conn.send(raw)
        if self.conduct.head == "endless":
            while True:
                await self.conn.send(b"X-Padding: " + b"a" * 100 + b"\r\n")
                await asyncio.sleep(0.05)
        self.sending = True
        await self.send_body(body, limited=answer.serves)
        self.sending = False
        if self.conduct.no_pipelining and self.conn.buffer:
            return False
        cut = self.conduct.answer in ("short", "garbage", "http10") and answer.serves
        return goes_on and not cut

    def distorted(self, head: Head, answer: Answer) -> tuple[bytes, bytes]:
        """Returns head and body as the knobs have them; the right ones if they are not touched."""
        body = answer.body
        if answer.serves and answer.body:
            head, body = trees.distort_part(head, body, self.conduct.answer, self.node.library)
        if self.conduct.head == "many":
            head.headers += [(f"X-Header-{n}", str(n)) for n in range(200)]
        elif self.conduct.head == "long":
            head.headers.append(("X-Alt", ", ".join(f"61.0.{n >> 8}.{n & 255}" for n in range(1, 700))))
        raw = head.encode()
        if self.conduct.head == "continued":
            raw = raw.replace(b"; ", b";\r\n\t").replace(b", ", b",\r\n ")
        elif self.conduct.head == "endless":
            raw = raw[:-2]
        if self.conduct.answer == "garbage" and answer.serves:
            raw = bytes(range(256)) * 2
        return raw, body

    async def send_body(self, body: bytes, *, limited: bool) -> None:
        """Sends a body at the servent's rate."""
        at = 0
        while at < len(body):
            chunk = body[at : at + (self.node.limiter.chunk(CHUNK) if limited else CHUNK)]
            at += len(chunk)
            if limited:
                await self.node.limiter.take(len(chunk))
            if at == len(body) and len(chunk) < TAIL and self.conduct.tail_delay and not self.conn.buffer:
                with contextlib.suppress(TimeoutError):
                    await self.conn.more(self.conduct.tail_delay)
            self.node.uploaded += len(chunk)
            await self.conn.send(chunk)
            if 0 <= self.conduct.close_after <= self.node.uploaded:
                raise Gone
