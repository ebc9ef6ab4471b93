//! A file from a time on: `?t=83.5`, and DLNA's `TimeSeekRange.dlna.org`. The media index maps the
//! time to bytes. This file reads the request, bounds its wait for the index, and writes the
//! headers of the answer. [`super::deliver`] sends the bytes.

use super::dlna::decodes_from_any_keyframe;
use super::library::Library;
use super::range::{Ranges, Span};
use super::when::{is_number, parse_npt, parse_time, seconds};
use super::{App, answer, put};
use axum::body::Body;
use http::header::{CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use playswarm::{Error, SeekPoint, Timeline};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of a request for the media index. Players give up after 30 or 60 seconds. A guess
/// without the index would be a wrong place for good, and a second request soon gets the right one.
pub(crate) const INDEX_WAIT: Duration = Duration::from_secs(10);

const TIME_SEEK: HeaderName = HeaderName::from_static("timeseekrange.dlna.org");

/// The time, or range of time, that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    start: Duration,
    end: Option<Duration>,
    dlna: bool,
}

impl Moment {
    /// Reads the query and the headers. The header wins, because a player is given the URL with its
    /// query.
    ///
    /// # Errors
    /// A sentence where the text is no time.
    pub(crate) fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Option<Moment>, &'static str> {
        if let Some(value) = headers.get(&TIME_SEEK) {
            let range = value.to_str().ok().and_then(parse_npt);
            let (start, end) = range
                .ok_or("TimeSeekRange.dlna.org is not a range of times; write npt=83.5- or npt=0:01:23.5-0:02:00")?;
            return Ok(Some(Moment { start, end, dlna: true }));
        }
        let mut given = url::form_urlencoded::parse(query.unwrap_or("").as_bytes()).filter(|(name, _)| name == "t");
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some((_, time)), None) => match parse_time(&time) {
                Some(start) => Ok(Some(Moment { start, end: None, dlna: false })),
                // Programs add the time of the day or a random number to a URL, so that no cache
                // answers.
                None if is_number(&time) => Ok(None),
                None => Err("t is not a time; write ?t=83.5, ?t=1:23:45 or ?t=1h23m45s"),
            },
            _ => Err("t is given twice; write one time"),
        }
    }
}

/// The place in the file of a request's time.
pub(crate) struct Landed {
    pub(crate) seek_point: SeekPoint,
    span: Span,
    moment: Moment,
    timeline: Arc<Timeline>,
}

impl Landed {
    /// Finds a moment in the file's index, and waits for the index within bounds. `None` where the
    /// file has no such time, so that the request is for the file from its start.
    ///
    /// # Errors
    /// The answer to give instead.
    pub(crate) async fn find<L: Library>(
        app: &App<L>,
        file: usize,
        moment: Moment,
    ) -> Result<Option<Landed>, Response<Body>> {
        let timeline = within_wait(app.library.timeline(file)).await?;
        let (size, known) = (timeline.size(), timeline.knows_duration());
        if moment.dlna && !(known && decodes_from_any_keyframe(timeline.container())) {
            return if moment.start.is_zero() { Ok(None) } else { Err(only_by_byte()) };
        }
        if moment.start > timeline.duration() {
            // In a URL it is another program's parameter, in a header a mistake.
            return if moment.dlna { Err(past_the_end(&timeline)) } else { Ok(None) };
        }
        let seek_point = within_wait(app.library.locate(file, moment.start)).await?;
        if seek_point.from >= size {
            return Ok(None);
        }
        // The start of the film is the start of the file: a player needs the bytes before the first
        // picture.
        let first = timeline.keyframes().first().is_some_and(|first| seek_point.from <= first.from);
        let from = if moment.start.is_zero() || first { 0 } else { seek_point.from };
        let until = |end: Duration| timeline.byte_range(moment.start..end).end.clamp(from + 1, size);
        let end = moment.end.filter(|end| *end < timeline.duration()).map_or(size, until);
        Ok(Some(Landed { seek_point, span: Span { start: from, end }, moment, timeline }))
    }

    /// Returns the part of the ranges that is played at or after the time.
    pub(crate) fn cut(&self, ranges: Ranges) -> Ranges {
        let spans = match ranges {
            Ranges::Whole => vec![self.span],
            Ranges::Unsatisfiable => Vec::new(),
            Ranges::Spans(spans) => {
                let cut = |s: Span| Span { start: s.start.max(self.span.start), end: s.end.min(self.span.end) };
                spans.into_iter().map(cut).filter(|s| s.start < s.end).collect()
            }
        };
        if spans.is_empty() { Ranges::Unsatisfiable } else { Ranges::Spans(spans) }
    }

    /// Adds the headers that say where the place is.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let SeekPoint { time, offset, estimated, .. } = self.seek_point;
        put(headers, HeaderName::from_static("playswarm-time"), &seconds(time));
        put(headers, HeaderName::from_static("playswarm-keyframe"), &offset.to_string());
        put(headers, HeaderName::from_static("playswarm-estimated"), if estimated { "yes" } else { "no" });
        let duration = Some(seconds(self.timeline.duration())).filter(|_| self.timeline.knows_duration());
        let duration = duration.as_deref().unwrap_or("unknown");
        put(headers, HeaderName::from_static("playswarm-duration"), duration);
        if self.moment.dlna {
            let duration = self.timeline.duration();
            let end = self.moment.end.unwrap_or(duration).min(duration);
            let Span { start: from, end: to } = self.span;
            let text = format!(
                "npt={}-{}/{} bytes={from}-{}/{}",
                seconds(time),
                seconds(end),
                seconds(duration),
                to - 1,
                self.timeline.size()
            );
            put(headers, TIME_SEEK, &text);
        }
    }
}

/// Refuses a seek by time in a file whose players need its head, or whose times are not known. It
/// was not announced as seekable by time.
fn only_by_byte() -> Response<Body> {
    answer(StatusCode::NOT_ACCEPTABLE, "this file has no times to seek by; send Range: bytes=")
}

fn past_the_end(timeline: &Timeline) -> Response<Body> {
    let sentence = format!("the film ends at {} s", seconds(timeline.duration()));
    let mut response = answer(StatusCode::RANGE_NOT_SATISFIABLE, &sentence);
    put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", timeline.size()));
    response
}

/// Returns the result of work on the index, or the answer that there is none yet.
pub(crate) async fn within_wait<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Response<Body>> {
    match tokio::time::timeout(INDEX_WAIT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(super::deliver::refuse(&e)),
        Err(_) => {
            let sentence = "no peer has sent the file's index yet; try again in a few seconds";
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, sentence);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            Err(response)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(query: &str, header: Option<&str>) -> Result<Option<Moment>, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(TIME_SEEK, value.parse().unwrap());
        }
        Moment::of(Some(query), &headers)
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_that_does_not_come_is_to_be_asked_for_again() {
        let refused = within_wait(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers().get(RETRY_AFTER).unwrap(), "5");
    }

    #[test]
    fn a_time_is_asked_for_once_and_plainly() {
        let at = |start| Moment { start: Duration::from_secs(start), end: None, dlna: false };
        assert_eq!(asked("", None), Ok(None));
        assert_eq!(asked("token=x&t=1%3A23", None), Ok(Some(at(83))));
        assert_eq!(asked("t=1699999999999", None), Ok(None), "somebody's cache buster");
        assert_eq!(asked("t=1699999999.123", None), Ok(None));
        assert_eq!(asked("_=5&time=7&T=8", None), Ok(None));
        assert!(asked("t=", None).is_err());
        assert!(asked("t=soon", None).is_err());
        assert!(asked("t=1&t=2", None).is_err());
        let dlna = Moment { start: Duration::from_secs(5), end: Some(Duration::from_secs(9)), dlna: true };
        assert_eq!(asked("t=83", Some("npt=5-9")), Ok(Some(dlna)), "the header comes first");
        assert!(asked("t=83", Some("npt=9-5")).is_err());
    }
}
