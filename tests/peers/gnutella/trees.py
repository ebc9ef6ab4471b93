"""Answers about Tiger trees, and the lies about files and trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import tiger, wire
from .library import Library, Shared
from .stream import Answer, Gone, Head

if TYPE_CHECKING:
    from .conduct import Conduct
    from .node import Node

# Bytes of a tree that is too large, and what follows where nothing should.
INVERTED = bytes(range(255, -1, -1))
LARGE, EXTRA = 8 << 20, b"more than was said" * 100


def corrupted(file: Shared, conduct: Conduct) -> bytes:
    """Returns the file's bytes as they are sent: wrong from the knob's byte on."""
    if conduct.corrupt < 0:
        return file.data
    return file.data[: conduct.corrupt] + file.data[conduct.corrupt :].translate(INVERTED)


def levels_of(file: Shared, conduct: Conduct) -> list[list[bytes]]:
    """Returns the whole tree that is told: of the file, or of the corrupted bytes."""
    return tiger.levels_of(corrupted(file, conduct)) if conduct.tree == "lying" else file.levels


def root_of(file: Shared, conduct: Conduct) -> bytes:
    """Returns the root that X-Thex-URI and hits name."""
    return levels_of(file, conduct)[0][0]


def answer(node: Node, path: str, library: Library) -> Answer:
    """Returns the answer to an N2X request."""
    conduct = node.conduct
    sha1 = wire.sha1_of_urn(path.partition("?")[2].partition(";")[0])
    file = library.by_sha1(sha1)
    if conduct.tree == "close":
        raise Gone
    if conduct.tree == "busy":
        return Answer("503 TTH is being computed", [("Retry-After", "5")])
    if file is None or file.have is not None or conduct.tree == "missing":
        return Answer("404 Not Found", features=False)
    whole = levels_of(file, conduct)
    kept = [list(level) for level in tiger.kept_levels(whole, len(file.data))]
    if conduct.tree == "deep":
        kept = whole
    elif conduct.tree == "root":
        kept[0][0] = tiger.tiger(b"\1another root")
    elif conduct.tree == "middle":
        level = kept[len(kept) // 2]
        level[0] = tiger.tiger(b"\1another node")
    data = tiger.thex(len(file.data), kept, 0 if conduct.tree == "version" else 1)
    if conduct.tree == "truncated":
        data = data[: len(data) // 2]
    elif conduct.tree == "large":
        data += bytes(LARGE)
    headers = [("Content-Type", "application/dime")]
    if conduct.tree == "raw":
        headers = [("Content-Type", "application/tigertree-breadthfirst")]
        data = b"".join(node for level in kept for node in level)
    if conduct.tree == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
        pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
        data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        headers.append(("Content-Length", str(len(data))))
    return Answer("200 OK", headers, data, serves=True)


def distort_part(head: Head, body: bytes, kind: str, library: Library) -> tuple[Head, bytes]:
    """Returns an answer with a part of a file as the knob `answer` has it."""
    found = head.get("Content-Range").removeprefix("bytes ")
    if not found:
        return head, body
    span, _, total = found.partition("/")
    first, last = (int(part) for part in span.split("-"))
    size = int(total)
    file = library.by_sha1(wire.sha1_of_urn(head.get("X-Gnutella-Content-URN")))
    whole = file.data if file else next(one.data for one in library.files if len(one.data) == size)
    line = head.line
    if kind == "middle":
        quarter = (last - first) // 4
        first, last = first + quarter, last - quarter
        body = whole[first : last + 1]
    elif kind == "elsewhere":
        first, last = last + 1, last + len(body)
    elif kind == "longer":
        last += len(EXTRA)
        body += EXTRA
    elif kind == "total":
        size += 1
    elif kind == "whole":
        line, first, last, body = "HTTP/1.1 200 OK", 0, size - 1, whole
    elif kind == "http10":
        line = line.replace("HTTP/1.1", "HTTP/1.0")
    replaced = {"Content-Range": f"bytes {first}-{last}/{size}", "Content-Length": str(len(body))}
    headers = [(name, replaced.get(name, value)) for name, value in head.headers]
    if kind in ("whole", "rangeless"):
        headers = [(name, value) for name, value in headers if name != "Content-Range"]
    if kind == "short":
        body = body[: len(body) // 2]
    elif kind == "extra":
        body += EXTRA
    return Head(line, headers), body
