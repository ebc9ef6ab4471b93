"""Plots of a torrent. They require matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._show import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ._status import TorrentStatus

MIB = 1 << 20
PEERS = 12
"""Largest number of peers in a plot: those that sent most."""


def _figure(figure: Figure | None, height: float) -> Figure:
    if figure is not None:
        return figure
    try:
        from matplotlib.figure import Figure as Made
    except ImportError:
        raise ImportError("to draw, matplotlib is needed: pip install matplotlib") from None
    return Made(figsize=(9, height), layout="constrained")


def _pieces(axes: Any, s: TorrentStatus) -> None:
    """Draws the piece map as rows of squares, left to right, with the readers' positions."""
    from matplotlib.colors import ListedColormap

    across = max(1, min(len(s.piece_map), math.ceil(math.sqrt(len(s.piece_map) * 6))))
    order = ".+#"
    values: list[float] = [order.index(c) for c in s.piece_map]
    values += [math.nan] * (-len(values) % across)
    rows = [values[at : at + across] for at in range(0, len(values), across)]
    axes.imshow(
        rows, cmap=ListedColormap([COLOURS[c] for c in order]), vmin=0, vmax=2, aspect="auto", interpolation="nearest"
    )
    for reader in s.readers:
        piece = min(reader.position // s.piece_bytes, s.pieces - 1)
        axes.plot(piece % across, piece // across, marker="v", color="#c02020", markersize=8)
    axes.set(title=f"{s.name}: {100 * s.progress:.1f} % of {s.pieces} pieces", xticks=[], yticks=[])


def status(s: TorrentStatus, figure: Figure | None = None) -> Figure:
    """Draws the pieces, the rate of each peer and the read-ahead of each reader."""
    figure = _figure(figure, 5)
    grid = figure.add_gridspec(2, 2, height_ratios=[2, 3])
    _pieces(figure.add_subplot(grid[0, :]), s)
    peers = sorted(s.peers, key=lambda p: p.downloaded_bytes)[-PEERS:]
    axes = figure.add_subplot(grid[1, 0])
    axes.barh([p.addr for p in peers], [(p.rate_bytes_per_s or 0) / MIB for p in peers], color="#3060a0")
    axes.set(title=f"peers: {s.download_bytes_per_s / MIB:.2f} MiB/s in all", xlabel="MiB/s")
    axes = figure.add_subplot(grid[1, 1])
    names = [f"file {r.file} at {r.position / MIB:.0f} MiB" for r in s.readers]
    axes.barh(range(len(names)), [r.ahead_bytes / MIB for r in s.readers], color="#2a7f3f")
    axes.set(title="buffered ahead", xlabel="MiB", yticks=range(len(names)), yticklabels=names)
    return figure


def history(seconds: Sequence[float], statuses: Sequence[TorrentStatus], figure: Figure | None = None) -> Figure:
    """Draws rates and read-ahead over time, and the arrival of each piece."""
    figure = _figure(figure, 7)
    if not statuses:
        return figure
    rates, buffer, pieces = figure.subplots(3, 1, sharex=True)
    rates.plot(seconds, [s.download_bytes_per_s / MIB for s in statuses], label="down", color="#3060a0")
    rates.plot(seconds, [s.upload_bytes_per_s / MIB for s in statuses], label="up", color="#a06030")
    rates.set(title=statuses[-1].name, ylabel="MiB/s")
    rates.legend(loc="upper right")
    buffer.plot(seconds, [min((r.ahead_bytes for r in s.readers), default=0) / MIB for s in statuses], color="#2a7f3f")
    buffer.set(ylabel="buffered, MiB")
    came: dict[int, float] = {}
    for second, s in zip(seconds, statuses, strict=True):
        for piece, state in enumerate(s.piece_map):
            if state == "#":
                came.setdefault(piece, second)
    pieces.scatter(list(came.values()), list(came), s=4, color="#2a7f3f")
    for second, s in zip(seconds, statuses, strict=True):
        for reader in s.readers:
            pieces.plot(second, reader.position / s.piece_bytes, ",", color="#c02020")
    pieces.set(ylabel="piece", xlabel="seconds", ylim=(-1, statuses[-1].pieces))
    return figure
