//! The structs of the header. Each begins with its size, so that later versions can add fields.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, add_text, c_text};
use crate::torrent::playswarm_torrent;
use engine::{Error, Result, TorrentStatus};
use std::ffi::c_char;

/// Properties of a file in a torrent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_file_info {
    /// Set to sizeof(playswarm_file_info) before the call; see playswarm_torrent_status.
    pub struct_size: usize,
    /// Length of the file in bytes.
    pub length: u64,
    /// Name of the file in the torrent: its path with "/" as the separator, in UTF-8.
    pub name: *const c_char,
    /// Media type according to the name, for example "video/x-matroska".
    pub content_type: *const c_char,
    /// 1 if the file is playable, otherwise 0.
    pub is_playable: u32,
    /// 1 if the file is padding, which users do not see, otherwise 0.
    pub is_padding: u32,
}

/// Status of a torrent.
///
/// Set `struct_size` to sizeof(playswarm_torrent_status) before the call. A program compiled with an
/// older header receives the fields that it knows. A program compiled with a newer header finds in
/// `struct_size` the number of bytes that this library filled. Memory beyond `struct_size` is not
/// touched.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_torrent_status {
    /// Size of this struct in bytes; see above.
    pub struct_size: usize,
    /// Total size of all files in bytes.
    pub total_bytes: u64,
    /// Size of the verified pieces that are available locally, in bytes.
    pub verified_bytes: u64,
    /// Contiguous verified bytes ahead of the reader with the smallest read-ahead; 0 without
    /// readers.
    pub ahead_bytes: u64,
    /// The same read-ahead in seconds of media; negative while the data rate is unknown.
    pub ahead_s: f64,
    /// Payload download rate over the last seconds, in bytes per second.
    pub download_bytes_per_s: f64,
    /// Payload upload rate over the last seconds, in bytes per second.
    pub upload_bytes_per_s: f64,
    /// Payload received since the torrent was opened, in bytes.
    pub downloaded_bytes: u64,
    /// Payload sent since the torrent was opened, in bytes.
    pub uploaded_bytes: u64,
    /// Bytes of received blocks that another peer had already sent.
    pub waste_duplicate_bytes: u64,
    /// Bytes of received blocks that were not requested.
    pub waste_unasked_bytes: u64,
    /// Bytes of received pieces that failed their hash.
    pub waste_failed_bytes: u64,
    /// Bytes of received blocks that were evicted to free memory.
    pub waste_forgotten_bytes: u64,
    /// Bytes held in memory for this torrent.
    pub memory_bytes: u64,
    /// Bytes of verified pieces on disk.
    pub disk_bytes: u64,
    /// Useful payload received from parents, in bytes. Parents are viewers slightly ahead, found
    /// through the slot index. 0 where the slot index is not used.
    pub parent_bytes: u64,
    /// Piece size in bytes.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// Number of connected peers.
    pub peers: u32,
    /// Number of connected peers with a reserved place as parents.
    pub parents: u32,
    /// Number of known peers that are not connected.
    pub known_peers: u32,
    /// Number of banned peers.
    pub banned_peers: u32,
    /// Number of open streams that were read.
    pub readers: u32,
    /// Number of these readers that wait for data now.
    pub waiting_readers: u32,
    /// 1 if nothing can be downloaded at present (playswarm_torrent_trouble gives the reason),
    /// otherwise 0.
    pub is_in_trouble: u32,
    /// Number of trackers whose last announce failed or was refused. While no peer is connected,
    /// playswarm_torrent_trouble includes the message of one of them.
    pub failed_trackers: u32,
    /// Number of web seeds and mirrors.
    pub sources: u32,
    /// Number of web seeds and mirrors that are connected.
    pub serving_sources: u32,
    /// Next byte of its file that the reader with the smallest read-ahead reads; 0 without readers.
    pub position: u64,
    /// End of the bytes of its file that are fetched for this reader; 0 without readers.
    pub window_until: u64,
    /// Seconds by which a player must wait before it plays the file from the beginning, so that it
    /// never stalls at the rate at which data arrives. Negative until that rate and the timing of the
    /// file are known.
    pub initial_buffering_s: f64,
}

impl playswarm_torrent_status {
    pub(crate) fn of(s: &TorrentStatus) -> playswarm_torrent_status {
        let least = s.readers.iter().min_by_key(|r| r.ahead_bytes);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        playswarm_torrent_status {
            struct_size: size_of::<playswarm_torrent_status>(),
            total_bytes: s.total_bytes,
            verified_bytes: s.verified_bytes,
            ahead_bytes: least.map_or(0, |r| r.ahead_bytes),
            ahead_s: least.and_then(|r| r.ahead_s).unwrap_or(-1.0),
            download_bytes_per_s: s.download_bytes_per_s,
            upload_bytes_per_s: s.upload_bytes_per_s,
            downloaded_bytes: s.downloaded_bytes,
            uploaded_bytes: s.uploaded_bytes,
            waste_duplicate_bytes: s.waste.duplicate_bytes,
            waste_unasked_bytes: s.waste.unasked_bytes,
            waste_failed_bytes: s.waste.failed_bytes,
            waste_forgotten_bytes: s.waste.forgotten_bytes,
            memory_bytes: s.memory_bytes,
            disk_bytes: s.disk_bytes,
            parent_bytes: s.slots.as_ref().map_or(0, |slots| slots.parent_bytes),
            piece_bytes: s.piece_bytes,
            pieces: s.pieces,
            peers: count(s.peers.len()),
            parents: count(s.peers.iter().filter(|p| p.parent).count()),
            known_peers: count(s.known_peers),
            banned_peers: count(s.banned_peers),
            readers: count(s.readers.len()),
            waiting_readers: count(s.readers.iter().filter(|r| r.waiting).count()),
            is_in_trouble: u32::from(s.trouble.is_some()),
            failed_trackers: count(s.trackers.iter().filter(|t| t.state == "failed").count()),
            sources: count(s.sources.len()),
            serving_sources: count(s.sources.iter().filter(|source| source.state == "serving").count()),
            position: least.map_or(0, |r| r.position),
            window_until: least.map_or(0, |r| r.window_until),
            initial_buffering_s: s.playhead.and_then(|playhead| playhead.initial_buffering_s).unwrap_or(-1.0),
        }
    }
}

/// A struct that begins with its size as a `usize`. `FIRST_SIZE` is its size in the first version
/// of the header.
///
/// # Safety
/// The type must be `repr(C)` and its first field must be that `usize`.
pub(crate) unsafe trait Sized1: Copy {
    const FIRST_SIZE: usize;
}
// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_file_info {
    const FIRST_SIZE: usize = size_of::<playswarm_file_info>();
}
// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_torrent_status {
    const FIRST_SIZE: usize = size_of::<playswarm_torrent_status>();
}

/// A result struct of the caller, with the size that the caller compiled it with.
pub(crate) struct Versioned<T> {
    to: *mut T,
    size: usize,
}

impl<T: Sized1> Versioned<T> {
    /// Checks the struct's pointer, alignment and size.
    ///
    /// # Safety
    /// `to` must be NULL or point to as many bytes as its first field states. They must be valid
    /// for writes until the call returns.
    pub(crate) unsafe fn new(to: *mut T) -> Result<Versioned<T>> {
        if to.is_null() {
            return Err(bad("the output pointer is NULL".into()));
        }
        if !to.is_aligned() {
            return Err(bad("the struct for the result is not aligned".into()));
        }
        // SAFETY: the caller upholds the contract above; the contract of the trait guarantees the
        // field.
        let size = unsafe { to.cast::<usize>().read() };
        if size < T::FIRST_SIZE {
            return Err(bad(format!(
                "struct_size is {size} and must be at least {}; set it to the struct's sizeof before the call",
                T::FIRST_SIZE
            )));
        }
        Ok(Versioned { to, size })
    }

    pub(crate) fn set(self, value: T) {
        let size = self.size.min(size_of::<T>());
        // SAFETY: both are at least `size` bytes long and do not overlap; the first field is a
        // usize.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), self.to.cast::<u8>(), size);
            self.to.cast::<usize>().write(size);
        }
    }
}

/// Returns a snapshot of the status of the torrent. Set `status->struct_size` before the call.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
/// struct.
///
/// # Safety
/// `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_get_status(
    torrent: *const playswarm_torrent,
    status: *mut playswarm_torrent_status,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_get_status", error, || {
        // SAFETY: `status` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(status) }?;
        out.set(playswarm_torrent_status::of(&handles::get(torrent)?.torrent.status()));
        Ok(())
    })
}

/// Gives a JSON text to the caller.
pub(crate) fn give_json(json: Out<*mut c_char>, text: serde_json::Result<String>) -> Result<()> {
    json.set(add_text(c_text(&text.map_err(|e| Error::Internal(e.to_string()))?)));
    Ok(())
}

/// Returns the full status of the torrent with its peers and readers, as a JSON object.
/// docs/HTTP.md lists the fields. Free the string with playswarm_string_free. Callable from any
/// thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_status_json(
    torrent: *const playswarm_torrent,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_status_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(torrent)?.torrent.status()))
    })
}

/// Returns the reason why nothing can be downloaded at present (for example a full disk or no
/// peers) as a sentence. Free it with playswarm_string_free. Returns NULL if the download can
/// continue. Callable from any thread.
///
/// # Safety
/// `trouble` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_trouble(
    torrent: *const playswarm_torrent,
    trouble: *mut *mut c_char,
) -> playswarm_code {
    call_plain("playswarm_torrent_trouble", || {
        // SAFETY: the caller upholds the contract above.
        let out = unsafe { Out::new(trouble, "sentence") }?;
        let trouble = handles::get(torrent)?.torrent.status().trouble;
        out.set(trouble.map_or(std::ptr::null_mut(), |why| add_text(c_text(&why))));
        Ok(())
    })
}

/// Writes the state of each piece as one character: '#' available, '+' being downloaded, '.'
/// missing. The map has no terminating zero. Up to `capacity` characters are written to `map`,
/// which may be NULL if `capacity` is 0. `pieces` receives the number of pieces. Callable from any
/// thread.
///
/// # Safety
/// `map` must point to `capacity` writable bytes. `pieces` must be valid for writes. `error` must
/// be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_piece_map(
    torrent: *const playswarm_torrent,
    map: *mut c_char,
    capacity: usize,
    pieces: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_piece_map", error, || {
        // SAFETY: `pieces` is NULL or valid for writes.
        let pieces = unsafe { Out::new(pieces, "number of pieces") }?;
        if map.is_null() && capacity > 0 {
            return Err(bad("the output pointer for the map is NULL".into()));
        }
        let shown = handles::get(torrent)?.torrent.status().piece_map;
        if capacity > 0 {
            // SAFETY: `map` is not NULL and has room for `capacity` bytes, and `shown` is ours alone.
            unsafe { std::ptr::copy_nonoverlapping(shown.as_ptr(), map.cast(), shown.len().min(capacity)) };
        }
        pieces.set(shown.len());
        Ok(())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn info() -> playswarm_file_info {
        playswarm_file_info {
            struct_size: 0,
            length: 7,
            name: std::ptr::null(),
            content_type: std::ptr::null(),
            is_playable: 1,
            is_padding: 0,
        }
    }

    #[test]
    fn a_program_with_a_newer_header_learns_how_much_was_filled_and_the_rest_is_left_alone() {
        #[repr(C)]
        struct Newer {
            known: playswarm_file_info,
            later: u64,
        }
        let known = playswarm_file_info { struct_size: size_of::<Newer>(), ..info() };
        let mut newer = Newer { known, later: 9 };
        // SAFETY: the struct is as long as its size field states.
        unsafe { Versioned::new((&raw mut newer).cast::<playswarm_file_info>()) }.unwrap().set(info());
        assert_eq!((newer.known.struct_size, newer.known.length), (size_of::<playswarm_file_info>(), 7));
        assert_eq!(newer.later, 9);
    }

    #[test]
    fn a_struct_without_its_size_is_refused() {
        for struct_size in [0, 1, size_of::<playswarm_file_info>() - 1] {
            let mut given = playswarm_file_info { struct_size, ..info() };
            // SAFETY: the struct is longer than its size field states.
            assert!(unsafe { Versioned::new(&raw mut given) }.is_err());
        }
        // SAFETY: the pointer is NULL.
        assert!(unsafe { Versioned::<playswarm_file_info>::new(std::ptr::null_mut()) }.is_err());
        let mut bytes = [u64::MAX; 16];
        let odd = (&raw mut bytes).cast::<u8>().wrapping_add(1).cast::<playswarm_file_info>();
        // SAFETY: the pointer lies within `bytes`.
        assert!(unsafe { Versioned::new(odd) }.is_err());
    }
}
