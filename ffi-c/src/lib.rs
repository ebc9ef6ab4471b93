//! The C interface of playswarm. C programmers read `include/playswarm.h`. It is generated from the
//! comments and signatures here and is committed. `docs/C.md` is its guide.
//!
//! Each object of the header has a file: [`config`], [`canceller`], [`session`], [`torrent`],
//! [`stream`], [`channel`], [`cast`], [`search`], [`rtsp`] and [`error`]. Further public files hold the structs of
//! [`status`] and [`time`], the [`event`]s and the [`log`]. Six modules are internal:
//!
//! - [`handles`] records which handles are alive.
//! - [`boundary`] stops panics and null pointers at the C boundary.
//! - [`core`] holds the runtime.
//! - [`dispatch`] runs the thread that calls callbacks.
//! - [`reader`] reads a file or a live channel.
//! - [`watch`] notifies callers that wait for data in their own event loop.
//!
//! This is the only crate of the workspace that contains `unsafe` code. Each use states why it is
//! sound, provided that callers follow the rules of the header.
#![allow(non_camel_case_types)]

pub mod boundary;
pub mod canceller;
pub mod cast;
pub mod channel;
pub mod config;
mod core;
mod dispatch;
pub mod error;
pub mod event;
mod handles;
pub mod log;
mod reader;
pub mod rtsp;
pub mod search;
pub mod session;
pub mod status;
pub mod stream;
pub mod time;
pub mod torrent;
mod watch;

pub use boundary::{playswarm_abi_version, playswarm_live_handles, playswarm_string_free, playswarm_version};
pub use canceller::*;
pub use cast::*;
pub use channel::*;
pub use config::*;
pub use error::*;
pub use event::*;
pub use log::*;
pub use rtsp::*;
pub use search::*;
pub use session::*;
pub use status::*;
pub use stream::*;
pub use time::*;
pub use torrent::*;

/// Version of this header, for playswarm_session_new. The upper 16 bits are the ABI number, which
/// the library's file name also carries (libplayswarm.so.0). The lower 16 bits count additions.
pub const PLAYSWARM_ABI_VERSION: u32 = 6;
