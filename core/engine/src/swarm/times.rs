//! The presentation time of files.

use crate::swarm::driver::Swarm;
use playswarm_logic::torrent::{FileTime, Input};
use playswarm_media::Timeline;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A timeline, as the torrent uses it.
struct Known(Arc<Timeline>);

impl FileTime for Known {
    fn duration(&self) -> Duration {
        self.0.duration()
    }

    fn time_at(&self, byte: u64) -> Duration {
        self.0.time_at(byte)
    }

    fn bytes_per_s(&self, time: Duration) -> Option<f64> {
        self.0.bytes_per_s(time)
    }

    fn byte_range(&self, times: Range<Duration>) -> Range<u64> {
        self.0.byte_range(times)
    }

    fn seek_target(&self, time: Duration) -> Option<u64> {
        if self.0.keyframes().is_empty() {
            return None;
        }
        Some(self.0.keyframe_at(time).0.map_or_else(|| self.0.byte_at(time), |keyframe| keyframe.from))
    }
}

impl Swarm {
    /// Returns the timeline of a file, if known.
    pub(crate) fn timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        self.times.lock().get(&file).cloned()
    }

    /// Sets the timeline of a file, whose index was read in these ranges.
    pub(crate) fn set_timeline(&self, file: usize, timeline: Arc<Timeline>, read: Vec<Range<u64>>) {
        self.times.lock().insert(file, timeline.clone());
        let index = read.into_iter().filter(|range| range.start > 0).collect();
        self.tell(Input::TimeKnown { file, time: Arc::new(Known(timeline)), index });
    }
}
