"""Replays the client's side of conversations with gtk-gnutella against servents of ours, and compares the answers.

Compared are status lines, the names of headers and the values that do not depend on time, bodies, and the fields of
messages. Each difference is printed. What the recorded program leaves to chance or to its version is not compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import conduct_cases, gnet_cases, http_cases
from .library import Shared
from .node import Node
from .stream import Conn, Gone

PORT = 6346
FILES = {
    "three": ("amber tiny pebble three.bin", 700),
    "clip": ("amber walking tower clip.mp4", 0),
    "one": ("amber lantern orchard one.bin", 3_000_001),
    "two": ("amber quiet harbour two.bin", 1_310_720),
    "four": ("cobalt slow river four.bin", 4_194_305),
}
SEEDS = {"one": 1, "two": 2, "three": 3, "four": 4}
GUIDS = {
    "1.2": "ed6a3102132cdce6cf8fad23d799c393",
    "2.2": "ed653102b96af4020be5294a29788248",
    "3.2": "e14e31024966eb0cf77f4d425bf60a1a",
    "4.2": "b7393102f14f52b35d8148cadea29b71",
    "5.2": "f14d31025fe3e4484ea31e6f5ff40534",
    "6.2": "06" * 16,
    "7.2": "07" * 16,
}
SHARED = {
    "2.2": ("three", "clip", "one", "two", "four"),
    "3.2": ("clip", "one", "two"),
    "4.2": ("three", "two"),
    "5.2": ("two",),
}


class Lab:
    """The servents of the recordings on loopback addresses, and the differences found."""

    def __init__(self, recordings: Path) -> None:
        self.recordings = recordings
        self.place = f"127.{100 + os.getpid() % 100}"
        self.nodes: dict[str, Node] = {}
        self.events: list[dict[str, object]] = []
        self.different: list[str] = []
        self.compared = 0
        self.data: dict[str, bytes] = {}

    def note(self, name: str, what: str, ours: object, theirs: object) -> None:
        """Compares one thing."""
        self.compared += 1
        if ours != theirs:
            self.different.append(f"{name}: {what}: it is {ours!r}, and should be {theirs!r}"[:600])

    def node(self, host: str) -> Node:
        """Returns the servent of a recorded host, as 2.2."""
        return self.nodes[host]

    def mapped(self, data: bytes) -> bytes:
        """Returns the bytes with packed addresses moved to this lab's network."""
        return data.replace(bytes([44, 77]), bytes(int(part) for part in self.place.split(".")))

    async def client(self, address: str, server: str) -> Conn:
        """Connects as a recorded client."""
        return Conn(*await asyncio.open_connection(server, PORT, local_addr=(address, 0)))

    def make_files(self) -> None:
        """Makes the files that the servents of the recordings shared."""
        for short, (_, length) in FILES.items():
            if short in SEEDS:
                seed = f"playswarm gnutella recording {SEEDS[short]}".encode()
                self.data[short] = hashlib.shake_256(seed).digest(length)
            else:
                self.data[short] = (self.recordings / "files" / "clip.mp4").read_bytes()

    async def start(self) -> None:
        """Starts the servents and waits until they are connected."""
        self.make_files()
        shared = {short: Shared(0, FILES[short][0], data, 1_730_800_000) for short, data in self.data.items()}
        for host, guid in GUIDS.items():
            address = (f"{self.place}.{host}", PORT)
            ultrapeer, firewalled = host in ("1.2", "6.2", "7.2"), host == "4.2"
            node = Node(
                address, ultrapeer=ultrapeer, firewalled=firewalled, guid=bytes.fromhex(guid), say=self.events.append
            )
            for index, short in enumerate(SHARED.get(host, ()), 1):
                like = shared[short]
                file = Shared.__new__(Shared)
                file.__dict__.update(like.__dict__ | {"index": index, "alternates": {}})
                node.library.files.append(file)
            # A slot would otherwise stay taken for 45 s after each of the short recordings.
            node.conduct.slot_hold = 0
            self.nodes[host] = node
            await node.start()
        self.node("5.2").library.files[0].have = [(0, 393_216)]
        self.node("5.2").library.files[0].add_alternate((f"{self.place}.2.2", PORT))
        self.node("6.2").connect((f"{self.place}.1.2", PORT))
        for host in ("2.2", "3.2"):
            self.node(host).connect((f"{self.place}.1.2", PORT))
        for count, proxy in enumerate(("7.2", "1.2"), 1):
            self.node("4.2").connect((f"{self.place}.{proxy}", PORT))
            await self.until(lambda count=count: len(self.node("4.2").proxies) == count)  # type: ignore[misc]
        await self.until(lambda: sum(bool(link.table.slots) for link in self.node("1.2").links) == 3)

    async def until(self, condition: Callable[[], object], seconds: float = 10) -> bool:
        """Waits for a condition. Returns whether it came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.005)
                return True
        return False


async def run(lab: Lab, name: str, case: Callable[[Lab], Awaitable[None]]) -> None:
    """Runs a case. One that fails is a difference."""
    try:
        async with asyncio.timeout(60):
            await case(lab)
    except (Gone, TimeoutError, OSError, IndexError, ValueError) as error:
        lab.different.append(f"{name}: {error!r}")


async def self_test(recordings: Path) -> int:
    """Replays everything and turns each knob. Returns the exit status, after a line for each difference."""
    lab = Lab(recordings)
    await lab.start()
    recorded = [*gnet_cases.CASES, *http_cases.CASES]
    for name, case in recorded:
        await run(lab, name, case)
    # Each of these has servents of its own.
    await asyncio.gather(*(run(lab, name, case) for name, case in conduct_cases.CASES))
    for node in lab.nodes.values():
        await node.stop()
    for line in lab.different:
        print(line)
    print(f"{lab.compared} answers and fields of {len(recorded)} recordings compared, {len(lab.different)} differ")
    return 1 if lab.different or not lab.compared else 0
