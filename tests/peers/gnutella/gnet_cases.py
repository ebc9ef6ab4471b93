"""The recorded Gnutella connections and datagrams: what we say to our servents, and their messages compared."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from . import dht, wire
from .recording import Connection, Part, read
from .stream import STEP, Conn, Gone, Head, parse_head
from .wire import Message

if TYPE_CHECKING:
    from .replay import Lab

Case = Callable[["Lab"], Awaitable[None]]
# Headers of a handshake that depend on time or version.
IGNORED = {"X-Token", "X-Live-Since", "User-Agent", "X-Features"}
WAIT = 10.0
Shape = tuple[object, ...]


def shape(lab: Lab, message: Message, ours: bool) -> Shape:
    """Returns what is compared of a message. Recorded ones have their addresses moved to the lab's."""
    payload = message.payload if ours else lab.mapped(message.payload)
    hop = (message.ttl, message.hops)
    if message.type == wire.PONG:
        blocks = wire.read_ggep(payload[14:]) if payload[14:] else {}
        places = {name: data for name, data in blocks.items() if name in ("GUE", "IP")}
        return ("pong", hop, payload[:6], sorted(blocks), sorted(places.items()))
    if message.type == wire.VENDOR:
        name, data = wire.read_vendor(payload)
        if name == "null/10v0":
            return ("features", hop)
        return (name, hop, data.replace(b"TSRV", b"GTKG"))
    if message.type == wire.HIT:
        hit = wire.read_hit(payload)
        records = [(one.index, one.size, one.name, one.urns, stable(one.blocks)) for one in hit.records]
        flags = (hit.open_data[0], hit.open_data[1] & 0x23)
        extra = sorted(set(hit.blocks) - {"GTKGV", "BH", "PUSH"})
        proxies = sorted(wire.unpack_addresses(hit.blocks.get("PUSH", b"")))
        return ("hit", hop, hit.address, sorted(records), flags, extra, proxies, hit.servent)
    if message.type == wire.QUERY:
        query = wire.read_query(payload)
        return ("query", hop, hex(query.flags), query.text, query.urns, sorted(query.blocks))
    if message.type == wire.BYE:
        return ("bye", hop, payload[:2], payload[2:].split(b"\r\n")[0])
    return (message.type, hop)


def stable(blocks: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Returns the blocks of a record; of the time only that it is there."""
    return sorted((name, b"" if name == "CT" else data) for name, data in blocks.items())


def text_of(shapes: list[Shape]) -> list[str]:
    """Returns shapes in an order that does not depend on time."""
    return sorted(map(repr, shapes))


def names(head: Head) -> list[str]:
    """Returns the names of the headers that are compared."""
    return sorted({name for name, _ in head.headers} - IGNORED)


def cut(conversation: Connection) -> tuple[list[bytes], Head, bytes]:
    """Returns our parts after the first (handshake's third part first), the answer's head, and what followed it."""
    received = b"".join(part.data for part in conversation.parts if not part.ours)
    head, _, rest = received.partition(b"\r\n\r\n")
    return [part.data for part in conversation.parts if part.ours][1:], parse_head(head.decode("latin-1")), rest


def messages_of(head: Head, data: bytes) -> list[Message]:
    """Returns the messages after a handshake."""
    if "deflate" in head.get("Content-Encoding"):
        data = zlib.decompressobj().decompress(data)
    return wire.Reader().feed(data)


async def handshake(lab: Lab, name: str, conversation: Connection) -> tuple[Conn, Head]:
    """Connects and compares the answer to the handshake."""
    _, theirs, _ = cut(conversation)
    conn = await lab.client(conversation.client, conversation.server)
    await conn.send(conversation.parts[0].data)
    ours = await conn.head(WAIT)
    lab.note(name, "status", ours.line, theirs.line)
    lab.note(name, "headers", names(ours), names(theirs))
    for value in ("Remote-IP", "X-Ultrapeer", "Content-Encoding", "X-Requeries", "X-Ultrapeer-Needed"):
        lab.note(name, value, ours.get(value), theirs.get(value))
    return conn, ours


async def link(lab: Lab, name: str, *, ignored: tuple[str, ...] = ("pong",), quiet: float = 0.1) -> None:
    """Replays a connection with all that we say on it, and compares the messages that come."""
    for conversation in read(lab.recordings / f"{name}.txt", lab.place):
        conn, head = await handshake(lab, name, conversation)
        said, theirs_head, theirs = cut(conversation)
        expected = [shape(lab, one, False) for one in messages_of(theirs_head, theirs)]
        expected = [one for one in expected if one[0] not in ignored]
        with contextlib.suppress(Gone):
            for data in said:
                await conn.send(move(lab, data))
                # The servent is to handle one before the next, as in the recording.
                await asyncio.sleep(0.01)
                if data[16:17] == b"\x80":
                    await more(conn, quiet)
        await more(conn, quiet)
        if conversation.closed_by_servent:
            lab.note(name, "closed by the servent", conn.reader.at_eof(), True)
        got = [shape(lab, one, True) for one in messages_of(head, bytes(conn.buffer))]
        lab.note(name, "messages", text_of([one for one in got if one[0] not in ignored]), text_of(expected))
        conn.close()


async def more(conn: Conn, quiet: float) -> None:
    """Reads until nothing comes for a while, or the connection ends."""
    with contextlib.suppress(Gone):
        while await conn.more_within(quiet):
            pass


def move(lab: Lab, data: bytes) -> bytes:
    """Returns binary messages with addresses of the lab."""
    return data if data.startswith(b"GNUTELLA") else lab.mapped(data)


async def refused(lab: Lab, name: str) -> None:
    """Replays handshakes of which each is compared, and nothing more."""
    for conversation in read(lab.recordings / f"{name}.txt", lab.place):
        if not any(not part.ours for part in conversation.parts):
            continue
        conn, _ = await handshake(lab, name, conversation)
        if conversation.closed_by_servent:
            with contextlib.suppress(Gone, TimeoutError):
                await conn.more(1)
            lab.note(name, "closed by the servent", conn.reader.at_eof(), True)
        conn.close()
        await asyncio.sleep(0.01)


async def plain(lab: Lab, name: str, case: Case) -> None:
    """Runs a case at an ultrapeer that does not insist on deflate."""
    node = lab.node("1.2")
    node.conduct.deflate_only = False
    try:
        await case(lab)
    finally:
        node.conduct.deflate_only = True


async def full(lab: Lab) -> None:
    """14h: an ultrapeer without a free slot; it names others."""
    name = "14h-reject-full-503"
    conversation = read(lab.recordings / f"{name}.txt", lab.place)[0]
    host = conversation.server.removeprefix(lab.place + ".")
    lab.nodes[host] = node = lab.node("7.2")
    _, theirs, _ = cut(conversation)
    node.conduct.link, node.conduct.try_hosts = "full", theirs.get("X-Try-Ultrapeers")
    conversation.server = node.address[0]
    conn = await lab.client(conversation.client, conversation.server)
    await conn.send(conversation.parts[0].data)
    ours = await conn.head(WAIT)
    lab.note(name, "status", ours.line, theirs.line)
    lab.note(name, "hosts", ours.get("X-Try-Ultrapeers"), theirs.get("X-Try-Ultrapeers"))
    conn.close()
    node.conduct.link, node.conduct.try_hosts = "right", ""
    del lab.nodes[host]


async def same_guid(lab: Lab) -> None:
    """14d: the GUID of a leaf that is connected already."""
    conversation = read(lab.recordings / "14d-reject-same-guid.txt", lab.place)[0]
    first = await lab.client(conversation.client, conversation.server)
    await first.send(conversation.parts[0].data)
    await first.head(WAIT)
    await first.send(b"GNUTELLA/0.6 200 OK\r\n\r\n")
    await lab.until(lambda: len(lab.node("1.2").links) > 4)
    await refused(lab, "14d-reject-same-guid")
    first.close()


async def first_minutes(lab: Lab) -> None:
    """02: as any link; the servent also connects to the port that BEAR/7v1 names."""
    name = "02-leaf-first-messages"
    conversation = read(lab.recordings / f"{name}.txt", lab.place)[0]
    said: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(listen, conversation.client, 6346)
    # The unasked pong of the recording's second minute is not waited for.
    conversation.parts = [part for part in conversation.parts if not part.data.startswith(bytes(16) + b"\1")]
    await link(lab, name, ignored=("pong",))
    await lab.until(lambda: said)
    lab.note(name, "TCP connect back", said, [b"\n\n"])
    server.close()


async def pings(lab: Lab) -> None:
    """02: the pongs of a leaf's two pings, compared one by one."""
    conversation = read(lab.recordings / "02-leaf-first-messages.txt", lab.place)[0]
    _, _, theirs = cut(conversation)
    asked = [part.data for part in conversation.parts if part.ours and part.data[16:17] == b"\0"]
    conn = await lab.client(f"{lab.place}.20.200", conversation.server)
    first = conversation.parts[0].data.replace(b"GUID: 5CC4", b"GUID: 5CC5")
    await conn.send(first)
    await conn.head(WAIT)
    await conn.send(b"GNUTELLA/0.6 200 OK\r\n\r\n" + b"".join(asked))
    await more(conn, 0.1)
    for ping in asked:
        answers = []
        for ours, data in ((True, bytes(conn.buffer)), (False, theirs)):
            pongs = [one for one in wire.Reader().feed(data) if one.guid == ping[:16]]
            # We have two other ultrapeers, the recorded one answered with one.
            answers.append([shape(lab, one, ours) for one in pongs][:1])
        lab.note("02", "pongs", answers[0], answers[1])
    conn.close()


async def holder_and_asker(lab: Lab) -> None:
    """03e, 03e2: a query as a leaf gets it from our ultrapeer, its hit, and the hit as it reaches the asker."""
    leaf = read(lab.recordings / "03e-query-received-by-leaf.txt", lab.place)[0]
    asker = read(lab.recordings / "03e2-query-answered-by-leaf.txt", lab.place)[0]
    leaf_conn, leaf_head = await handshake(lab, "03e", leaf)
    asker_conn, asker_head = await handshake(lab, "03e2", asker)
    leaf_said, leaf_theirs_head, leaf_theirs = cut(leaf)
    asker_said, asker_theirs_head, asker_theirs = cut(asker)
    # The last two things that the leaf says are its hit and its Bye.
    for data in leaf_said[:-2]:
        await leaf_conn.send(data)
    await lab.until(lambda: any(one.table.slots == 65_536 and not one.table.patch for one in lab.node("1.2").links))
    await asyncio.sleep(0.05)
    for data in asker_said[:-1]:
        await asker_conn.send(data)
    await more(leaf_conn, 0.2)
    got = [one for one in messages_of(leaf_head, bytes(leaf_conn.buffer)) if one.type == wire.QUERY]
    want = [one for one in messages_of(leaf_theirs_head, leaf_theirs) if one.type == wire.QUERY]
    lab.note("03e", "query", [shape(lab, one, True) for one in got], [shape(lab, one, False) for one in want])
    lab.note("03e", "address in GUID", wire.oob_address(got[0].guid), (leaf.server, 6346))
    hit = lab.mapped(leaf_said[-2])
    await leaf_conn.send(got[0].guid + hit[16:])
    await more(asker_conn, 0.2)
    hits = [one for one in messages_of(asker_head, bytes(asker_conn.buffer)) if one.type == wire.HIT]
    want = [one for one in messages_of(asker_theirs_head, asker_theirs) if one.type == wire.HIT]
    lab.note("03e2", "hit", [shape(lab, one, True) for one in hits], [shape(lab, one, False) for one in want])
    lab.note("03e2", "GUID", [one.guid for one in hits], [one.guid for one in want])
    leaf_conn.close()
    asker_conn.close()


class Socket(asyncio.DatagramProtocol):
    """A UDP socket that keeps what comes."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Keeps a datagram."""
        self.got.append(wire.datagram(data))

    async def receive(self, count: int, seconds: float) -> None:
        """Waits until so many datagrams have come, or the time is over."""
        for _ in range(round(seconds / STEP)):
            if len(self.got) >= count:
                return
            await asyncio.sleep(STEP)


async def socket_at(address: str) -> tuple[Socket, asyncio.DatagramTransport]:
    """Opens a UDP socket on the usual port of an address."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Socket, local_addr=(address, 6346))
    return protocol, transport


def destination(part: Part) -> str:
    """Returns the address that a datagram's comment names."""
    line = next(note for note in reversed(part.notes) if note.startswith("# to "))
    return line.split()[2].rpartition(":")[0]


async def datagrams(lab: Lab, name: str) -> None:
    """Replays datagrams one after another, and compares the answers to each."""
    for conversation in read(lab.recordings / f"{name}.txt", lab.place):
        socket, transport = await socket_at(conversation.client)
        steps: list[tuple[Part, list[Message]]] = []
        for part in conversation.parts:
            if part.ours:
                steps.append((part, []))
            else:
                steps[-1][1].append(wire.datagram(part.data))
        for part, theirs in steps:
            socket.got.clear()
            transport.sendto(with_key(lab, lab.mapped(part.data)), (destination(part), 6346))
            await socket.receive(max(len(theirs), 1), WAIT if theirs else 0.1)
            got = [shape(lab, one, True) for one in socket.got]
            lab.note(name, "datagrams", text_of(got), text_of([shape(lab, one, False) for one in theirs]))
        transport.close()


# The query key that the recorded ultrapeer gave, and that of ours.
RECORDED_KEY = bytes.fromhex("7a800465")


def with_key(lab: Lab, data: bytes) -> bytes:
    """Returns a datagram with the key that our ultrapeer has for the recorded client."""
    ours = lab.node("1.2").datagrams.key_of((f"{lab.place}.20.44", 6346))
    return data.replace(RECORDED_KEY, ours)


async def out_of_band(lab: Lab) -> None:
    """03f: we are the ultrapeer of a leaf; its hits are announced by UDP, claimed, and come with our token."""
    name = "03f-query-oob"
    conversations = read(lab.recordings / f"{name}.txt", lab.place)
    tcp = conversations[0]
    parts = [part for one in conversations for part in one.parts]
    conn, head = await handshake(lab, name, tcp)
    socket, transport = await socket_at(tcp.client)
    theirs_udp = []
    for part in parts[2:]:
        if part.data.startswith(b"GNUTELLA") or (not part.ours and not any("# from" in note for note in part.notes)):
            if part.ours:
                await conn.send(part.data)
            continue
        data = lab.mapped(part.data)
        if not part.ours:
            theirs_udp.append(shape(lab, wire.datagram(part.data), False))
            await socket.receive(len(theirs_udp), WAIT)
        elif any(note.startswith("# to ") for note in part.notes):
            transport.sendto(data, (tcp.server, 6346))
        else:
            await conn.send(data)
    got = [shape(lab, one, True) for one in socket.got]
    lab.note(name, "datagrams", text_of(got), text_of(theirs_udp))
    tokens = [wire.read_hit(one.payload).blocks.get("SO") for one in socket.got if one.type == wire.HIT]
    lab.note(name, "tokens", [token.hex() if token else None for token in tokens], ["abd39e7d", "e21aaf6b", None])
    await more(conn, 0.1)
    table = wire.Table()
    for message in messages_of(head, bytes(conn.buffer)):
        if message.type == wire.QRP:
            lab.note(name, "QRP", table.receive(message.payload), None)
    lab.note(name, "QRP has amber", (table.has("amber"), table.has("crimson")), (True, False))
    transport.close()
    conn.close()


async def pushes(lab: Lab) -> None:
    """12a to 12d: a push by the leaf connection and one by UDP; GIV, and downloads on its connection."""
    from .http_cases import converse

    given: asyncio.Queue[Conn] = asyncio.Queue()
    asking = read(lab.recordings / "12a-push-through-ultrapeer.txt", lab.place)[0]
    server = await asyncio.start_server(
        lambda reader, writer: given.put_nowait(Conn(reader, writer)), asking.client, 6346
    )
    await plain(lab, "12a", partial(link, name="12a-push-through-ultrapeer"))
    for name in ("12b-push-giv", "12d-push-udp-giv"):
        if name.startswith("12d"):
            await datagrams(lab, "12c-push-udp")
        async with asyncio.timeout(WAIT):
            conn = await given.get()
        conversation = read(lab.recordings / f"{name}.txt", lab.place)[0]
        while not conn.buffer.endswith(b"\n\n"):
            await conn.more(WAIT)
        lab.note(name, "GIV", bytes(conn.buffer), conversation.parts[0].data)
        conn.buffer.clear()
        conversation.parts = conversation.parts[1:]
        await converse(lab, name, conn, conversation)
    server.close()


async def query_of_partial(lab: Lab) -> None:
    """09c: the hit of a file of which another place is known names it. One servent had a new GUID by then."""
    kept, lab.node("3.2").guid = lab.node("3.2").guid, bytes.fromhex("405a3102138d1edb3688a1fecb636b46")
    lab.node("2.2").library.files[3].add_alternate((f"{lab.place}.5.2", 6346))
    await link(lab, "09c-partial-query")
    lab.node("2.2").library.files[3].alternates.clear()
    lab.node("3.2").guid = kept


async def real_leaf(lab: Lab) -> None:
    """01e, the other way round: a real leaf's headers, QRP table and messages, sent to our ultrapeer."""
    conversation = read(lab.recordings / "01e-servent-leaf-connects-to-us.txt", lab.place)[0]
    theirs = [part.data for part in conversation.parts if not part.ours]
    ultrapeer = lab.node("6.2")
    conn = await lab.client(f"{lab.place}.20.201", ultrapeer.address[0])
    await conn.send(theirs[0])
    lab.note("01e", "our answer", (await conn.head(WAIT)).line, "GNUTELLA/0.6 200 OK")
    for data in theirs[1:]:
        await conn.send(data)
    tables: list[wire.Table] = []

    def received() -> bool:
        tables[:] = [one.table for one in ultrapeer.links if one.address == (f"{lab.place}.5.2", 6346)]
        return bool(tables and tables[0].slots and not tables[0].patch)

    await lab.until(received)
    lab.note(
        "01e",
        "words of its table",
        [tables[0].has(word) for word in ("amber", "river", "crimson")],
        [True, True, False],
    )
    conn.close()


def dht_shape(lab: Lab, message: Message, ours: bool) -> Shape:
    """Returns what is compared of a message of the DHT. The recorded network had other nodes, and one new GUID."""
    parcel = dht.read(message.payload if ours else lab.mapped(message.payload))
    where = parcel.sender.address
    if parcel.opcode == dht.NODES:
        token, nodes = dht.nodes_of(parcel.body)
        return ("nodes", where, len(token), bool(nodes))
    if parcel.opcode == dht.VALUE:
        values = dht.values_of(parcel.body)
        data = [sorted((wire.read_ggep(one.data) | {"client-id": b""}).items()) for one in values]
        return ("values", where, sorted((one.key, one.kind, one.creator.address) for one in values), data)
    body = parcel.body if parcel.opcode == dht.STORE_ACK else parcel.body[:7]
    return (parcel.opcode, where, body)


async def dht_lookups(lab: Lab) -> None:
    """15a: a node of the DHT is asked for nodes, for a file, and for a key that it has not."""
    ultrapeer, leaf = lab.node("1.2"), lab.node("2.2")
    await lab.node("6.2").dht.join([ultrapeer.address])
    await leaf.publish([ultrapeer.address])
    await ultrapeer.dht.publish_proxy(lab.node("4.2").guid)
    await lab.node("7.2").dht.join([ultrapeer.address])
    await lab.node("7.2").dht.publish_proxy(lab.node("4.2").guid)
    conversation = read(lab.recordings / "15a-dht-lookup.txt", lab.place)[0]
    await dht_questions(lab, "15a", conversation, "1.2", 6, b"")


async def dht_store(lab: Lab) -> None:
    """15b: a value is stored with a wrong token and with the right one; then it is found."""
    conversation = read(lab.recordings / "15b-dht-store.txt", lab.place)[0]
    await lab.node("6.2").dht.join([lab.node("7.2").address])
    await dht_questions(lab, "15b", conversation, "7.2", 4, bytes.fromhex("620a6e4d"))
    key = bytes.fromhex("33bd637cb8b2110ff23b4f6573e6c48b91075346")
    stored = lab.node("7.2").dht.values[key]
    lab.note("15b", "stored by", [one.creator.address for one in stored.values()], [(conversation.client, 6346)])


async def dht_questions(lab: Lab, name: str, conversation: Connection, host: str, most: int, token: bytes) -> None:
    """Asks a node what was asked then, with its own token, and compares the answers."""
    node = lab.node(host)
    socket, transport = await socket_at(conversation.client)
    theirs: dict[bytes, Message] = {}
    for part in conversation.parts:
        if not part.ours:
            answer = wire.datagram(part.data)
            theirs[answer.guid] = answer
    asked = [part for part in conversation.parts if part.ours and destination(part) == node.address[0]]
    for part in asked[:most]:
        socket.got.clear()
        data = lab.mapped(part.data)
        if token:
            data = data.replace(token, node.dht.token_for((conversation.client, 6346)))
        transport.sendto(data, node.address)
        await socket.receive(1, WAIT)
        got = [dht_shape(lab, one, True) for one in socket.got]
        lab.note(name, "answer", got, [dht_shape(lab, theirs[data[:16]], False)])
    transport.close()


REFUSED = (
    "01a-handshake-leaf-plain", "14a-reject-leaf-to-leaf-204", "14b-reject-no-headers", "14c-reject-too-often",
)  # fmt: skip
DEFLATED = ("01b-handshake-leaf-deflate", "01d-handshake-leaf-deflate-both-ways", "03d-query-many-deflated")
PLAIN = ("01c-handshake-leaf-plain", "03a-query-keywords", "03b-query-keywords-and-urn", "03c-query-urn-only")
CASES: list[tuple[str, Case]] = [
    *((name, partial(refused, name=name)) for name in REFUSED),
    ("14d", same_guid),
    ("14e", partial(link, name="14e-bye-patch-without-reset")),
    ("14f", partial(link, name="14f-bye-bad-message")),
    ("14h", full),
    *((name, partial(link, name=name)) for name in DEFLATED),
    *((name, partial(plain, name=name, case=partial(link, name=name))) for name in PLAIN),
    ("02", partial(plain, name="02", case=first_minutes)),
    ("02 pings", partial(plain, name="02", case=pings)),
    ("03e", partial(plain, name="03e", case=holder_and_asker)),
    ("03f", out_of_band),
    ("03g", partial(datagrams, name="03g-guess")),
    ("08a", partial(datagrams, name="08a-head-ping-udp")),
    ("09b", partial(datagrams, name="09b-partial-head-ping")),
    ("13", partial(datagrams, name="13-uhc-ping-udp")),
    ("12", pushes),
    ("01e", real_leaf),
    ("15a", dht_lookups),
    ("15b", dht_store),
    ("09c", partial(plain, name="09c", case=query_of_partial)),
]
