"""What the servent does wrong, or slowly: one field a knob, set by `--set NAME=VALUE` and by commands while it runs."""

from __future__ import annotations

from dataclasses import dataclass, fields

# The values of the knobs that are words. The first is the honest one.
CHOICES: dict[str, tuple[str, ...]] = {
    # Answers to N2R requests. `middle` begins a quarter into the range, as PFSP allows; `elsewhere` begins behind it;
    # `whole` is 200 with the file from its first byte; `total` names another size; `unavailable` is 416 for all.
    "answer": (
        "right", "busy", "banned", "removed", "missing", "silent", "middle", "elsewhere", "longer", "total",
        "rangeless", "short", "extra", "whole", "garbage", "http10", "unavailable",
    ),
    # Form of the answer's head: `continued` has continuation lines, `endless` never ends.
    "head": ("right", "continued", "many", "long", "endless"),
    # Queue: `forever` never lets anyone through; `old` has X-Queue as LimeWire's.
    "queue": ("right", "forever", "old"),
    # THEX answers: `lying` is a consistent tree of the bytes that `corrupt` makes; `middle` is wrong between root and leaves.
    "tree": (
        "right", "busy", "missing", "root", "middle", "truncated", "deep", "large", "version", "chunked", "raw",
        "lying", "close",
    ),
    # Gnutella connections: `full` is 503 with X-Try-Ultrapeers, `mute` never answers the handshake, `long` announces a
    # message of 70,008 bytes, `bomb` is 64 MiB of zeros deflated, `garbage` is no deflate.
    "link": ("right", "full", "refuse", "mute", "bye", "queries", "hits", "long", "bomb", "garbage", "silent"),
    # Hits: `spam` names each query, `hashless` has no hash, `private` points at addresses of private networks,
    # `broken` has lengths that point past its end, `inflating` has a GGEP block that inflates to 1 MiB.
    "hits": ("right", "none", "spam", "hashless", "private", "broken", "inflating"),
    # Out-of-band hits: `unasked` come without a claim, `forged` have another token.
    "oob": ("right", "off", "unasked", "forged", "silent"),
    # Nodes of the DHT: `private` and `made_up` contacts, `values` for each key at private addresses.
    "dht": ("right", "silent", "private", "made_up", "values"),
    # What follows a push: `late` comes after `giv_delay`, `wrong` has another GUID, `silent` says nothing after GIV.
    "giv": ("right", "none", "wrong", "twice", "late", "silent"),
}  # fmt: skip


@dataclass
class Conduct:
    """The knobs. The defaults are gtk-gnutella's."""

    # Bytes a second of all uploads together; 0 for no limit.
    rate: int = 0
    # Upload slots, and those of one address.
    slots: int = 4
    per_address: int = 1
    # Seconds for which a slot stays taken after its user has gone.
    slot_hold: float = 45
    # Seconds of Retry-After for each place in the queue.
    queue_unit: float = 15
    # Requests before Retry-After that are answered before the client is removed from the queue; 0 for any number.
    patience: int = 0
    # Connections without a served file, and Gnutella connections, that an address may make in a minute; 0 for any number.
    unserved: int = 5
    links: int = 2
    # Seconds of a ban.
    ban: float = 300
    # Most bytes of a connection's first answer.
    first_most: int = 512 << 10
    # Seconds until an idle connection is closed.
    idle: float = 90
    # Delay in seconds of an answer's last part if no request follows it.
    tail_delay: float = 0
    # Delay in seconds of what is sent on deflated Gnutella connections.
    deflate_delay: float = 0
    # Whether leaves must offer deflate.
    deflate_only: bool = True
    # Leaves of an ultrapeer.
    leaves: int = 25
    # Seconds between two pings by UDP of an address that are answered.
    ping_interval: float = 60
    # Whether an ultrapeer asks for its leaves' hits itself (out of band).
    proxy_oob: bool = True
    # Body bytes after which a connection is closed; -1 for never.
    close_after: int = -1
    # Whether each answer's connection is closed, and whether one is closed that has a second request out.
    close_each: bool = False
    no_pipelining: bool = False
    # First byte from which on the file's bytes are wrong; -1 for none.
    corrupt: int = -1
    # Whether X-Available-Ranges and 416 are those of the whole file, though it has parts.
    lie_ranges: bool = False
    # Further X-Alt addresses, and a number of made-up ones.
    alternates: str = ""
    made_up: int = 0
    # Addresses for X-Try-Ultrapeers.
    try_hosts: str = ""
    # Address that hits name instead of the servent's.
    hits_at: str = ""
    # Whether hits name the servent as busy.
    busy: bool = False
    # Seconds before a late GIV.
    giv_delay: float = 0

    answer: str = "right"
    head: str = "right"
    queue: str = "right"
    tree: str = "right"
    link: str = "right"
    hits: str = "right"
    oob: str = "right"
    giv: str = "right"
    dht: str = "right"

    def set(self, name: str, value: str) -> None:
        """Sets a knob from text. Raises ValueError for an unknown one and for a value that it cannot have."""
        known = {field.name: field.type for field in fields(self)}
        if name not in known:
            raise ValueError(f"There is no knob {name!r}. Use one of: {', '.join(known)}.")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} cannot be {value!r}. Use one of: {', '.join(CHOICES[name])}.")
        kind = known[name]
        parsed: object = value
        if kind == "bool":
            parsed = value.lower() in ("1", "true", "yes")
        elif kind == "int":
            parsed = int(value)
        elif kind == "float":
            parsed = float(value)
        setattr(self, name, parsed)
