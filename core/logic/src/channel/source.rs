//! The source: cuts the stream, makes and signs heads and packets.

use crate::Time;
use crate::stripe::{Code, Cut, Cutter, cutter, packets};
use bytes::Bytes;
use playswarm_proto::live::{
    BadHead, Beacon, Group, Head, Minute, Packet, SignedBeacon, SignedHead, SignedMinute, SourceKey, flags,
};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// An event of the source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cast {
    /// Bytes of the stream, and whether a player can begin with the first of them.
    Bytes(Bytes, bool),
    /// From here on, players need other init bytes. The next bytes must be a restart.
    Init {
        /// What players need before them.
        init: Bytes,
        /// Media type of the stream, such as `video/mp2t`.
        content_type: String,
    },
    /// A minute of the archive is complete.
    Minute(Minute),
    /// The stream ends.
    End,
    /// The time of [`Source::next_timeout`] has come.
    Timeout,
}

/// What the source made.
#[derive(Debug)]
pub(super) enum Made {
    Head(SignedHead),
    Packet(Packet),
    Minute(SignedMinute),
}

/// The state machine of a source.
#[derive(Debug)]
pub struct Source {
    key: SourceKey,
    head: Head,
    signed: SignedHead,
    cut: Cut,
    cutter: Cutter,
    code: Code,
    /// Added to a time to get milliseconds since 1970. The clock may be set; the channel's time
    /// must not go back.
    epoch_ms: u64,
    made: VecDeque<Made>,
}

impl Source {
    /// Creates a source. `head` describes the stream; its key, shape and times are set here.
    /// `unix_ms` is the present time in milliseconds since 1970, at `now`.
    ///
    /// # Errors
    ///
    /// Returns an error if a field of the head is out of range.
    pub fn new(now: Time, unix_ms: u64, key: SourceKey, cut: Cut, head: Head) -> Result<Source, BadHead> {
        let head = Head {
            key: key.channel(),
            revision: 0,
            started_ms: unix_ms,
            shape: cut.shape,
            group_ms: cut.group.as_millis() as u16,
            packet_bytes: cut.packet_bytes as u32,
            ..head
        };
        let signed = SignedHead::new(&key, &head)?;
        let epoch_ms = unix_ms.saturating_sub(now.0 / 1000);
        let (cutter, code) = (Cutter::new(cut, 0), Code::new(cut.shape));
        Ok(Source { key, head, signed, cut, cutter, code, epoch_ms, made: VecDeque::new() })
    }

    pub(super) fn beacon(&self, sequence: i64, on_air: bool, at: Vec<SocketAddr>) -> SignedBeacon {
        let Head { cast, started_ms, .. } = self.head;
        Beacon { cast, started_ms, on_air, at }.sign(&self.key, sequence)
    }

    pub(super) fn head(&self) -> SignedHead {
        self.signed.clone()
    }

    pub(super) fn handle(&mut self, now: Time, event: Cast) {
        match event {
            Cast::Bytes(bytes, restart) => self.cutter.handle(now, cutter::Input::Bytes { bytes, restart }),
            Cast::Minute(minute) => self.made.push_back(Made::Minute(minute.sign(&self.key))),
            Cast::End => self.cutter.handle(now, cutter::Input::End),
            Cast::Timeout => self.cutter.handle(now, cutter::Input::Timeout),
            Cast::Init { init, content_type } => {
                // The collected bytes still belong to the previous head.
                self.cutter.handle(now, cutter::Input::Cut(self.cut));
                self.make_packets();
                self.change(now, init, content_type);
            }
        }
        self.make_packets();
    }

    fn change(&mut self, now: Time, init: Bytes, content_type: String) {
        if init == self.head.init && content_type == self.head.content_type {
            return;
        }
        let mut head = Head { init, content_type, ..self.head.clone() };
        // A cast has 256 heads. An encoder that often returns needs more, and begins another cast.
        (head.revision, head.cast, head.started_ms) = match head.revision.checked_add(1) {
            Some(revision) => (revision, head.cast, head.started_ms),
            None => (0, head.cast.wrapping_add(1), (self.epoch_ms + now.0 / 1000).max(head.started_ms + 1)),
        };
        // The splitter refuses init bytes above the limit.
        if let Ok(signed) = SignedHead::new(&self.key, &head) {
            (self.head, self.signed) = (head, signed.clone());
            self.made.push_back(Made::Head(signed));
        }
    }

    fn make_packets(&mut self) {
        while let Some(cut) = self.cutter.poll() {
            let restart = if cut.restart { flags::RESTART } else { 0 };
            let end = if cut.end { flags::END } else { 0 };
            let group = Group {
                cast: self.head.cast,
                revision: self.head.revision,
                number: cut.number,
                born_ms: self.epoch_ms + cut.begun.0 / 1000,
                length: 0,
                flags: restart | end,
            };
            let made = packets(&self.key, &self.code, group, &cut.bytes);
            self.made.extend(made.into_iter().map(Made::Packet));
        }
    }

    pub(super) fn poll(&mut self) -> Option<Made> {
        self.made.pop_front()
    }

    pub(super) fn next_timeout(&self) -> Time {
        self.cutter.next_timeout()
    }
}
