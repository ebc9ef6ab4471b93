"""Casts a moving picture to a live channel, or records a channel.

python examples/python/live.py cast --seconds 60
python examples/python/live.py record 'playswarm:KEY?at=192.168.1.5:6881' --seconds 10 --out show.ts
"""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy

import options
import playswarm

FPS = 25


def cast(session: playswarm.Session, seconds: float) -> None:
    with session.cast("Moving picture", bytes_per_s=100_000) as out:
        print(out.link, flush=True)
        with av.open(out, "w", format="mpegts") as container:
            video = container.add_stream("mpeg2video", rate=FPS)
            # Viewers begin at a keyframe: one each second.
            video.width, video.height, video.pix_fmt, video.gop_size = 320, 240, "yuv420p", FPS
            across = numpy.linspace(0, 255, 320, dtype=numpy.uint8)
            began = time.monotonic()
            for n in range(int(seconds * FPS)):
                grey = numpy.tile(numpy.roll(across, n), (240, 1))
                container.mux(video.encode(av.VideoFrame.from_ndarray(numpy.dstack([grey] * 3), "rgb24")))
                # An encoder gives the pace.
                time.sleep(max(0.0, began + n / FPS - time.monotonic()))
            container.mux(video.encode(None))


def record(session: playswarm.Session, link: str, seconds: float, path: Path) -> None:
    with session.watch(link, timeout=20) as channel, channel.open() as live, path.open("wb") as file:
        head = channel.on_air(timeout=20)
        until = time.monotonic() + seconds
        while time.monotonic() < until and (chunk := live.read(1 << 16)):
            file.write(chunk)
        print(f"{file.tell()} bytes of {head.name!r} in {path}, {channel.status().gaps} gaps")


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("action", choices=["cast", "record"])
    parser.add_argument("link", nargs="?", help="a link to a channel, for record")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("channel.ts"))
    args = parser.parse_args()
    if args.action == "record" and args.link is None:
        parser.error("record needs a link to a channel")
    with playswarm.Session(options.settings(args)) as session:
        if args.action == "cast":
            cast(session, args.seconds)
        else:
            record(session, args.link, args.seconds, args.out)


if __name__ == "__main__":
    main()
