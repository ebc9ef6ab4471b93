//! One connection: its activity and the bounds on its time. [`crate::admission`] decides which
//! connections get a place.

use super::request_line::Repair;
use crate::admission::State;
use crate::places::{Activity, Now};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Longest time to the end of the first request's head. Clients send it as soon as they are
/// connected.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to the end of a further request's head, idle time included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time for which a client may leave ready bytes unread. Some players pause by not reading,
/// and continue after a long pause. DLNA servers hold a connection open for five minutes.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest pause in writing after the client has closed its sending side. It may still read, so
/// ready bytes are sent on. While an answer waits for data, a client that disconnected looks the
/// same.
const HALF_CLOSED_PAUSE: Duration = Duration::from_millis(250);
/// Longest interval between two checks of a connection for a stall.
const LOOK: Duration = Duration::from_secs(30);
/// Buffer of a connection, and the bound on a request's head. Below the chunk of
/// [`super::deliver`], so that a connection takes the next chunk only when the last one is in the
/// socket.
const BUFFER_BYTES: usize = 64 * 1024;

/// Both ends of a connection, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Bounds on a connection's time. Only tests use others than the default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) first_head: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { first_head: FIRST_HEAD_TIMEOUT, idle: HEAD_TIMEOUT, stall: STALL_TIMEOUT }
    }
}

/// How much longer an answer is sent to a client that sends no more; `None` where there is none, or
/// it waits for data.
fn goes_on(now: Now) -> Option<Duration> {
    match (now.state, now.blocked) {
        (_, Some(_)) => Some(HALF_CLOSED_PAUSE),
        (State::Served(_), None) => HALF_CLOSED_PAUSE.checked_sub(now.written.elapsed()).filter(|left| !left.is_zero()),
        _ => None,
    }
}

/// Returns the time until a connection must be checked again. `None` when its time is up.
fn left(state: Now, patience: &Patience) -> Option<Duration> {
    let now = Instant::now();
    let left = |since: Instant, bound: Duration| {
        bound.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero())
    };
    let head = match state.state {
        State::New(since) => left(since, patience.first_head)?,
        _ => LOOK,
    };
    let write = state.blocked.map_or(Some(LOOK), |since| left(since, patience.stall))?;
    Some(head.min(write).min(LOOK).min(patience.stall))
}

/// Serves a connection until one side or its time ends it.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    activity: Arc<Activity>,
    patience: Patience,
) {
    let Ok(local) = stream.local_addr() else { return };
    let inner = TowerToHyperService::new(router);
    let (watched, ends) = (activity.clone(), Ends { peer, local });
    let service = service_fn(move |mut request: Request<Incoming>| {
        watched.set(State::Served(None));
        request.extensions_mut().insert(ends);
        super::paths::straighten(&mut request);
        let (answer, activity) = (inner.call(request), watched.clone());
        async move {
            let idle = WhenDone(activity);
            let Ok(response) = answer.await;
            Ok::<_, Infallible>(response.map(|body| Tracked { body, _idle: idle }))
        }
    });
    let io = Watched { stream, activity: activity.clone(), repair: Repair::default(), pause: None };
    // With half_close off, hyper watches for the client's end of file while a body waits for data.
    // A client that disconnects thus frees its reader soon, even if nothing is being sent.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let time_is_up = async {
        while let Some(left) = left(activity.now(), &patience) {
            tokio::time::sleep(left).await;
        }
    };
    tokio::select! {
        served = connection => if let Err(e) = served {
            tracing::debug!(error = %e, "an HTTP connection ended early");
        },
        () = time_is_up => tracing::debug!(%peer, "an HTTP connection is closed: its client neither sends nor reads"),
        () = activity.closed.cancelled() => tracing::debug!(%peer, "an idle HTTP connection is closed to make room for another"),
    }
}

/// Answers one request with 503, because no place is free.
pub(crate) async fn refuse(stream: TcpStream) {
    let service = service_fn(|_: Request<Incoming>| async {
        let text = "too many connections are open; close one and try again";
        let mut response = super::answer(http::StatusCode::SERVICE_UNAVAILABLE, text);
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"));
        Ok::<Response<Body>, Infallible>(response)
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

/// Dropped when an answer was sent or abandoned.
struct WhenDone(Arc<Activity>);

impl Drop for WhenDone {
    fn drop(&mut self) {
        self.0.set(State::Idle(Instant::now()));
    }
}

/// A body that marks its connection as idle at its end.
struct Tracked {
    body: Body,
    _idle: WhenDone,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that records whether a write waits for the client, and that repairs request targets.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    repair: Repair,
    /// Until the end of what the client sends is looked at again.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn wrote<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.activity.wrote(outcome.is_pending());
        Poll::Ready(ready!(outcome))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            let is_end = buf.filled().len() == before && buf.remaining() > 0;
            match goes_on(self.activity.now()).filter(|_| is_end) {
                Some(left) => self.pause = Some(Box::pin(tokio::time::sleep(left))),
                None => break,
            }
        }
        self.repair.bytes(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(outcome)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
