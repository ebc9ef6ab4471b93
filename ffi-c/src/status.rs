//! The structs of the header: each begins with its size, so that it can grow.

use crate::border::{Out, bad, call, call_plain};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, add_text, c_text};
use crate::media::playswarm_media;
use engine::{Error, MediaStatus, Result};
use std::ffi::c_char;

/// A file of a torrent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_file_info {
    /// sizeof(playswarm_file_info); see playswarm_media_status.
    pub struct_size: usize,
    /// Bytes of the file.
    pub length: u64,
    /// Its name as the torrent has it, folders and all, joined by "/"; UTF-8.
    pub name: *const c_char,
    /// Its media type by its name, such as "video/x-matroska".
    pub content_type: *const c_char,
    /// 1 if a player would open it, else 0.
    pub is_playable: u32,
    /// 1 if it is padding that nobody sees, else 0.
    pub is_padding: u32,
}

/// What a torrent is doing.
///
/// Whoever asks for it sets `struct_size` to sizeof(playswarm_media_status) first. A program that was compiled with an older
/// header gets the fields that it knows; one that was compiled with a newer header finds in `struct_size` how many bytes this
/// library has filled. Nothing beyond `struct_size` is touched.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_media_status {
    /// See above.
    pub struct_size: usize,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of the pieces that are verified and here.
    pub verified_bytes: u64,
    /// Verified bytes without a gap ahead of the reader that has the least; 0 without readers.
    pub ahead_bytes: u64,
    /// The same in seconds of the media; negative where its rate is not known yet.
    pub ahead_s: f64,
    /// Payload received over the last seconds, bytes per second.
    pub download_bytes_per_s: f64,
    /// Payload sent over the last seconds, bytes per second.
    pub upload_bytes_per_s: f64,
    /// Payload received since the torrent was opened.
    pub downloaded_bytes: u64,
    /// Payload sent since the torrent was opened.
    pub uploaded_bytes: u64,
    /// Blocks received that had come from another peer before, in bytes.
    pub waste_duplicate_bytes: u64,
    /// Blocks received that nobody asked for, in bytes.
    pub waste_unasked_bytes: u64,
    /// Pieces received that failed their hash, in bytes.
    pub waste_failed_bytes: u64,
    /// Blocks received and given up to make room in memory, in bytes.
    pub waste_forgotten_bytes: u64,
    /// Bytes held in memory for this torrent.
    pub memory_bytes: u64,
    /// Bytes of verified pieces on disk.
    pub disk_bytes: u64,
    /// Useful payload that came from parents, the viewers just ahead that the slot index found; 0 where it is not used.
    pub parent_bytes: u64,
    /// Bytes per piece.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// Connected peers.
    pub peers: u32,
    /// How many of them have a place kept as parents.
    pub parents: u32,
    /// Peers known but not connected.
    pub known_peers: u32,
    /// Peers turned away for good.
    pub banned_peers: u32,
    /// Open streams that were read.
    pub readers: u32,
    /// How many of them wait for data now.
    pub waiting_readers: u32,
    /// 1 if nothing can be fetched at the moment (playswarm_media_trouble says why), else 0.
    pub is_in_trouble: u32,
    /// Trackers that failed or refused the last time; playswarm_media_trouble has the words of one where no peer is connected.
    pub failed_trackers: u32,
}

impl playswarm_media_status {
    pub(crate) fn of(s: &MediaStatus) -> playswarm_media_status {
        let least = s.readers.iter().min_by_key(|r| r.ahead_bytes);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        playswarm_media_status {
            struct_size: size_of::<playswarm_media_status>(),
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
        }
    }
}

/// A struct that begins with its size, a `usize`, and was as long as this in the first version of the header.
///
/// # Safety
/// It is `repr(C)`, and its first field is that `usize`.
pub(crate) unsafe trait Sized1: Copy {
    const FIRST_SIZE: usize;
}
// SAFETY: as their definitions show.
unsafe impl Sized1 for playswarm_file_info {
    const FIRST_SIZE: usize = size_of::<playswarm_file_info>();
}
// SAFETY: likewise.
unsafe impl Sized1 for playswarm_media_status {
    const FIRST_SIZE: usize = size_of::<playswarm_media_status>();
}

/// A struct of the caller's, of the caller's size.
pub(crate) struct Versioned<T> {
    to: *mut T,
    size: usize,
}

impl<T: Sized1> Versioned<T> {
    /// # Safety
    /// `to` is NULL or points to as many bytes as its first field says, which may be written until the call is over.
    pub(crate) unsafe fn new(to: *mut T) -> Result<Versioned<T>> {
        if to.is_null() {
            return Err(bad("there is nowhere to put the result: it is NULL".into()));
        }
        if !to.is_aligned() {
            return Err(bad("the struct for the result is not aligned".into()));
        }
        // SAFETY: the caller's promise; the field is there by that of the trait.
        let size = unsafe { to.cast::<usize>().read() };
        if size < T::FIRST_SIZE {
            return Err(bad(format!(
                "struct_size is {size}, and at least {} is needed; set it to the struct's sizeof before the call",
                T::FIRST_SIZE
            )));
        }
        Ok(Versioned { to, size })
    }

    pub(crate) fn set(self, value: T) {
        let size = self.size.min(size_of::<T>());
        // SAFETY: both are at least `size` bytes long, and apart; the first field is a usize.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), self.to.cast::<u8>(), size);
            self.to.cast::<usize>().write(size);
        }
    }
}

/// A snapshot of what the torrent is doing. `status->struct_size` is to be set before the call. From any thread.
///
/// PLAYSWARM_BAD_ARGUMENT where `struct_size` is smaller than it ever was.
///
/// # Safety
/// `status` points to `status->struct_size` bytes that may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_get_status(
    media: *const playswarm_media,
    status: *mut playswarm_media_status,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_get_status", error, || {
            let out = Versioned::new(status)?;
            out.set(playswarm_media_status::of(&handles::get(media)?.media.status()));
            Ok(())
        })
    }
}

/// All that is known of the torrent, with its peers and readers, as a JSON object (docs/HTTP.md lists its fields), to be
/// freed with playswarm_string_free. From any thread.
///
/// # Safety
/// `json` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_status_json(
    media: *const playswarm_media,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_status_json", error, || {
            let json = Out::new(json, "JSON")?;
            let status = handles::get(media)?.media.status();
            let text = serde_json::to_string(&status).map_err(|e| Error::Internal(e.to_string()))?;
            json.set(add_text(c_text(&text)));
            Ok(())
        })
    }
}

/// Why nothing can be fetched at the moment (a full disk, no peers), as a sentence to be freed with playswarm_string_free; NULL
/// where all is well. From any thread.
///
/// # Safety
/// `trouble` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_trouble(
    media: *const playswarm_media,
    trouble: *mut *mut c_char,
) -> playswarm_code {
    call_plain("playswarm_media_trouble", || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(trouble, "sentence") }?;
        let trouble = handles::get(media)?.media.status().trouble;
        out.set(trouble.map_or(std::ptr::null_mut(), |why| add_text(c_text(&why))));
        Ok(())
    })
}

/// The state of each piece, one character a piece and no zero at the end: '#' here, '+' being fetched, '.' missing. Up to
/// `capacity` of them are put into `map`, which may be NULL if that is 0; `pieces` gets how many pieces there are. From any
/// thread.
///
/// # Safety
/// `map` points to `capacity` bytes that may be written; `pieces` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_piece_map(
    media: *const playswarm_media,
    map: *mut c_char,
    capacity: usize,
    pieces: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_piece_map", error, || {
            let pieces = Out::new(pieces, "number of pieces")?;
            if map.is_null() && capacity > 0 {
                return Err(bad("there is nowhere to put the map: it is NULL".into()));
            }
            let shown = handles::get(media)?.media.status().piece_map;
            if capacity > 0 {
                std::ptr::copy_nonoverlapping(shown.as_ptr(), map.cast(), shown.len().min(capacity));
            }
            pieces.set(shown.len());
            Ok(())
        })
    }
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
        // SAFETY: it is as long as it says.
        unsafe { Versioned::new((&raw mut newer).cast::<playswarm_file_info>()) }.unwrap().set(info());
        assert_eq!((newer.known.struct_size, newer.known.length), (size_of::<playswarm_file_info>(), 7));
        assert_eq!(newer.later, 9);
    }

    #[test]
    fn a_struct_without_its_size_is_refused() {
        for struct_size in [0, 1, size_of::<playswarm_file_info>() - 1] {
            let mut given = playswarm_file_info { struct_size, ..info() };
            // SAFETY: it is longer than it says.
            assert!(unsafe { Versioned::new(&raw mut given) }.is_err());
        }
        // SAFETY: NULL.
        assert!(unsafe { Versioned::<playswarm_file_info>::new(std::ptr::null_mut()) }.is_err());
        let mut bytes = [u64::MAX; 16];
        let odd = (&raw mut bytes).cast::<u8>().wrapping_add(1).cast::<playswarm_file_info>();
        // SAFETY: it lies within `bytes`.
        assert!(unsafe { Versioned::new(odd) }.is_err());
    }
}
