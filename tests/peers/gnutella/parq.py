"""Upload slots and their queue (PARQ 1.1 as gtk-gnutella has it), the rate limit, and bans."""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import dataclass, field

from .conduct import Conduct
from .wire import Address

# An upload: the client's address and the file's hash.
Key = tuple[str, bytes]
# Requests of a client that together are smaller pass without a slot; with a rate, those of QUICK_SECONDS.
QUICK_BYTES, QUICK_SECONDS = 8 << 10, 5
# Seconds after Retry-After for which a place in the queue is kept.
LIFETIME = 60
MINUTE = 60.0


@dataclass
class Entry:
    """A client's place in the queue for one file."""

    key: Key
    id: str = field(default_factory=lambda: os.urandom(16).hex())
    # Address for the QUEUE callback, and whether a connection of the client is open.
    node: Address | None = None
    connected: bool = True
    retry_at: float = 0
    expires: float = math.inf
    early: int = 0
    quick: int = 0
    announced: bool = False


class Queue:
    """The slots, and the clients that wait for one."""

    def __init__(self, conduct: Conduct) -> None:
        self.conduct = conduct
        self.entries: dict[Key, Entry] = {}
        self.waiting: list[Entry] = []
        # Uploads that have a slot, and until when.
        self.active: dict[Key, float] = {}

    def entry(self, key: Key) -> Entry:
        """Returns the client's entry for a file, if need be a new one."""
        return self.entries.setdefault(key, Entry(key))

    def expire(self, now: float) -> None:
        """Frees the slots and places whose time is over."""
        self.active = {key: until for key, until in self.active.items() if until > now}
        for entry in [entry for entry in self.waiting if entry.expires <= now]:
            self.waiting.remove(entry)
            self.entries.pop(entry.key, None)

    def admit(self, entry: Entry, length: int, now: float) -> int:
        """Returns 0 if the request may be served now, otherwise the client's place in the queue."""
        self.expire(now)
        if self.conduct.queue == "forever":
            return self._wait(entry, now)
        if entry.key in self.active:
            return 0
        quick = max(QUICK_BYTES, QUICK_SECONDS * self.conduct.rate)
        if self.conduct.slots and entry.quick + length <= quick:
            entry.quick += length
            return 0
        if not self.free_for(entry):
            return self._wait(entry, now)
        if entry in self.waiting:
            self.waiting.remove(entry)
        self.active[entry.key] = math.inf
        return 0

    def free_for(self, entry: Entry) -> bool:
        """Whether there is a slot for the client, and none before it waits for it."""
        own = sum(key[0] == entry.key[0] for key in self.active)
        before = self.waiting.index(entry) if entry in self.waiting else len(self.waiting)
        return len(self.active) + before < self.conduct.slots and own < self.conduct.per_address

    def _wait(self, entry: Entry, now: float) -> int:
        if entry not in self.waiting:
            self.waiting.append(entry)
        place = self.waiting.index(entry) + 1
        entry.early += now < entry.retry_at - 0.05
        entry.retry_at = now + self.retry_after(place)
        entry.expires = entry.retry_at + LIFETIME
        return place

    def retry_after(self, place: int) -> float:
        """Returns the seconds that a client of this place is to wait."""
        return self.conduct.queue_unit * (place + 1)

    def left(self, key: Key, now: float) -> None:
        """Notes that the client's connection is closed: its slot stays taken for a while."""
        if key in self.active:
            self.active[key] = now + self.conduct.slot_hold
        if key in self.entries:
            self.entries[key].connected = False

    def remove(self, entry: Entry) -> None:
        """Removes a client from the queue."""
        if entry in self.waiting:
            self.waiting.remove(entry)
        self.entries.pop(entry.key, None)


class Limiter:
    """Spreads the bytes of all uploads over time."""

    def __init__(self, conduct: Conduct) -> None:
        self.conduct = conduct
        self.free_at = 0.0

    def chunk(self, most: int) -> int:
        """Returns the number of bytes to write at once: a tenth of a second's."""
        return max(min(most, self.conduct.rate // 10), 1) if self.conduct.rate else most

    async def take(self, count: int) -> None:
        """Waits until so many bytes may be sent."""
        if self.conduct.rate:
            now = time.monotonic()
            self.free_at = max(self.free_at, now) + count / self.conduct.rate
            if self.free_at - count / self.conduct.rate > now:
                await asyncio.sleep(self.free_at - count / self.conduct.rate - now)


class Bans:
    """Addresses that come too often. A ban is told once; then nothing is said any more."""

    def __init__(self, conduct: Conduct) -> None:
        self.conduct = conduct
        self.events: dict[tuple[str, str], list[float]] = {}
        self.until: dict[str, float] = {}

    def note(self, kind: str, address: str, now: float) -> None:
        """Notes an event of an address: a connection that was not served, or a Gnutella connection."""
        kept = [at for at in self.events.get((kind, address), []) if now - at < MINUTE]
        self.events[kind, address] = [*kept, now]

    def banned(self, address: str, now: float) -> bool:
        """Whether the address is banned already."""
        return self.until.get(address, 0) > now

    def too_often(self, kind: str, address: str, most: int, now: float) -> bool:
        """Whether the events of the last minute have reached their number, in which case the ban begins."""
        recent = [at for at in self.events.get((kind, address), []) if now - at < MINUTE]
        if most and len(recent) >= most:
            self.until[address] = now + self.conduct.ban
            return True
        return False
