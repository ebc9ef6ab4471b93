"""Settings with the keys of Rust and C. The engine checks them and supplies the defaults."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from . import _playswarm

__all__ = ["Config", "SettingRange", "Settings"]

Address = str | tuple[str, int]
"""``"host:port"`` or a pair of host and port. Only peers may have a host name."""


class Settings(TypedDict, total=False):
    """The keyword arguments of :class:`Config` and :class:`Session`."""

    dir: str | os.PathLike[str]
    read_only: bool
    listen: Address | None
    interface: str | None
    proxy: str | None
    blocklist: str | os.PathLike[str] | None
    dht: bool
    dht_bootstrap: Sequence[str]
    lsd: bool
    pex: bool
    trackers: bool
    web_seeds: bool
    port_map: bool
    utp: bool
    peers: Sequence[Address]
    max_peers: int
    download_bytes_per_s: int
    upload_bytes_per_s: int
    upload_slots: int
    disk_limit_bytes: int
    memory_limit_bytes: int
    metadata_timeout_ms: int
    seed_in_background: bool
    slot_index: bool
    accept_tree: bool
    live_margin_ms: int
    live_back_ms: int
    live_back_bytes: int
    gnutella: Mapping[str, Any]
    advanced: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SettingRange:
    """A numeric setting and its valid values."""

    name: str
    """The setting, after the names of its groups and dots: ``advanced.picker.read_ahead_s``."""
    value: float
    """Current value."""
    least: float
    """Smallest valid value."""
    most: float
    """Largest valid value."""


def address_text(value: Address) -> str:
    if isinstance(value, str):
        return value
    host, port = value
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_password(url: str | None) -> str | None:
    """Returns a proxy's URL without user and password."""
    return url if url is None else re.sub("//.*@", "//", url)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as JSON values: paths and addresses become text."""
    plain = dict(settings)
    if "dir" in plain:
        plain["dir"] = os.fsdecode(plain["dir"])
    if plain.get("blocklist") is not None:
        plain["blocklist"] = os.fsdecode(plain["blocklist"])
    if plain.get("listen") is not None:
        plain["listen"] = address_text(plain["listen"])
    if "peers" in plain:
        plain["peers"] = [address_text(peer) for peer in plain["peers"]]
    for key in ("dht_bootstrap",):
        if key in plain and not isinstance(plain[key], str):
            plain[key] = list(plain[key])
    if "gnutella" in plain:
        plain["gnutella"] = dict(plain["gnutella"])
    if "advanced" in plain:
        plain["advanced"] = {group: dict(tuning) for group, tuning in plain["advanced"].items()}
    return plain


class Config(Mapping[str, Any]):
    """The settings of a session: ``Config(dir="films", dht=False)``. Omitted settings have their
    defaults.

    Settings can be read as attributes or items. ``dict(config)`` returns all of them, and
    ``Config(**a_dict)`` restores them. docs/CLI.md describes each setting. The names are those of
    Rust's ``Config``.
    """

    __slots__ = ("_values",)

    dir: str
    read_only: bool
    listen: str | None
    interface: str | None
    proxy: str | None
    blocklist: str | None
    dht: bool
    dht_bootstrap: list[str]
    lsd: bool
    pex: bool
    trackers: bool
    web_seeds: bool
    port_map: bool
    utp: bool
    peers: list[str]
    max_peers: int
    download_bytes_per_s: int
    upload_bytes_per_s: int
    upload_slots: int
    disk_limit_bytes: int
    memory_limit_bytes: int
    metadata_timeout_ms: int
    seed_in_background: bool
    slot_index: bool
    accept_tree: bool
    live_margin_ms: int
    live_back_ms: int
    live_back_bytes: int
    gnutella: dict[str, Any]
    advanced: dict[str, Any]

    _values: dict[str, Any]

    def __init__(self, settings: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        given = _plain({**(settings or {}), **more})
        try:
            text = json.dumps(given)
        except (TypeError, ValueError) as e:
            raise TypeError(f"a setting has a value of a type that no setting has: {e}") from None
        object.__setattr__(self, "_values", json.loads(_playswarm.check_config(text)))

    @classmethod
    def offline(cls, dir: str | os.PathLike[str], **more: Any) -> Config:
        """Returns settings for tests and demonstrations. They use only configured or incoming peers
        and a free port on loopback.
        """
        settings = json.loads(_playswarm.default_config(True))
        return cls({**settings, "dir": dir, **more})

    def replace(self, **changes: Any) -> Config:
        """Returns a copy with some settings changed."""
        return Config(self._values, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings as JSON values."""
        copy: dict[str, Any] = json.loads(json.dumps(self._values))
        return copy

    def ranges(self) -> dict[str, SettingRange]:
        """Returns the numeric settings with their valid values by name, except the seeds, which may be
        any number.
        """
        ranges = json.loads(_playswarm.config_ranges(json.dumps(self._values)))
        return {one["name"]: SettingRange(**one) for one in ranges}

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}", name=name, obj=self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"settings do not change; use config.replace({name}=…)", name=name, obj=self)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    def __hash__(self) -> int:
        return hash(json.dumps(self._values, sort_keys=True))

    def __reduce__(self) -> tuple[type[Config], tuple[dict[str, Any]]]:
        return (Config, (self.to_dict(),))

    def __repr__(self) -> str:
        defaults = json.loads(_playswarm.default_config(False))
        # Programs log what they print, and a proxy may have a password.
        shown = self._values | {"proxy": without_password(self._values.get("proxy"))}
        changed = ", ".join(f"{k}={v!r}" for k, v in shown.items() if v != defaults.get(k))
        return f"Config({changed})"


def as_json(config: Config | Mapping[str, Any] | None, settings: Mapping[str, Any]) -> str:
    """Returns the arguments of a session's constructor as one JSON text."""
    return json.dumps(Config(config, **settings).to_dict())
