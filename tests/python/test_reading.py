"""A file of a torrent works as a Python file."""

from __future__ import annotations

import array
import hashlib
import io
import pickle
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes

Leech = Callable[..., playswarm.Session]


def test_three_lines_read_a_film_from_a_swarm(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        assert film.read(1000) == seeded.data[:1000]


def test_every_byte_arrives_in_order(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        assert film.read() == seeded.data
        assert film.read() == b""
        assert film.read(10) == b""


def test_a_seek_leads_where_it_leads_in_a_file_on_disk(seeded: Seeded, leech: Leech) -> None:
    path = seeded.folder / "film.mkv"
    moves = [(0, 0), (100, 1), (-50, 1), (-1000, 2), (0, 2), (300_000, 0), (0, 1), (10, 2), (5_000_000, 0)]
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film, path.open("rb", buffering=0) as disk:
        for offset, whence in moves:
            assert film.seek(offset, whence) == disk.seek(offset, whence)
            assert film.tell() == disk.tell()
            assert film.read(77) == disk.read(77)
            assert film.tell() == disk.tell()


def test_it_is_a_raw_file_by_all_that_io_asks(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        assert isinstance(film, io.RawIOBase)
        assert film.readable() and film.seekable() and not film.writable() and not film.isatty()
        assert (film.mode, film.name, film.size, film.closed) == ("rb", "film.mkv", len(seeded.data), False)
        with pytest.raises(io.UnsupportedOperation):
            film.fileno()
        with pytest.raises(io.UnsupportedOperation):
            film.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            film.truncate()
    assert film.closed


def test_readinto_fills_any_writable_memory(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        film.torrent.download()
        whole = bytearray(100_000)
        assert film.readinto(whole) == 100_000
        assert whole == seeded.data[:100_000]
        part = bytearray(100)
        assert film.readinto(memoryview(part)[10:20]) == 10
        assert part == bytes(10) + seeded.data[100_000:100_010] + bytes(80)
        numbers = array.array("I", bytes(400))
        assert film.readinto(numbers) == 400
        assert numbers.tobytes() == seeded.data[100_010:100_410]
        assert film.readinto(bytearray()) == 0


def test_readinto_crosses_pieces_that_are_here(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        film.torrent.download()
        assert film.readable_bytes() == film.size
        into = bytearray(3 * seeded.metainfo.piece_bytes + 5)
        assert film.readinto(into) == len(into)
        assert into == seeded.data[: len(into)]


def test_readinto_fills_a_numpy_array(seeded: Seeded, leech: Leech) -> None:
    numpy = pytest.importorskip("numpy")
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        into = numpy.zeros((4, 256), dtype=numpy.uint16)
        assert film.readinto(into) == 2048
        assert into.tobytes() == seeded.data[:2048]


@pytest.mark.parametrize("wrong", [b"read only", "text", 5, None, memoryview(b"123")])
def test_readinto_refuses_what_cannot_be_written(wrong: object, seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        with pytest.raises(TypeError):
            film.readinto(wrong)  # type: ignore[arg-type]
        with pytest.raises(BufferError):
            film.readinto(memoryview(bytearray(100))[::2])
        assert film.tell() == 0


def test_a_buffered_reader_reads_all_of_it(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        buffered = io.BufferedReader(film, 50_000)
        assert buffered.peek(1)[:1] == seeded.data[:1]
        digest = hashlib.file_digest(buffered, "sha256").digest()
        assert digest == hashlib.sha256(seeded.data).digest()
        buffered.seek(12_345)
        assert buffered.read(5) == seeded.data[12_345:12_350]
        assert film.buffered().raw is film


def test_shutil_copies_it(seeded: Seeded, leech: Leech, tmp_path: Path) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film, (tmp_path / "copy").open("wb") as copy:
        shutil.copyfileobj(film, copy)
    assert (tmp_path / "copy").read_bytes() == seeded.data


def test_zipfile_reads_an_archive_of_a_swarm(tmp_path: Path, leech: Leech) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("inner.txt", "hello" * 1000)
        archive.writestr("big.bin", film_bytes(2 << 20))
    with Seeded(tmp_path / "zip", made.getvalue(), "a.zip") as seeded:
        with (
            playswarm.open(seeded.metainfo, 0, session=leech(seeded.session)) as film,
            zipfile.ZipFile(film) as archive,
        ):
            assert archive.read("inner.txt") == b"hello" * 1000


def test_eight_threads_read_eight_files_of_their_own(seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    wrong: list[int] = []

    def read(part: int) -> None:
        with playswarm.open(seeded.metainfo, session=session) as film:
            start = part * len(seeded.data) // 8
            film.seek(start)
            if film.read(500_000) != seeded.data[start : start + 500_000]:
                wrong.append(part)

    threads = [threading.Thread(target=read, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_that_share_a_file_read_each_byte_once(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        got: list[bytes] = []

        def read() -> None:
            into = bytearray(10_007)
            while n := film.readinto(into):
                got.append(bytes(into[:n]))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(map(len, got)) == len(seeded.data)
        at = [seeded.data.index(part) for part in got if len(part) > 8]
        assert len(set(at)) == len(at)


def test_a_bound_on_what_is_fetched_ahead_is_kept(tmp_path: Path, leech: Leech) -> None:
    with Seeded(tmp_path / "big", film_bytes(32 << 20)) as seeded:
        with leech(seeded.session).open(seeded.metainfo) as torrent, torrent.open(ahead=0) as film:
            for part in range(4):
                film.seek(part * (8 << 20))
                assert film.read(1000) == seeded.data[film.tell() - 1000 : film.tell()]
            fetched = torrent.status().downloaded_bytes
            assert fetched <= 8 * seeded.metainfo.piece_bytes
            assert film.ahead == 0
            film.ahead = None
            film.seek(0)
            assert film.read() == seeded.data


def test_what_a_torrent_leaves_out_of_its_folder_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "show"
    folder.mkdir()
    (folder / "film.mkv").write_bytes(film_bytes(1000, seed=1))
    (folder / ".hidden").write_bytes(b"x")
    torrent = playswarm.create_torrent(folder)
    assert [(path.name, why) for path, why in torrent.left_out] == [(".hidden", "it is hidden")]
    assert playswarm.Metainfo.from_bytes(torrent.to_bytes()).left_out == ()


def test_files_of_a_season_are_found_by_number_name_and_part_of_it(tmp_path: Path, leech: Leech) -> None:
    season = tmp_path / "season"
    season.mkdir()
    for episode in (1, 2, 10):
        (season / f"Show S01E{episode:02}.mkv").write_bytes(film_bytes(100_000 + episode, seed=episode))
    metainfo = playswarm.create_torrent(season)
    with playswarm.Session(playswarm.Config.offline(tmp_path)) as seed:
        given = seed.open(metainfo)
        assert given.recheck() == metainfo.total_bytes
        with leech(seed).open(metainfo) as torrent:
            assert [f.name.rsplit("/", 1)[-1] for f in torrent.files if not f.padding] == [
                "Show S01E01.mkv",
                "Show S01E02.mkv",
                "Show S01E10.mkv",
            ]
            with torrent.open(0) as one, torrent.open("S01E02") as two, torrent.open() as largest:
                assert one.read() == film_bytes(100_001, seed=1)
                assert two.read() == film_bytes(100_002, seed=2)
                assert largest.size == 100_010
            for wrong in (99, -1, "S02", "S01"):
                with pytest.raises(playswarm.NoSuchFileError) as caught:
                    torrent.open(wrong)
                assert isinstance(caught.value, FileNotFoundError)


def test_a_file_is_not_pickled_but_settings_are(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        with pytest.raises(TypeError, match="open it again"):
            pickle.dumps(film)
    config = playswarm.Config(dht=False)
    assert pickle.loads(pickle.dumps(config)) == config


def test_the_source_may_be_bytes_a_path_or_a_link(seeded: Seeded, leech: Leech, tmp_path: Path) -> None:
    session = leech(seeded.session)
    saved = seeded.metainfo.save(tmp_path / "film.torrent")
    assert playswarm.Metainfo.load(saved) == seeded.metainfo
    for source in (saved, str(saved), f"file://{saved}", saved.read_bytes(), seeded.metainfo):
        with playswarm.open(source, session=session) as film:
            assert film.read(5) == seeded.data[:5]
    with playswarm.open(seeded.metainfo.magnet, session=session, timeout=30) as film:
        assert film.read(5) == seeded.data[:5]
    assert session.describe(seeded.metainfo.magnet) == seeded.metainfo
