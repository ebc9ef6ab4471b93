//! Time instead of bytes: how long a file plays, where a moment of it lies, what is played at a stream's position.

use crate::border::{Out, bad, call, call_plain};
use crate::canceller::playswarm_canceller;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles;
use crate::media::playswarm_media;
use crate::status::{Sized1, Versioned};
use crate::stream::playswarm_stream;
use engine::{Landing, Result, Timeline};
use std::time::Duration;

/// What a file says of its time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_time_info {
    /// sizeof(playswarm_time_info); see playswarm_media_status.
    pub struct_size: usize,
    /// How long it plays, in microseconds; 0 where that is not known.
    pub duration_us: i64,
    /// How many places to jump to are known.
    pub keyframes: usize,
    /// How many tracks (pictures, sound, subtitles) it has.
    pub tracks: u32,
    /// 1 if the file has no index that can be used and all is reckoned from its size, else 0.
    pub is_estimate: u32,
}

/// Where playing from a time begins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_landing {
    /// sizeof(playswarm_landing); see playswarm_media_status.
    pub struct_size: usize,
    /// The time of the keyframe, in microseconds from the film's start: at or before the time that was asked for.
    pub time_us: i64,
    /// The first byte to read.
    pub position: u64,
    /// What should be here before it plays ends before this byte: the next keyframe.
    pub until: u64,
    /// 1 if it is a guess along a straight line, else 0.
    pub is_estimate: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: as their definitions show.
unsafe impl Sized1 for playswarm_time_info {
    const FIRST_SIZE: usize = size_of::<playswarm_time_info>();
}
// SAFETY: likewise.
unsafe impl Sized1 for playswarm_landing {
    const FIRST_SIZE: usize = size_of::<playswarm_landing>();
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn time_of(time_us: i64) -> Result<Duration> {
    let time = u64::try_from(time_us).map(Duration::from_micros);
    time.map_err(|_| bad(format!("a time cannot be {time_us} µs: it counts from the film's start")))
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

impl playswarm_landing {
    fn of(landing: &Landing) -> playswarm_landing {
        playswarm_landing {
            struct_size: size_of::<playswarm_landing>(),
            time_us: microseconds(landing.time),
            position: landing.from,
            until: landing.until,
            is_estimate: u32::from(landing.estimated),
            reserved: 0,
        }
    }
}

/// What a file says of its time. Waits until its index is read from the swarm, which happens once, until `canceller`, which may be
/// NULL, is cancelled. `info->struct_size` is to be set before the call. From any thread.
///
/// PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED. A file without an index is no mistake: it gets an estimate.
///
/// # Safety
/// `info` points to `info->struct_size` bytes that may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_get_time(
    media: *mut playswarm_media,
    file: usize,
    canceller: *const playswarm_canceller,
    info: *mut playswarm_time_info,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_get_time", error, || {
            let out = Versioned::new(info)?;
            let media = handles::get(media)?;
            let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
            let reading = media.media.timeline(file);
            let timeline = media.core.wait_within("reading the file's index", 0, cancel.as_deref(), reading)?;
            out.set(playswarm_time_info::of(&timeline));
            Ok(())
        })
    }
}

/// Moves to the keyframe at or before a time, in microseconds from the film's start; one past the end is the end's. With the file's index
/// at hand it waits for nothing; else for that, or for the few bytes that tell, until playswarm_stream_cancel. `landing`, which may be
/// NULL, gets where it came down; its `struct_size` is to be set before the call. From any thread.
///
/// PLAYSWARM_BAD_ARGUMENT for a negative time, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED, PLAYSWARM_STORAGE; nothing has moved then.
///
/// # Safety
/// `landing` is NULL or points to `landing->struct_size` bytes that may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_seek_time(
    stream: *mut playswarm_stream,
    time_us: i64,
    landing: *mut playswarm_landing,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_stream_seek_time", error, || {
            let out = if landing.is_null() { None } else { Some(Versioned::new(landing)?) };
            let found = handles::get(stream)?.seek_time(time_of(time_us)?)?;
            if let Some(out) = out {
                out.set(playswarm_landing::of(&found));
            }
            Ok(())
        })
    }
}

/// The time that is played at the position, in microseconds from the film's start; -1 while the file's time is not known (playswarm_media_get_time
/// and playswarm_stream_seek_time find it out). It never waits. From any thread.
///
/// # Safety
/// `time_us` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_time(stream: *const playswarm_stream, time_us: *mut i64) -> playswarm_code {
    call_plain("playswarm_stream_time", || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(time_us, "time") }?;
        out.set(handles::get(stream)?.time().map_or(-1, microseconds));
        Ok(())
    })
}
