//! The C interface of playswarm. What a C programmer reads is `include/playswarm.h`, which is generated from the comments
//! and signatures here and committed; `docs/C.md` is its guide.
//!
//! One file for each object of the header: [`config`], [`canceller`], [`session`], [`media`], [`stream`], [`error`]; beside
//! them the structs of [`status`], the [`event`]s, the [`log`], and what no caller sees: [`handles`] (which handles are
//! alive), [`border`] (no panic and no null pointer gets past it), [`core`] (the runtime), [`dispatch`] (the thread that
//! calls back) and [`watch`] (who waits for data in a loop of its own).
//!
//! This is the only crate of ours with `unsafe` in it; each use says why it is sound, given that callers keep to the
//! header's rules.
#![allow(non_camel_case_types)]

pub mod border;
pub mod canceller;
pub mod config;
mod core;
mod dispatch;
pub mod error;
pub mod event;
mod handles;
pub mod log;
pub mod media;
pub mod session;
pub mod status;
pub mod stream;
mod watch;

pub use border::{playswarm_abi_version, playswarm_live_handles, playswarm_string_free, playswarm_version};
pub use canceller::*;
pub use config::*;
pub use error::*;
pub use event::*;
pub use log::*;
pub use media::*;
pub use session::*;
pub use status::*;
pub use stream::*;

/// The version of this header, for playswarm_session_new: the ABI's number in the upper 16 bits, which is that of the
/// library's file too (libplayswarm.so.0), and a count of additions in the lower 16.
pub const PLAYSWARM_ABI_VERSION: u32 = 1;
