"""The figures of docs/PYTHON.md: Python beside Rust on loopback, the cost of an import, how soon Ctrl-C is heard.

    cargo build --release -p playswarm-python --example sequential
    pip install .
    python ffi-python/bench/figures.py target/release/examples/sequential [--mib 1024] [--rounds 5]

Each figure is the median of so many rounds; Rust and Python take turns, so that a busy machine hits both. A seed in a process
of its own gives the bytes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import playswarm

SEED = """
import sys, playswarm
with playswarm.Session(playswarm.Config.offline(sys.argv[1])) as session:
    torrent = session.open(sys.argv[2])
    torrent.recheck()
    print("%s:%d" % session.listen_addr, flush=True)
    sys.stdin.read()
"""


def read(torrent: Path, peer: str, folder: str, threads: int) -> float:
    """MiB/s of so many threads that read a part each."""
    with playswarm.Session(playswarm.Config.offline(folder, peers=[peer])) as session, session.open(torrent) as torrent:
        size = torrent.files[0].size

        def part(n: int) -> None:
            with torrent.open(0) as film:
                film.seek(n * size // threads)
                left, into = (n + 1) * size // threads - film.tell(), memoryview(bytearray(1 << 20))
                while left:
                    left -= film.readinto(into[: min(left, len(into))])

        workers = [threading.Thread(target=part, args=(n,)) for n in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return size / (1 << 20) / (time.perf_counter() - began)


def timed(command: list[str]) -> tuple[float, float]:
    """The rate that a reader prints, and the seconds of processors that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return rate, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(kind: str, threads: int, rounds: int, readers: dict[str, list[str]], folder: Path, mib: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {language: [] for language in readers}
    for turn in range(rounds + (kind == "what is here")):
        for language, command in readers.items():
            if kind == "from the swarm":
                shutil.rmtree(folder, ignore_errors=True)
            took = timed([*command, str(folder), str(threads)])
            # Of what is here, the first turn has put it there.
            if kind == "from the swarm" or turn:
                found[language].append(took)
    shutil.rmtree(folder)
    (rust, rust_cpu), (python, python_cpu) = (
        (statistics.median(rate for rate, _ in f), statistics.median(cpu for _, cpu in f)) for f in found.values()
    )
    print(
        f"{mib} MiB, {kind}, {threads} thread{'s' * (threads > 1)}: Rust {rust:.0f} MiB/s with {rust_cpu:.2f} s of processors, "
        f"Python {python:.0f} MiB/s with {python_cpu:.2f} s: {100 * python / rust:.0f} %",
        flush=True,
    )


def beside_rust(rust: str, mib: int, rounds: int) -> None:
    # In memory, where there is such a place: a disk would be what is measured.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as temporary:
        folder = Path(temporary)
        with (folder / "film.mkv").open("wb") as film:
            for _ in range(mib):
                film.write(os.urandom(1 << 20))
        torrent = playswarm.create_torrent(folder / "film.mkv").save(folder / "film.torrent")
        seed = subprocess.Popen(
            [sys.executable, "-c", SEED, temporary, str(torrent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert seed.stdout is not None
        peer = seed.stdout.readline().strip()
        readers = {
            "Rust": [rust, str(torrent), peer],
            "Python": [sys.executable, __file__, "--read", str(torrent), peer],
        }
        try:
            for threads in (1, 8):
                for kind in ("from the swarm", "what is here"):
                    compare(kind, threads, rounds, readers, folder / "here", mib)
        finally:
            seed.communicate("")


def imports(rounds: int) -> None:
    def took(code: str) -> tuple[float, float]:
        """Seconds on the wall and of processors."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    took("import playswarm")
    bare, whole = ([took(code) for _ in range(5 * rounds)] for code in ("pass", "import playswarm"))
    wall, cpu = (1000 * (statistics.median(w[n] for w in whole) - statistics.median(b[n] for b in bare)) for n in (0, 1))
    best = 1000 * (min(whole)[0] - min(bare)[0])
    print(f"import beyond a bare interpreter: {wall:.0f} ms (median), {best:.0f} ms (best), {cpu:.0f} ms of processor time")


def interruptions(rounds: int) -> None:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.mkv").write_bytes(os.urandom(1 << 20))
        torrent = playswarm.create_torrent(Path(folder) / "a.mkv")
        (Path(folder) / "a.mkv").unlink()
        with (
            playswarm.Session(playswarm.Config.offline(folder)) as session,
            playswarm.open(torrent, session=session) as film,
        ):
            for _ in range(20 * rounds):
                sent = [0.0]

                def send(sent: list[float] = sent) -> None:
                    sent[0] = time.perf_counter()
                    os.kill(os.getpid(), signal.SIGINT)

                timer = threading.Timer(0.05, send)
                timer.start()
                try:
                    film.read(1)
                except KeyboardInterrupt:
                    took.append(time.perf_counter() - sent[0])
                timer.join()
    took.sort()
    print(f"Ctrl-C ends a read within {1000 * statistics.median(took):.0f} ms (median), {1000 * took[-1]:.0f} ms (most)")


def main() -> None:
    if sys.argv[1:2] == ["--read"]:
        torrent, peer, folder, threads = sys.argv[2:]
        print(read(Path(torrent), peer, folder, int(threads)))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rust", help="the built example `sequential`")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    imports(args.rounds)
    interruptions(args.rounds)
    beside_rust(args.rust, args.mib, args.rounds)


if __name__ == "__main__":
    main()
