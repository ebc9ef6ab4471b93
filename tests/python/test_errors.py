"""Failures raise the matching Python exception, with the kind of Rust and C, and a message."""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path

import pytest

import playswarm
from playswarm._errors import CLASSES

ROOT = Path(__file__).resolve().parents[2]


def camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def test_the_kinds_and_their_numbers_are_those_of_rust() -> None:
    text = (ROOT / "core/engine/src/error.rs").read_text()
    table = re.search(r"pub enum ErrorKind \{(.*?)\n\}", text, re.S)
    assert table
    rust = {name: int(number) for name, number in re.findall(r"^\s+(\w+) = (\d+),", table[1], re.M)}
    assert len(rust) >= 13
    assert {camel(kind): cls.code for kind, cls in CLASSES.items()} == rust


def test_the_kinds_and_their_numbers_are_those_of_c() -> None:
    header = (ROOT / "include" / "playswarm.h").read_text()
    c = {name.lower(): int(n) for name, n in re.findall(r"^\s+PLAYSWARM_([A-Z_]+) = (\d+),", header, re.M)}
    assert {kind: c.get(kind) for kind in CLASSES} == {kind: cls.code for kind, cls in CLASSES.items()}


def test_each_kind_has_a_class_of_the_package_with_a_natural_base() -> None:
    natural = (ValueError, OSError, RuntimeError)
    for kind, cls in CLASSES.items():
        assert getattr(playswarm, f"{camel(kind)}Error") is cls
        assert issubclass(cls, playswarm.PlayswarmError) and issubclass(cls, natural)
        assert cls.__doc__


def test_a_torrent_file_that_is_not_there_is_a_file_not_found(session: playswarm.Session, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        session.open(tmp_path / "nope.torrent")
    e = caught.value
    assert isinstance(e, playswarm.StorageError) and e.kind == "storage"
    assert e.errno == errno.ENOENT and e.filename == str(tmp_path / "nope.torrent")
    assert str(e).startswith("cannot read ") and "nope.torrent" in str(e)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("", playswarm.BadSourceError),
        ("magnet:?xt=nothing", playswarm.BadSourceError),
        ("gopher://example.org/film", playswarm.BadSourceError),
        ("http://", playswarm.BadSourceError),
        (b"", playswarm.BadTorrentError),
        (b"\x00\xff garbage", playswarm.BadTorrentError),
        (b"d4:infod6:lengthi-1eee", playswarm.BadTorrentError),
        (b"d" * 100_000, playswarm.BadTorrentError),
        ("http://127.0.0.1:9/film.torrent", playswarm.FetchError),
        ("no\0path", playswarm.StorageError),
        ("x" * 100_000, playswarm.StorageError),
    ],
)
def test_garbage_for_a_source_is_refused_with_a_sentence(
    source: str | bytes, kind: type[playswarm.PlayswarmError], session: playswarm.Session
) -> None:
    with pytest.raises(kind) as caught:
        session.open(source)
    assert " " in str(caught.value)
    assert len(str(caught.value)) < 200_000


@pytest.mark.parametrize("source", [5, None, 1.5, [], {"a": 1}, object()])
def test_what_is_no_source_at_all_is_a_type_error(source: object, session: playswarm.Session) -> None:
    with pytest.raises(TypeError, match="a torrent's source is"):
        session.open(source)  # type: ignore[arg-type]


def test_a_magnet_that_nobody_knows_times_out(tmp_path: Path) -> None:
    config = playswarm.Config.offline(tmp_path, metadata_timeout_ms=200)
    with playswarm.Session(config) as session, pytest.raises(TimeoutError) as caught:
        session.open("magnet:?xt=urn:btih:" + "ab" * 20)
    assert isinstance(caught.value, playswarm.NoMetadataError)


def test_the_callers_own_time_out_is_kept(session: playswarm.Session, nobody: playswarm.Metainfo) -> None:
    with pytest.raises(playswarm.TimedOutError) as caught:
        session.open("ab" * 20, timeout=0.1)
    assert isinstance(caught.value, TimeoutError) and caught.value.errno == errno.ETIMEDOUT
    with playswarm.open(nobody, session=session, timeout=0.1) as film:
        with pytest.raises(TimeoutError):
            film.read(1)
        with pytest.raises(TimeoutError):
            film.readinto(bytearray(1))
        film.timeout = 0
        with pytest.raises(TimeoutError):
            film.read(1)
        assert film.tell() == 0
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="cannot be negative"):
            session.open(nobody, timeout=wrong)
    session.open(nobody, timeout=float("inf")).close()
    session.open(nobody, timeout=1e300).close()


def test_a_port_that_is_taken_is_an_os_error_with_its_number(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(playswarm.ListenError) as caught:
            playswarm.Session(dir=tmp_path, listen=taken.getsockname())
    assert isinstance(caught.value, OSError) and caught.value.errno == errno.EADDRINUSE


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(playswarm.StorageError) as caught:
        playswarm.Session(playswarm.Config.offline(tmp_path / "file" / "below"))
    assert caught.value.errno == errno.ENOTDIR


def test_a_file_that_is_not_in_the_torrent_is_a_file_not_found(
    session: playswarm.Session, nobody: playswarm.Metainfo
) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file 7 in this torrent"):
        playswarm.open(nobody, 7, session=session)


def test_creating_a_torrent_of_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        playswarm.create_torrent(tmp_path / "nothing")
    with pytest.raises(playswarm.BadTorrentError, match="no file that can be shared"):
        playswarm.create_torrent(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(playswarm.BadConfigError, match="power of two"):
        playswarm.create_torrent(tmp_path / "a", piece_bytes=1000)
    with pytest.raises(OverflowError):
        playswarm.create_torrent(tmp_path / "a", piece_bytes=1 << 40)


def test_a_kind_of_a_newer_engine_is_still_an_error_of_ours() -> None:
    from playswarm._errors import from_engine

    e = from_engine("brand_new", 99, "something new happened", None, None)
    assert (type(e), e.kind, e.code, str(e)) == (playswarm.PlayswarmError, "brand_new", 99, "something new happened")
