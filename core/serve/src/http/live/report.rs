//! The state of a channel, for programs: JSON, server-sent events, and Prometheus' text format.

use super::Live;
use crate::http::deliver::NO_BUFFER;
use crate::http::watch::{Metrics, escape, json};
use async_stream::stream;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{KeepAlive, Sse};
use http::header::CONTENT_TYPE;
use playswarm::live::ChannelStatus;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Interval between two events.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// A channel and this node's place in it.
#[derive(Serialize)]
struct Status {
    key: String,
    link: String,
    name: String,
    content_type: String,
    bytes_per_s: u32,
    #[serde(flatten)]
    channel: ChannelStatus,
}

impl Status {
    fn of(live: &Live) -> Status {
        let head = live.channel.head().unwrap_or_default();
        Status {
            key: live.channel.key().to_string(),
            link: live.link.clone(),
            name: head.name,
            content_type: head.content_type,
            bytes_per_s: head.bytes_per_s,
            channel: live.channel.status(),
        }
    }
}

/// `/status`
pub(super) async fn status(State(live): State<Arc<Live>>) -> impl IntoResponse {
    Json(Status::of(&live))
}

/// `/status/events`: `status` at once and each second.
pub(super) async fn events(State(live): State<Arc<Live>>) -> impl IntoResponse {
    let mut tick = tokio::time::interval(STATUS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = stream! {
        loop {
            tick.tick().await;
            yield Ok::<_, Infallible>(json("status", &Status::of(&live)));
        }
    };
    ([(NO_BUFFER, "no")], Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// `/metrics`: Prometheus' text format, version 0.0.4.
pub(super) async fn metrics(State(live): State<Arc<Live>>) -> impl IntoResponse {
    let (head, status) = (live.channel.head().unwrap_or_default(), live.channel.status());
    let mut m = Metrics::new(format!("channel=\"{}\",name=\"{}\"", live.channel.key(), escape(&head.name)));
    m.one("playswarm_live_stripes", "Stripes of the channel.", status.stripes);
    m.one("playswarm_live_stripes_fed", "Stripes for which this node has a parent.", status.fed);
    m.one("playswarm_live_depth", "Nodes from the source to this one, over the longest path.", status.depth);
    m.one("playswarm_live_children", "Nodes that are fed here, counted for each stripe.", status.children);
    m.one("playswarm_live_connections", "Open connections to nodes of the channel.", status.connections);
    m.one("playswarm_live_packets_total", "Packets that were verified and new.", status.packets);
    m.one("playswarm_live_refused_packets_total", "Packets that did not verify.", status.refused);
    m.one("playswarm_live_restored_groups_total", "Groups that parity restored.", status.restored);
    m.one("playswarm_live_lost_groups_total", "Groups that were lost.", status.lost);
    let sent = live.sent_bytes.load(Ordering::Relaxed);
    m.one("playswarm_http_sent_bytes_total", "Bytes of the stream handed to HTTP clients.", sent);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], m.into_text())
}
