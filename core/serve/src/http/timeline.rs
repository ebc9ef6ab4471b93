//! The timeline of a file as JSON, for scripts and for the bars of players.

use super::App;
use super::library::Library;
use super::seek::within_wait;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use http::{Response, StatusCode};
use playswarm::{Timeline, TimelineStatus};
use serde_json::{Value, json};
use std::sync::Arc;

/// Buckets of the bit-rate curve where the request names no number.
const BUCKETS: usize = 100;
/// Most buckets: a screen is no wider.
const MOST_BUCKETS: usize = 1000;
/// Most keyframes that are listed: 25 hours with one a second. Of more, this many are listed at
/// even distances.
const MOST_KEYFRAMES: usize = 100_000;

/// Returns a file's timeline as JSON: the fields of [`TimelineStatus`], the keyframes, their
/// spacing, and the bytes a second in `buckets` parts of equal duration (at most 1000). Times are
/// seconds from the start of the film, offsets bytes of the file. docs/HTTP.md has an example.
pub fn timeline_json(file: usize, timeline: &Timeline, buckets: usize) -> Value {
    let buckets = buckets.min(MOST_BUCKETS);
    let mut all = json!(TimelineStatus::new(file, timeline));
    let keyframes = timeline.keyframes();
    let listed = keyframes.len().min(MOST_KEYFRAMES);
    let list = (0..listed).map(|n| {
        let k = keyframes[n * keyframes.len() / listed];
        json!({"time_s": k.time.as_secs_f64(), "offset": k.offset, "from": k.from})
    });
    let list: Vec<Value> = list.collect();
    let spacing = timeline
        .keyframe_spacing()
        .map(|(median, longest)| json!({"median_s": median.as_secs_f64(), "longest_s": longest.as_secs_f64()}));
    let curve = timeline.bitrate_curve(buckets);
    let bucket_s = if curve.is_empty() { 0.0 } else { timeline.duration().as_secs_f64() / curve.len() as f64 };
    if let Some(fields) = all.as_object_mut() {
        fields.insert("size_bytes".into(), json!(timeline.size()));
        fields.insert("duration_known".into(), json!(timeline.knows_duration()));
        fields.insert("keyframes_known".into(), json!(keyframes.len()));
        fields.insert("keyframes".into(), json!(list));
        fields.insert("keyframe_spacing".into(), json!(spacing));
        fields.insert("bitrate".into(), json!({"bucket_s": bucket_s, "bytes_per_s": curve}));
    }
    all
}

/// `/timeline/N`
pub(crate) async fn timeline<L: Library>(
    State(app): State<Arc<App<L>>>,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let Some(file) = app.file_of(&file) else { return super::no_such_file() };
    let mut named =
        url::form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()).filter(|(n, _)| n == "buckets");
    let buckets = match named.next() {
        None => BUCKETS,
        Some((_, number)) => match number.parse() {
            Ok(n) if n <= MOST_BUCKETS => n,
            _ => return super::answer(StatusCode::BAD_REQUEST, "buckets must be a number from 0 to 1000"),
        },
    };
    match within_wait(app.library.timeline(file)).await {
        Ok(timeline) => {
            app.answer_off_thread(move |_| Json(timeline_json(file, &timeline, buckets)).into_response()).await
        }
        Err(response) => response,
    }
}
