"""`python -m playswarm` runs the program, and a session in Python exchanges data with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes

PROGRAM = [sys.executable, "-W", "error", "-m", "playswarm"]
OFFLINE = ["--no-dht", "--no-lsd", "--no-port-map", "--listen", "127.0.0.1:0"]


def run(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=60, env=os.environ)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def test_it_has_the_programs_version_help_and_exit_codes() -> None:
    assert run("--version").stdout == f"playswarm {playswarm.__version__}\n"
    assert "Usage: playswarm <COMMAND>" in run("stream", "--help").stdout or "Usage:" in run("--help").stdout
    assert run("nonsense", check=False).returncode == 2
    missing = run("info", "nope.torrent", check=False)
    assert missing.returncode == 1 and missing.stderr.startswith("error: cannot read nope.torrent")
    assert missing.stdout == ""


def test_it_makes_the_torrent_that_python_makes(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(film_bytes(1 << 20))
    out = run("create", tmp_path / "a.mkv", "-o", tmp_path / "a.torrent").stdout
    torrent = playswarm.create_torrent(tmp_path / "a.mkv")
    assert playswarm.Metainfo.load(tmp_path / "a.torrent") == torrent
    assert torrent.magnet in out
    assert torrent.info_hash in run("info", tmp_path / "a.torrent", "--wait", 0).stdout


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_it_streams_what_python_seeds_until_it_is_asked_to_end(
    signal_number: signal.Signals, seeded: Seeded, tmp_path: Path
) -> None:
    torrent = seeded.metainfo.save(tmp_path / "t.torrent")
    command = [*PROGRAM, "--quiet", "stream", str(torrent), "--dir", str(tmp_path / "d"), "--peer", seeded.address]
    with subprocess.Popen([*command, *OFFLINE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line.startswith("url: http://127.0.0.1:")
        with urllib.request.urlopen(line.split()[1], timeout=30) as response:
            assert response.read() == seeded.data
        program.send_signal(signal_number)
        assert program.wait(20) == 0
        assert program.stderr is not None and "Traceback" not in program.stderr.read()


@pytest.mark.parametrize("words", [[], ["--quiet"]], ids=["with words", "quietly"])
def test_what_it_seeds_is_read_in_python(words: list[str], seeded: Seeded, tmp_path: Path) -> None:
    torrent = seeded.metainfo.save(tmp_path / "t.torrent")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "film.mkv").write_bytes(seeded.data)
    command = [*PROGRAM, *words, "seed", str(tmp_path / "copy" / "film.mkv"), str(torrent), *OFFLINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        assert program.stdout is not None
        peer = program.stdout.readline().rsplit(" at ", 1)[1].strip()
        with playswarm.Session(playswarm.Config.offline(tmp_path / "l", peers=[peer])) as session:
            with playswarm.open(torrent, session=session, timeout=30) as film:
                assert film.read() == seeded.data
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0
