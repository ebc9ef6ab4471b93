"""Serves several torrents to browsers and players, with FastAPI: a page with the films, and their bytes by Range requests.

    python examples/python/serve.py one.torrent 'magnet:?xt=urn:btih:…' --port 8000

Each request has a file of its own, so each player has its own place in the film; when a player goes away, what it wanted is
wanted no more.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

import options
import playswarm


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """Returns first byte and end of a Range header (RFC 9110); None for the whole file."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if asked is None or asked[0] == "bytes=-":
        return None
    first, last = asked.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return start, end


def application(sources: list[str], config: playswarm.Config) -> FastAPI:
    films: list[playswarm.AsyncTorrentHandle] = []

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with playswarm.AsyncSession(config) as session:
            films.extend([await session.open(source) for source in sources])
            yield

    app = FastAPI(title="Films of a swarm", lifespan=life)

    def film_of(number: int) -> playswarm.AsyncTorrentHandle:
        if not 0 <= number < len(films):
            raise HTTPException(404)
        return films[number]

    @app.get("/")
    async def page() -> HTMLResponse:
        shown = []
        for n, film in enumerate(films):
            for file in film.files:
                if file.playable:
                    name = html.escape(file.name)
                    shown.append(
                        f'<h2>{name}</h2><video src="/films/{n}/{file.index}" controls preload="none"></video>'
                    )
        return HTMLResponse(f"<!doctype html><title>Films</title>{''.join(shown)}")

    @app.get("/films/{number}")
    async def status(number: int) -> dict[str, object]:
        return film_of(number).status().to_dict()

    @app.api_route("/films/{number}/{file}", methods=["GET", "HEAD"])
    async def stream(number: int, file: int, request: Request) -> Response:
        try:
            film = film_of(number).open(file)
        except playswarm.NoSuchFileError as e:
            raise HTTPException(404, str(e)) from None
        try:
            part = wanted(request.headers.get("range"), film.size)
        except HTTPException:
            await film.close()
            raise
        start, end = part or (0, film.size)
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{film.size}"
        kind, code = film.entry.content_type, 206 if part else 200
        if request.method == "HEAD":
            await film.close()
            return Response(status_code=code, headers=headers, media_type=kind)

        async def body() -> AsyncIterator[bytes]:
            async with film:
                async for chunk in film.chunks(start, end):
                    yield chunk

        return StreamingResponse(body(), code, headers, kind)

    return app


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("sources", nargs="+", help="torrent files, URLs or magnet links")
    parser.add_argument("--host", default="127.0.0.1", help="who may ask (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    # Paused players keep connections open, so the shutdown does not wait for them.
    uvicorn.run(
        application(args.sources, options.settings(args)),
        host=args.host,
        port=args.port,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
