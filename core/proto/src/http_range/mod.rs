//! The client's side of HTTP/1.1 about ranges of bytes (RFC 9110, section 14; RFC 9112), as web
//! seeds and mirrors serve them.
//!
//! A [`Conversation`] has the state of one connection and no socket: requests go in, bytes to send
//! come out, and received bytes become events. Requests may follow each other before they are
//! answered. Servers answer in many wrong ways; each one is a [`Refusal`]. A refused answer yields
//! no byte, and [`Refusal::remedy`] says what helps.
//!
//! The caller dials, checks every address anew that a redirect names, and verifies the bytes.

mod conversation;
mod date;
mod head;
mod judge;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub use crate::http1::Fault;
pub use conversation::{Conversation, Event, RequestId};
pub use head::{MAX_HEAD_BYTES, MAX_HEADERS, Version};
pub use judge::is_page_instead;
pub use refusal::{MAX_RETRY_AFTER, Refusal, Remedy, RetryAfter};
pub(crate) use request::USER_AGENT;
pub use request::{MAX_REDIRECTS, Request};
