"""The asyncio interface: nothing blocks the loop, and a cancelled call loses no data."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes


def offline(folder: Path, *peers: playswarm.Session, **settings: object) -> playswarm.Config:
    return playswarm.Config.offline(folder, peers=[p.listen_addr for p in peers], **settings)


def test_a_film_is_read_with_async_with_and_async_for(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l", seeded.session)) as session:
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                assert await film.read(10) == seeded.data[:10]
                film.seek(-5, 2)
                assert await film.read() == seeded.data[-5:]
                film.seek(0)
                assert b"".join([chunk async for chunk in film]) == seeded.data
                assert b"".join([c async for c in film.chunks(1000, 500_000)]) == seeded.data[1000:500_000]
                assert await film.read_at(5, 5) == seeded.data[5:10]
                assert film.tell() == len(seeded.data)
            assert film.closed

    asyncio.run(main())


def test_a_session_can_be_awaited_and_closed_by_hand(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        session = await playswarm.AsyncSession(offline(tmp_path / "l", seeded.session))
        assert await session.start() is session
        torrent = await session.open(seeded.metainfo, timeout=20)
        film = await playswarm.open_async(seeded.metainfo, "film", session=session)
        assert await film.read(3) == seeded.data[:3]
        assert torrent.piece_map()
        assert (await session.describe(seeded.metainfo.magnet)).name == "film.mkv"
        assert await torrent.download(progress=lambda done, total: None) == len(seeded.data)
        await torrent.sync()
        await film.close()
        await film.close()
        await torrent.close()
        await session.close()
        await session.close()
        assert session.closed

    asyncio.run(main())


def test_the_loop_goes_on_while_a_read_waits(nobody: playswarm.Metainfo, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l")) as session:
            async with playswarm.open_async(nobody, session=session) as film:
                read = asyncio.create_task(film.read(1))
                turns = 0
                for _ in range(20):
                    await asyncio.sleep(0.005)
                    turns += 1
                assert turns == 20 and not read.done()
                read.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await read

    asyncio.run(main())


def test_a_cancelled_read_can_be_repeated_and_nothing_is_lost(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l", seeded.session)) as session:
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                got = bytearray()
                given_up = 0
                while len(got) < len(seeded.data):
                    read = asyncio.create_task(film.read(65_536))
                    await asyncio.sleep(0)
                    if given_up < 300:
                        for _ in range(given_up % 7):
                            await asyncio.sleep(0)
                        read.cancel()
                    try:
                        got += await read
                    except asyncio.CancelledError:
                        given_up += 1
                assert got == seeded.data and given_up > 100

    asyncio.run(main())


def test_a_time_out_of_asyncio_ends_a_read(nobody: playswarm.Metainfo, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l")) as session:
            async with playswarm.open_async(nobody, session=session, timeout=0.05) as film:
                with pytest.raises(TimeoutError):
                    await film.read(1)
                film.timeout = None
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await film.read(1)
                assert film.tell() == 0
            with pytest.raises(TimeoutError):
                await session.open("ab" * 20, timeout=0.05)

    asyncio.run(main())


def test_closing_ends_reads_that_wait(nobody: playswarm.Metainfo, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l")) as session:
            film = await playswarm.open_async(nobody, session=session)
            read = asyncio.create_task(film.read(1))
            await asyncio.sleep(0.02)
            await film.close()
            with pytest.raises(playswarm.ClosedError):
                await read
            with pytest.raises(ValueError):
                await film.read(1)
            film = await playswarm.open_async(nobody, session=session)
            read = asyncio.create_task(film.read(1))
            await asyncio.sleep(0.02)
        with pytest.raises(playswarm.ClosedError):
            await read

    asyncio.run(main())


def test_events_are_an_asynchronous_iterator(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with playswarm.AsyncSession(offline(tmp_path / "l", seeded.session)) as session:
            async with await session.open(seeded.metainfo) as torrent:
                torrent.fetch_all()
                seen = []
                async for event in torrent.events():
                    seen.append(event.event)
                    if event.event == "completed":
                        break
                assert [s.is_complete async for s in torrent.watch(0.01, 0.02)][-1]
                return seen

    assert asyncio.run(main())[-1] == "completed"


def test_many_files_are_read_at_once(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l", seeded.session)) as session:

            async def part(n: int) -> None:
                async with playswarm.open_async(seeded.metainfo, session=session) as film:
                    film.seek(n * 100_000)
                    assert await film.read(100_000) == seeded.data[n * 100_000 : (n + 1) * 100_000]

            async with asyncio.TaskGroup() as group:
                for n in range(40):
                    group.create_task(part(n))

    asyncio.run(main())


def test_tasks_that_share_a_file_take_turns(seeded: Seeded, tmp_path: Path) -> None:
    async def main() -> None:
        async with playswarm.AsyncSession(offline(tmp_path / "l", seeded.session)) as session:
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                parts = await asyncio.gather(*(film.read(50_000) for _ in range(10)))
                assert b"".join(parts) == seeded.data[:500_000]

    asyncio.run(main())


def test_a_torrent_is_made_without_blocking_and_can_be_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(film_bytes(8 << 20))

    async def main() -> None:
        told = []
        torrent = await playswarm.create_torrent_async(tmp_path / "a.mkv", progress=lambda d, t: told.append((d, t)))
        assert torrent == playswarm.create_torrent(tmp_path / "a.mkv")
        making = asyncio.create_task(playswarm.create_torrent_async(tmp_path / "a.mkv"))
        await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making

    asyncio.run(main())


def test_a_loop_that_ended_under_a_read_harms_nobody(nobody: playswarm.Metainfo, tmp_path: Path) -> None:
    with playswarm.Session(offline(tmp_path / "l")) as session:

        async def main() -> None:
            film = playswarm._aio.AsyncTorrentHandle(session._get().open(nobody._raw).wait()).open()
            loop = asyncio.get_running_loop()
            future: asyncio.Future[bytes] = loop.create_future()
            film._raw.read_at(0, 1).start(loop, future, playswarm._aio._deliver)
            await asyncio.sleep(0.01)
            film._raw.close()

        asyncio.run(main())
        time.sleep(0.05)


def test_each_thread_may_have_a_loop_of_its_own(seeded: Seeded, tmp_path: Path) -> None:
    got: list[bytes] = []

    async def main(n: int) -> None:
        async with playswarm.AsyncSession(offline(tmp_path / f"l{n}", seeded.session)) as session:
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                got.append(await film.read(100_000))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(main(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [seeded.data[:100_000]] * 4


def test_the_blocking_face_works_within_a_running_loop_as_in_a_notebook(seeded: Seeded, tmp_path: Path) -> None:
    async def cell() -> bytes:
        with playswarm.Session(offline(tmp_path / "l", seeded.session)) as session:
            with playswarm.open(seeded.metainfo, session=session) as film:
                return film.read(1000)

    assert asyncio.run(cell()) == seeded.data[:1000]
