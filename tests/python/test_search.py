"""Searches of the Gnutella network."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import playswarm

SERVENT = Path(__file__).parents[1] / "peers" / "servent.py"


@pytest.fixture
def servent(tmp_path: Path) -> Iterator[str]:
    """Address of an ultrapeer that shares a film."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "Big Buck Bunny.mkv").write_bytes(bytes(100_000))
    command = [sys.executable, str(SERVENT), "127.0.0.1:0", "--ultrapeer", "--share", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.stdin.close()


def settings(folder: Path, host: str) -> playswarm.Config:
    return playswarm.Config.offline(folder / "files", gnutella={"enabled": True, "hosts": [host]})


def test_a_search_yields_each_file_once_with_its_link(servent: str, tmp_path: Path) -> None:
    with playswarm.Session(settings(tmp_path, servent)) as session, session.search("buck", wait=2) as search:
        (hit,) = search
        assert (hit.name, hit.size_bytes, hit.hidden) == ("Big Buck Bunny.mkv", 100_000, None)
        assert hit.magnet is not None and hit.magnet.startswith("magnet:?xt=urn:bitprint:")
        assert [source.address for source in hit.sources] == [servent]
        assert search.hits() == [hit]


def test_a_search_for_asyncio(servent: str, tmp_path: Path) -> None:
    async def names() -> list[str]:
        async with playswarm.AsyncSession(settings(tmp_path, servent)) as session:
            return [hit.name async for hit in session.search("bunny", kind="video", most=1)]

    assert asyncio.run(names()) == ["Big Buck Bunny.mkv"]


def test_a_search_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with playswarm.Session(playswarm.Config.offline(tmp_path)) as session:
        with pytest.raises(playswarm.BadConfigError, match=r"gnutella\.enabled"):
            session.search("bunny")
        with pytest.raises(ValueError, match="is no kind of file"):
            session.search("bunny", kind="film")
    with playswarm.Session(settings(tmp_path, "127.0.0.1:1")) as session:
        with pytest.raises(playswarm.BadArgumentError, match="word"):
            session.search("?")
        with pytest.raises(playswarm.TimedOutError, match="servent"):
            list(session.search("bunny", wait=0.2))
        search = session.search("bunny")
        search.close()
        with pytest.raises(playswarm.ClosedError):
            next(iter(search))
