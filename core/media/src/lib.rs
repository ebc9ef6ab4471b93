//! Maps times to bytes and back. Reads only the index that a container already carries.
//!
//! Players address a file by time, swarms by byte. An [`Indexer`] lists the bytes of a file that it
//! needs and accepts them in any order and in pieces of any size. It produces a [`Timeline`]:
//! duration, tracks, and keyframes with their times and offsets. A [`Locate`] then finds the read
//! position for a given time. With a complete index it answers at once. With a sparse index
//! (MPEG-TS, Matroska without Cues) it first needs a few more bytes.
//!
//! This crate does no I/O, reads no clock and trusts no input: sizes, counts and depths are
//! bounded. A file whose index is missing or wrong gets a linear estimate that states the reason.
//!
//! ```
//! use playswarm_media::{Accuracy, Indexer};
//!
//! let file = b"not a film at all".repeat(1000);
//! let mut indexer = Indexer::new("notes.txt", file.len() as u64);
//! while let Some(range) = indexer.needed().into_iter().next() {
//!     indexer.feed(range.start, &file[range.start as usize..range.end as usize]);
//! }
//! let timeline = indexer.timeline().expect("nothing more is needed");
//! assert!(matches!(timeline.accuracy(), Accuracy::Estimate { .. }));
//! ```
#![forbid(unsafe_code)]

mod avi;
mod bisect;
mod codec;
mod comments;
mod container;
mod crc;
mod endings;
mod figures;
mod flac;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod held;
mod indexer;
mod keyframes;
pub mod live;
mod locate;
mod matroska;
mod mp3;
mod mp4;
mod mpeg_ts;
pub mod mux;
mod ogg;
mod riff_codecs;
mod samples;
mod timeline;

pub use container::Container;
pub use endings::{Content, Format, LIVE_ENDINGS, live_ending};
pub use indexer::Indexer;
pub use locate::{Locate, SeekPoint};
pub use samples::{End, ParameterSets, Sample, Samples, TrackSetup};
pub use timeline::{Accuracy, Keyframe, Timeline, Track, TrackKind};
