//! The source: cuts the stream, makes and signs heads and packets.

use crate::Time;
use crate::stripe::{Code, Cut, Cutter, cutter, packets};
use bytes::Bytes;
use playswarm_proto::live::{
    BadHead, Beacon, Group, Head, Minute, Packet, SignedBeacon, SignedHead, SignedMinute, SignedTitle, SourceKey,
    Title, flags,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Most new casts that a run begins since nodes have a head of an earlier run that is newer. Each such
/// run needs one. Two sources with one key would answer each other without end.
const MAX_OVERTAKES: u32 = 4;
/// Shortest time between two titles. Every node verifies and sends each, and listeners read no faster.
const TITLE_GAP: Duration = Duration::from_secs(1);

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
    /// Title of what is playing from now on. Empty if nothing is known.
    Title(String),
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
    Title(SignedTitle),
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
    /// Title of what is playing, and the number of the next one.
    title: String,
    next_title: u32,
    /// Whether the title has changed since one was made, and the time before which none is made.
    title_waits: bool,
    no_title_before: Time,
    /// Number of times that this run began anew to be newer than an earlier one.
    overtakes: u32,
    /// Whether the stream has ended.
    is_over: bool,
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
        Ok(Source {
            key,
            head,
            signed,
            cut,
            cutter,
            code,
            epoch_ms,
            title: String::new(),
            next_title: 0,
            title_waits: false,
            no_title_before: Time::ZERO,
            overtakes: 0,
            is_over: false,
            made: VecDeque::new(),
        })
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
            Cast::Title(title) if title == self.title => {}
            Cast::Title(title) => {
                self.title = title;
                self.title_waits = true;
            }
            Cast::End => {
                self.is_over = true;
                self.cutter.handle(now, cutter::Input::End);
            }
            Cast::Timeout => self.cutter.handle(now, cutter::Input::Timeout),
            Cast::Init { init, content_type } => {
                // The collected bytes still belong to the previous head.
                self.cutter.handle(now, cutter::Input::Cut(self.cut));
                self.make_packets();
                self.change(now, init, content_type);
            }
        }
        self.make_packets();
        if self.title_waits && now >= self.no_title_before {
            self.make_title(now);
        }
    }

    fn change(&mut self, now: Time, init: Bytes, content_type: String) {
        if init == self.head.init && content_type == self.head.content_type {
            return;
        }
        let mut head = Head { init, content_type, ..self.head.clone() };
        match head.revision.checked_add(1) {
            Some(revision) => head.revision = revision,
            // A cast has 256 heads. An encoder that often returns needs more.
            None => begin_anew(&mut head, self.unix_ms(now)),
        }
        self.use_head(now, head);
    }

    /// Takes a head of another run. If that did not begin before this one, the clock was ahead then or was
    /// set back since, and nodes take this run for the older one: it begins another cast.
    pub(super) fn meet(&mut self, now: Time, earlier: &Head) {
        let is_later = earlier.cast != self.head.cast && earlier.started_ms >= self.head.started_ms;
        if !is_later || self.is_over || self.overtakes >= MAX_OVERTAKES {
            return;
        }
        self.overtakes += 1;
        self.cutter.handle(now, cutter::Input::Cut(self.cut));
        self.make_packets();
        let mut head = self.head.clone();
        begin_anew(&mut head, earlier.started_ms.saturating_add(1));
        self.use_head(now, head);
    }

    fn unix_ms(&self, now: Time) -> u64 {
        self.epoch_ms + now.0 / 1000
    }

    fn use_head(&mut self, now: Time, head: Head) {
        // The splitter refuses init bytes above the limit.
        let Ok(signed) = SignedHead::new(&self.key, &head) else { return };
        let is_new_cast = head.cast != self.head.cast;
        (self.head, self.signed) = (head, signed.clone());
        self.made.push_back(Made::Head(signed));
        if is_new_cast && !self.title.is_empty() {
            self.make_title(now);
        }
    }

    fn make_title(&mut self, now: Time) {
        (self.title_waits, self.no_title_before) = (false, now + TITLE_GAP);
        let title = Title::new(self.head.cast, self.next_title, &self.title);
        self.next_title += 1;
        self.made.push_back(Made::Title(title.sign(&self.key)));
    }

    fn make_packets(&mut self) {
        while let Some(cut) = self.cutter.poll() {
            let restart = if cut.restart { flags::RESTART } else { 0 };
            let end = if cut.end { flags::END } else { 0 };
            let group = Group {
                cast: self.head.cast,
                revision: self.head.revision,
                number: cut.number,
                born_ms: self.unix_ms(cut.begun),
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
        let title = if self.title_waits { self.no_title_before } else { Time::NEVER };
        self.cutter.next_timeout().min(title)
    }
}

/// Makes a head the first one of another cast, which begins at this time or just after the one before.
fn begin_anew(head: &mut Head, started_ms: u64) {
    (head.revision, head.cast) = (0, head.cast.wrapping_add(1));
    head.started_ms = started_ms.max(head.started_ms.saturating_add(1));
}
