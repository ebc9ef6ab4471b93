//! Streams over RTMP.

use super::Shared;
use super::connection::Protocol;
use super::sender::Sender;
use bytes::Bytes;
use playswarm::live::protocol::ingest::Refusal;
use playswarm::live::protocol::rtmp::{Event, Session};
use std::sync::Arc;

/// Media type of what comes out of a session.
const FLV: &str = "video/x-flv";

/// A connection over RTMP.
pub(super) struct Rtmp {
    session: Session,
    shared: Arc<Shared>,
}

impl Rtmp {
    pub(super) fn new(shared: Arc<Shared>) -> Rtmp {
        Rtmp { session: Session::new(), shared }
    }

    fn event(&mut self, event: Event, sender: &mut Sender) -> Result<(), Refusal> {
        match event {
            Event::Publish(publish) => {
                // Some encoders add parameters to the key.
                let key = publish.key.split('?').next().unwrap_or_default();
                self.shared.access.check_token(Some(key))?;
                // Players of FLV expect that times grow, also where an encoder returns.
                self.session.accept_at(sender.begin(Some(FLV), 0)?);
                Ok(())
            }
            Event::Data(bytes) => sender.push(&bytes),
            Event::End => {
                sender.end();
                Ok(())
            }
        }
    }
}

impl Protocol for Rtmp {
    fn feed(&mut self, bytes: &[u8]) {
        self.session.feed(bytes);
    }

    fn step(&mut self, sender: &mut Sender) -> Option<Result<(), Refusal>> {
        match self.session.next_event() {
            Ok(event) => event.map(|event| self.event(event, sender)),
            Err(why) => {
                tracing::debug!("the connection of an encoder is closed: {why}");
                None
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.session.refuse(refusal);
    }

    fn take_output(&mut self) -> Bytes {
        self.session.take_output()
    }

    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}
