"""Runs each example as a user does, on a swarm of real clients."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import playswarm
from lab import Libtorrent, film_bytes, make_film

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """A film of 512 MiB, its torrent, and the address of a libtorrent that seeds it."""
    pytest.importorskip("av")
    pytest.importorskip("libtorrent")
    folder = tmp_path_factory.mktemp("film")
    make_film(folder / "film.mp4", 512 << 20)
    torrent = playswarm.create_torrent(folder / "film.mp4").save(folder / "film.torrent")
    with Libtorrent(torrent, folder) as seed:
        yield folder / "film.mp4", torrent, seed.address
    (folder / "film.mp4").unlink()


def command(name: str, *args: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *map(str, args)]


def run(name: str, *args: object, code: int = 0) -> str:
    done = subprocess.run(command(name, *args), capture_output=True, text=True, timeout=100, env=os.environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@contextmanager
def started(name: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Runs an example until Ctrl-C. It must then exit with 0."""
    with subprocess.Popen(command(name, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(30)
            assert process.stderr is not None
            said = process.stderr.read()
        assert code in (0, -signal.SIGINT) and "Fatal" not in said, said


def test_ten_thumbnails_of_512_mib_cost_less_than_8_percent_of_its_bytes(
    film: tuple[Path, Path, str], tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    path, torrent, peer = film
    out = run(
        "thumbnails.py", torrent, "--offline", "--dir", tmp_path / "d", "--peer", peer, "--out", tmp_path / "pictures"
    )
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 10
    for picture in pictures:
        with image.open(picture) as shown:
            assert shown.width == 320
            shown.load()
    times = [float(t) for t in re.findall(r": ([\d.]+) s", out)]
    assert times == sorted(set(times)) and len(times) == 10
    fetched = re.search(r"fetched (\d+) of (\d+) bytes", out)
    assert fetched is not None
    assert int(fetched[2]) == path.stat().st_size >= 512 << 20
    print(out.splitlines()[-1])
    assert int(fetched[1]) <= 0.08 * int(fetched[2])


def test_a_contact_sheet_is_one_picture_of_a_little_of_the_film(film: tuple[Path, Path, str], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    _, torrent, peer = film
    sheet = tmp_path / "sheet.jpg"
    out = run("contact_sheet.py", torrent, "--offline", "--dir", tmp_path / "d", "--peer", peer, "--out", sheet)
    with image.open(sheet) as shown:
        assert shown.width == 4 * 240
    fetched = re.search(r"from (\d+) of (\d+) bytes", out)
    assert fetched is not None and int(fetched[1]) <= 0.12 * int(fetched[2])


def test_a_watcher_draws_the_session(film: tuple[Path, Path, str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _, torrent, peer = film
    out = run(
        "watch.py",
        *(torrent, "--offline", "--dir", tmp_path / "d", "--peer", peer),
        *("--seconds", 3, "--rate", "4e6", "--seek", 0.5, "--out", tmp_path / "s.png"),
    )
    assert int(re.search(r"(\d+) moments", out)[1]) >= 10  # type: ignore[index]
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "s-now.png").stat().st_size > 5000


def test_a_browser_gets_parts_of_several_torrents(film: tuple[Path, Path, str], tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    httpx = pytest.importorskip("httpx")
    path, torrent, peer = film
    other = tmp_path / "other.mkv"
    other.write_bytes(film_bytes(3 << 20))
    second = playswarm.create_torrent(other).save(tmp_path / "other.torrent")
    with Libtorrent(second, tmp_path) as seed:
        args = ("--offline", "--dir", tmp_path / "d", "--peer", peer, "--peer", seed.address, "--port", 0)
        with started("serve.py", torrent, second, *args) as server:
            assert server.stderr is not None
            base = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            rest = threading.Thread(target=server.stderr.read)
            with httpx.Client(base_url=base, timeout=30) as browser:
                page = browser.get("/")
                assert page.text.count("<video") == 2
                for source in re.findall(r'src="([^"]+)"', page.text):
                    assert browser.head(source).headers["accept-ranges"] == "bytes"
                whole = browser.get("/films/1/0")
                assert whole.status_code == 200 and whole.content == other.read_bytes()
                assert whole.headers["content-type"] == "video/x-matroska"
                size = path.stat().st_size
                with path.open("rb") as disk:
                    for asked, start, end in (
                        ("bytes=0-1", 0, 2),
                        (f"bytes={size // 2}-{size // 2 + 99_999}", size // 2, size // 2 + 100_000),
                        ("bytes=-500", size - 500, size),
                        (f"bytes={size - 10}-{size * 2}", size - 10, size),
                    ):
                        part = browser.get("/films/0/0", headers={"Range": asked})
                        disk.seek(start)
                        assert (part.status_code, part.content) == (206, disk.read(end - start))
                        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
                assert browser.get("/films/0/0", headers={"Range": f"bytes={size}-"}).status_code == 416
                assert browser.get("/films/0/7").status_code == browser.get("/films/9").status_code == 404
                # A player that disconnects: its reader is closed.
                with browser.stream("GET", "/films/0/0") as left:
                    next(left.iter_bytes(1000))
                until = time.monotonic() + 20
                while browser.get("/films/0").json()["readers"] and time.monotonic() < until:
                    time.sleep(0.05)
                assert browser.get("/films/0").json()["readers"] == []
            rest.start()
        rest.join(5)


def test_a_folder_is_verified_mended_and_seeded_to_libtorrent(tmp_path: Path) -> None:
    pytest.importorskip("libtorrent")
    here = tmp_path / "here"
    here.mkdir()
    data = film_bytes(3 << 20)
    (here / "good.mkv").write_bytes(data)
    (here / "bad.mkv").write_bytes(film_bytes(2 << 20, seed=2))
    torrents = [playswarm.create_torrent(here / f"{n}.mkv").save(tmp_path / f"{n}.torrent") for n in ("good", "bad")]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bad.mkv").write_bytes((here / "bad.mkv").read_bytes())
    with (here / "bad.mkv").open("r+b") as damaged:
        damaged.seek(1_000_000)
        damaged.write(b"damage")
    out = run("reseed.py", here, *torrents, "--offline", "--check", code=1)
    assert "good.mkv: 3145728 of 3145728 bytes are right" in out
    assert "bad.mkv: 7 of 8 pieces" in out
    with Libtorrent(torrents[1], tmp_path / "elsewhere") as other:
        out = run("reseed.py", here, *torrents, "--offline", "--check", "--mend", "--peer", other.address)
        assert "bad.mkv: 2097152 of 2097152 bytes are right" in out
    (mended,) = here.glob("bad [[]*.mkv")
    assert mended.read_bytes() == film_bytes(2 << 20, seed=2)
    assert (here / "bad.mkv").read_bytes() != mended.read_bytes(), "the user's file stays as it is"
    with started("reseed.py", here, *torrents, "--offline") as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("seeding"))
        assert line.startswith("seeding 2 torrents at 127.0.0.1:")
        address = line.split(" at ")[1].split(";")[0]
        with Libtorrent(torrents[0], tmp_path / "there", seed=False) as leech:
            leech.tell(do="connect", peer=address)
            assert leech.hears("finished")["finished"] == "good.mkv"
        assert (tmp_path / "there" / "good.mkv").read_bytes() == data


def test_a_moving_picture_is_cast_and_recorded(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    pytest.importorskip("numpy")
    with started("live.py", "cast", "--offline", "--dir", tmp_path / "a", "--seconds", 60) as source:
        assert source.stdout is not None
        link = source.stdout.readline().strip()
        out = run(
            "live.py", "record", link, "--offline", "--dir", tmp_path / "b", "--seconds", 2, "--out", tmp_path / "x.ts"
        )
    assert "'Moving picture'" in out and "0 gaps" in out
    with av.open(tmp_path / "x.ts") as container:
        assert sum(1 for _ in container.decode(video=0)) >= 10
