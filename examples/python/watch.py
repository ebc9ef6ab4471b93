"""Reads a film without playing it and plots the session: rates, buffer, and the arrival of each piece.

python examples/python/watch.py film.torrent --seconds 20 --rate 2e6 --seek 0.5 --out session.png
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import options
import playswarm


def play(film: playswarm.MediaFile, rate: float, seek: float | None, seconds: float) -> int:
    """Reads as a player does, at this rate, and seeks half-way to that part of the film. Returns the bytes read."""
    into, read, began = bytearray(64 << 10), 0, time.monotonic()
    try:
        while (now := time.monotonic() - began) < seconds:
            if seek is not None and now > seconds / 2:
                film.seek(int(film.size * seek))
                seek = None
            n = film.readinto(into)
            if n == 0:
                break
            read += n
            time.sleep(max(0.0, read / rate - (time.monotonic() - began)))
    except (playswarm.ClosedError, playswarm.CancelledError):
        # The timeout expired.
        pass
    return read


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("source", help="a torrent file, its URL or a magnet link")
    parser.add_argument("--file", help="the file's name or a part of it")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=1e6, help="bytes per second of the film (default: 1e6)")
    parser.add_argument("--seek", type=float, help="jump there half-way: 0.5 is the middle of the film")
    parser.add_argument("--out", type=Path, default=Path("session.png"))
    args = parser.parse_args()
    history = playswarm.History()
    with playswarm.Session(options.settings(args)) as session:
        with playswarm.open(args.source, args.file, session=session) as film:
            player = threading.Thread(target=play, args=(film, args.rate, args.seek, args.seconds))
            player.start()
            for status in film.torrent.watch(every=0.1, seconds=args.seconds):
                history.add(status)
                print(f"\r{status.progress:6.1%} {status.download_bytes_per_s / 1e6:6.2f} MB/s", end="", flush=True)
            film.cancel()
            player.join()
            picture = args.out.with_name(f"{args.out.stem}-now{args.out.suffix}")
            film.torrent.plot().savefig(picture)
    history.plot().savefig(args.out)
    print(f"\n{len(history)} moments in {args.out}, the last of them in {picture}")


if __name__ == "__main__":
    main()
