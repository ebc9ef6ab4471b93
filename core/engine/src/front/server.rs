//! The listener and its connections: bounds, time-outs, socket options. What is answered is the router's business.

use crate::{Error, Result};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Time for a request's head, which also bounds how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Below [`super::deliver`]'s chunk: so the connection takes the next chunk only when this one is in the socket.
/// It is also the bound on a request's head.
const BUFFER_BYTES: usize = 64 * 1024;
/// Connections beyond the limit that are told so at the same time; more are closed without a word.
const TOLD_SO: usize = 32;
/// A client that vanished without a FIN is noticed after about this time and a few probes.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The kernel takes no more than this beyond what is on its way: else a slow client's reader would stand megabytes ahead of it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 256 * 1024;
/// Wait after a failed accept (out of descriptors): each attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that runs until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Binds the address.
pub(crate) async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::Listen { addr, option: "--http", source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Serves until stopped.
pub(crate) fn run(listener: TcpListener, addr: SocketAddr, router: Router, slots: Arc<Semaphore>) -> Running {
    let stop = CancellationToken::new();
    let task = tokio::spawn(accept(listener, router, slots, stop.clone()));
    Running { addr, stop, task: Some(task) }
}

impl Running {
    /// Closes the listener and every connection, and waits until they are gone.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, router: Router, slots: Arc<Semaphore>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let overflow = Arc::new(Semaphore::new(TOLD_SO));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "http connection");
                    if let Ok(slot) = slots.clone().try_acquire_owned() {
                        let router = router.clone();
                        connections.spawn(async move {
                            serve(stream, router).await;
                            drop(slot);
                        });
                    } else if let Ok(slot) = overflow.clone().try_acquire_owned() {
                        connections.spawn(async move {
                            refuse(stream).await;
                            drop(slot);
                        });
                    }
                }
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Streams have no end that could be waited for.
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, router: Router) {
    set_options(&stream);
    let service = TowerToHyperService::new(router);
    // hyper watches for the client's end of file while a body waits for data (half_close is off), so a client that goes
    // away frees its reader at once even if nothing is being sent.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "an HTTP connection ended early");
    }
}

async fn refuse(stream: TcpStream) {
    let service = hyper::service::service_fn(|_: http::Request<Incoming>| async {
        let text = "too many connections are open; close one and try again";
        let mut response = super::answer(http::StatusCode::SERVICE_UNAVAILABLE, text);
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"));
        Ok::<http::Response<Body>, Infallible>(response)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "an HTTP connection ended early");
    }
}

/// Best effort: a socket without them works too.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}
