"""Command-line options of all examples: the folder for files, and peers."""

from __future__ import annotations

import argparse

import playswarm


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Creates a parser whose description is the first line of the example's docstring."""
    made = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    made.add_argument("--dir", default=".", help="where the torrent's files are kept (default: here)")
    made.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="a peer to be asked, too")
    made.add_argument("--offline", action="store_true", help="only peers given by hand, on this machine")
    return made


def settings(args: argparse.Namespace) -> playswarm.Config:
    if args.offline:
        return playswarm.Config.offline(args.dir, peers=args.peer)
    return playswarm.Config(dir=args.dir, peers=args.peer)
