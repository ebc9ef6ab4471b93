"""An RTSP server of a torrent, played by ffprobe."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import playswarm
from lab import Seeded, make_film


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Seeded]:
    """A film of some seconds."""
    pytest.importorskip("av")
    make_film(tmp_path / "made.mkv", 2 << 20, minutes=0.2)
    with Seeded(tmp_path / "seed", (tmp_path / "made.mkv").read_bytes()) as seeded:
        yield seeded


def probe(url: str) -> str:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    show = ["-v", "error", "-rtsp_transport", "tcp", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url]
    done = subprocess.run(["ffprobe", *show], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ask(url: str, method: str, headers: str = "", connection: socket.socket | None = None) -> socket.socket:
    """Sends a request that succeeds, and returns its connection."""
    to = urlsplit(url)
    connection = connection or socket.create_connection((to.hostname, to.port), timeout=30)
    connection.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"RTSP/1.0 200"), answer
    return connection


def test_a_player_plays_from_a_server_that_outlives_its_torrent(film: Seeded) -> None:
    with film.session.open(film.metainfo) as torrent:
        server = torrent.serve_rtsp("film", listen=("127.0.0.1", 0), token="S3cret")
    with server:
        assert server.url.startswith("rtsp://127.0.0.1:") and server.url.endswith("/~S3cret/0/film.mkv")
        assert "S3cret" not in repr(server)
        assert probe(server.url) == "mpeg4"
        transport = "User-Agent: python\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        with ask(server.url, "SETUP", transport):
            (session,) = server.sessions()
            assert (session.file, session.transport, session.format) == (0, "tcp", "mpegts")
            assert (session.client, session.lost, session.position_s) == ("python", 0, 0.0)
    assert server.closed
    server.close()
    with pytest.raises(ConnectionError):
        ask(server.url, "OPTIONS")


def test_a_server_for_asyncio(film: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        config = playswarm.Config.offline(tmp_path / "there", peers=[film.address])
        async with playswarm.AsyncSession(config) as session, await session.open(film.metainfo) as torrent:
            assert (await torrent.choose_file()).name == "film.mkv"
            async with await torrent.serve_rtsp() as server:
                assert await asyncio.to_thread(probe, server.url) == "mpeg4"
                assert server.sessions() == []
            assert server.closed

    asyncio.run(main())


def test_a_server_that_cannot_start_says_why(film: Seeded) -> None:
    with pytest.raises(playswarm.BadConfigError, match="listen"):
        film.torrent.serve_rtsp(listen="here")
    with pytest.raises(playswarm.BadConfigError, match="token"):
        film.torrent.serve_rtsp(token="a/b")
    with pytest.raises(playswarm.ListenError):
        film.torrent.serve_rtsp(listen="192.0.2.1:1")
    with pytest.raises(playswarm.NoSuchFileError):
        film.torrent.serve_rtsp(7)
    film.torrent.close()
    with pytest.raises(playswarm.ClosedError):
        film.torrent.serve_rtsp()
