//! Events of a torrent, delivered to the caller on the session's callback thread.

use crate::boundary::{ErrorOut, call, guard};
use crate::dispatch::{Finalizer, Job, Listener, Task};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, c_text};
use crate::status::playswarm_torrent_status;
use crate::torrent::playswarm_torrent;
use engine::{Error, Event, TorrentHandle};
use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Kind of an event. Later versions add kinds: programs ignore those that they do not know.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum playswarm_event_kind {
    /// The requested status interval has elapsed: `status`.
    PLAYSWARM_EVENT_STATUS = 1,
    /// A peer connected: `peer`.
    PLAYSWARM_EVENT_PEER_CONNECTED = 2,
    /// A peer disconnected: `peer`, `message`.
    PLAYSWARM_EVENT_PEER_DISCONNECTED = 3,
    /// A peer was banned: `peer`, `message`.
    PLAYSWARM_EVENT_PEER_BANNED = 4,
    /// A piece was received and verified: `number`.
    PLAYSWARM_EVENT_PIECE_VERIFIED = 5,
    /// A piece failed its hash and is requested again: `number`.
    PLAYSWARM_EVENT_PIECE_FAILED = 6,
    /// A piece is no longer available locally: `number`.
    PLAYSWARM_EVENT_PIECE_LOST = 7,
    /// Nothing can be downloaded at present: `message`.
    PLAYSWARM_EVENT_TROUBLE = 8,
    /// The download can continue.
    PLAYSWARM_EVENT_TROUBLE_OVER = 9,
    /// Every piece is verified and available.
    PLAYSWARM_EVENT_COMPLETED = 10,
    /// The callback was too slow and events were dropped: `number` of them.
    PLAYSWARM_EVENT_MISSED = 11,
    /// The torrent was closed. This is the last event.
    PLAYSWARM_EVENT_CLOSED = 12,
    /// A notice for the user about the torrent's files, for example that a name is taken:
    /// `message`.
    PLAYSWARM_EVENT_NOTICE = 13,
}

/// An event. It and the memory it points to are valid until the callback returns.
#[repr(C)]
pub struct playswarm_event {
    /// Number of bytes of this struct that the library has filled. Fields beyond it are absent.
    pub struct_size: usize,
    /// Kind of the event.
    pub kind: playswarm_event_kind,
    /// The index of a piece or the number of dropped events; otherwise 0.
    pub number: u32,
    /// The address of a peer, for example "192.0.2.7:6881"; otherwise NULL.
    pub peer: *const c_char,
    /// A short message for users; otherwise NULL.
    pub message: *const c_char,
    /// A status snapshot with PLAYSWARM_EVENT_STATUS; otherwise NULL.
    pub status: *const playswarm_torrent_status,
}

/// Receives events on the session's callback thread, one at a time. It may call any function of
/// this header, including one that ends this callback. It should return soon and must not throw.
pub type playswarm_event_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const playswarm_event)>;

/// Frees the user data that was registered with a callback.
pub type playswarm_finalizer = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// An event on its way to the callback thread.
struct EventMessage {
    kind: playswarm_event_kind,
    number: u32,
    peer: Option<CString>,
    message: Option<CString>,
    status: Option<Box<playswarm_torrent_status>>,
}

impl EventMessage {
    fn new(kind: playswarm_event_kind) -> EventMessage {
        EventMessage { kind, number: 0, peer: None, message: None, status: None }
    }

    fn of(event: &Event) -> Option<EventMessage> {
        use playswarm_event_kind::*;
        let peer = |kind, addr: &std::net::SocketAddr, why: Option<&String>| EventMessage {
            peer: Some(c_text(&addr.to_string())),
            message: why.map(|why| c_text(why)),
            ..EventMessage::new(kind)
        };
        let piece = |kind, piece: u32| EventMessage { number: piece, ..EventMessage::new(kind) };
        Some(match event {
            Event::PeerConnected { addr, .. } => peer(PLAYSWARM_EVENT_PEER_CONNECTED, addr, None),
            Event::PeerDisconnected { addr, why, .. } => peer(PLAYSWARM_EVENT_PEER_DISCONNECTED, addr, Some(why)),
            Event::PeerBanned { addr, why, .. } => peer(PLAYSWARM_EVENT_PEER_BANNED, addr, Some(why)),
            Event::PieceVerified { piece: n, .. } => piece(PLAYSWARM_EVENT_PIECE_VERIFIED, *n),
            Event::PieceFailed { piece: n, .. } => piece(PLAYSWARM_EVENT_PIECE_FAILED, *n),
            Event::PieceLost { piece: n, .. } => piece(PLAYSWARM_EVENT_PIECE_LOST, *n),
            Event::Trouble { message, .. } => {
                EventMessage { message: Some(c_text(message)), ..EventMessage::new(PLAYSWARM_EVENT_TROUBLE) }
            }
            Event::Notice { message, .. } => {
                EventMessage { message: Some(c_text(message)), ..EventMessage::new(PLAYSWARM_EVENT_NOTICE) }
            }
            Event::TroubleOver => EventMessage::new(PLAYSWARM_EVENT_TROUBLE_OVER),
            Event::Completed => EventMessage::new(PLAYSWARM_EVENT_COMPLETED),
            // An event kind of the engine that this header does not have yet.
            _ => return None,
        })
    }

    fn tell(&self, callback: playswarm_event_callback, user_data: *mut c_void) {
        let Some(callback) = callback else { return };
        let text = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        let event = playswarm_event {
            struct_size: size_of::<playswarm_event>(),
            kind: self.kind,
            number: self.number,
            peer: text(&self.peer),
            message: text(&self.message),
            status: self.status.as_deref().map_or(std::ptr::null(), std::ptr::from_ref),
        };
        // SAFETY: the caller registered it for this; the event and its strings live until it
        // returns.
        unsafe { callback(user_data, &raw const event) };
    }
}

type EventListener = Listener<playswarm_event_callback>;

/// Sends events to the callback thread until the torrent or the listener is gone.
async fn feed(torrent: TorrentHandle, interval_ms: u64, listener: Weak<EventListener>, jobs: mpsc::Sender<Job>) {
    let mut events = torrent.events();
    let closed = torrent.closed();
    let mut closed = std::pin::pin!(closed);
    let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let told = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => EventMessage::of(&event),
                Err(broadcast::error::RecvError::Lagged(n)) => Some(EventMessage {
                    number: u32::try_from(n).unwrap_or(u32::MAX),
                    ..EventMessage::new(playswarm_event_kind::PLAYSWARM_EVENT_MISSED)
                }),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = ticks.tick(), if interval_ms > 0 => Some(EventMessage {
                status: Some(Box::new(playswarm_torrent_status::of(&torrent.status()))),
                ..EventMessage::new(playswarm_event_kind::PLAYSWARM_EVENT_STATUS)
            }),
            () = &mut closed => Some(EventMessage::new(playswarm_event_kind::PLAYSWARM_EVENT_CLOSED)),
        };
        let Some(told) = told else { continue };
        let last = told.kind == playswarm_event_kind::PLAYSWARM_EVENT_CLOSED;
        let listener = listener.clone();
        let job: Job = Box::new(move || {
            if let Some(listener) = listener.upgrade() {
                listener.call(|callback, user_data| told.tell(callback, user_data));
            }
        });
        if jobs.send(job).await.is_err() || last {
            return;
        }
    }
}

/// Registers a callback for the events of the torrent from now on. It also receives the status
/// every `interval_ms` milliseconds, unless that is 0.
///
/// Each torrent has one callback. A new callback replaces it, and NULL or the last release of the
/// torrent ends it. When this function returns, the old callback is not called again, unless this
/// function was called from it. Do not hold a lock here that the old callback takes: this function
/// waits while it runs.
///
/// `user_data` is passed to the callback. `finalizer` may be NULL. It is called once with
/// `user_data` after the last call of the callback, on the thread that ends the callback. If this
/// function fails, the finalizer is not called. Callable from any thread, including callbacks.
///
/// # Safety
/// `callback` must be callable with `user_data` from another thread until it ends. `error` must be
/// NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_set_event_callback(
    torrent: *mut playswarm_torrent,
    interval_ms: u64,
    callback: playswarm_event_callback,
    user_data: *mut c_void,
    finalizer: playswarm_finalizer,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    let finalizer: Finalizer = finalizer;
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_set_event_callback", error, || {
        let object = handles::get(torrent)?;
        if callback.is_none() {
            object.events.set(None);
            return Ok(());
        }
        let jobs = object.core.dispatcher.sender().ok_or(Error::Closed)?;
        let listener: Arc<EventListener> = Listener::new(callback, user_data, finalizer);
        let feed = feed(object.torrent.clone(), interval_ms, Arc::downgrade(&listener), jobs);
        let task = Task(object.core.handle().spawn(feed));
        object.events.set(Some((listener, task)));
        Ok(())
    })
}

/// Returns the name of an event kind in snake case, such as "peer_connected", or NULL for an
/// unknown number. The string is static; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_event_kind_name(kind: i32) -> *const c_char {
    guard("playswarm_event_kind_name", std::ptr::null(), || {
        const NAMES: [&std::ffi::CStr; 13] = [
            c"status",
            c"peer_connected",
            c"peer_disconnected",
            c"peer_banned",
            c"piece_verified",
            c"piece_failed",
            c"piece_lost",
            c"trouble",
            c"trouble_over",
            c"completed",
            c"missed",
            c"closed",
            c"notice",
        ];
        let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind.checked_sub(1)?));
        name.map_or(std::ptr::null(), |name| name.as_ptr())
    })
}
