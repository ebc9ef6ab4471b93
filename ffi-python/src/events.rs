//! The events of a torrent, one after the other.

use crate::job::Job;
use playswarm::Event;
use pyo3::prelude::*;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

/// A place in the stream of events.
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
    /// The next one as JSON; `None` when the torrent is closed.
    fn next(&self) -> Job {
        let (events, closed) = (self.events.clone(), self.closed.clone());
        let work = async move {
            let mut events = events.lock().await;
            tokio::select! {
                // Those that are there already come first.
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
            // The oldest are lost; what follows is not.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
