"""Tiger trees and their THEX form. The hash itself is librhash's, of the Debian package rhash."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct

LEAF = 1_024
# Flag of the plain Tiger hash in librhash.
RHASH_TIGER = 0x10
THEX = b"http://open-content.net/spec/thex/breadthfirst"
MIB = 1 << 20
# Slice that a servent keeps for files up to a size, as gtk-gnutella and LimeWire 4 do.
SLICES = ((256 * MIB, 256 << 10), (512 * MIB, 512 << 10), (2_048 * MIB, MIB), (8_192 * MIB, 2 * MIB))

_library: list[ctypes.CDLL] = []


def tiger(data: bytes) -> bytes:
    """Returns the Tiger hash."""
    if not _library:
        name = ctypes.util.find_library("rhash")
        if name is None:
            raise OSError("librhash is not there, and Tiger trees need it. Install the package rhash.")
        loaded = ctypes.CDLL(name)
        loaded.rhash_library_init()
        _library.append(loaded)
    out = ctypes.create_string_buffer(24)
    if _library[0].rhash_msg(RHASH_TIGER, data, ctypes.c_size_t(len(data)), out) != 0:
        raise OSError("librhash has no Tiger")
    return out.raw


def levels_of(data: bytes) -> list[list[bytes]]:
    """Returns the whole tree: first the level of the root, last the leaves."""
    leaves = [tiger(b"\0" + data[at : at + LEAF]) for at in range(0, len(data), LEAF)] or [tiger(b"\0")]
    levels = [leaves]
    while len(levels[0]) > 1:
        below = levels[0]
        pairs = [tiger(b"\1" + left + right) for left, right in zip(below[::2], below[1::2], strict=False)]
        levels.insert(0, pairs + below[len(pairs) * 2 :])
    return levels


def kept_levels(levels: list[list[bytes]], length: int) -> list[list[bytes]]:
    """Returns the levels that a servent keeps and serves."""
    slice_size = next((size for most, size in SLICES if length <= most), 8 * MIB)
    # A level above the leaves halves the number of nodes.
    depth = len(levels) - (slice_size // LEAF).bit_length() + 1
    return levels[: max(depth, 1)]


def uuid_of(root: bytes) -> bytes:
    """Returns the name that gtk-gnutella gives the tree: the root's first bytes in little-endian groups."""
    a, b, c, d, e, f = struct.unpack("<IHHHIH", root[:16])
    return f"uuid:{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:08x}{f:04x}".encode()


def xml_of(length: int, depth: int, name: bytes) -> bytes:
    """Returns the first record of a THEX answer."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!DOCTYPE hashtree SYSTEM "http://open-content.net/spec/thex/thex.dtd">',
        "<hashtree>",
        f'<file size="{length}" segmentsize="1024"/>',
        '<digest algorithm="http://open-content.net/spec/digest/tiger" outputsize="24"/>',
        f'<serializedtree depth="{depth}" type="{THEX.decode()}" uri="{name.decode()}"/>',
        "</hashtree>",
        "",
    ]
    return "\r\n".join(lines).encode()


def dime_record(first: int, kind: int, name: bytes, content_type: bytes, data: bytes, version: int = 1) -> bytes:
    """Returns a DIME record. `first` is 4 at the begin and 2 at the end, `kind` 1 for a media type and 2 for a URI."""
    head = struct.pack(">BBHHHI", version << 3 | first, kind << 4, 0, len(name), len(content_type), len(data))
    return head + b"".join(part + bytes(-len(part) % 4) for part in (name, content_type, data))


def thex(length: int, levels: list[list[bytes]], version: int = 1) -> bytes:
    """Returns the DIME answer with these levels, breadth first."""
    nodes = b"".join(node for level in levels for node in level)
    name = uuid_of(levels[0][0])
    xml = xml_of(length, len(levels) - 1, name)
    return dime_record(4, 1, b"", b"text/xml", xml, version) + dime_record(2, 2, name, THEX, nodes, version)
