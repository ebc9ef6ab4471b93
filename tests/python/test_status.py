"""The status of a torrent as objects, events, text and pictures."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes, make_film, python

Leech = Callable[..., playswarm.Session]


def test_a_status_has_every_field_of_the_engine_and_no_other(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        film.read(1)
        said = json.loads(film.torrent._raw.status())
        status = film.torrent.status()
    assert set(said) == {f.name for f in dataclasses.fields(playswarm.TorrentStatus)}
    assert set(said["waste"]) == {f.name for f in dataclasses.fields(playswarm.Waste)}
    assert set(said["readers"][0]) == {f.name for f in dataclasses.fields(playswarm.ReaderStatus)}
    assert set(said["peers"][0]) == {f.name for f in dataclasses.fields(playswarm.PeerStatus)}
    assert json.loads(json.dumps(status.to_dict())).keys() == said.keys()
    assert playswarm.TorrentStatus.from_dict(status.to_dict()) == status
    assert playswarm.TorrentStatus.from_dict({**status.to_dict(), "of_a_newer_engine": 1}) == status


def test_a_mirror_is_added_and_shown(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    with session.open(nobody) as torrent:
        with pytest.raises(playswarm.BadArgumentError, match="no http or https URL"):
            torrent.add_source("ftp://h.example/film.mkv")
        torrent.add_source("http://127.0.0.1:1/film.mkv?key=secret")
        said = json.loads(torrent._raw.status())["sources"]
        assert set(said[0]) == {f.name for f in dataclasses.fields(playswarm.SourceStatus)}
        source = torrent.status().sources[0]
        assert (source.url, source.origin) == ("http://127.0.0.1:1/film.mkv", "mirror")
        assert playswarm.TorrentStatus.from_dict(torrent.status().to_dict()).sources[0].url == source.url


def test_a_status_follows_a_download(seeded: Seeded, leech: Leech) -> None:
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        before = torrent.status()
        assert (before.verified_bytes, before.progress, before.is_complete) == (0, 0.0, False)
        told: list[tuple[int, int]] = []
        assert torrent.download(progress=lambda done, total: told.append((done, total))) == len(seeded.data)
        assert told[-1] == (len(seeded.data), len(seeded.data))
        after = torrent.status()
        assert after.is_complete and after.progress == 1.0
        assert after.peers[0].downloaded_bytes == after.downloaded_bytes >= len(seeded.data)
        assert seeded.torrent.status().peers[0].addr
        torrent.sync()


def test_a_piece_map_is_bytes_and_an_array(seeded: Seeded, leech: Leech) -> None:
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        assert torrent.piece_map() == bytes(seeded.metainfo.pieces)
        torrent.download()
        assert torrent.piece_map() == b"\x02" * seeded.metainfo.pieces
        numpy = pytest.importorskip("numpy")
        assert numpy.frombuffer(torrent.piece_map(), numpy.uint8).mean() == 2


def test_events_tell_of_pieces_peers_and_the_end(seeded: Seeded, leech: Leech) -> None:
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        events = torrent.events()
        torrent.fetch_all()
        seen = []
        for event in events:
            seen.append(event)
            if event.event == "completed":
                break
        pieces = {e.piece for e in seen if e.event == "piece_verified"}
        assert len(pieces) >= seeded.metainfo.pieces - 1
        assert "Event(event='piece_verified', piece=" in repr(next(e for e in seen if e.event == "piece_verified"))
        assert seen[-1].to_dict() == {"event": "completed"}


def test_events_end_when_the_torrent_is_closed(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    torrent = session.open(nobody)
    events = torrent.events()
    timed = torrent.events(timeout=0.05)
    with pytest.raises(playswarm.TimedOutError):
        next(timed)
    torrent.close()
    assert list(events) == []
    with pytest.raises(playswarm.ClosedError):
        torrent.events()


def test_events_of_a_closed_session_end(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    events = session.open(nobody).events()
    session.close()
    assert list(events) == []


def test_reprs_help(seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    with playswarm.open(seeded.metainfo, session=session) as film:
        assert repr(film) == "<MediaFile 'film.mkv' at 0 of 4194304>"
        assert repr(film.torrent) == "<TorrentHandle 'film.mkv', 1 file, 0.0 % here>"
        assert repr(seeded.metainfo).startswith("<Metainfo 'film.mkv', 4.0 MiB in 1 file, ")
        assert str(film.entry) == "0: film.mkv (4.0 MiB)"
        assert str(film.torrent).startswith("film.mkv: 0.0 % of 4.0 MiB verified, down ")
        assert f"listening on 127.0.0.1:{(session.listen_addr or ('', 0))[1]}" in repr(session)
    assert repr(film) == "<MediaFile 'film.mkv' closed>"
    session.close()
    assert repr(session) == "<Session closed>"
    assert repr(film.torrent) == "<TorrentHandle 'film.mkv', 1 file, closed>"


def test_a_notebook_shows_a_card_in_which_a_strangers_name_is_harmless(tmp_path: Path, leech: Leech) -> None:
    with Seeded(tmp_path / "s", film_bytes(300_000), "<script>alert(1)<b>.mkv") as seeded:
        with leech(seeded.session).open(seeded.metainfo) as torrent:
            torrent.download()
            card = torrent._repr_html_()
    assert card is not None
    assert "<script" not in card and "&lt;script" in card
    assert "<svg" in card and "100.0 %" in card and "127.0.0.1" in card
    assert torrent._repr_html_() is None


def test_a_live_display_in_ipython_is_updated_in_place(seeded: Seeded) -> None:
    pytest.importorskip("IPython")
    code = """
import playswarm, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.display_pub.publish = lambda data, metadata=None, **k: print("PUB", bool(k.get("update")), "text/html" in data)
with playswarm.Session(playswarm.Config.offline(sys.argv[1])) as session:
    session.open(sys.argv[2]).live(every=0.02, seconds=0.1)
"""
    done = python(code, seeded.folder / "x", seeded.metainfo.save(seeded.folder / "t.torrent"), check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PUB")]
    assert lines[0] == "PUB False True", done.stderr
    assert len(lines) >= 3 and set(lines[1:]) == {"PUB True True"}


def test_a_live_display_elsewhere_is_lines(seeded: Seeded, leech: Leech, capsys: pytest.CaptureFixture[str]) -> None:
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        torrent.live(every=0.02, seconds=0.05)
        assert len(list(torrent.watch(every=0.01, seconds=0.05))) >= 2
    assert capsys.readouterr().out.count("film.mkv: ") >= 2


def test_plots_are_drawn_with_what_matplotlib_has(seeded: Seeded, leech: Leech, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = playswarm.History()
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        for _ in range(4):
            film.read(100_000)
            history.add(film.torrent.status())
        figure = film.torrent.plot()
        assert figure.axes[0].get_title().startswith("film.mkv: ")
        figure.savefig(tmp_path / "status.png")
        assert len(film.torrent.status().plot().axes) == 3
    history.plot().savefig(tmp_path / "history.png")
    assert "History of 4 statuses" in repr(history)
    assert (tmp_path / "status.png").stat().st_size > 5000 and (tmp_path / "history.png").stat().st_size > 5000


def test_without_matplotlib_a_plot_says_what_to_install(seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        seeded.torrent.plot()


@pytest.mark.parametrize("bar", ["tqdm", "a line"])
def test_progress_is_a_bar_or_a_line(
    bar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if bar == "tqdm":
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    (tmp_path / "a.mkv").write_bytes(film_bytes(1 << 20))
    torrent = playswarm.create_torrent(tmp_path / "a.mkv", progress=True)
    assert torrent.total_bytes == 1 << 20
    err = capsys.readouterr().err
    assert "hashing: 100" in err


def test_an_exception_in_a_progress_function_is_the_callers(tmp_path: Path, seeded: Seeded, leech: Leech) -> None:
    def broken(done: int, total: int) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        playswarm.create_torrent(seeded.folder / "film.mkv", progress=broken)
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        with pytest.raises(LookupError, match="mine"):
            torrent.download(progress=broken)
        # The wait ends, and the torrent still works.
        assert torrent.download() == len(seeded.data)


def test_the_progress_of_a_magnet_link_is_shown_until_it_is_open(session: playswarm.Session) -> None:
    info_hash = "0123456789" * 4
    assert session.opening() == []

    def opens() -> None:
        with pytest.raises(playswarm.TimedOutError):
            session.open(f"magnet:?xt=urn:btih:{info_hash}&x.pe=127.0.0.1:9", timeout=2)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = pool.submit(opens)
        seen: list[playswarm.OpeningStatus] = []
        while not done.done():
            seen += session.opening()
            time.sleep(0.01)
        done.result()
    last = seen[-1]
    assert (last.info_hash, last.received_bytes, last.total_bytes) == (info_hash, 0, None)
    assert last.found_peers == 1 and last.connected_peers == 0 and last.waited_s > 1
    assert {f.name for f in dataclasses.fields(last)} == set(dataclasses.asdict(last))
    until = time.monotonic() + 20
    while session.opening():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_film_with_a_name_that_tells_nothing_is_chosen_by_its_first_bytes(tmp_path: Path) -> None:
    pytest.importorskip("av")
    folder = tmp_path / "seed" / "both"
    folder.mkdir(parents=True)
    make_film(tmp_path / "film.mkv", 2 << 20, minutes=0.1)
    (tmp_path / "film.mkv").rename(folder / "b.0001")
    (folder / "a.mp3").write_bytes(film_bytes(300_000))
    metainfo = playswarm.create_torrent(folder)
    with playswarm.Session(playswarm.Config.offline(tmp_path / "seed")) as session:
        torrent = session.open(metainfo)
        torrent.recheck()
        assert torrent.choose_file(timeout=30).name.endswith("b.0001")
