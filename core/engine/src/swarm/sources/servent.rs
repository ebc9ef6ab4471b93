//! What a lane to a servent of Gnutella does beyond HTTP: it obeys the queue, keeps to the parts that are
//! there, and passes on which other servents have the file.

use super::Known;
use super::lane::Lane;
use playswarm_logic::sources::servent::{Verdict, verdict};
use playswarm_logic::sources::{End, Entry};
use playswarm_proto::gnutella::{QueuePlace, ServentFields, Target};
use playswarm_proto::http_range::{Refusal, Remedy, RequestId};
use playswarm_proto::wire::Message;
use std::time::{Duration, Instant};

/// Longest wait over a connection that is kept. It would cost both ends a connection for as long; without
/// it our place in the queue stays, too.
const LONGEST_KEPT: Duration = Duration::from_secs(300);

/// A wait that a servent asked for.
pub(super) struct Waiting {
    /// Our place in its queue, if it has one.
    pub(super) place: Option<QueuePlace>,
    /// Time at which it is asked again.
    pub(super) until: Instant,
}

impl Known {
    /// Returns the end of a lane, or a wait if the lane failed before the end of one that the servent asked
    /// for: a request before it would cost our place.
    pub(super) fn obeyed(&self, end: End) -> End {
        let left = self.waiting.lock().as_ref().map(|waiting| waiting.until.saturating_duration_since(Instant::now()));
        match (end, left.filter(|left| !left.is_zero())) {
            (End::Failed(why), Some(left)) => End::Held(why, left),
            (end, _) => end,
        }
    }
}

impl Lane {
    /// Returns what a servent is told with the next request.
    pub(super) fn fields_for_servent(&self) -> ServentFields {
        let mut fields = ServentFields::default();
        let downloaded = self.swarm.sources.book.lock().get(self.known.key).map_or(0, Entry::bytes);
        fields.downloaded = (downloaded > 0).then_some(downloaded);
        if let Some(place) = self.known.waiting.lock().as_ref().and_then(|waiting| waiting.place.as_ref()) {
            let mut ours = QueuePlace::default();
            (ours.position, ours.id) = (place.position, place.id.clone());
            fields.queue = Some(ours);
        }
        fields
    }

    /// Handles an answer of a servent that has bytes.
    pub(super) fn accepted_by_servent(&mut self) -> Result<(), End> {
        self.take_fields();
        *self.known.waiting.lock() = None;
        let wanted = match Target::of_url(self.known.site.lock().url()) {
            Some(Target::File(hashes)) => hashes.sha1,
            _ => None,
        };
        if self.fields.content.sha1.is_some() && self.fields.content.sha1 != wanted {
            return Err(End::Useless("the servent gives another file".to_owned()));
        }
        if self.fields.available.is_some() {
            self.learn_parts();
        }
        Ok(())
    }

    /// Handles a refused answer of a servent. Returns false if it means the same as from a web server.
    pub(super) fn refused_by_servent(&mut self, request: RequestId, refusal: &Refusal) -> Result<bool, End> {
        self.take_fields();
        self.wire.iter_mut().for_each(|wire| wire.serves = false);
        match verdict(refusal, &self.fields) {
            Verdict::Wait(wait) => {
                self.wait(request, refusal, wait)?;
                Ok(true)
            }
            Verdict::Lacks => {
                self.learn_parts();
                self.gets.refused(request, &mut self.said);
                Ok(true)
            }
            Verdict::AsWeb if matches!(refusal.remedy(), Remedy::Follow(_)) => {
                Err(End::Useless("the servent leads to another server".to_owned()))
            }
            Verdict::AsWeb => Ok(false),
        }
    }

    /// Waits as the servent asks: over this connection if it gave us a place in its queue and keeps the
    /// connection, otherwise without one.
    fn wait(&mut self, request: RequestId, refusal: &Refusal, wait: Duration) -> Result<(), End> {
        let (place, until) = (self.fields.queue.clone(), Instant::now() + wait);
        let may_keep = place.is_some() && wait <= LONGEST_KEPT;
        let is_kept = may_keep && self.wire.as_ref().is_some_and(|wire| wire.talk.takes_requests());
        let why = match place.as_ref().and_then(|place| place.position) {
            Some(position) => format!("place {position} in the servent's queue"),
            None => format!("the servent makes us wait: {refusal}"),
        };
        *self.known.waiting.lock() = Some(Waiting { place, until });
        if !is_kept {
            return Err(End::Held(why, wait));
        }
        self.held = Some(until);
        self.swarm.sources.book.lock().holds(self.known.key, true);
        self.said.push(Message::Choke);
        self.gets.refused(request, &mut self.said);
        Ok(())
    }

    /// Asks again after a wait.
    pub(super) fn go_on(&mut self) {
        self.held = None;
        self.swarm.sources.book.lock().holds(self.known.key, false);
        self.said.push(Message::Unchoke);
    }

    /// Takes the fields of the last head, and what they say of others.
    fn take_fields(&mut self) {
        self.fields = ServentFields::default();
        let Some(wire) = &mut self.wire else { return };
        let class = wire.class;
        while let Some((_, fields)) = wire.talk.take_servent_fields() {
            self.fields = fields;
        }
        self.swarm.sources.learn(&self.known, &self.fields, class);
    }

    /// Learns which parts of the file are there.
    fn learn_parts(&mut self) {
        let Some(parts) = self.fields.available.take() else { return };
        let mut site = self.known.site.lock();
        if site.has_parts(Some(parts)) {
            let bits = site.bits().map(|bits| Message::Bitfield(bits.as_bytes().to_vec().into()));
            self.said.push(bits.unwrap_or(Message::HaveAll));
        }
    }
}
