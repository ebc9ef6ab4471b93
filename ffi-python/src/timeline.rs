//! The timing information in the index of a file.

use playswarm::status::TimelineStatus;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// The timing information of a file.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Timeline {
    pub(crate) timeline: Arc<playswarm::Timeline>,
    pub(crate) file: usize,
}

/// Converts a media time in seconds from Python.
pub(crate) fn time_of(seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err("a time cannot be negative"));
    }
    // A time past the end selects the end.
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[pymethods]
impl Timeline {
    /// Returns duration, accuracy, container and tracks as JSON.
    fn summary(&self) -> PyResult<String> {
        serde_json::to_string(&TimelineStatus::new(self.file, &self.timeline))
            .map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Returns, for each known keyframe, its time in seconds, the offset of its packet and the
    /// first byte needed.
    fn keyframes(&self) -> Vec<(f64, u64, u64)> {
        self.timeline.keyframes().iter().map(|k| (k.time.as_secs_f64(), k.offset, k.from)).collect()
    }

    /// Returns the byte range that a player needs for a time range.
    fn byte_range(&self, start: f64, end: f64) -> PyResult<(u64, u64)> {
        let range = self.timeline.byte_range(time_of(start)?..time_of(end)?);
        Ok((range.start, range.end))
    }

    fn byte_at(&self, seconds: f64) -> PyResult<u64> {
        Ok(self.timeline.byte_at(time_of(seconds)?))
    }

    fn time_at(&self, byte: u64) -> f64 {
        self.timeline.time_at(byte).as_secs_f64()
    }
}
