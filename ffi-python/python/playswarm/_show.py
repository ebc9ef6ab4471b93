"""Text and notebook output."""

from __future__ import annotations

import html as _html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._progress import amount

if TYPE_CHECKING:
    from ._status import TorrentStatus

CELLS = 60
"""Length of a piece map in a line of text, in characters."""
SEGMENTS = 240
"""Largest number of coloured segments in a notebook's piece map."""
COLOURS = {"#": "#2a7f3f", "+": "#e0a030", ".": "#d8d8d8"}


def cells(piece_map: str, count: int) -> str:
    """Scales a piece map to ``count`` characters: ``#`` if all pieces of a part are available,
    ``.`` if all are missing, else ``+``.
    """
    if len(piece_map) <= count:
        return piece_map
    shown = []
    for cell in range(count):
        part = piece_map[len(piece_map) * cell // count : len(piece_map) * (cell + 1) // count]
        shown.append("#" if part.strip("#") == "" else "." if part.strip(".") == "" else "+")
    return "".join(shown)


def line(s: TorrentStatus) -> str:
    peers = f"{len(s.peers)} peer{'' if len(s.peers) == 1 else 's'}"
    text = (
        f"{s.name}: {100 * s.progress:.1f} % of {amount(s.total_bytes)} verified, down {amount(s.download_bytes_per_s)}/s, "
        f"up {amount(s.upload_bytes_per_s)}/s, {peers} [{cells(s.piece_map, CELLS)}]"
    )
    return f"{text} {s.trouble}" if s.trouble else text


def html(s: TorrentStatus) -> str:
    """Returns an HTML card with a piece bar, figures, readers and peers. Names come from untrusted
    sources and are escaped.
    """
    shown = cells(s.piece_map, SEGMENTS)
    width = 100 / max(len(shown), 1)
    bars, at = [], 0
    while at < len(shown):
        end = at
        while end < len(shown) and shown[end] == shown[at]:
            end += 1
        bars.append(
            f'<rect x="{at * width:.3f}%" width="{(end - at) * width:.3f}%" height="14" fill="{COLOURS[shown[at]]}"/>'
        )
        at = end
    for reader in s.readers:
        if s.total_bytes:
            bars.append(
                f'<rect x="{100 * reader.position / s.total_bytes:.3f}%" width="2" height="14" fill="#c02020">'
                f"<title>reader of file {reader.file}</title></rect>"
            )
    rows = "".join(
        f"<tr><td>{_html.escape(p.addr)}</td><td>{_html.escape(p.client)}</td><td>{100 * p.has:.0f} %</td>"
        f"<td>{amount(p.rate_bytes_per_s or 0)}/s</td><td>{amount(p.downloaded_bytes)}</td></tr>"
        for p in sorted(s.peers, key=lambda p: -p.downloaded_bytes)[:8]
    )
    table = (
        f"<table><tr><th>peer</th><th>client</th><th>has</th><th>rate</th><th>received</th></tr>{rows}</table>"
        if rows
        else ""
    )
    trouble = f"<div><b>{_html.escape(s.trouble)}</b></div>" if s.trouble else ""
    return (
        f'<div class="playswarm"><b>{_html.escape(s.name)}</b>'
        f'<svg width="100%" height="14" style="display:block">{"".join(bars)}</svg>'
        f"<div>{100 * s.progress:.1f} % of {amount(s.total_bytes)} here; down {amount(s.download_bytes_per_s)}/s, "
        f"up {amount(s.upload_bytes_per_s)}/s; {len(s.peers)} peers, {s.known_peers} more known; "
        f"wasted {amount(s.waste.total_bytes)}</div>{trouble}{table}</div>"
    )


class Display:
    """A notebook output whose content is updated. Without a notebook, it prints lines to standard
    output.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._notebook: Callable[..., Any] | None = None
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is not None:
            self._notebook = display

    def show(self, status: TorrentStatus) -> None:
        if self._notebook is None:
            print(status, flush=True)
        elif self._handle is None:
            self._handle = self._notebook(status, display_id=True)
        else:
            self._handle.update(status)
