"""Verifies existing files against their torrents and seeds the verified pieces.

    python examples/python/reseed.py ~/Videos one.torrent two.torrent

Nothing is fetched: what is missing or damaged is told, not mended. With --mend it is fetched from
others: whole files are made beside yours, which stay as they are. Ends with Ctrl-C, or with
--check once everything was looked at.
"""

from __future__ import annotations

import sys
import time

import options
import playswarm


def main() -> int:
    parser = options.parser(__doc__)
    parser.add_argument("folder", help="where the files are")
    parser.add_argument("torrents", nargs="+", help="torrent files")
    parser.add_argument("--mend", action="store_true", help="fetch what is missing or damaged into files beside yours")
    parser.add_argument(
        "--check", action="store_true", help="do not seed; the exit code is 1 where something is missing"
    )
    args = parser.parse_args()
    args.dir = args.folder
    missing = False
    with playswarm.Session(options.settings(args)) as session:
        seeds = []
        for source in args.torrents:
            torrent = session.open(source)
            right = torrent.recheck(progress=sys.stderr.isatty())
            if right < torrent.metainfo.total_bytes and args.mend:
                right = torrent.download(progress=sys.stderr.isatty())
                torrent.sync()
            whole = right == torrent.metainfo.total_bytes
            missing = missing or not whole
            print(f"{torrent.name}: {right} of {torrent.metainfo.total_bytes} bytes are right", flush=True)
            for entry in torrent.files:
                piece_bytes, pieces = torrent.metainfo.piece_bytes, torrent.piece_map()
                if not whole and entry.size and not entry.padding:
                    part = pieces[entry.offset // piece_bytes : (entry.offset + entry.size - 1) // piece_bytes + 1]
                    print(f"  {entry.name}: {part.count(2)} of {len(part)} pieces", flush=True)
            if right:
                # The torrent is open, and so is seeded, while an object refers to it.
                seeds.append(torrent)
        if not args.check and seeds:
            host, port = session.listen_addr or ("", 0)
            print(f"seeding {len(seeds)} torrents at {host}:{port}; Ctrl-C ends it", flush=True)
            try:
                while True:
                    sent = sum(torrent.status().uploaded_bytes for torrent in seeds)
                    if sys.stdout.isatty():
                        print(f"\rsent {sent} bytes", end="", flush=True)
                    time.sleep(1)
            except KeyboardInterrupt:
                print("\nended")
    return int(missing and args.check)


if __name__ == "__main__":
    sys.exit(main())
