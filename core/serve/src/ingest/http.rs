//! Streams over HTTP and Icecast's protocol.

use super::Shared;
use super::connection::Protocol;
use super::sender::Sender;
use bytes::Bytes;
use playswarm::live::protocol::ingest::{Event, Framing, Kind, Refusal, Request, Session};
use std::sync::Arc;

/// A connection over HTTP.
pub(super) struct Http {
    session: Session,
    shared: Arc<Shared>,
}

impl Http {
    pub(super) fn new(shared: Arc<Shared>) -> Http {
        Http { session: Session::new(), shared }
    }

    fn event(&mut self, event: Event, sender: &mut Sender) -> Result<(), Refusal> {
        match event {
            Event::Request(request) => {
                self.shared.access.check(&request)?;
                grant(&request, sender)?;
                self.session.accept();
                Ok(())
            }
            Event::Data(bytes) => sender.push(&bytes),
            // The next request on this connection may go on with it, so it keeps its place.
            Event::End => Ok(()),
        }
    }
}

fn grant(request: &Request, sender: &mut Sender) -> Result<(), Refusal> {
    match &request.kind {
        // By this, libshout only asks whether it may push.
        Kind::Push(push) if push.framing == Framing::Length(0) => Ok(()),
        Kind::Push(push) => sender.begin(push.content_type.as_deref(), push.offset.unwrap_or(0)).map(|_| ()),
        Kind::Metadata(metadata) => {
            sender.desk().set_title(&metadata.title);
            Ok(())
        }
        Kind::Options => Ok(()),
    }
}

impl Protocol for Http {
    fn feed(&mut self, bytes: &[u8]) {
        self.session.feed(bytes);
    }

    fn step(&mut self, sender: &mut Sender) -> Option<Result<(), Refusal>> {
        match self.session.next_event() {
            Ok(event) => event.map(|event| self.event(event, sender)),
            // The answer is in the output.
            Err(why) => {
                tracing::debug!(status = why.status, "a request of an encoder cannot be understood: {why}");
                None
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.session.refuse(refusal);
    }

    fn end(&mut self) {
        self.session.end_of_input();
    }

    fn take_output(&mut self) -> Bytes {
        self.session.take_output()
    }

    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}
