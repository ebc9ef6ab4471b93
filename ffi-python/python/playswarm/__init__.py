"""Films of a BitTorrent swarm as files: read, seek and watch while they download.

    import playswarm
    with playswarm.open("magnet:?xt=urn:btih:…") as film:
        print(film.read(1000))

`open` returns a binary file object; `cast` and `watch` are for live channels. For more than one film use `Session`, `TorrentHandle` and `Config`; for
asyncio use `AsyncSession` and `open_async`. Every error is a `PlayswarmError` and also the matching
built-in exception. docs/PYTHON.md is the guide.
"""

from typing import TYPE_CHECKING, Any

from ._config import Config, SettingRange, Settings
from ._errors import (
    BadArgumentError,
    BadConfigError,
    BadSourceError,
    BadTorrentError,
    CancelledError,
    ClosedError,
    DiskFullError,
    FetchError,
    InternalError,
    IoError,
    ListenError,
    NoMetadataError,
    NoSizeError,
    NoSuchFileError,
    PlayswarmError,
    StorageError,
    TimedOutError,
)
from ._file import MediaFile
from ._live import Cast, Channel, ChannelHead, ChannelMinute, ChannelStatus, LiveFile
from ._metainfo import FileEntry, Metainfo, create_torrent
from ._playswarm import __version__
from ._rtsp import RtspServer, RtspSession
from ._search import Hit, HitSource, Search
from ._session import Session, cast, default_session, open, watch
from ._status import (
    Event,
    OpeningStatus,
    PeerStatus,
    Playhead,
    ReaderStatus,
    SlotStatus,
    SourceStatus,
    TimelineStatus,
    TorrentStatus,
    TrackerStatus,
    TrackStatus,
    ViewerStatus,
    Waste,
)
from ._timeline import Keyframe, SeekPoint, Timeline
from ._torrent_handle import History, TorrentHandle

if TYPE_CHECKING:
    from ._aio import (
        AsyncCast,
        AsyncChannel,
        AsyncLiveFile,
        AsyncMediaFile,
        AsyncRtspServer,
        AsyncSearch,
        AsyncSession,
        AsyncTorrentHandle,
        create_torrent_async,
        open_async,
        watch_async,
    )

__all__ = [
    "AsyncCast",
    "AsyncChannel",
    "AsyncLiveFile",
    "AsyncMediaFile",
    "AsyncRtspServer",
    "AsyncSearch",
    "AsyncSession",
    "AsyncTorrentHandle",
    "BadArgumentError",
    "BadConfigError",
    "BadSourceError",
    "BadTorrentError",
    "CancelledError",
    "Cast",
    "Channel",
    "ChannelHead",
    "ChannelMinute",
    "ChannelStatus",
    "ClosedError",
    "Config",
    "DiskFullError",
    "Event",
    "FetchError",
    "FileEntry",
    "History",
    "Hit",
    "HitSource",
    "InternalError",
    "IoError",
    "Keyframe",
    "ListenError",
    "LiveFile",
    "MediaFile",
    "Metainfo",
    "NoMetadataError",
    "NoSizeError",
    "NoSuchFileError",
    "OpeningStatus",
    "PeerStatus",
    "Playhead",
    "PlayswarmError",
    "ReaderStatus",
    "RtspServer",
    "RtspSession",
    "Search",
    "SeekPoint",
    "Session",
    "SettingRange",
    "Settings",
    "SlotStatus",
    "SourceStatus",
    "StorageError",
    "TimedOutError",
    "Timeline",
    "TimelineStatus",
    "TorrentHandle",
    "TorrentStatus",
    "TrackStatus",
    "TrackerStatus",
    "ViewerStatus",
    "Waste",
    "__version__",
    "cast",
    "create_torrent",
    "create_torrent_async",
    "default_session",
    "open",
    "open_async",
    "watch",
    "watch_async",
]

_ASYNC = {
    "AsyncCast",
    "AsyncChannel",
    "AsyncLiveFile",
    "AsyncMediaFile",
    "AsyncRtspServer",
    "AsyncSearch",
    "AsyncSession",
    "AsyncTorrentHandle",
    "create_torrent_async",
    "open_async",
    "watch_async",
}


def __getattr__(name: str) -> Any:
    # asyncio takes longer to import than the rest of the package.
    if name in _ASYNC:
        from . import _aio

        return getattr(_aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
