//! The events of a torrent, in order.

use crate::job::Job;
use playswarm::Event;
use pyo3::prelude::*;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

/// A receiver of events.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Events {
    events: Arc<Mutex<broadcast::Receiver<Event>>>,
    closed: CancellationToken,
}

impl Events {
    pub(crate) fn new(events: broadcast::Receiver<Event>, closed: CancellationToken) -> Events {
        Events { events: Arc::new(Mutex::new(events)), closed }
    }
}

#[pymethods]
impl Events {
    /// Returns the next event as JSON, or `None` when the torrent is closed.
    fn next(&self) -> Job {
        let (events, closed) = (self.events.clone(), self.closed.clone());
        let work = async move {
            let mut events = events.lock().await;
            tokio::select! {
                // Queued events come first.
                biased;
                event = next_event(&mut events) => Ok(event),
                () = closed.cancelled() => Ok(None),
            }
        };
        Job::new("the next event", work, |py, event| {
            let json = event.and_then(|e| serde_json::to_string(&e).ok());
            Ok(json.into_pyobject(py)?.into_any().unbind())
        })
    }
}

async fn next_event(events: &mut broadcast::Receiver<Event>) -> Option<Event> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            // The oldest events are lost; later ones are not.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
