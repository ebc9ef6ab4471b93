//! The listener. [`super::connection`] bounds the time of each connection, and the router answers
//! their requests.

use super::connection::{Patience, refuse, serve};
use crate::listening::{Running, accept};
use crate::places::{Held, Places};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections beyond the limit that are answered with 503 at the same time. Further ones are
/// closed without an answer.
const MAX_REFUSALS: usize = 32;
/// Unsent bytes that the kernel accepts for a connection. More would put the reader of a slow
/// client megabytes ahead of it.
const UNSENT_BYTES: u32 = 256 * 1024;

/// Serves until stopped. Bodies may wait for the swarm without an end, so they are cut off then.
pub(crate) fn run(
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
    places: Arc<Places>,
    patience: Patience,
) -> Running {
    let overflow = Arc::new(Semaphore::new(MAX_REFUSALS));
    let serve = move |stream: TcpStream, peer: SocketAddr, held: Option<Held>| {
        let slot = match held {
            Some(_) => None,
            None => Some(overflow.clone().try_acquire_owned().ok()?),
        };
        let router = router.clone();
        Some(async move {
            match &held {
                Some(held) => serve(stream, peer, router, held.activity.clone(), patience).await,
                None => refuse(stream).await,
            }
            drop((held, slot));
        })
    };
    Running::start(addr, |stop| accept(listener, places, UNSENT_BYTES, stop, serve))
}
