"""Fixtures of the Python module's tests: folders, films, and swarms on this machine."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

import playswarm
from lab import Seeded, film_bytes

# Source trees are importable without an installation; processes that tests start get the same.
ROOT = Path(__file__).resolve().parents[2]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "ffi-python" / "python"), str(ROOT / "tests" / "python")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lists skipped tests for scripts/test.sh. With PLAYSWARM_TEST_REQUIRE=1 a skip is a failure."""
    report = yield
    if report.skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if path := os.environ.get("PLAYSWARM_TEST_SKIPS"):
            with Path(path).open("a") as skips:
                print(f"{item.nodeid}: {why}", file=skips)
        if os.environ.get("PLAYSWARM_TEST_REQUIRE") == "1":
            report.outcome, report.longrepr = "failed", why
    return report


@pytest.fixture
def seeded(tmp_path: Path) -> Iterator[Seeded]:
    """A torrent of 4 MiB and a session that seeds it."""
    with Seeded(tmp_path / "seed", film_bytes(4 << 20)) as made:
        yield made


@pytest.fixture
def nobody(tmp_path: Path) -> playswarm.Metainfo:
    """A torrent of 2 MiB without a seed: every read of it waits."""
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "rare.mkv").write_bytes(film_bytes(2 << 20, seed=9))
    torrent = playswarm.create_torrent(tmp_path / "gone" / "rare.mkv")
    (tmp_path / "gone" / "rare.mkv").unlink()
    return torrent


@pytest.fixture
def session(tmp_path: Path) -> Iterator[playswarm.Session]:
    """A session on this machine alone, in its own folder."""
    with playswarm.Session(playswarm.Config.offline(tmp_path / "here")) as made:
        yield made


@pytest.fixture
def leech(tmp_path: Path) -> Iterator[Callable[..., playswarm.Session]]:
    """Sessions that know one peer; closed at the end."""
    made: list[playswarm.Session] = []

    def start(*peers: playswarm.Session, **settings: object) -> playswarm.Session:
        config = playswarm.Config.offline(
            tmp_path / f"leech{len(made)}", peers=[p.listen_addr for p in peers], **settings
        )
        made.append(playswarm.Session(config))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def no_litter() -> Iterator[None]:
    """Collects objects that a test did not close, so that their warnings fail this test and not the next."""
    yield
    if sys.exc_info()[0] is None:
        gc.collect()
