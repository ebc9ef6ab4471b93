//! `playswarm._playswarm`: the engine as Python objects. The package `playswarm` around it
//! (`python/playswarm`) is the public interface. Only that package calls this module.
//!
//! Every operation that may wait is a [`job::Job`]. The blocking interface waits for it with the
//! GIL released, and the asyncio interface awaits it as a future. Only blocking file reads bypass
//! jobs; they go directly to the caller's buffer.

mod ends;
mod errors;
mod events;
mod file;
mod job;
mod live;
mod log;
mod metainfo;
mod program;
mod rtsp;
mod runtime;
mod search;
mod session;
mod timeline;
mod torrent_handle;
mod wait;

use pyo3::prelude::*;

/// The engine of the package `playswarm`; not for direct use.
#[pymodule]
mod _playswarm {
    #[pymodule_export]
    use crate::events::Events;
    #[pymodule_export]
    use crate::file::File;
    #[pymodule_export]
    use crate::job::{Job, Running};
    #[pymodule_export]
    use crate::live::{Cast, Channel, LiveFile};
    #[pymodule_export]
    use crate::log::{log_level, next_log};
    #[pymodule_export]
    use crate::metainfo::{Metainfo, create_torrent};
    #[pymodule_export]
    use crate::program::run_program;
    #[pymodule_export]
    use crate::rtsp::RtspServer;
    #[pymodule_export]
    use crate::runtime::shut_down;
    #[pymodule_export]
    use crate::search::Search;
    #[pymodule_export]
    use crate::session::{Session, check_config, config_ranges, default_config, open_session};
    #[pymodule_export]
    use crate::timeline::Timeline;
    #[pymodule_export]
    use crate::torrent_handle::TorrentHandle;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
