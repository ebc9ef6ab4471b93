"""Pictures at ten times of a film in a swarm, fetching only the bytes that they need.

    python examples/python/thumbnails.py 'magnet:?xt=urn:btih:…' --out pictures

PyAV finds its way in the file by itself: it reads the index, then seeks to the keyframe before each time. `ahead=0` tells playswarm that what
follows a read is not wanted, so nothing is fetched beyond the piece that a read is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

import options
import playswarm


def frames(film: playswarm.MediaFile, count: int) -> Iterator[tuple[float, Image.Image]]:
    """Returns the keyframes at or before `count` evenly spread times of a film, with their times in seconds."""
    with av.open(film, "r") as container:
        video = container.streams.video[0]
        video.codec_context.skip_frame = "NONKEY"
        if container.duration is None or video.time_base is None:
            raise ValueError(f"{film.name} has no known duration")
        for n in range(count):
            container.seek(int(container.duration * (n + 0.5) / count))
            frame = next(container.decode(video))
            yield frame.time or 0.0, frame.to_image()


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("source", help="a torrent file, its URL or a magnet link")
    parser.add_argument("--file", help="the file's name or a part of it; without, the largest that can be played")
    parser.add_argument("--count", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--width", type=int, default=320, help="of each, in pixels (default: 320)")
    parser.add_argument("--out", type=Path, default=Path("thumbnails"), help="where they are written")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with playswarm.Session(options.settings(args)) as session:
        with playswarm.open(args.source, args.file, session=session) as film:
            film.ahead = 0
            for n, (time, image) in enumerate(frames(film, args.count)):
                image.thumbnail((args.width, image.height))
                path = args.out / f"{n:02}.jpg"
                image.save(path)
                print(f"{path}: {time:.1f} s")
            fetched = film.torrent.status().downloaded_bytes
            print(f"fetched {fetched} of {film.size} bytes ({100 * fetched / film.size:.2f} %)")


if __name__ == "__main__":
    main()
