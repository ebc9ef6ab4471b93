//! The Gnutella network (0.6), as a leaf speaks it: messages, their extensions, the handshake, and
//! the fields of HTTP by which servents give files.
//!
//! [`Reader`] cuts the stream of a connection into frames, and [`Frame::from_datagram`] reads a
//! datagram. [`Message::decode`] reads a frame. Every length is checked against the bytes that are
//! there, and what is inflated has a bound. Addresses are what strangers say: the caller checks
//! each before it sends anything there.
//!
//! Sources: the drafts of the protocol (0.6, GGEP 0.51, HUGE 0.94, QRP 1.0), and recorded
//! conversations with gtk-gnutella, which are in `fixtures`. `docs/GNUTELLA.md` has the list.

mod area;
mod callback;
pub mod dht;
mod fault;
mod fields;
mod frame;
mod ggep;
mod guid;
mod handshake;
mod head_ping;
mod header_fields;
mod hit;
mod host_cache;
mod inflate;
mod message;
mod ping;
mod qrp;
mod query;
mod request;
mod servent_fields;
mod spam;
#[cfg(test)]
mod tests;
mod vendor;
mod words;

pub use area::Area;
pub use callback::{Callback, MAX_CALLBACK_BYTES, PushProxyAnswer, callback, give_line, push_proxy_request};
pub use fault::Fault;
pub use frame::{
    Frame, HEADER_BYTES, Header, MAX_HIT_BYTES, MAX_OTHER_BYTES, MAX_QUERY_BYTES, Reader, kind, max_payload,
};
pub use ggep::{Budget, Ggep, MAX_DATA_BYTES, MAX_EXTENSIONS, Place};
pub use guid::Guid;
pub use handshake::{Handshake, MAX_TRIES, Outcome, Refusal, Start, leaf_greeting, leaf_refusal};
pub use head_ping::{HeadPing, HeadPong, Holding, MAX_PONG_ALTERNATES, MAX_RANGES, Queue};
pub use header_fields::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
pub use hit::{MAX_ALTERNATES, MAX_PUSH_PROXIES, MAX_RECORDS, QueryHit, Record, ServentFlag, Trailer};
pub use host_cache::{CacheAnswer, CacheVersion, MAX_CACHE_BYTES, MAX_CACHE_LINES, cache_request};
pub use inflate::INFLATE_STEP_BYTES;
pub use message::Message;
pub use ping::{Bye, MAX_PONG_ADDRESSES, Ping, Pong, Push, UltrapeerSlots, VENDOR, VendorCode};
pub use qrp::{MAX_SLOTS_LOG2, RouteReceiver, RouteTable, RouteUpdate, hash};
pub use query::{MAX_OUR_QUERY_BYTES, MAX_OUR_TEXT_BYTES, Query, flag, media};
pub use request::{BadRequest, ByteRange, FileRequest};
pub use servent_fields::{MAX_HEAD_RANGES, MAX_HEAD_SOURCES, PushSource, QueuePlace, ServentFields, Target, TreePlace};
pub use spam::{NO_INDEX, SpamMark, spam_mark};
pub use vendor::{Feature, Id, MAX_TOKEN_BYTES, OURS, STOP_QUERY, VendorMessage};
pub use words::words;
