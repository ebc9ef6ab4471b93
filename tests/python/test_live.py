"""Live channels: a cast is a file to write into, and a channel a file to read from."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import playswarm
from lab import film_bytes

Leech = Callable[..., playswarm.Session]

BYTES = film_bytes(60_000)


def raw(session: playswarm.Session, **more: object) -> playswarm.Cast:
    """A cast of bytes that no container has."""
    return session.cast("Raw", content_type="application/x-test", bytes_per_s=60_000, **more)  # type: ignore[arg-type]


def until_fed(status: Callable[[], playswarm.ChannelStatus]) -> None:
    """Waits until a viewer is there, which then gets every byte."""
    while status().fed == 0:
        time.sleep(0.01)


def test_what_is_written_is_read_by_a_viewer_that_has_the_link(session: playswarm.Session, leech: Leech) -> None:
    viewer = leech()
    with raw(session) as out:
        assert out.link.startswith("playswarm:") and out.writable() and not out.readable() and not out.seekable()
        with playswarm.watch(out.link, session=viewer, timeout=60) as live:
            assert isinstance(live, io.RawIOBase) and live.readable() and not live.seekable() and not live.writable()
            for attempt in (lambda: live.seek(5), lambda: live.write(b"x"), lambda: out.read(1), lambda: out.seek(0)):
                with pytest.raises(io.UnsupportedOperation):
                    attempt()
            until_fed(live.status)
            assert out.write(memoryview(BYTES[:1000])) == 1000 and out.write(bytearray(BYTES[1000:])) == 59_000
            out.set_title("One")
            out.end()
            into = bytearray(500)
            n = live.readinto(into)
            first = live.read(700)
            assert 0 < n <= 500 and 0 < len(first) <= 700
            assert bytes(into[:n]) + first + live.readall() == BYTES
            assert live.read(10) == b"" and live.tell() == len(BYTES)
            assert live.head == playswarm.ChannelHead("Raw", "application/x-test", 60_000)
            status = live.status()
            assert status.ended and status.gaps == 0 and status.stripe_map == "#" * status.stripes
            assert status.delay_ms is not None and out.status().children == status.stripes
            assert status.title == "One" and status.full_for_s is None
            assert (status.reachable, out.status().reachable) == (None, True)
            assert live.channel.link == out.link
        assert live.closed
        with pytest.raises(ValueError, match="closed file"):
            live.read(1)
    assert out.closed
    with pytest.raises(ValueError, match="closed file"):
        out.write(b"x")


def test_a_session_gives_channels_with_their_head_and_several_readers(session: playswarm.Session, leech: Leech) -> None:
    with raw(session, key=bytes(range(32))) as out, leech().watch(out.link, timeout=60) as channel:
        with pytest.raises(playswarm.TimedOutError):
            channel.on_air(timeout=0.05)
        until_fed(channel.status)
        with channel.open() as one, channel.open() as two:
            out.write(BYTES)
            assert channel.on_air(timeout=60).name == "Raw"
            out.end()
            assert channel.status().readers == 2
            assert one.readall() == two.readall() == BYTES
    assert channel.closed


def test_a_read_is_ended_by_a_cancellation_a_timeout_and_the_end_of_the_session(
    session: playswarm.Session, leech: Leech
) -> None:
    viewer = leech()
    with raw(session) as out:
        live = playswarm.watch(out.link, session=viewer, timeout=0.05)
        with pytest.raises(playswarm.TimedOutError):
            live.read(1)
        live.timeout = None
        for end, error in ((live.cancel, playswarm.CancelledError), (viewer.close, playswarm.ClosedError)):
            timer = threading.Timer(0.1, end)
            timer.start()
            with pytest.raises(error):
                live.read(1)
            timer.join()
            live.reset()
        live.close()


def test_what_cannot_be_cast_or_watched_is_a_sentence(session: playswarm.Session) -> None:
    with pytest.raises(playswarm.BadSourceError, match="no link to a live channel"):
        session.watch("film.torrent")
    with pytest.raises(playswarm.BadSourceError, match="'playswarm:short'"):
        playswarm.watch("playswarm:short", session=session)
    with pytest.raises(playswarm.BadConfigError, match="name"):
        session.cast("x" * 300)
    with pytest.raises(ValueError):
        session.cast(key=b"short")
    with raw(session, key=bytes(32)), pytest.raises(playswarm.BadArgumentError, match="open in this session"):
        raw(session, key=bytes(32))
    film = (Path(__file__).parents[2] / "cli/demo/clip.mp4").read_bytes()
    with pytest.raises(playswarm.BadConfigError, match="frag_keyframe"), session.cast() as out:
        out.write(film)


def test_asyncio_casts_and_watches(session: playswarm.Session, tmp_path: Path) -> None:
    async def main() -> None:
        config = playswarm.Config.offline(tmp_path / "viewer")
        async with (
            playswarm.AsyncSession(config) as viewer,
            playswarm.AsyncSession(config, dir=tmp_path / "s") as source,
        ):
            async with source.cast("Raw", content_type="application/x-test", bytes_per_s=60_000) as out:
                async with playswarm.watch_async(out.link, session=viewer, timeout=60) as live:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await live.read()
                    while live.status().fed == 0:
                        await asyncio.sleep(0.01)
                    out.write(BYTES)
                    out.end()
                    assert (await live.channel.on_air()).name == "Raw"
                    first = await live.read(1000)
                    assert first + b"".join([chunk async for chunk in live]) == BYTES
                assert live.closed and live.channel.closed
            assert out.closed

    asyncio.run(main())


def test_pyav_encodes_into_a_cast_and_decodes_a_channel(session: playswarm.Session, leech: Leech) -> None:
    av = pytest.importorskip("av")
    numpy = pytest.importorskip("numpy")
    frames = 75

    def encode(out: playswarm.Cast) -> None:
        with av.open(out, "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 25
            for n in range(frames):
                picture = numpy.full((120, 160, 3), n * 3, numpy.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
                time.sleep(0.01)
            container.mux(stream.encode(None))
        out.end()

    with session.cast("PyAV", bytes_per_s=100_000) as out:
        with playswarm.watch(out.link, session=leech(), timeout=60) as live:
            until_fed(live.status)
            encoder = threading.Thread(target=encode, args=(out,))
            encoder.start()
            with av.open(live, "r") as container:
                shown = sum(1 for _ in container.decode(video=0))
            encoder.join()
            assert shown == frames
            assert live.head is not None and live.head.content_type == "video/mp2t"


def test_a_cast_is_archived_in_minutes_by_its_source_and_a_viewer(
    session: playswarm.Session, leech: Leech, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with raw(session, archive=here) as out:
        with leech().watch(out.link, archive=str(there), timeout=60) as channel:
            until_fed(channel.status)
            out.write(BYTES)
            out.end()
            channel.archived(timeout=60)
            status, (minute,) = channel.status(), channel.minutes()
            assert (status.minutes, status.archived, status.trouble) == (1, 1, None)
            assert (minute.number, minute.bytes) == (1, len(BYTES)) and minute.info_hash in minute.magnet
    (made,) = here.glob("*/Raw * 0001.bin")
    (watched,) = there.glob("*/Raw * 0001.bin")
    assert made.read_bytes() == watched.read_bytes() == BYTES and made.name == watched.name
    (torrent,) = here.glob("*.torrent")
    assert [file.name for file in playswarm.Metainfo.load(torrent).files] == [made.name]
