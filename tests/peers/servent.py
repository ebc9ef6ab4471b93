"""A Gnutella servent for tests, with the behaviour of gtk-gnutella, and faults to order.

    servent.py LISTEN_IP:PORT [--ultrapeer] [--firewalled] [--share PATH]… [--connect IP:PORT]… [--know IP:PORT]…
               [--guid HEX] [--partial NAME=FIRST-LAST,…]… [--set KNOB=VALUE]… [--dht-crowd COUNT] [--dht IP:PORT]…
    servent.py --self-test FOLDER              replays recorded conversations with gtk-gnutella against servents of ours

Prints one JSON object a line. First {"ready": true, "port": N, "guid": HEX, "files": […]}; then, as they happen,
{"handshake": …}, {"request": …}, {"query": …}, {"push": …}, {"violation": KIND, …} and others; and {"answer": …} or
{"refused": TEXT} to each command. Commands are JSON objects, a line each, on stdin:

    {"do": "set", "knob": NAME, "value": VALUE}        knobs and their values: gnutella/conduct.py
    {"do": "have", "file": NAME, "ranges": [[FIRST, LAST], …]}    parts of a partial file, null for all
    {"do": "connect", "to": "IP:PORT"}
    {"do": "alternates", "file": NAME, "add": "IP:PORT, …"}
    {"do": "status"}

With --dht-crowd, so many nodes of the DHT run beside it, and with that or --dht it stores there where its files are;
then it prints {"published": {NAME: NODES}}. It ends when stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from gnutella import dht, wire
from gnutella.conduct import Conduct
from gnutella.library import Shared
from gnutella.node import Node


def address_of(text: str) -> wire.Address:
    """Returns the address of IP:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def file_of(node: Node, name: str) -> Shared:
    """Returns a shared file. Raises ValueError if there is none of this name."""
    for file in node.library.files:
        if file.name == name:
            return file
    raise ValueError(f"No file {name!r} is shared. Name one of --share.")


def have(file: Shared, ranges: list[list[int]] | None) -> None:
    """Sets the parts of a file that are there, ends included."""
    file.have = None if ranges is None else [(first, last + 1) for first, last in ranges]


def obey(node: Node, command: dict[str, Any]) -> dict[str, object]:
    """Carries out a command. Returns its answer."""
    match command["do"]:
        case "set":
            node.conduct.set(command["knob"], str(command["value"]))
        case "have":
            have(file_of(node, command["file"]), command["ranges"])
        case "connect":
            node.connect(address_of(command["to"]))
        case "alternates":
            for address in wire.parse_addresses(command["add"]):
                file_of(node, command["file"]).add_alternate(address)
        case "status":
            return node.status()
        case other:
            raise ValueError(f"There is no command {other!r}. The head of servent.py lists them.")
    return {"done": command["do"]}


def build(options: argparse.Namespace) -> Node:
    """Returns the servent of the command line."""
    conduct = Conduct()
    for text in options.set:
        name, _, value = text.partition("=")
        conduct.set(name, value)
    guid = bytes.fromhex(options.guid) if options.guid else None
    address = address_of(options.listen)
    node = Node(address, ultrapeer=options.ultrapeer, firewalled=options.firewalled, guid=guid, conduct=conduct)
    for path in options.share:
        node.library.add(Path(path))
    for text in options.partial:
        name, _, ranges = text.rpartition("=")
        have(file_of(node, name), [[int(end) for end in one.split("-")] for one in ranges.split(",") if one])
    node.known = [address_of(text) for text in options.know]
    return node


async def serve(options: argparse.Namespace) -> None:
    """Runs a servent until stdin ends."""
    node = build(options)
    await node.start()
    files = [
        {
            "name": file.name,
            "length": len(file.data),
            "index": file.index,
            "sha1": wire.base32(file.sha1),
            "tiger": wire.base32(file.root),
        }
        for file in node.library.files
    ]
    node.say(ready=True, port=node.address[1], guid=node.guid.hex(), files=files)
    for text in options.connect:
        node.connect(address_of(text))
    others = [address_of(text) for text in options.dht]
    crowd = await dht.crowd(node.address[0], options.dht_crowd, node.conduct, [node.address])
    if crowd or others:
        await node.publish(others)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            node.say(answer=obey(node, json.loads(line)))
        except (ValueError, KeyError) as error:
            node.say(refused=str(error))
    await node.stop()


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description="A Gnutella servent for tests.")
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0")
    parser.add_argument("--ultrapeer", action="store_true")
    parser.add_argument("--firewalled", action="store_true")
    parser.add_argument("--guid")
    for name in ("--share", "--connect", "--know", "--partial", "--set", "--dht"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--dht-crowd", type=int, default=0)
    parser.add_argument("--self-test", metavar="FOLDER")
    options = parser.parse_args()
    if options.self_test:
        from gnutella.replay import self_test

        sys.exit(asyncio.run(self_test(Path(options.self_test))))
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
