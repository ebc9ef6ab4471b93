"""Films and seeds for the tests of the Python module, and for the processes that they start."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import playswarm


def film_bytes(size: int, seed: int = 1) -> bytes:
    """Returns reproducible bytes that do not repeat."""
    return random.Random(seed).randbytes(size)


class Seeded:
    """A file, its torrent, and a session that seeds it."""

    def __init__(self, folder: Path, data: bytes, name: str = "film.mkv", **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        self.data, self.folder = data, folder
        self.metainfo = playswarm.create_torrent(folder / name)
        self.session = playswarm.Session(playswarm.Config.offline(folder, **settings))
        self.torrent = self.session.open(self.metainfo)
        assert self.torrent.recheck() == len(data)

    @property
    def address(self) -> str:
        host, port = self.session.listen_addr or ("", 0)
        return f"{host}:{port}"

    def __enter__(self) -> Seeded:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def python(code: str, *args: object, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs Python code in its own process, with warnings as errors. A hang is a failure."""
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
    """Returns the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def make_film(path: Path, size: int, *, minutes: float = 4) -> None:
    """Makes a film of about this size and length, with a keyframe each second, of noise that does not compress.

    Two seconds are encoded, and written again and again: that takes no longer than the disk does.
    """
    from fractions import Fraction

    import av
    import numpy

    fps, noise = 24, numpy.random.default_rng(3)
    # mpeg4 at its best quality takes about 1.1 bytes a pixel of noise.
    pixels = size / (minutes * 60 * fps) / 1.1
    height = max(32, int((pixels * 9 / 16) ** 0.5) // 2 * 2)
    width = max(32, int(height * 16 / 9) // 2 * 2)
    with av.open(path, "w") as out:
        stream = out.add_stream("mpeg4", rate=fps, options={"qmin": "2", "qmax": "2", "b": "200M"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", fps
        packets = []
        for _ in range(2 * fps):
            picture = noise.integers(0, 255, (height, width, 3), numpy.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24"))
        packets += stream.encode(None)
        parts = [(bytes(packet), packet.is_keyframe) for packet in packets]
        written = number = 0
        while written < size:
            for data, key in parts:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, fps), key
                packet.pts = packet.dts = number
                packet.duration = 1
                out.mux(packet)
                written, number = written + len(data), number + 1


class Libtorrent:
    """A libtorrent session in its own process, like most seeds on the internet."""

    def __init__(self, torrent: Path, folder: Path, upload: int = 0, seed: bool = True) -> None:
        script = Path(__file__).parents[1] / "peers" / "lt_peer.py"
        command = [sys.executable, str(script), "127.0.0.1:0", "--upload", str(upload)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.address = f"127.0.0.1:{self.hears('ready')['port']}"
            self.tell(do="add", torrent=str(torrent), dir=str(folder), seed=seed)
        except BaseException:
            self.close()
            raise

    def tell(self, **what: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def hears(self, key: str) -> dict[str, Any]:
        """Returns its next message of this kind."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            assert "error" not in said, said
            if key in said:
                return said
        raise AssertionError("libtorrent ended")

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def __enter__(self) -> Libtorrent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
