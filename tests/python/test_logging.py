"""The engine logs to Python's logging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

import playswarm
from lab import Seeded, python

Leech = Callable[..., playswarm.Session]


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def wait_for(self, wanted: Callable[[logging.LogRecord], bool], seconds: float = 20) -> logging.LogRecord | None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for record in list(self.records):
                if wanted(record):
                    return record
            time.sleep(0.01)
        return None


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, logger = Kept(), logging.getLogger("playswarm")
    level = logger.level
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_at_debug_the_engine_tells_what_it_does(kept: Kept, seeded: Seeded, leech: Leech) -> None:
    logging.getLogger("playswarm").setLevel(logging.DEBUG)
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        film.read()
    record = kept.wait_for(lambda r: r.name.startswith("playswarm.") and r.levelno == logging.DEBUG)
    assert record is not None
    assert record.getMessage() and record.lineno > 0 and record.pathname.endswith(".rs")
    assert record.threadName == "playswarm-engine"
    assert isinstance(record.__dict__["fields"], dict) and isinstance(record.__dict__["spans"], tuple)


def test_at_the_default_level_a_good_day_is_silent(kept: Kept, seeded: Seeded, leech: Leech) -> None:
    with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
        film.read()
    time.sleep(0.3)
    assert [r for r in kept.records if r.levelno < logging.WARNING] == []


def test_the_level_can_change_while_it_runs(kept: Kept, seeded: Seeded, leech: Leech) -> None:
    session = leech(seeded.session)
    session.open(seeded.metainfo).close()
    logging.getLogger("playswarm").setLevel(logging.DEBUG)
    with playswarm.open(seeded.metainfo, session=session) as film:
        film.read()
    assert kept.wait_for(lambda r: r.levelno == logging.DEBUG) is not None


def test_a_broken_handler_stops_nothing(kept: Kept, seeded: Seeded, leech: Leech) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("a filter that fails")

    logger, broken = logging.getLogger("playswarm"), Broken()
    logger.setLevel(logging.DEBUG)
    handler = logging.NullHandler()
    handler.addFilter(broken)
    raised, logging.raiseExceptions = logging.raiseExceptions, False
    logger.addHandler(handler)
    try:
        with playswarm.open(seeded.metainfo, session=leech(seeded.session)) as film:
            assert film.read() == seeded.data
        assert kept.wait_for(lambda r: r.levelno == logging.DEBUG) is not None
    finally:
        logging.raiseExceptions = raised
        logger.removeHandler(handler)


def test_logging_at_full_blast_does_not_disturb_the_end_of_python(seeded: Seeded) -> None:
    code = """
import logging, playswarm, sys
logging.basicConfig(level=5, stream=open("/dev/null", "w"))
session = playswarm.Session(playswarm.Config.offline(sys.argv[1], peers=[sys.argv[3]]))
film = playswarm.open(sys.argv[2], session=session)
film.read(1 << 20)
print(len(logging.getLogger("playswarm").manager.loggerDict) > 1)
session.close()
"""
    torrent = seeded.metainfo.save(seeded.folder / "t.torrent")
    for n in range(5):
        done = python(code, seeded.folder / f"x{n}", torrent, seeded.address)
        assert done.stdout == "True\n" and "Error" not in done.stderr
