//! One connection: what it does, the bounds on its time, and who it came from. Which of them get a place,
//! [`playswarm_logic::admission`] decides.

use super::request_line::Repair;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::admission::{Host, Place, State};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Time for the first request's head. Every client sends it as soon as it is connected.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a further request's head, the wait for it included: how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time for which a client may take nothing of what is ready for it: some players pause by not reading, and ask
/// again after a long pause; DLNA has servers hold such a connection for five minutes.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest sleep of a connection's watch, which sees a stall that began meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// Below [`super::deliver`]'s chunk: so the connection takes the next chunk only when this one is in the socket.
/// It is also the bound on a request's head.
const BUFFER_BYTES: usize = 64 * 1024;

/// Both ends of a connection, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Bounds on a connection's time; other than the default in tests only.
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

/// What a connection does, for those who look at it from outside.
pub(crate) struct Activity {
    host: Host,
    begun: Instant,
    now: Mutex<Now>,
    /// Closes the connection.
    pub(crate) closed: CancellationToken,
}

struct Now {
    state: State,
    /// A write waits for the client since then.
    blocked: Option<Time>,
}

impl Activity {
    /// Of a connection that was accepted just now; `begun` is the server's epoch.
    pub(crate) fn new(peer: SocketAddr, begun: Instant) -> Arc<Activity> {
        let now = Now { state: State::New(since(begun)), blocked: None };
        let (host, closed) = (Host::of(peer.ip()), CancellationToken::new());
        Arc::new(Activity { host, begun, now: Mutex::new(now), closed })
    }

    /// For the decision over a new connection.
    pub(crate) fn place(&self) -> Place {
        let now = self.now.lock();
        let state = match (now.state, now.blocked) {
            // The end of an answer that is not taken yet is served still.
            (State::Idle(_) | State::Served(_), Some(blocked)) => State::Served(Some(blocked)),
            (state, _) => state,
        };
        Place { host: self.host, state }
    }

    fn set(&self, state: State) {
        self.now.lock().state = state;
    }

    fn wrote(&self, pending: bool) {
        let mut now = self.now.lock();
        match (pending, now.blocked) {
            (true, None) => now.blocked = Some(since(self.begun)),
            (false, Some(_)) => now.blocked = None,
            _ => {}
        }
    }

    /// The time until the connection has to be looked at again; `None` when its time is up.
    fn left(&self, patience: &Patience) -> Option<Duration> {
        let (now, state) = (since(self.begun), self.now.lock());
        let left = |since: Time, bound: Duration| bound.checked_sub(now - since).filter(|left| !left.is_zero());
        let head = match state.state {
            State::New(since) => left(since, patience.first_head)?,
            _ => LOOK,
        };
        let write = state.blocked.map_or(Some(LOOK), |since| left(since, patience.stall))?;
        Some(head.min(write).min(LOOK).min(patience.stall))
    }
}

fn since(begun: Instant) -> Time {
    Time::ZERO + begun.elapsed()
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
    let io = Watched { stream, activity: activity.clone(), repair: Repair::default() };
    // hyper watches for the client's end of file while a body waits for data (half_close is off), so a client that goes
    // away frees its reader at once even if nothing is being sent.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let time_is_up = async {
        while let Some(left) = activity.left(&patience) {
            tokio::time::sleep(left).await;
        }
    };
    tokio::select! {
        served = connection => if let Err(e) = served {
            tracing::debug!(error = %e, "an HTTP connection ended early");
        },
        () = time_is_up => tracing::debug!(%peer, "an HTTP connection is closed: its client sends or takes nothing"),
        () = activity.closed.cancelled() => tracing::debug!(%peer, "an idle HTTP connection gives its place to another"),
    }
}

/// Tells a client in one answer that there is no place for it.
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

/// Dropped when an answer was sent, or given up.
struct WhenDone(Arc<Activity>);

impl Drop for WhenDone {
    fn drop(&mut self) {
        self.0.set(State::Idle(since(self.0.begun)));
    }
}

/// A body whose end is noticed.
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

/// A socket of which it is known whether a write waits for the client, and that is given sound request targets.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    repair: Repair,
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
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
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
