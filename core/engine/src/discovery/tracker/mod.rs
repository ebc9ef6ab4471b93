//! Asks trackers for peers: when to announce, what to say, and what to do about those that fail.
//!
//! Every tracker is asked at once and apart from the others; the first answer's peers are dialled while the rest still think.
//!
//! Why not librqbit-tracker-comms: it reads HTTP answers of any length into memory; an interval of 0 makes it ask without
//! pause; a lost UDP packet costs it 70 s (no retransmission); it sends no `stopped`, nor `completed` over HTTP, nor
//! `numwant`; one odd peer spoils an answer; and nobody can ask it to look again.

mod http;
mod udp;

use super::Context;
use super::sieve::Origin;
use super::source::without_secrets;
use playswarm_logic::AddressClass;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Peers asked for. Trackers cap it themselves, at 50 to 200.
const PEERS_WANTED: u32 = 100;
/// Peers taken from one answer.
const MAX_PEERS_OF_ANSWER: usize = 500;
/// Never sooner than this, whatever a tracker asks for: 0 would be a busy loop.
const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// Never later than this, whatever a tracker asks for.
const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Where a tracker names no interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// When peers run short a tracker may be asked again this soon, unless it forbids it.
const HURRY_INTERVAL: Duration = Duration::from_secs(60);
/// After a failure, doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(10 * 60);
/// How often it is looked whether the torrent is complete meanwhile.
const COMPLETION_CHECK: Duration = Duration::from_secs(15);
/// How long saying goodbye may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);

/// What an announcement is about (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    None,
    Started,
    Completed,
    Stopped,
}

/// One announcement.
struct Announce {
    info_hash: [u8; 20],
    peer_id: [u8; 20],
    port: u16,
    downloaded: u64,
    uploaded: u64,
    left: u64,
    event: Event,
    /// Tells the tracker that it is still us when our address changes.
    key: u32,
    wanted: u32,
}

/// A tracker's answer; its peers are passed on as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    interval: Option<Duration>,
    min_interval: Option<Duration>,
    peers: usize,
    /// Our own address as the tracker sees it (BEP 24).
    external_ip: Option<IpAddr>,
}

/// Announces to one tracker until the torrent is dropped.
pub(super) async fn run(url: Url, context: Arc<Context>) {
    let shown = without_secrets(url.as_str());
    let mut hurry = context.hurry.subscribe();
    let mut event = Event::Started;
    let mut failures = 0u32;
    let mut was_complete = (context.progress)().left == 0;
    let mut welcome = false;
    loop {
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = announce(&url, &context, event) => answer,
            () = context.cancel.cancelled() => break,
        };
        let (pause, hurried) = match answer {
            Ok(answer) => {
                tracing::debug!(tracker = %shown, peers = answer.peers, interval = ?answer.interval, "tracker answered");
                if let Some(ip) = answer.external_ip {
                    context.sieve.seen_as(ip);
                }
                welcome = true;
                failures = 0;
                event = Event::None;
                let least = answer.min_interval.unwrap_or_default().min(MAX_INTERVAL);
                (
                    answer.interval.unwrap_or(DEFAULT_INTERVAL).max(least).clamp(MIN_INTERVAL, MAX_INTERVAL),
                    least.max(HURRY_INTERVAL),
                )
            }
            Err(why) => {
                let pause = retry_after(failures, context.key);
                failures += 1;
                tracing::debug!(tracker = %shown, why, retry_in = ?pause, "tracker failed");
                (pause, pause.min(HURRY_INTERVAL))
            }
        };
        hurry.mark_unchanged();
        let mut due = asked + pause;
        loop {
            let wake = due.min(Instant::now() + COMPLETION_CHECK);
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                changed = hurry.changed() => if changed.is_ok() { due = due.min(asked + hurried) },
                () = context.cancel.cancelled() => break,
            }
            if !was_complete && (context.progress)().left == 0 {
                was_complete = true;
                if welcome {
                    event = Event::Completed;
                    due = Instant::now();
                }
            }
            if context.cancel.is_cancelled() || Instant::now() >= due {
                break;
            }
        }
        if context.cancel.is_cancelled() {
            break;
        }
    }
    // BEP 3: the tracker would give our address to others for another half hour.
    if welcome {
        let _ = tokio::time::timeout(FAREWELL, announce(&url, &context, Event::Stopped)).await;
    }
}

/// 5 s, 10 s, 20 s … 10 min, each up to a quarter longer so that a tracker that comes back is not met by all at once.
fn retry_after(failures: u32, key: u32) -> Duration {
    let pause = FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(MAX_RETRY);
    pause + pause / 4 * (key % 256) / 256
}

async fn announce(url: &Url, context: &Context, event: Event) -> Result<Answer, String> {
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
    };
    let found = |peers: &[SocketAddr], by: AddressClass| {
        if event != Event::Stopped {
            peers.iter().take(MAX_PEERS_OF_ANSWER).for_each(|peer| {
                context.sieve.offer(*peer, Origin::Tracker, by);
            });
        }
    };
    match url.scheme() {
        "udp" => udp::announce(url, &announce, &found).await,
        _ => http::announce(url, &context.http, &announce, &found).await,
    }
}

/// A tracker's own words, made fit for a log.
fn words(text: &[u8]) -> String {
    crate::printable::line_of_bytes(text, 200)
}

#[cfg(test)]
mod tests;
