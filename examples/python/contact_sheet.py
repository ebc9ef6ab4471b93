"""One picture with many frames of a film and their times, made from a small part of its data.

python examples/python/contact_sheet.py film.torrent --out sheet.jpg
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

import options
import playswarm
from thumbnails import frames


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("source", help="a torrent file, its URL or a magnet link")
    parser.add_argument("--file", help="the file's name or a part of it")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--width", type=int, default=240, help="of each frame, in pixels (default: 240)")
    parser.add_argument("--out", type=Path, default=Path("sheet.jpg"))
    args = parser.parse_args()
    with playswarm.Session(options.settings(args)) as session:
        with playswarm.open(args.source, args.file, session=session) as film:
            film.ahead = 0
            sheet: Image.Image | None = None
            for n, (time, image) in enumerate(frames(film, args.columns * args.rows)):
                height = image.height * args.width // image.width
                if sheet is None:
                    sheet = Image.new("RGB", (args.columns * args.width, args.rows * height))
                at = (n % args.columns * args.width, n // args.columns * height)
                sheet.paste(image.resize((args.width, height)), at)
                minutes, seconds = divmod(int(time), 60)
                ImageDraw.Draw(sheet).text(
                    (at[0] + 4, at[1] + 4), f"{minutes}:{seconds:02}", "white", stroke_width=1, stroke_fill="black"
                )
                print(f"{n + 1} of {args.columns * args.rows}", end="\r", flush=True)
            if sheet is not None:
                sheet.save(args.out)
            fetched = film.torrent.status().downloaded_bytes
            print(f"{args.out}: from {fetched} of {film.size} bytes ({100 * fetched / film.size:.2f} %)")


if __name__ == "__main__":
    main()
