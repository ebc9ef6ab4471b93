"""Times instead of bytes: a film's index, read from the swarm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, make_film

Leech = Callable[..., playswarm.Session]


@pytest.fixture(params=["mp4", "mkv"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Seeded]:
    """A film of one minute with a keyframe each second."""
    pytest.importorskip("av")
    made = tmp_path / f"made.{request.param}"
    make_film(made, 8 << 20, minutes=1)
    with Seeded(tmp_path / "seed", made.read_bytes(), f"film.{request.param}") as seeded:
        yield seeded


def test_a_films_time_is_known_before_the_film_is_here(film: Seeded, leech: Leech) -> None:
    with leech(film.session).open(film.metainfo) as torrent:
        assert torrent.known_timeline() is None
        timeline = torrent.timeline(timeout=60)
        assert 50 < timeline.duration < 90
        assert [(t.kind, t.codec) for t in timeline.tracks] == [("video", "mpeg4")]
        assert timeline.accuracy in ("exact", "sparse") and timeline.why is None
        assert timeline.container in ("MP4", "Matroska") and timeline.container in repr(timeline)
        times = [k.time for k in timeline.keyframes]
        assert times == sorted(times) and len(times) >= 5
        start, end = timeline.byte_range(10, 20)
        assert 0 < start < end < torrent.files[0].size
        assert timeline.time_at(timeline.byte_at(30.0)) == pytest.approx(30, abs=2)
        assert torrent.known_timeline() is not None
        assert torrent.status().timelines[0].duration_s == timeline.duration
        assert not torrent.status().is_complete


def test_a_seek_to_a_time_lands_on_the_keyframe_before_it(film: Seeded, leech: Leech) -> None:
    with playswarm.open(film.metainfo, session=leech(film.session), timeout=60) as opened:
        seek_point = opened.seek_time(30.7)
        assert not seek_point.estimated and 29.5 < seek_point.time <= 30.7
        assert opened.tell() == seek_point.position
        assert opened.read(1000) == film.data[seek_point.position : seek_point.position + 1000]
        assert opened.time is not None and abs(opened.time - seek_point.time) < 2
        assert opened.seek_time(1e9).position < opened.size
        assert opened.seek_time(0).time == pytest.approx(0, abs=0.1)
        for wrong in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="a time cannot be negative"):
                opened.seek_time(wrong)
    with pytest.raises(ValueError):
        opened.seek_time(1)


def test_the_same_for_asyncio(film: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        config = playswarm.Config.offline(tmp_path / "l", peers=[film.address])
        async with playswarm.AsyncSession(config) as session:
            async with playswarm.open_async(film.metainfo, session=session, timeout=60) as opened:
                seek_point = await opened.seek_time(30.7)
                assert opened.tell() == seek_point.position and 29.5 < seek_point.time <= 30.7
                assert await opened.read(10) == film.data[seek_point.position : seek_point.position + 10]
                assert opened.time is not None
                assert (await opened.torrent.timeline()).duration > 50

    asyncio.run(main())


def test_a_file_that_tells_no_time_says_why_and_plays_from_its_start(seeded: Seeded, leech: Leech) -> None:
    with leech(seeded.session).open(seeded.metainfo) as torrent:
        timeline = torrent.timeline(timeout=60)
        assert timeline.accuracy == "estimate" and timeline.why and timeline.duration == 0
        with torrent.open() as film:
            seek_point = film.seek_time(60)
            assert seek_point.estimated and seek_point.position == 0


def test_waiting_for_an_index_that_nobody_has_can_end(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    with playswarm.open(nobody, session=session, timeout=0.1) as film:
        assert film.time is None
        with pytest.raises(TimeoutError):
            film.seek_time(5)
        with pytest.raises(TimeoutError):
            film.torrent.timeline(timeout=0.1)
        assert film.tell() == 0
