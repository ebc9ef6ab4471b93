//! Writers of container formats, fed with [`Sample`](crate::Sample)s. They do no I/O: output is
//! appended to a buffer.

mod ts;

pub use ts::TsMuxer;
