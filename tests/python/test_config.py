"""Settings have the engine's names and are checked by the engine."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import pytest

import playswarm
from playswarm import _playswarm


def test_every_setting_of_the_engine_is_typed_and_no_other() -> None:
    engine = set(json.loads(_playswarm.default_config(False)))
    assert set(playswarm.Settings.__annotations__) == engine
    assert {n for n in playswarm.Config.__annotations__ if not n.startswith("_")} == engine
    typing.get_type_hints(playswarm.Config)


def test_settings_come_as_keywords_a_dict_or_both() -> None:
    assert playswarm.Config(dht=False).dht is False
    assert playswarm.Config({"dht": False, "max_peers": 5}, max_peers=7).max_peers == 7
    assert playswarm.Config(playswarm.Config(dht=False)).dht is False
    assert playswarm.Config(**playswarm.Config(max_peers=3)) == playswarm.Config(max_peers=3)
    assert playswarm.Config().max_peers == 80


def test_paths_and_addresses_come_as_python_has_them(tmp_path: Path) -> None:
    config = playswarm.Config(dir=tmp_path, listen=("127.0.0.1", 0), peers=[("::1", 5), "10.0.0.1:6881"])
    assert (config.dir, config.listen) == (str(tmp_path), "127.0.0.1:0")
    assert config.peers == ["[::1]:5", "10.0.0.1:6881"]
    assert playswarm.Config(peers=["peer.example:1", ("localhost", 2)]).peers == ["peer.example:1", "localhost:2"]


def test_settings_do_not_change_but_can_be_replaced() -> None:
    config = playswarm.Config(dht=False)
    with pytest.raises(AttributeError, match=r"config\.replace"):
        config.dht = True
    assert config.replace(dht=True).dht and not config.dht
    copy = config.to_dict()
    copy["advanced"]["picker"]["anything"] = 1
    assert "anything" not in config.advanced["picker"]
    assert len({config, playswarm.Config(dht=False), playswarm.Config()}) == 2


def test_a_repr_shows_what_is_not_the_default() -> None:
    assert repr(playswarm.Config()) == "Config()"
    assert repr(playswarm.Config(dht=False, max_peers=5)) == "Config(dht=False, max_peers=5)"


def test_a_proxy_is_kept_whole_and_shown_without_its_password(tmp_path: Path) -> None:
    config = playswarm.Config(proxy="socks5://u:s3cret@h:9050", interface="tun0", blocklist=tmp_path)
    assert (config.proxy, config.blocklist) == ("socks5://u:s3cret@h:9050", str(tmp_path))
    assert "proxy='socks5://h:9050'" in repr(config) and "s3cret" not in repr(config)
    with pytest.raises(playswarm.BadConfigError, match="socks5://host:port") as failed:
        playswarm.Config(proxy="ftp://u:s3cret@h:1")
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"no_such_thing": 1}, "unknown field `no_such_thing`, expected one of `dir`"),
        ({"max_peers": 0}, "the setting max_peers cannot be used: 0 is out of range"),
        ({"max_peers": -1}, "invalid value: integer `-1`"),
        ({"max_peers": 1 << 70}, "cannot be used"),
        ({"max_peers": "many"}, 'invalid type: string "many"'),
        ({"dht": None}, "invalid type: null"),
        ({"listen": "nowhere"}, "invalid socket address"),
        ({"peers": ["nobody"]}, "'nobody' is not an address with a port"),
        ({"memory_limit_bytes": 5}, "at least 8 MiB"),
        ({"advanced": {"picker": {"nonsense": 1}}}, "unknown field `nonsense`"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, object], says: str) -> None:
    with pytest.raises(playswarm.BadConfigError) as caught:
        playswarm.Config(settings)
    assert isinstance(caught.value, ValueError)
    assert says in str(caught.value) and "line 1" not in str(caught.value)
    with pytest.raises(playswarm.BadConfigError):
        playswarm.Session(settings)


def test_a_value_of_a_strange_type_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        playswarm.Config(dht=object())
    with pytest.raises(AttributeError, match="there is no setting 'nope'"):
        _ = playswarm.Config().nope


def test_a_session_has_the_settings_that_it_was_given(tmp_path: Path) -> None:
    config = playswarm.Config.offline(tmp_path, max_peers=5)
    with playswarm.Session(config, upload_slots=3) as session:
        assert session.config == config.replace(upload_slots=3)
        host, port = session.listen_addr or ("", 0)
        assert host == "127.0.0.1" and port > 0


def test_the_valid_values_of_each_number_are_known() -> None:
    config = playswarm.Config(max_peers=40)
    ranges = config.ranges()
    assert ranges["max_peers"] == playswarm.SettingRange("max_peers", 40.0, 1.0, 65535.0)
    assert "advanced.picker.read_ahead_s" in ranges and not any(name.endswith("seed") for name in ranges)
    for name in ("max_peers", "upload_slots"):
        config.replace(**{name: int(ranges[name].least)})
        with pytest.raises(playswarm.BadConfigError, match=name):
            config.replace(**{name: int(ranges[name].most) + 1})
