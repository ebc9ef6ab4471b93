//! Announces to trackers: carries out the decisions of `playswarm_logic::trackers`, and records
//! each tracker's status.
//!
//! The trackers are contacted independently. The peers of the first answer are dialled while the
//! others are still pending.
//!
//! librqbit-tracker-comms is not used for several reasons. It reads HTTP answers of any length into
//! memory. An interval of 0 makes it announce without pause. A lost UDP packet costs it 70 s (no
//! retransmission). It sends no `stopped`, nor `completed` over HTTP, nor `numwant`. One odd peer
//! spoils an answer, and it cannot announce early on request.

mod http;
mod udp;

use super::Context;
use super::resolver::NamedBy;
use super::web::{Family, Terms};
use crate::metainfo::{Tracker, Trackers};
use crate::status::TrackerStatus;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use playswarm_logic::Time;
use playswarm_logic::torrent::Origin;
use playswarm_logic::trackers::{Input, Output, State, Trackers as Machine};
use playswarm_proto::metainfo::parse_tracker;
use playswarm_proto::tracker::{Announce, Answer, Event, Retry};
use playswarm_proto::{AddressClass, PeerAddress};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::Url;

/// Number of peers requested. Trackers limit it themselves, to 50 to 200.
const PEERS_WANTED: u32 = 100;
/// Time between two checks for the torrent's completion.
const COMPLETION_CHECK: Duration = Duration::from_secs(15);
/// Longest time to send `stopped`.
pub(crate) const FAREWELL: Duration = Duration::from_secs(3);
/// Further time for one address family after the other has answered.
const OTHER_FAMILY: Duration = Duration::from_secs(3);

/// The reason for a failure, and when to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    why: String,
    retry: Retry,
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure { why, retry: Retry::Usual }
    }
}

/// A tracker and its last status.
struct Asked {
    tracker: Tracker,
    shown: String,
    url: Option<Url>,
    id: Option<Vec<u8>>,
    message: Option<String>,
    answer: Answer,
}

/// Announces to a torrent's trackers until it is dropped.
pub(super) async fn run(private: bool, context: Arc<Context>) {
    let machine = Machine::new(&[], private, context.key.into());
    let known = context.trackers.subscribe();
    let mut task = Task { asked: Vec::new(), machine, epoch: Instant::now(), context };
    task.run(known, private).await;
    task.farewell().await;
}

struct Task {
    asked: Vec<Asked>,
    machine: Machine,
    epoch: Instant,
    context: Arc<Context>,
}

type Ended = (usize, Event, Result<Answer, Failure>);

impl Task {
    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// Takes trackers that were not known yet.
    fn extend(&mut self, known: &Trackers) {
        let new: Vec<Asked> = known.iter().skip(self.asked.len()).map(|t| Asked::new(t.clone())).collect();
        self.machine.extend(&new.iter().map(|asked| asked.tracker.tier).collect::<Vec<u32>>());
        self.asked.extend(new);
    }

    async fn run(&mut self, mut known: watch::Receiver<Trackers>, mut private: bool) {
        let context = self.context.clone();
        let mut hurry = context.hurry.subscribe();
        let mut complete = (context.progress)().left == 0;
        let mut under_way: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        loop {
            self.extend(&known.borrow_and_update());
            self.machine.handle(self.now(), Input::Timeout);
            while let Some(Output::Announce { tracker, event }) = self.machine.poll() {
                under_way.push(self.announce(tracker, event));
            }
            self.show();
            let idle = self.machine.next_timeout().since(self.now()).min(COMPLETION_CHECK);
            let mut hurried = false;
            tokio::select! {
                Some((tracker, event, result)) = under_way.next() => self.ended(tracker, event, result),
                () = tokio::time::sleep(idle) => {}
                changed = hurry.changed() => hurried = changed.is_ok(),
                _ = known.changed() => {}
                () = context.cancel.cancelled() => return,
                () = context.private.cancelled(), if !private => {
                    private = true;
                    // The end of the torrent cancels this token too.
                    if !context.cancel.is_cancelled() {
                        self.machine.handle(self.now(), Input::Private);
                    }
                }
            }
            if !complete && (context.progress)().left == 0 {
                complete = true;
                self.machine.handle(self.now(), Input::Completed);
            } else if hurried && !complete {
                self.machine.handle(self.now(), Input::Hurry);
            }
        }
    }

    /// Sends `stopped` (BEP 3). Otherwise trackers would distribute our address for another half
    /// hour.
    async fn farewell(&self) {
        let all: FuturesUnordered<_> =
            self.machine.welcome().map(|tracker| self.announce(tracker, Event::Stopped)).collect();
        let _ = timeout(FAREWELL, all.collect::<Vec<_>>()).await;
    }

    fn announce(&self, tracker: usize, event: Event) -> BoxFuture<'static, Ended> {
        let (asked, context) = (&self.asked[tracker], self.context.clone());
        let (url, named_by, id) = (asked.url.clone(), asked.tracker.named_by, asked.id.clone());
        Box::pin(async move {
            let result = match url {
                Some(url) => announce(&url, named_by, id, &context, event).await,
                None => Err("it is not a URL of a supported kind".to_owned().into()),
            };
            (tracker, event, result)
        })
    }

    fn ended(&mut self, tracker: usize, event: Event, result: Result<Answer, Failure>) {
        if event == Event::Stopped {
            return;
        }
        let asked = &mut self.asked[tracker];
        let input = match result {
            Ok(answer) => {
                tracing::debug!(tracker = %asked.shown, peers = answer.peers, interval = ?answer.interval, "tracker answered");
                if let Some(ip) = answer.external_ip {
                    self.context.seen_as(ip);
                }
                asked.message.clone_from(&answer.warning);
                if answer.tracker_id.is_some() {
                    asked.id.clone_from(&answer.tracker_id);
                }
                let Answer { interval, min_interval, peers, .. } = answer;
                asked.answer = answer;
                Input::Answered { tracker, interval, min_interval, peers }
            }
            Err(Failure { why, retry }) => {
                tracing::debug!(tracker = %asked.shown, why, ?retry, "tracker failed");
                asked.message = Some(why);
                Input::Failed { tracker, retry }
            }
        };
        self.machine.handle(self.now(), input);
    }

    /// Publishes the state of the trackers for the status.
    fn show(&self) {
        let now = self.now();
        let status = |(n, asked): (usize, &Asked)| TrackerStatus {
            url: asked.shown.clone(),
            tier: asked.tracker.tier,
            state: match self.machine.state(n) {
                State::Idle => "idle",
                State::Asking => "asking",
                State::Working => "working",
                State::Failed => "failed",
            },
            message: asked.message.clone(),
            peers: asked.answer.peers,
            seeds: asked.answer.seeds,
            leeches: asked.answer.leeches,
            next_announce_s: self.machine.next_announce(n).map(|at| at.since(now).as_secs_f64()),
        };
        *self.context.board.lock() = (std::time::Instant::now(), self.asked.iter().enumerate().map(status).collect());
    }
}

impl Asked {
    fn new(tracker: Tracker) -> Asked {
        let (url, shown) = (parse_tracker(&tracker.url), tracker.shown());
        Asked { url, tracker, shown, id: None, message: None, answer: Answer::default() }
    }
}

async fn announce(
    url: &Url,
    named_by: AddressClass,
    tracker_id: Option<Vec<u8>>,
    context: &Arc<Context>,
    event: Event,
) -> Result<Answer, Failure> {
    let progress = (context.progress)();
    let announce = Announce {
        info_hash: context.info_hash.0,
        peer_id: context.peer_id,
        port: context.listen_port,
        downloaded: progress.downloaded,
        uploaded: progress.uploaded,
        left: progress.left,
        event,
        key: context.key,
        wanted: if event == Event::Stopped { 0 } else { PEERS_WANTED },
        tracker_id,
    };
    let found = |peers: &[SocketAddr], names: Vec<PeerAddress>, by: AddressClass| {
        if event != Event::Stopped {
            peers.iter().for_each(|peer| context.offer(*peer, Origin::Tracker, by));
            names.into_iter().for_each(|name| look_up(context, name, by));
        }
    };
    let terms = |family| Terms {
        named_by,
        announce_only: true,
        family,
        timeout: http::TIMEOUT,
        max_bytes: http::MAX_ANSWER_BYTES,
    };
    let announce = &announce;
    if url.scheme() == "udp" {
        if context.network.is_proxied() {
            return Err("it is asked by datagrams, which the proxy does not carry".to_owned().into());
        }
        return over_both(|family| udp::announce(url, &context.network, terms(Some(family)), announce, &found)).await;
    }
    let web = &context.web;
    if web.is_proxied(url) {
        return http::announce(url, web, terms(None), announce, &found).await?.ok_or_else(no_address);
    }
    over_both(|family| http::announce(url, web, terms(Some(family)), announce, &found)).await
}

fn no_address() -> Failure {
    "its host name has no address".to_owned().into()
}

/// Announces over IPv4 and IPv6 if the tracker has both, since each knows other peers (BEP 7).
/// `ask` returns `None` if it has no address of that family.
async fn over_both<F: Future<Output = Result<Option<Answer>, Failure>>>(
    ask: impl Fn(Family) -> F,
) -> Result<Answer, Failure> {
    let mut asking: FuturesUnordered<_> = [Family::V4, Family::V6].into_iter().map(ask).collect();
    let first = asking.next().await.unwrap_or(Ok(None));
    let second = match &first {
        Ok(Some(_)) => timeout(OTHER_FAMILY, asking.next()).await.ok().flatten(),
        _ => asking.next().await,
    };
    match (first, second.unwrap_or(Ok(None))) {
        (Ok(Some(a)), Ok(Some(b))) => Ok(a.and(b)),
        (Ok(Some(answer)), _) | (_, Ok(Some(answer))) => Ok(answer),
        (Err(why), _) | (_, Err(why)) => Err(why),
        (Ok(None), Ok(None)) => Err(no_address()),
    }
}

/// Resolves a peer's host name, in the background.
fn look_up(context: &Arc<Context>, name: PeerAddress, by: AddressClass) {
    let context = context.clone();
    tokio::spawn(async move {
        let found = tokio::select! {
            found = context.resolver.addresses(&name, NamedBy::Stranger) => found,
            () = context.cancel.cancelled() => return,
        };
        found.into_iter().for_each(|addr| context.offer(addr, Origin::Tracker, by));
    });
}

#[cfg(test)]
mod tests;
