"""Films and seeds for the tests of the Python module, and for the processes that they start."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import playswarm


def film_bytes(size: int, seed: int = 1) -> bytes:
    """Bytes that are the same each time and nowhere alike."""
    return random.Random(seed).randbytes(size)


class Seeded:
    """A file, its torrent, and a session that seeds it."""

    def __init__(self, folder: Path, data: bytes, name: str = "film.mkv", **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        self.data, self.folder = data, folder
        self.torrent = playswarm.create_torrent(folder / name)
        self.session = playswarm.Session(playswarm.Config.offline(folder, **settings))
        self.media = self.session.open(self.torrent)
        assert self.media.check_files() == len(data)

    @property
    def address(self) -> str:
        host, port = self.session.listen_addr or ("", 0)
        return f"{host}:{port}"

    def __enter__(self) -> Seeded:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def python(code: str, *args: object, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, with warnings as errors; a hang is a failure."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ,
    )
    if check:
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
