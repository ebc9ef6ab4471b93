//! Functions that use time instead of bytes: the duration of a file, the position of a time, the
//! time of a position.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain};
use crate::canceller::playswarm_canceller;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles;
use crate::status::{Sized1, Versioned};
use crate::stream::playswarm_stream;
use crate::torrent::playswarm_torrent;
use engine::{Result, SeekPoint, Timeline};
use std::time::Duration;

/// Timing information of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_time_info {
    /// Set to sizeof(playswarm_time_info) before the call; see playswarm_torrent_status.
    pub struct_size: usize,
    /// Duration in microseconds; 0 if unknown.
    pub duration_us: i64,
    /// Number of known keyframes, which are the seek targets.
    pub keyframes: usize,
    /// Number of tracks (video, audio, subtitles).
    pub tracks: u32,
    /// 1 if the file has no usable index and all values are estimated from its size, otherwise 0.
    pub is_estimate: u32,
}

/// The position from which playback of a time begins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_seek_point {
    /// Set to sizeof(playswarm_seek_point) before the call; see playswarm_torrent_status.
    pub struct_size: usize,
    /// Time of the keyframe, in microseconds from the start of the film. It is at or before the
    /// requested time.
    pub time_us: i64,
    /// Position of the first byte to read.
    pub position: u64,
    /// End of the data needed before playback starts: the position of the next keyframe.
    pub until: u64,
    /// 1 if the position is a linear estimate, otherwise 0.
    pub is_estimate: u32,
    /// Always 0.
    pub reserved: u32,
}

// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_time_info {
    const FIRST_SIZE: usize = size_of::<playswarm_time_info>();
}
// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_seek_point {
    const FIRST_SIZE: usize = size_of::<playswarm_seek_point>();
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn time_of(time_us: i64) -> Result<Duration> {
    let time = u64::try_from(time_us).map(Duration::from_micros);
    time.map_err(|_| bad(format!("the time {time_us} µs is negative; times count from the film's start")))
}

impl playswarm_time_info {
    fn of(timeline: &Timeline) -> playswarm_time_info {
        playswarm_time_info {
            struct_size: size_of::<playswarm_time_info>(),
            duration_us: microseconds(timeline.duration()),
            keyframes: timeline.keyframes().len(),
            tracks: u32::try_from(timeline.tracks().len()).unwrap_or(u32::MAX),
            is_estimate: u32::from(timeline.is_estimate()),
        }
    }
}

impl playswarm_seek_point {
    fn of(seek_point: &SeekPoint) -> playswarm_seek_point {
        playswarm_seek_point {
            struct_size: size_of::<playswarm_seek_point>(),
            time_us: microseconds(seek_point.time),
            position: seek_point.from,
            until: seek_point.until,
            is_estimate: u32::from(seek_point.estimated),
            reserved: 0,
        }
    }
}

/// Returns the timing information of a file. Waits until its index is read from the swarm, which
/// happens once, or until `canceller` is cancelled. `canceller` may be NULL. Set
/// `info->struct_size` before the call. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED. A file
/// without an index is not an error: its information is estimated.
///
/// # Safety
/// `info` must point to `info->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_get_time(
    torrent: *mut playswarm_torrent,
    file: usize,
    canceller: *const playswarm_canceller,
    info: *mut playswarm_time_info,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_get_time", error, || {
        // SAFETY: `info` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(info) }?;
        let torrent = handles::get(torrent)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let reading = torrent.torrent.timeline(file);
        let timeline = torrent.core.wait_within("reading the file's index", 0, cancel.as_deref(), reading)?;
        out.set(playswarm_time_info::of(&timeline));
        Ok(())
    })
}

/// Moves to the keyframe at or before a time, in microseconds from the start of the film. A time
/// past the end selects the end. If the index of the file is known, the function does not wait.
/// Otherwise it waits for the index or for the few bytes that locate the time, until
/// playswarm_stream_cancel. `seek_point`, which may be NULL, receives the result. Set its
/// `struct_size` before the call. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT for a negative time, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED,
/// PLAYSWARM_STORAGE. The position does not change in these cases.
///
/// # Safety
/// `seek_point` must be NULL or point to `seek_point->struct_size` writable bytes. `error` must be NULL
/// or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_seek_time(
    stream: *mut playswarm_stream,
    time_us: i64,
    seek_point: *mut playswarm_seek_point,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_stream_seek_time", error, || {
        // SAFETY: `seek_point` is NULL or points to `struct_size` writable bytes.
        let out = if seek_point.is_null() { None } else { Some(unsafe { Versioned::new(seek_point) }?) };
        let found = handles::get(stream)?.seek_time(time_of(time_us)?)?;
        if let Some(out) = out {
            out.set(playswarm_seek_point::of(&found));
        }
        Ok(())
    })
}

/// Returns the media time at the current position, in microseconds from the start of the film.
/// Returns -1 while the timing of the file is unknown; playswarm_torrent_get_time and
/// playswarm_stream_seek_time determine it. It never waits. Callable from any thread.
///
/// # Safety
/// `time_us` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_time(stream: *const playswarm_stream, time_us: *mut i64) -> playswarm_code {
    call_plain("playswarm_stream_time", || {
        // SAFETY: the caller upholds the contract above.
        let out = unsafe { Out::new(time_us, "time") }?;
        out.set(handles::get(stream)?.time().map_or(-1, microseconds));
        Ok(())
    })
}
