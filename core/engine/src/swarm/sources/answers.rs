//! What the answers of a server mean for its lane.

use super::lane::{FEW_BYTES, Lane, MAX_BREAKS, ONE_BY_ONE};
use playswarm_logic::sources::{After, End, Lost, Rest, servent};
use playswarm_logic::torrent::Input;
use playswarm_proto::http_range::{Event, Refusal, Remedy, RequestId};
use playswarm_proto::wire::Message;
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of answers within which a server that closes a connection does so by intention. Others
/// end it after a hundred requests or more.
const FEW_ANSWERS: u32 = 8;

impl Lane {
    /// Handles what a server did.
    pub(super) fn event(&mut self, event: Event, failure: Option<&str>) -> Result<(), End> {
        match event {
            Event::Accepted { request, bytes, .. } => {
                self.note_answer();
                self.came = 0;
                if self.is_servent {
                    self.accepted_by_servent()?;
                }
                self.wire.iter_mut().for_each(|wire| wire.serves = true);
                self.gets.accepted(request, &bytes, &mut self.said);
                Ok(())
            }
            Event::Data { request, bytes, .. } => {
                let length = bytes.len() as u64;
                (self.came, self.owed.1) = (self.came + length, self.owed.1 + length);
                if self.came >= FEW_BYTES {
                    self.breaks = 0;
                }
                if let Some(file) = self.gets.file_of(request) {
                    self.known.site.lock().served(file);
                }
                match self.gets.data(request, bytes, &mut self.said) {
                    Rest::More => Ok(()),
                    Rest::Unwanted => {
                        self.begin_anew();
                        Ok(())
                    }
                }
            }
            Event::End { request } => {
                if let Some(wire) = &mut self.wire {
                    wire.answers += 1;
                }
                if !self.gets.ended(request, Lost::Again, &mut self.said) {
                    return self.short();
                }
                self.breaks = 0;
                Ok(())
            }
            Event::Refused { request, refusal } => self.refused(request, &refusal),
            Event::Closed { unanswered } => self.closed(unanswered.is_empty(), failure),
        }
    }

    /// Notes that a web server answers where the connection leads.
    fn note_answer(&self) {
        self.wire.iter().for_each(|wire| self.known.answered.note(wire.addr));
    }

    /// Handles the end of the connection.
    fn closed(&mut self, is_answered: bool, failure: Option<&str>) -> Result<(), End> {
        let answers = self.wire.as_ref().map_or(0, |wire| wire.answers);
        if is_answered {
            // A servent had only one request, but each connection to it counts.
            if self.is_servent && self.wire.as_ref().is_some_and(|wire| wire.serves) {
                self.ask_one_by_one();
            }
            self.begin_anew();
            return Ok(());
        }
        if answers == 0 {
            return self.broke(failure.unwrap_or("the server closed the connection without an answer"));
        }
        if answers < FEW_ANSWERS {
            self.ask_one_by_one();
        }
        self.begin_anew();
        Ok(())
    }

    fn ask_one_by_one(&mut self) {
        let manner = if self.is_servent { servent::ONE_BY_ONE } else { ONE_BY_ONE };
        if self.manner != manner {
            self.manner = manner;
            self.swarm.tell(Input::SourceManner(self.key, manner));
        }
    }

    /// Handles a complete answer with fewer bytes than requested: some servers limit ranges. The rest
    /// is requested over the same connection.
    fn short(&mut self) -> Result<(), End> {
        if self.came < FEW_BYTES {
            self.breaks += 1;
        }
        if self.breaks > MAX_BREAKS {
            let why = "the server sends only the first bytes of what is requested; others are asked";
            return Err(End::Failed(why.to_owned()));
        }
        Ok(())
    }

    /// Handles an answer that is of no use.
    fn refused(&mut self, request: RequestId, refusal: &Refusal) -> Result<(), End> {
        if self.is_servent && self.refused_by_servent(request, refusal)? {
            return Ok(());
        }
        let why = refusal.to_string();
        match refusal.remedy() {
            Remedy::Wait(after) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                return Err(End::Busy(why, after.map(|after| after.wait(now))));
            }
            Remedy::Reconnect if self.is_servent => return Err(End::Busy(why, Some(servent::CONFLICT))),
            Remedy::Reconnect => return self.broke(&why),
            Remedy::Follow(_) => self.note_answer(),
            Remedy::GiveUp => {}
        }
        let class = self.wire.as_ref().map(|wire| wire.class);
        let (Some(file), Some(class)) = (self.gets.file_of(request), class) else { return self.broke(&why) };
        let after = self.known.site.lock().refused(file, refusal, class);
        match after {
            After::Again => {}
            After::Useless if matches!(refusal, Refusal::Moved { .. }) => {
                return Err(End::Useless(Refusal::TooManyRedirects.to_string()));
            }
            After::Useless => return Err(End::Useless(why)),
            After::Lacks => {
                let bits = self.known.site.lock().bits();
                self.said.extend(bits.map(|bits| Message::Bitfield(bits.as_bytes().to_vec().into())));
                self.swarm.sources.book.lock().lacks(self.known.key, why.clone());
            }
        }
        if self.is_servent {
            // It may still be sending the answer. A second connection would be a conflict.
            return Err(End::Busy(why, Some(servent::CONFLICT)));
        }
        self.begin_anew();
        Ok(())
    }

    /// Notes that the connection broke. It is opened again, unless that was of no use before.
    pub(super) fn broke(&mut self, why: &str) -> Result<(), End> {
        self.breaks += 1;
        if self.breaks > MAX_BREAKS {
            return Err(End::Failed(why.to_owned()));
        }
        self.begin_anew();
        Ok(())
    }
}
