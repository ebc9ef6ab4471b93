//! `playswarm channel`: whether a live channel is on the air, and what its nodes say of it.

use crate::ExitCode;
use crate::args::NetworkArgs;
use crate::log;
use crate::stop::{self, Stop};
use crate::units::{bit_rate, bytes, parse_wait};
use crate::view::{self, View};
use crate::watch;
use anyhow::Result;
use clap::Args;
use playswarm::live::{Channel, ChannelHead, ChannelMinute, ChannelStatus, channel_link};
use playswarm::{Session, printable};
use serde_json::json;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep, timeout_at};

#[derive(Debug, Args)]
pub(crate) struct ChannelArgs {
    /// A link to a channel: playswarm:KEY?at=HOST:PORT, or magnet:?xt=urn:psl:KEY
    pub(crate) link: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Longest wait for the stream
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait, default_value = "10")]
    pub(crate) wait: f64,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// Time for the neighbours to tell their places, after the stream has begun. They do so each second.
const BEATS: Duration = Duration::from_secs(2);
/// Interval at which the status is polled.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn channel(args: &ChannelArgs, view: view::Options) -> Result<ExitCode> {
    let mut link = channel_link(&args.link)?;
    let mut config = watch::config(&args.network)?;
    link.at.extend(config.peers.iter().cloned());
    // A visitor that leaves at once must not get children.
    config.upload_bytes_per_s = 1;
    let mut stop = Stop::new()?;
    let session = Session::new(config).await?;
    let done = match session.watch(&link) {
        Ok(channel) => {
            let shown = channel.clone();
            let joining = View::lines(move || vec![watch::waiting(&shown.status())], view);
            let found = stop.unless(look(&channel, args.wait)).await;
            joining.stop().await;
            let done = found.map_or(Ok(ExitCode::FAILURE), |on_air| print(args, &channel, on_air));
            channel.leave().await;
            done
        }
        Err(e) => Err(e.into()),
    };
    stop::close(&session).await;
    done
}

/// Returns whether the channel is on the air, once its nodes have told what they know.
async fn look(channel: &Channel, wait_s: f64) -> bool {
    let until = Instant::now() + Duration::from_secs_f64(wait_s);
    if !matches!(timeout_at(until, channel.on_air()).await, Ok(Some(_))) {
        return false;
    }
    let until = until.min(Instant::now() + BEATS);
    let is_known = |status: ChannelStatus| status.fed == status.stripes && status.free_places.is_some();
    while Instant::now() < until && !is_known(channel.status()) {
        sleep(LOOK).await;
    }
    true
}

fn print(args: &ChannelArgs, channel: &Channel, on_air: bool) -> Result<ExitCode> {
    let (head, status) = (channel.head(), channel.status());
    if args.json {
        log::print(&as_json(channel, on_air, head.as_ref(), &status))?;
    } else if let Some(head) = head.filter(|_| on_air) {
        log::print((text(&head, &status) + &past(&channel.minutes())).trim_end())?;
    } else {
        log::print(&format!("not on air: {}", reason(&status, args.wait)))?;
    }
    Ok(if on_air { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn reason(status: &ChannelStatus, wait_s: f64) -> String {
    match (status.ended, status.full_for_s, status.connections) {
        (true, ..) => "the stream has ended".to_owned(),
        (false, Some(s), _) => format!("the channel is full: no node has a free place; try again in {s} s"),
        (false, None, 0) => format!("no node of the channel was reached within {wait_s} s"),
        (false, None, n) => format!("{n} nodes were reached, and none gave the stream within {wait_s} s"),
    }
}

/// Returns the name of a channel, or a phrase if it has none.
pub(crate) fn shown_name(head: &ChannelHead) -> &str {
    if head.name.is_empty() { "a channel without a name" } else { &head.name }
}

fn text(head: &ChannelHead, status: &ChannelStatus) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "on air: {}", printable::line(shown_name(head)));
    let _ = writeln!(out, "type: {}", printable::line(&head.content_type));
    let _ = writeln!(out, "rate: {}", bit_rate(head.bytes_per_s.into()));
    let _ = writeln!(out, "stripes: {}, of which {} arrive here", status.stripes, status.fed);
    let _ = writeln!(out, "depth: {}", status.depth);
    if let Some(delay_ms) = status.delay_ms {
        let _ = writeln!(out, "delay: {:.2} s", delay_ms as f64 / 1000.0);
    }
    let places = status.free_places.map_or_else(|| "unknown".to_owned(), |places| places.to_string());
    let _ = writeln!(out, "free places: {places}");
    out
}

/// Returns the minutes of the archive, a line each: `playswarm play` takes the links.
fn past(minutes: &[ChannelMinute]) -> String {
    let mut out = String::new();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    for minute in minutes {
        let ago_s = now_ms.saturating_sub(minute.begun_ms) / 1000;
        let ago = format!("{}:{:02}:{:02}", ago_s / 3600, ago_s / 60 % 60, ago_s % 60);
        let seconds = f64::from(minute.duration_ms) / 1000.0;
        let _ = writeln!(
            out,
            "minute {}: {ago} ago, {seconds:.0} s, {}, {}",
            minute.number,
            bytes(minute.bytes),
            minute.magnet
        );
    }
    out
}

fn as_json(channel: &Channel, on_air: bool, head: Option<&ChannelHead>, status: &ChannelStatus) -> String {
    // Last, because it replaces `on_air` of the status, which is the claim of the beacon, and the number
    // of minutes.
    let (key, link) = (channel.key().to_string(), channel.link().to_string());
    let seen = json!({ "on_air": on_air, "key": key, "link": link, "minutes": channel.minutes() });
    let mut all = serde_json::Map::new();
    for part in [json!(status), json!(head.cloned().unwrap_or_default()), seen] {
        if let serde_json::Value::Object(part) = part {
            all.extend(part);
        }
    }
    let all = serde_json::Value::Object(all);
    printable::json(&all.to_string()).into_owned()
}
