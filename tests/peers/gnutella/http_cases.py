"""The recorded downloads: their requests to our servents, and the answers compared."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from .recording import Connection, Response, Responses, read
from .stream import Conn, Gone, Head

if TYPE_CHECKING:
    from .replay import Lab

# Headers whose values are compared. X-Alt is compared where it is what the recording is about.
VALUES = (
    "Connection", "Content-Range", "Content-Length", "Content-Type", "Content-Disposition", "X-Gnutella-Content-URN",
    "X-Thex-URI", "X-Available-Ranges", "X-FW-Node-Info", "X-Push-Proxies", "Retry-After",
)  # fmt: skip
# Headers that come and go with the recorded program's history.
IGNORED = {"X-Token", "X-Alt", "X-Host", "Server", "Date"}
# Longest wait for bytes that are to come.
WAIT = 10.0


def names(head: Head) -> list[str]:
    """Returns the names of the headers that are compared, without order."""
    return sorted({name for name, _ in head.headers} - IGNORED)


def compare(lab: Lab, name: str, ours: Response, theirs: Response, alternates: bool) -> None:
    """Compares an answer."""
    line = theirs.head.line
    lab.note(name, "status", ours.head.line, line)
    lab.note(name, f"headers of {line!r}", names(ours.head), names(theirs.head))
    for value in (*VALUES, "X-Alt") if alternates else VALUES:
        lab.note(name, f"{value} of {line!r}", ours.head.get(value), theirs.head.get(value))
    known = len(theirs.body)
    lab.note(name, f"the body of {line!r}", ours.body[:known] == theirs.body, True)


def timeline(conversation: Connection) -> tuple[list[tuple[bytes, int]], list[Response], set[int]]:
    """Returns our requests, each with the number of heads that had come before it, and the answers."""
    requests = [part.data for part in conversation.parts if part.ours]
    heads_only = {at for at, data in enumerate(requests) if data.startswith(b"HEAD ")}
    theirs = Responses(heads_only)
    sent = []
    for part in conversation.parts:
        if part.ours:
            sent.append((part.data, len(theirs.all)))
        else:
            theirs.feed(part.data, part.missing)
    return sent, theirs.all, heads_only


async def converse(lab: Lab, name: str, conn: Conn, conversation: Connection, *, alternates: bool = False) -> None:
    """Sends the requests of a recorded connection, each when as many heads are here as then, and compares."""
    sent, theirs, heads_only = timeline(conversation)
    ours = Responses(heads_only)
    gone = False

    async def receive(enough: Callable[[], bool]) -> None:
        nonlocal gone
        while not gone and not enough():
            try:
                await conn.more(WAIT)
            except (Gone, TimeoutError):
                gone = True
                return
            ours.feed(bytes(conn.buffer))
            conn.buffer.clear()

    for data, heads in sent:
        await receive(lambda heads=heads: len(ours.all) >= heads)  # type: ignore[misc]
        with contextlib.suppress(Gone):
            await conn.send(data)
    await receive(lambda: len(ours.all) >= len(theirs) and all(one.whole for one in ours.all))
    lab.note(name, "number of answers", len(ours.all), len(theirs))
    for one, other in zip(ours.all, theirs, strict=False):
        compare(lab, name, one, other, alternates)
    if conversation.closed_by_servent:
        with contextlib.suppress(Gone):
            while not gone and await conn.more_within(0.5):
                conn.buffer.clear()
        lab.note(name, "closed by the servent", conn.reader.at_eof(), True)
    conn.close()


async def download(lab: Lab, name: str, alternates: bool = False) -> None:
    """Replays all connections of a recording."""
    for conversation in read(lab.recordings / f"{name}.txt", lab.place):
        conn = await lab.client(conversation.client, conversation.server)
        await converse(lab, name, conn, conversation, alternates=alternates)


async def silence_after_ban(lab: Lab) -> None:
    """04j: five connections without a file, the sixth is banned, then nothing is said."""
    name = "04j-too-many-unserved-connections"
    for conversation in read(lab.recordings / f"{name}.txt", lab.place):
        conn = await lab.client(conversation.client, conversation.server)
        if any(not part.ours for part in conversation.parts):
            await converse(lab, name, conn, conversation)
            continue
        await conn.send(conversation.parts[0].data)
        await conn.more_within(0.05)
        lab.note(name, "bytes after the ban", bytes(conn.buffer), b"")
        conn.close()


async def idle(lab: Lab) -> None:
    """04h: the answer that nobody asked for. The wait is shortened."""
    lab.node("2.2").conduct.idle = 0.2
    try:
        await download(lab, "04h-idle-connection")
    finally:
        lab.node("2.2").conduct.idle = 90


async def second_connection(lab: Lab) -> None:
    """07b: while the first connection is served slowly, a second one for the same file."""
    node = lab.node("2.2")
    node.conduct.rate = 60_000
    first = read(lab.recordings / "07a-first-connection.txt", lab.place)[0]
    conn = await lab.client(first.client, first.server)
    await conn.send(first.parts[0].data)
    await conn.head(WAIT)
    await download(lab, "07b-second-connection-409")
    conn.writer.transport.abort()
    node.conduct.rate = 0
    node.limiter.free_at = 0


async def queued(lab: Lab) -> None:
    """06b: a client is queued; when the slot is free it is called back and served. The times are shortened."""
    node = lab.node("3.2")
    node.conduct.slots, node.conduct.queue_unit, node.conduct.slot_hold = 1, 0.05, 0.3
    conversations = read(lab.recordings / "06b-queue-passive-callback.txt", lab.place)
    parts = conversations[0].parts
    other = read(lab.recordings / "06a-queue-active.txt", lab.place)[0]
    holder = await lab.client(other.client, other.server)
    await holder.send(other.parts[0].data)
    await holder.head(WAIT)
    called: asyncio.Queue[Conn] = asyncio.Queue()
    server = await asyncio.start_server(
        lambda reader, writer: called.put_nowait(Conn(reader, writer)), conversations[0].client, 6346
    )
    conn = await lab.client(conversations[0].client, conversations[0].server)
    await conn.send(parts[0].data)
    head, theirs = await conn.head(WAIT), Responses(set())
    theirs.feed(parts[1].data)
    lab.note("06b", "headers", names(head), names(theirs.all[0].head))
    lab.note("06b", "status", head.line.split(" (")[0], theirs.all[0].head.line.split(" (")[0])
    keys = [
        [pair.split("=")[0].strip() for pair in one.get("X-Queued").split(";")] for one in (head, theirs.all[0].head)
    ]
    lab.note("06b", "X-Queued", keys[0], keys[1])
    conn.close()
    holder.writer.transport.abort()
    async with asyncio.timeout(5):
        back = await called.get()
    while b"\r\n" not in back.buffer:
        await back.more(WAIT)
    callback = next(part.data for part in parts if part.data.startswith(b"QUEUE")).decode().split()
    got = bytes(back.buffer).decode().split()
    lab.note("06b", "QUEUE", (got[0], len(got[1]), got[2]), (callback[0], len(callback[1]), callback[2]))
    back.buffer.clear()
    await back.send(parts[-2].data if parts[-2].ours else next(part.data for part in reversed(parts) if part.ours))
    served = await back.head(WAIT)
    lab.note("06b", "served", served.line, "HTTP/1.1 206 Partial Content")
    back.close()
    server.close()
    node.conduct.slots, node.conduct.queue_unit, node.conduct.slot_hold = 4, 15, 45


async def partial_file(lab: Lab) -> None:
    """09a: a partial file, of which more is there before the last request."""
    name = "09a-partial-file"
    conversation = read(lab.recordings / f"{name}.txt", lab.place)[0]
    last = max(at for at, part in enumerate(conversation.parts) if part.ours)
    before = Connection(conversation.client, conversation.server, conversation.parts[:last])
    await converse(lab, name, await lab.client(before.client, before.server), before)
    lab.node("5.2").library.files[0].have = [(0, 524_288)]
    after = Connection(conversation.client, conversation.server, conversation.parts[last : last + 1])
    conn = await lab.client(after.client, after.server)
    await conn.send(after.parts[0].data)
    lab.note(name, "later ranges", (await conn.head(WAIT)).get("X-Available-Ranges"), "bytes 0-524287")
    conn.close()


async def real_downloader(lab: Lab) -> None:
    """16, the other way round: what a real servent asks while it downloads from us, asked of our servent."""
    conversation = read(lab.recordings / "16-servent-downloads-from-us.txt", lab.place)[0]
    data = lab.data["four"]
    conn = await lab.client(f"{lab.place}.20.202", lab.node("2.2").address[0])
    covered = 0
    for part in conversation.parts:
        if part.ours or not part.data.startswith(b"GET "):
            continue
        await conn.send(part.data)
        ours = Responses(set())
        while not ours.all or not ours.all[0].whole:
            await conn.more(WAIT)
            ours.feed(bytes(conn.buffer))
            conn.buffer.clear()
        head, body = ours.all[0].head, bytes(ours.all[0].body)
        if b"/N2X?" in part.data:
            lab.note("16", "its tree", (head.line, head.get("Content-Type")), ("HTTP/1.1 200 OK", "application/dime"))
            continue
        first = int(head.get("Content-Range").removeprefix("bytes ").split("-")[0])
        lab.note("16", "its range", f"bytes={first}-" in part.data.decode(), True)
        lab.note("16", "its bytes", body == data[first : first + len(body)] and bool(body), True)
        covered += len(body)
    lab.note("16", "covered", covered > len(data) // 2, True)
    conn.close()


Case = Callable[["Lab"], Awaitable[None]]
DOWNLOADS = (
    "04a-download-ranges-pipelined", "04b-two-requests-in-one-write-400", "04c-two-requests-ahead",
    "04d-download-without-range", "04e-odd-requests-kept", "04f-get-by-index", "04g-unusual-requests",
    "05a-thex-one", "05b-thex-clip", "05c-thex-tiny", "09d-partial-thex", "11c-browse-host-off", "12e-push-proxy-http",
)  # fmt: skip
ALTERNATES = (
    "10a-alternates-given", "10b-alternates-told", "10c-alternates-dead-1", "10c-alternates-dead-2",
    "10c-alternates-dead-3", "10d-alternates-after",
)  # fmt: skip
CASES: list[tuple[str, Case]] = [
    *((name, partial(download, name=name)) for name in DOWNLOADS),
    ("04j", silence_after_ban),
    ("09a", partial_file),
    *((name, partial(download, name=name, alternates=True)) for name in ALTERNATES),
    ("04h", idle),
    ("16", real_downloader),
    ("07b", second_connection),
    ("06b", queued),
]
