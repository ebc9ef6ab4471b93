//! `playswarm_channel`: a live channel that is watched or passed on.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, add_text, c_text};
use crate::session::playswarm_session;
use crate::status::{Sized1, Versioned, give_json};
use crate::stream::{StreamObject, playswarm_stream};
use engine::live::{
    ArchiveOptions, Channel, ChannelHead, ChannelKey, ChannelLink, ChannelStatus, channel_link, parse_link,
};
use engine::{Error, Result};
use std::ffi::c_char;
use std::sync::Arc;

/// A live channel that is watched or passed on. A session has one node in a channel, which all its
/// handles and streams share. The node leaves with the last of them.
pub struct playswarm_channel {
    _private: (),
}

impl Handle for playswarm_channel {
    type Object = ChannelObject;
    const NAME: &'static str = "channel";
}

/// The fields are declared in drop order: the runtime last.
pub(crate) struct ChannelObject {
    channel: Channel,
    core: Arc<Core>,
}

/// The description of a channel's stream, which its source signed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_channel_head {
    /// Set to sizeof(playswarm_channel_head) before the call; see playswarm_torrent_status.
    pub struct_size: usize,
    /// Rate of the stream in bytes per second, about.
    pub bytes_per_s: u32,
    /// Always 0.
    pub reserved: u32,
    /// Name of the channel for people, in UTF-8. May be empty.
    pub name: [c_char; 256],
    /// Media type of the stream, such as "video/mp2t". May be empty.
    pub content_type: [c_char; 256],
}

/// A node's place in a live channel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct playswarm_channel_status {
    /// Set to sizeof(playswarm_channel_status) before the call; see playswarm_torrent_status.
    pub struct_size: usize,
    /// Time from the arrival of the newest bytes at the source until they were here, in milliseconds
    /// by the clocks of both machines; negative while unknown.
    pub delay_ms: i64,
    /// Further viewers that the whole channel can feed, as far as the neighbours know; negative while
    /// unknown.
    pub free_places: i64,
    /// Number of packets that were verified and new.
    pub packets: u64,
    /// Number of packets that did not verify. Their senders are banned.
    pub refused: u64,
    /// Number of groups that were restored from parity.
    pub restored: u64,
    /// Number of groups that were lost for good.
    pub lost: u64,
    /// Number of gaps in the stream: each is one or more lost groups.
    pub gaps: u64,
    /// 1 if the description of the stream is known, otherwise 0.
    pub has_head: u32,
    /// 1 if the stream has ended, otherwise 0.
    pub is_ended: u32,
    /// Number of stripes of the channel; 0 before its head is known.
    pub stripes: u32,
    /// Number of stripes for which this node has a parent.
    pub fed: u32,
    /// Number of nodes from the source to this one, over the longest path.
    pub depth: u32,
    /// Number of nodes that feed this one.
    pub parents: u32,
    /// Number of nodes that are fed with a stripe here, counted for each stripe.
    pub children: u32,
    /// Number of open connections.
    pub connections: u32,
    /// Number of open streams of this session.
    pub readers: u32,
    /// Always 0.
    pub reserved: u32,
    /// Number of minutes of the archive that the source has announced, at most 120.
    pub minutes: u32,
    /// Number of minutes that are complete in this node's archive; negative if it keeps none.
    pub archived: i32,
    /// Time from the joining of the channel until the first verified packet was here, in
    /// milliseconds; negative while there is none.
    pub first_packet_ms: i64,
    /// Time until this node asks for a place again, in seconds, if the channel is full: all nodes that
    /// were asked answered that their places are taken. Negative if it is not.
    pub full_for_s: i32,
    /// 1 if other nodes can dial this one, 0 if they cannot; negative while nothing has shown it.
    pub reachable: i32,
    /// Title of what is playing, in UTF-8. Empty if the source tells none.
    pub title: [c_char; 256],
}

// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_channel_head {
    const FIRST_SIZE: usize = size_of::<playswarm_channel_head>();
}
// SAFETY: the definition shows it.
unsafe impl Sized1 for playswarm_channel_status {
    const FIRST_SIZE: usize = std::mem::offset_of!(playswarm_channel_status, minutes);
}

/// Returns a text with a zero byte, cut where it is too long or has a zero byte itself.
fn within(text: &str) -> [c_char; 256] {
    let mut within = [0; 256];
    let longest = text.len().min(within.len() - 1);
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    for (to, byte) in within.iter_mut().zip(text.as_bytes()[..end].iter().take_while(|byte| **byte != 0)) {
        *to = byte.cast_signed() as c_char;
    }
    within
}

impl playswarm_channel_head {
    fn of(head: &ChannelHead) -> playswarm_channel_head {
        playswarm_channel_head {
            struct_size: size_of::<playswarm_channel_head>(),
            bytes_per_s: head.bytes_per_s,
            reserved: 0,
            name: within(&head.name),
            content_type: within(&head.content_type),
        }
    }
}

impl playswarm_channel_status {
    pub(crate) fn of(s: &ChannelStatus, head: Option<&ChannelHead>) -> playswarm_channel_status {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let known = |n: Option<u64>| n.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
        playswarm_channel_status {
            struct_size: size_of::<playswarm_channel_status>(),
            delay_ms: known(s.delay_ms),
            free_places: known(s.free_places),
            packets: s.packets,
            refused: s.refused,
            restored: s.restored,
            lost: s.lost,
            gaps: s.gaps,
            has_head: u32::from(head.is_some()),
            is_ended: u32::from(s.ended),
            stripes: count(s.stripes),
            fed: count(s.fed),
            depth: count(s.depth),
            parents: count(s.parents),
            children: count(s.children),
            connections: count(s.connections),
            readers: count(s.readers),
            reserved: 0,
            minutes: count(s.minutes),
            archived: s.archived.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX)),
            first_packet_ms: s.first_packet_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            full_for_s: s.full_for_s.map_or(-1, |s| i32::try_from(s).unwrap_or(i32::MAX)),
            reachable: s.reachable.map_or(-1, i32::from),
            title: within(s.title.as_deref().unwrap_or_default()),
        }
    }
}

/// Returns the link in a text. Players hand over what follows `playswarm://`, so the scheme may be
/// absent. `None` if it is no link to a channel.
pub(crate) fn link_of(text: &str) -> Option<Result<ChannelLink>> {
    if parse_link(text).is_some() {
        return Some(channel_link(text));
    }
    let has_key = text.split(['?', '/']).next().is_some_and(|key| key.parse::<ChannelKey>().is_ok());
    has_key.then(|| channel_link(&format!("playswarm:{text}")))
}

/// Joins a live channel. `link` has the form `playswarm:KEY?at=HOST:PORT` or
/// `magnet:?xt=urn:psl:KEY&x.pe=HOST:PORT`. Its nodes are dialled at once, and its stream can be
/// opened at once: it waits for the first bytes. The node passes the stream on to others, within the
/// setting "upload_bytes_per_s". A channel that is already open is shared. The channel has one
/// reference, which the caller releases with playswarm_channel_unref. The function does not wait.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_SOURCE, PLAYSWARM_CLOSED.
///
/// # Safety
/// `link` must end with a zero byte. `channel` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_watch(
    session: *mut playswarm_session,
    link: *const c_char,
    channel: *mut *mut playswarm_channel,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_watch", error, || {
        // SAFETY: `channel` is NULL or valid for writes.
        let out = unsafe { Out::handle(channel) }?;
        // SAFETY: `link` is NULL or ends with a zero byte.
        let text = unsafe { text(link, "link") }?;
        let link = link_of(text).unwrap_or_else(|| channel_link(text))?;
        let core = handles::get(session)?.as_ref().clone();
        out.give(ChannelObject { channel: core.session.watch(&link)?, core });
        Ok(())
    })
}

/// Returns the link by which the channel was found. Free it with playswarm_string_free. Callable
/// from any thread.
///
/// # Safety
/// `link` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_link(
    channel: *const playswarm_channel,
    link: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_link", error, || {
        // SAFETY: `link` is NULL or valid for writes.
        let out = unsafe { Out::new(link, "link") }?;
        out.set(add_text(c_text(&handles::get(channel)?.channel.link().to_string())));
        Ok(())
    })
}

/// Waits until a player can begin. The wait ends after `timeout_ms` milliseconds (0 means no timeout)
/// or when `canceller`, which may be NULL, is cancelled. `head`, which may be NULL, receives the
/// description of the stream; set `head->struct_size` before the call. Callable from any thread.
///
/// Errors: PLAYSWARM_TIMED_OUT if no node gives the stream in time, PLAYSWARM_CANCELLED,
/// PLAYSWARM_CLOSED if the stream has ended, the channel was left or the session is closed.
///
/// # Safety
/// `head` must be NULL or point to `head->struct_size` writable bytes. `error` must be NULL or valid
/// for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_on_air(
    channel: *const playswarm_channel,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    head: *mut playswarm_channel_head,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_on_air", error, || {
        // SAFETY: `head` points to `struct_size` writable bytes.
        let out = if head.is_null() { None } else { Some(unsafe { Versioned::new(head) }?) };
        let object = handles::get(channel)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let on_air = async { object.channel.on_air().await.ok_or(Error::Closed) };
        let found = object.core.wait_within("waiting for the stream", timeout_ms, cancel.as_deref(), on_air)?;
        if let Some(out) = out {
            out.set(playswarm_channel_head::of(&found));
        }
        Ok(())
    })
}

/// Returns the description of the stream. Set `head->struct_size` before the call. Callable from any
/// thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if no node has sent it yet (playswarm_channel_on_air waits for it),
/// or if `struct_size` is smaller than in the first version of the struct.
///
/// # Safety
/// `head` must point to `head->struct_size` writable bytes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_get_head(
    channel: *const playswarm_channel,
    head: *mut playswarm_channel_head,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_get_head", error, || {
        // SAFETY: `head` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(head) }?;
        let found = handles::get(channel)?.channel.head();
        let unknown = || bad("the channel has not been described yet; wait until it is on air".into());
        out.set(playswarm_channel_head::of(&found.ok_or_else(unknown)?));
        Ok(())
    })
}

/// Returns a snapshot of this node's place in the channel. Set `status->struct_size` before the
/// call. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
/// struct.
///
/// # Safety
/// `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_get_status(
    channel: *const playswarm_channel,
    status: *mut playswarm_channel_status,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_get_status", error, || {
        // SAFETY: `status` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(status) }?;
        let channel = handles::get(channel)?;
        out.set(playswarm_channel_status::of(&channel.channel.status(), channel.channel.head().as_ref()));
        Ok(())
    })
}

/// Returns this node's place in the channel as a JSON object. docs/LIVE-USE.md lists the fields. Free
/// the string with playswarm_string_free. Callable from any thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_status_json(
    channel: *const playswarm_channel,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_status_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(channel)?.channel.status()))
    })
}

/// Begins to archive the channel in the folder `dir`, if its source does. The minutes are written from
/// the stream, missing ones are downloaded, and all are seeded until the channel is left. Callable from
/// any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if the channel has an archive in this session already,
/// PLAYSWARM_CLOSED. A folder that cannot be written is no error: the status says why the archive is
/// incomplete.
///
/// # Safety
/// `dir` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_archive(
    channel: *mut playswarm_channel,
    dir: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_archive", error, || {
        // SAFETY: `dir` is NULL or ends with a zero byte.
        let options = ArchiveOptions::new(unsafe { text(dir, "folder") }?);
        handles::get(channel)?.channel.archive(&options)
    })
}

/// Waits until all of an ended stream that can be had is in the archive. The wait ends after
/// `timeout_ms` milliseconds (0 means no timeout) or when `canceller`, which may be NULL, is
/// cancelled. Without an archive, it does not wait. Callable from any thread.
///
/// Errors: PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_wait_archived(
    channel: *const playswarm_channel,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_wait_archived", error, || {
        let object = handles::get(channel)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let archived = async {
            object.channel.archived().await;
            Ok(())
        };
        object.core.wait_within("waiting for the archive", timeout_ms, cancel.as_deref(), archived)
    })
}

/// Opens the stream of the channel. It begins at the present, with what a player needs first. It is
/// an ordinary stream without a size: playswarm_stream_size and all seeks return PLAYSWARM_NO_SIZE. A
/// reader that is slower than the stream jumps to the present, where the setting "live_back_ms" ends.
/// The stream has one reference, which the caller releases with playswarm_stream_unref. Never waits.
/// Callable from any thread.
///
/// # Safety
/// `stream` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_stream(
    channel: *mut playswarm_channel,
    stream: *mut *mut playswarm_stream,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_stream", error, || {
        // SAFETY: `stream` is NULL or valid for writes.
        let out = unsafe { Out::handle(stream) }?;
        let object = handles::get(channel)?;
        out.give(StreamObject::live(object.channel.stream(), object.core.clone()));
        Ok(())
    })
}

/// Leaves the channel, for all its handles and streams in this session: reads fail with
/// PLAYSWARM_CLOSED. Waits up to 2 s, until the nodes that are fed here have other parents. Without
/// it, the last release leaves at once, and they have to notice. Callable from any thread.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_channel_leave(
    channel: *mut playswarm_channel,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_channel_leave", error, || {
        let object = handles::get(channel)?;
        object.core.wait(async {
            object.channel.leave().await;
            Ok(())
        })
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_channel_ref(channel: *mut playswarm_channel) -> playswarm_code {
    call_plain("playswarm_channel_ref", || handles::retain(channel))
}

/// Releases a reference. The node leaves the channel with the last of its handles and streams. NULL
/// is allowed. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_channel_unref(channel: *mut playswarm_channel) -> playswarm_code {
    call_plain("playswarm_channel_unref", || handles::release(channel))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_with_and_without_its_scheme() {
        let key = "RKEOHXLUBHYZL7KS3MWTZOS5OLFGOCN7DWKBEG7TOSEADNAPN5OA";
        for text in [
            format!("playswarm:{key}?at=127.0.0.1%3A1"),
            format!("playswarm://{key}/?at=127.0.0.1:1"),
            format!("{key}?at=127.0.0.1%3A1"),
            format!("{key}/?at=127.0.0.1:1"),
        ] {
            assert_eq!(link_of(&text).unwrap().unwrap().at.len(), 1, "{text}");
        }
        assert!(link_of("playswarm:short").unwrap().is_err());
        for text in ["film.torrent", "", "/home/me/film.torrent", "magnet:?xt=urn:btih:0123"] {
            assert!(link_of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_text_has_room_for_its_end() {
        let long = "é".repeat(200);
        let within = within(&long);
        assert_eq!(within.iter().position(|byte| *byte == 0), Some(254), "no half character");
        assert_eq!(super::within("a\0b")[1..4], [0, 0, 0]);
    }
}
