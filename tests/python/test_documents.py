"""Runs the code blocks of the documents, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import playswarm
from lab import Libtorrent, make_film
from playswarm import _aio, _config, _session

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/PYTHON.md"])
def test_the_code_of_a_document_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("av", "libtorrent", "matplotlib"):
        pytest.importorskip(needed)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.S | re.M)
    assert blocks
    (tmp_path / "seed").mkdir()
    make_film(tmp_path / "seed" / "film.mp4", 4 << 20, minutes=0.1)
    torrent = playswarm.create_torrent(tmp_path / "seed" / "film.mp4").save(tmp_path / "film.torrent")
    monkeypatch.chdir(tmp_path)
    with Libtorrent(torrent, tmp_path / "seed") as seed:
        # On this machine the swarm is one peer, and all discovery is off.
        monkeypatch.setattr(_session, "_default", None)
        config = playswarm.Config.offline(".", peers=[seed.address]).to_dict()
        for module in (_session, _aio):
            monkeypatch.setattr(module, "as_json", lambda c, more: _config.as_json({**config, **(c or {})}, more))
        namespace: dict[str, object] = {"__name__": "document"}
        try:
            for block in blocks:
                exec(compile(block, document, "exec"), namespace)
        finally:
            playswarm.default_session().close()
            monkeypatch.undo()
