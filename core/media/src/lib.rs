//! From time to byte and back: reads the index that a container already carries, and no more of the file than that.
//!
//! Players think in minutes, swarms in bytes. An [`Indexer`] says which bytes of a file it needs, is fed them in any order
//! and any cut, and ends with a [`Timeline`]: duration, tracks, keyframes with their times and offsets. A [`Locate`] then
//! finds where to read for a given time; with a whole index at once, with a sparse one (MPEG-TS, Matroska without Cues) after
//! a look at a few more bytes.
//!
//! Nothing here does I/O, reads a clock or trusts a byte: sizes, counts and depths are bounded, and a file whose index is
//! missing or lies gets a linear estimate that says why it is one.
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
mod comments;
mod container;
mod endings;
mod figures;
mod flac;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod held;
mod indexer;
mod keyframes;
mod locate;
mod matroska;
mod mp3;
mod mp4;
mod mpeg_ts;
mod ogg;
mod riff_codecs;
mod timeline;

pub use container::Container;
pub use endings::{Content, Format};
pub use indexer::Indexer;
pub use locate::{Landing, Locate};
pub use timeline::{Accuracy, Keyframe, Timeline, Track, TrackKind};
