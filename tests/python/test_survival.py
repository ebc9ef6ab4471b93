"""Robustness: closed objects, huge numbers, interruptions at any moment, the interpreter's exit, many openings."""

from __future__ import annotations

import asyncio
import gc
import io
import multiprocessing
import os
import random
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes, python, rss_bytes

Leech = Callable[..., playswarm.Session]
RUNS = int(os.environ.get("PLAYSWARM_TEST_RUNS", "1000"))
"""Interruptions at random moments."""
OPENINGS = int(os.environ.get("PLAYSWARM_TEST_OPENINGS", "10000"))
"""Files opened and closed, one after the other."""


def test_a_closed_file_says_so_in_every_way(seeded: Seeded, leech: Leech) -> None:
    film = playswarm.open(seeded.metainfo, session=leech(seeded.session))
    film.close()
    film.close()
    calls: list[Callable[[], object]] = [
        film.read,
        film.readall,
        film.tell,
        film.readable,
        film.seekable,
        film.readable_bytes,
        lambda: film.seek(0),
        lambda: film.readinto(bytearray(1)),
        lambda: film.read(0),
        lambda: film.__enter__(),
        lambda: film.torrent.status(),
        lambda: film.torrent.open(),
        lambda: film.torrent.download(),
        lambda: film.cancel(),
        lambda: setattr(film, "ahead", 5),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_a_closed_session_says_so_in_every_way(seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    torrent = session.open(seeded.metainfo)
    film = torrent.open()
    session.close()
    session.close()
    calls: list[Callable[[], object]] = [
        lambda: session.open(seeded.metainfo),
        lambda: session.describe(seeded.metainfo),
        lambda: session.listen_addr,
        session.seeded_in_background,
        torrent.status,
        torrent.piece_map,
        torrent.open,
        torrent.events,
        torrent.recheck,
        torrent.sync,
        torrent.fetch_all,
        torrent.prefetch,
        lambda: torrent.add_peer("127.0.0.1:1"),
        lambda: film.read(1),
        lambda: film.readinto(bytearray(1)),
    ]
    for call in calls:
        with pytest.raises(playswarm.ClosedError):
            call()
    assert torrent.closed and session.closed
    assert list(torrent.watch()) == []


def test_negative_and_huge_numbers_are_what_they_are_for_files(seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        assert film.read(1 << 62) == seeded.data
        assert film.read(1 << 100) == b""
        film.seek(0)
        assert film.read(-5) == seeded.data
        assert film.seek(1 << 60) == 1 << 60
        assert film.read(5) == film.read() == b"" and film.readinto(bytearray(5)) == 0
        assert film.readable_bytes() == 0
        with pytest.raises(OverflowError):
            film.seek(1 << 64)
        with pytest.raises(ValueError, match="negative seek value -1"):
            film.seek(-1)
        assert film.seek(-(1 << 70), io.SEEK_CUR) == 0
        with pytest.raises(ValueError, match="whence"):
            film.seek(0, 7)
        for wrong in (1.5, "5", None):
            with pytest.raises(TypeError):
                film.seek(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            film.read(1.5)  # type: ignore[arg-type]
        for ahead in (-1, 1 << 64):
            with pytest.raises(OverflowError):
                film.ahead = ahead
        film.ahead = (1 << 64) - 2
        assert film.read(5) == seeded.data[:5]


def test_closing_from_another_thread_ends_a_read_that_waits(
    nobody: playswarm.Metainfo, session: playswarm.Session
) -> None:
    film = playswarm.open(nobody, session=session)
    closing = threading.Timer(0.05, film.close)
    closing.start()
    with pytest.raises(playswarm.ClosedError):
        film.read(1)
    closing.join()


def test_cancelling_ends_reads_until_it_is_taken_back(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    with playswarm.open(nobody, session=session, timeout=0.05) as film:
        film.timeout = None
        cancelling = threading.Timer(0.05, film.cancel)
        cancelling.start()
        with pytest.raises(playswarm.CancelledError):
            film.read(1)
        with pytest.raises(playswarm.CancelledError):
            film.readinto(bytearray(1))
        cancelling.join()
        film.reset()
        film.timeout = 0.05
        with pytest.raises(TimeoutError):
            film.read(1)


def test_closing_the_session_ends_reads_that_wait_in_threads(
    nobody: playswarm.Metainfo, session: playswarm.Session
) -> None:
    raised: list[BaseException] = []

    def read() -> None:
        try:
            playswarm.open(nobody, session=session).read(1)
        except BaseException as e:
            raised.append(e)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    session.close()
    for thread in threads:
        thread.join(20)
    assert [type(e) for e in raised] == [playswarm.ClosedError] * 8


def test_ctrl_c_ends_a_read_that_waits(nobody: playswarm.Metainfo, session: playswarm.Session) -> None:
    with playswarm.open(nobody, session=session) as film:
        for read in (
            lambda: film.read(1),
            lambda: film.readinto(bytearray(1)),
            lambda: list(film.torrent.events()),
        ) * 5:
            timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                read()
            timer.join()


def test_other_signals_run_their_handlers_and_the_read_goes_on(
    nobody: playswarm.Metainfo, session: playswarm.Session
) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with playswarm.open(nobody, session=session, timeout=0.3) as film:
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(TimeoutError):
                film.read(1)
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_keyboard_interrupts_at_random_moments_leave_all_in_order(tmp_path: Path) -> None:
    """Opening, seeking, reading and closing, interrupted at any moment, a thousand times; every byte that arrives is right."""
    code = """
import faulthandler, itertools, random, signal, sys, warnings
import playswarm
from lab import Seeded, film_bytes
from pathlib import Path

runs, folder = int(sys.argv[1]), Path(sys.argv[2])
rng = random.Random(5)
faulthandler.dump_traceback_later(100, exit=True)
# A session that an interruption leaves without a reference closes itself, with a warning.
warnings.simplefilter("ignore", ResourceWarning)
armed = False

def interrupted(number, frame):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupted)
with Seeded(folder / "seed", film_bytes(2 << 20)) as seeded, playswarm.Session(
    playswarm.Config.offline(folder / "leech", peers=[seeded.address])
) as session:
    film = playswarm.open(seeded.metainfo, session=session)
    caught = 0
    for run in range(runs):
        try:
            armed = True
            # Repeated, in case the first arrives where Python ignores exceptions (a finalizer).
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00005, 0.004), 0.01)
            for _ in itertools.count():
                kind = rng.randrange(6)
                if kind == 0 or film.closed:
                    film.close()
                    film = playswarm.open(seeded.metainfo, session=session)
                elif kind == 1:
                    list(zip(range(3), film.torrent.events(timeout=0.001)))
                elif kind == 2:
                    film.torrent.status()
                at = rng.randrange(film.size)
                film.seek(at)
                size = rng.randrange(300_000)
                if kind < 4:
                    assert film.read(size) == seeded.data[at : at + size]
                    continue
                into = bytearray(size)
                n = film.readinto(into)
                assert into[:n] == seeded.data[at : at + n]
                assert film.tell() == at + n
        except (KeyboardInterrupt, playswarm.TimedOutError) as e:
            armed = False
            caught += isinstance(e, KeyboardInterrupt)
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    film.close()
    film = playswarm.open(seeded.metainfo, session=session)
    assert film.read() == seeded.data
    film.close()
    # The start and the end of sessions are interrupted, too.
    for run in range(runs // 20):
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.01), 0.02)
            while True:
                with playswarm.Session(playswarm.Config.offline(folder / "other")) as other:
                    other.open(seeded.metainfo).close()
        except KeyboardInterrupt:
            armed = False
            caught += 1
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    print(caught)
"""
    done = python(code, RUNS, tmp_path, timeout=115)
    assert int(done.stdout) > RUNS / 3


def test_cancellations_of_asyncio_at_random_moments_leave_all_in_order(seeded: Seeded, tmp_path: Path) -> None:
    rng = random.Random(6)

    async def work(session: playswarm.AsyncSession) -> None:
        while True:
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                for _ in range(5):
                    at, size = rng.randrange(film.size), rng.randrange(200_000)
                    film.seek(at)
                    assert await film.read(size) == seeded.data[at : at + size]
                    assert film.tell() == min(at + size, film.size)
                async for _ in film.torrent.events():
                    if rng.random() < 0.5:
                        break

    async def main() -> int:
        cancelled = 0
        config = playswarm.Config.offline(tmp_path / "l", peers=[seeded.address])
        async with playswarm.AsyncSession(config) as session:
            for _ in range(RUNS):
                task = asyncio.create_task(work(session))
                await asyncio.sleep(rng.choice((0, 0, 0.0002, 0.001, 0.003)))
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    cancelled += 1
            async with playswarm.open_async(seeded.metainfo, session=session) as film:
                assert await film.read() == seeded.data
        return cancelled

    assert asyncio.run(main()) == RUNS


def test_many_openings_leave_no_memory_behind(seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    torrent = session.open(seeded.metainfo)
    torrent.download()

    def open_and_close(times: int) -> None:
        for n in range(times):
            with torrent.open() as film:
                film.seek(n % len(seeded.data))
                assert (
                    film.read(10) == seeded.data[film.tell() - 10 : film.tell()] or film.tell() > len(seeded.data) - 10
                )
            if n % 10 == 0:
                with playswarm.open(seeded.metainfo, session=session) as film:
                    film.readinto(bytearray(1000))

    open_and_close(OPENINGS // 5)
    gc.collect()
    tracemalloc.start()
    try:
        before, rss = tracemalloc.get_traced_memory()[0], rss_bytes()
        open_and_close(OPENINGS)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
        assert rss_bytes() - rss < 8 << 20
    finally:
        tracemalloc.stop()
    assert torrent.status().readers == ()


def test_many_torrents_opened_and_closed_leave_no_memory_behind(tmp_path: Path, session: playswarm.Session) -> None:
    torrents = []
    for n in range(4):
        (tmp_path / f"{n}.mkv").write_bytes(film_bytes(100_000, seed=n))
        torrents.append(playswarm.create_torrent(tmp_path / f"{n}.mkv"))

    def open_and_close(times: int) -> None:
        for n in range(times):
            with session.open(torrents[n % 4]) as torrent, torrent.open() as film:
                assert film.readable_bytes() == 0

    open_and_close(OPENINGS // 50)
    gc.collect()
    tracemalloc.start()
    try:
        before, rss = tracemalloc.get_traced_memory()[0], rss_bytes()
        open_and_close(OPENINGS // 20)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
        assert rss_bytes() - rss < 12 << 20
    finally:
        tracemalloc.stop()


ENDINGS = {
    "the end of the script": "",
    "sys.exit": "sys.exit(0)",
    "an exception": "sys.stderr = open('/dev/null', 'w'); raise SystemExit(0) from ValueError()",
    "clean-up of modules that is late": "import atexit; atexit.register(lambda: film.closed)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_python_ends_with_files_open_and_reads_blocked(
    ending: str, nobody: playswarm.Metainfo, seeded: Seeded, tmp_path: Path
) -> None:
    code = f"""
import asyncio, logging, playswarm, sys, threading, time
logging.getLogger("playswarm").setLevel(5)
session = playswarm.Session(playswarm.Config.offline(sys.argv[1], peers=[sys.argv[4]]))
film = playswarm.open(sys.argv[2], session=session)
busy = playswarm.open(sys.argv[3], session=session)
ended = []

def blocked():
    film.read(1)

def reading():
    into = bytearray(1000)
    while True:
        busy.seek(0)
        busy.readinto(into)

def listening():
    for event in film.torrent.events(): pass

async def waiting():
    async with playswarm.AsyncSession(playswarm.Config.offline(sys.argv[1] + "2")) as other:
        async with playswarm.open_async(sys.argv[2], session=other) as file:
            await file.read(1)

threading.excepthook = lambda args: ended.append(args.exc_type)
jobs = [blocked] * 4 + [reading] * 2 + [listening, lambda: asyncio.run(waiting()), lambda: session.open("ab" * 20)]
for job in jobs:
    threading.Thread(target=job, daemon=True).start()
time.sleep(0.2)
print("ending", flush=True)
{ENDINGS[ending]}
"""
    files = (nobody.save(tmp_path / "a.torrent"), seeded.metainfo.save(tmp_path / "b.torrent"))
    for n in range(3):
        done = python(code, tmp_path / f"d{n}", *files, seeded.address, timeout=30)
        assert done.stdout == "ending\n"
        assert "Fatal" not in done.stderr and "panicked" not in done.stderr


def test_ctrl_c_ends_a_program_that_waits_for_its_own_threads(nobody: playswarm.Metainfo, tmp_path: Path) -> None:
    code = """
import playswarm, signal, sys, threading, time, os
session = playswarm.Session(playswarm.Config.offline(sys.argv[1]))
film = playswarm.open(sys.argv[2], session=session)
threading.Thread(target=lambda: film.read(1)).start()
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
"""
    done = python(code, tmp_path / "d", nobody.save(tmp_path / "a.torrent"), timeout=30, check=False)
    assert "KeyboardInterrupt" in done.stderr and "Fatal" not in done.stderr


def test_a_session_that_nobody_closed_says_so_and_closes_itself(tmp_path: Path) -> None:
    with pytest.warns(ResourceWarning, match="unclosed session <Session in"):
        playswarm.Session(playswarm.Config.offline(tmp_path))
        gc.collect()


def test_a_fork_is_told_to_spawn_and_harms_nobody(seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    with playswarm.open(seeded.metainfo, session=session) as film:
        film.read(10)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                try:
                    film.read(10)
                except RuntimeError as e:
                    code = 0 if "spawn" in str(e) else 2
                del film, session
                gc.collect()
                playswarm._session._at_exit()
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert film.read(10) == seeded.data[10:20]


def _read_in_a_process(folder: str, torrent: bytes, peer: str, at: int) -> bytes:
    with playswarm.Session(playswarm.Config.offline(folder, peers=[peer])) as session:
        with playswarm.open(torrent, session=session) as film:
            film.seek(at)
            return film.read(1000)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_not_forked_have_sessions_of_their_own(method: str, seeded: Seeded, tmp_path: Path) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        work = [(str(tmp_path / f"p{n}"), seeded.metainfo.to_bytes(), seeded.address, n * 1_000_000) for n in range(3)]
        assert pool.starmap(_read_in_a_process, work) == [
            seeded.data[n * 1_000_000 : n * 1_000_000 + 1000] for n in range(3)
        ]
        pool.close()
        pool.join()


def test_importing_is_quick_and_starts_nothing() -> None:
    code = """
import threading, sys
import playswarm
assert threading.active_count() == 1
assert not {"asyncio", "matplotlib", "numpy", "tqdm", "IPython"} & set(sys.modules), sys.modules.keys()
"""
    assert python(code).stderr == ""
