//! The servers of playswarm: give the files of an open torrent to players, browsers and scripts, over
//! HTTP and RTSP, and take the live streams of encoders.
//!
//! They stand on the public interface of [`playswarm`] and on `playswarm_media` alone. docs/HTTP.md
//! and docs/RTSP.md describe what they answer.
//!
//! - [`serve`] starts a [`Server`] for a [`playswarm::TorrentHandle`]; [`HttpConfig`] has its settings.
//! - [`serve_channel`] starts a [`ChannelServer`] for a [`playswarm::live::Channel`].
//! - [`serve_ingest`] starts an [`IngestServer`] for encoders that push to a [`playswarm::live::Cast`];
//!   [`receive_udp`] receives MPEG-TS over UDP.
//! - [`serve_rtsp`] starts an [`RtspServer`]; [`RtspConfig`] has its settings.
//! - [`parse_host`] and [`parse_origin`] check the settings that name hosts and sites.
//! - [`natural_order`], [`timeline_json`], [`parse_time`] and [`clock_time`] list files, tell
//!   timelines and read times as the server does, for programs that do the same elsewhere.
//!
//! ```no_run
//! # async fn example() -> playswarm::Result<()> {
//! use playswarm::{Config, Session, Source};
//! use playswarm_serve::{HttpConfig, serve};
//!
//! let session = Session::new(Config::default()).await?;
//! let media = session.open(Source::parse("film.torrent")?).await?;
//! let server = serve(media.clone(), media.default_file()?, HttpConfig::default()).await?;
//! println!("{}", server.url());
//! # server.stop().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod admission;
#[doc(hidden)]
pub mod fuzzing;
mod hosts;
mod http;
mod ingest;
mod listening;
mod places;
mod rtsp;
mod unanswered;

pub use self::http::{
    ChannelServer, HttpConfig, Remedies, Server, clock_time, natural_order, parse_host, parse_origin, parse_time,
    serve, serve_channel, timeline_json,
};
pub use self::ingest::{IngestConfig, IngestServer, IngestStatus, UdpIngest, receive_udp, serve_ingest};
pub use self::rtsp::{RtspConfig, RtspServer, RtspSession, RtspView, serve_rtsp};
