//! Conversations with servers as they are.

use super::*;
use proptest::prelude::*;
use std::ops::Range;
use std::time::Duration;
use url::Url;

const FILE: &[u8] = b"0123456789abcdefghij";
const TOTAL: u64 = FILE.len() as u64;

fn request(range: Range<u64>) -> Request {
    Request::new("http://mirror.example/film.mkv".parse().unwrap(), range)
        .unwrap()
        .expecting(Some(TOTAL), Version::default())
}

/// Returns a partial answer with these bytes of the file and further fields.
fn partial(range: Range<u64>, fields: &str) -> Vec<u8> {
    let (first, last, length) = (range.start, range.end - 1, range.end - range.start);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {first}-{last}/{TOTAL}\r\n{fields}\r\n"
    );
    [head.as_bytes(), &FILE[range.start as usize..range.end as usize]].concat()
}

/// Returns the events of a conversation in which the server sends these bytes and then closes, if
/// `ends`.
fn events_of(requests: &[Request], answer: &[u8], ends: bool) -> Vec<Event> {
    events_in_cuts(requests, answer, ends, answer.len().max(1))
}

fn events_in_cuts(requests: &[Request], answer: &[u8], ends: bool, cut: usize) -> Vec<Event> {
    let mut conversation = Conversation::new();
    for request in requests {
        conversation.request(request.clone()).unwrap();
    }
    let mut events: Vec<Event> = Vec::new();
    let mut take = |conversation: &mut Conversation| {
        while let Some(event) = conversation.next_event() {
            match (events.last_mut(), event) {
                // The cuts of a body do not matter.
                (Some(Event::Data { request, bytes, .. }), Event::Data { request: same, bytes: more, .. })
                    if *request == same =>
                {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                }
                (_, event) => events.push(event),
            }
        }
    };
    for bytes in answer.chunks(cut) {
        conversation.feed(bytes);
        take(&mut conversation);
    }
    if ends {
        conversation.end_of_input();
        take(&mut conversation);
    }
    events
}

/// Returns the refusal of the only request, after which no byte came.
fn refusal(asked: Range<u64>, answer: &str) -> Refusal {
    match &events_of(&[request(asked)], answer.as_bytes(), false)[..] {
        [Event::Refused { request: 0, refusal }] => refusal.clone(),
        [Event::Refused { request: 0, refusal }, Event::Closed { unanswered }] if unanswered.is_empty() => {
            refusal.clone()
        }
        other => panic!("{answer:?}: {other:?}"),
    }
}

/// Returns the bytes of the file that came for each request, and whether the answer is whole.
fn served(events: &[Event]) -> Vec<(RequestId, Range<u64>, bool)> {
    let mut served: Vec<(RequestId, Range<u64>, bool)> = Vec::new();
    for event in events {
        match event {
            Event::Accepted { request, bytes, .. } => served.push((*request, bytes.start..bytes.start, false)),
            Event::Data { request, offset, bytes } => {
                let (id, range, _) = served.last_mut().unwrap();
                assert_eq!((*id, range.end), (*request, *offset), "bytes come in order");
                let at = *offset as usize;
                assert_eq!(&bytes[..], &FILE[at..at + bytes.len()]);
                range.end += bytes.len() as u64;
            }
            Event::End { request } => {
                let (id, _, is_whole) = served.last_mut().unwrap();
                assert_eq!(id, request);
                *is_whole = true;
            }
            Event::Refused { .. } | Event::Closed { .. } => {}
        }
    }
    served
}

fn closed(unanswered: &[RequestId]) -> Option<Event> {
    Some(Event::Closed { unanswered: unanswered.to_vec() })
}

#[test]
fn a_request_names_its_host_its_range_and_no_encoding() {
    let sent = |url: &str| {
        let mut conversation = Conversation::new();
        conversation.request(Request::new(url.parse().unwrap(), 5..10).unwrap()).unwrap();
        String::from_utf8(conversation.take_output().to_vec()).unwrap()
    };
    let plain = sent("http://Mirror.example:80/a%20b/f%C3%BC+.mkv?x=1#part");
    assert!(plain.starts_with("GET /a%20b/f%C3%BC+.mkv?x=1 HTTP/1.1\r\nHost: mirror.example\r\n"), "{plain}");
    assert!(plain.contains("\r\nRange: bytes=5-9\r\n") && plain.contains("\r\nAccept-Encoding: identity\r\n"));
    assert!(plain.ends_with("\r\nConnection: keep-alive\r\n\r\n") && !plain.contains("Authorization"));
    assert!(sent("https://[2001:db8::1]:8443/f").contains("\r\nHost: [2001:db8::1]:8443\r\n"));
    // What a stranger writes into a URL does not become a field.
    assert_eq!(sent("http://h/a\r\nX: 1").lines().count(), sent("http://h/a").lines().count());
    assert!(sent("http://me:p%40ss@h/a").contains("\r\nAuthorization: Basic bWU6cEBzcw==\r\n"));
    let secret = Request::new("http://me:secret@h/a?passkey=1".parse().unwrap(), 0..1).unwrap();
    let shown = format!("{secret:?}");
    assert!(!shown.contains("secret") && !shown.contains("passkey"), "{shown}");
    for url in ["ftp://h/a", "file:///etc/passwd", "magnet:?x"] {
        assert_eq!(Request::new(url.parse().unwrap(), 0..1), None, "{url}");
    }
    assert_eq!(Request::new("http://h/a".parse().unwrap(), 5..5), None);
}

#[test]
fn requests_in_flight_are_answered_in_their_order() {
    let answers = [partial(0..5, "ETag: \"1\"\r\n"), partial(15..20, ""), partial(5..6, "")].concat();
    let asked = [request(0..5), request(15..20), request(5..6), request(7..9)];
    let events = events_of(&asked, &answers, false);
    assert_eq!(served(&events), [(0, 0..5, true), (1, 15..20, true), (2, 5..6, true)]);
    let Event::Accepted { total, version, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((*total, version.etag.as_deref()), (Some(TOTAL), Some("\"1\"")));
    // The last one is not answered when the server closes: it is made again elsewhere.
    assert_eq!(events_of(&asked, &answers, true).pop(), closed(&[3]));
}

#[test]
fn a_body_may_have_chunks_or_end_with_the_connection() {
    let chunked = "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 2-11/20\r\n\r\n\
                   4;x=y\r\n2345\r\n6\r\n6789ab\r\n0\r\nTrailer: 1\r\n\r\n";
    let answers = [chunked.as_bytes(), &partial(0..2, "")].concat();
    assert_eq!(
        served(&events_of(&[request(2..12), request(0..2)], &answers, false)),
        [(0, 2..12, true), (1, 0..2, true)]
    );
    // Its range says how long it is: the end of the connection need not be awaited.
    let raw = "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/20\r\n\r\n0123456789";
    let events = events_of(&[request(0..10), request(0..1)], raw.as_bytes(), false);
    assert_eq!((served(&events), events.last().cloned()), (vec![(0, 0..10, true)], closed(&[1])));
}

#[test]
fn a_connection_that_closes_after_an_answer_takes_no_further_request() {
    for (first, fields) in [("HTTP/1.0", ""), ("HTTP/1.1", "Connection: close\r\n")] {
        let answer = String::from_utf8(partial(0..5, fields)).unwrap().replacen("HTTP/1.1", first, 1);
        let mut conversation = Conversation::new();
        conversation.request(request(0..5)).unwrap();
        conversation.request(request(5..9)).unwrap();
        let (head, rest) = answer.split_at(answer.len() - 1);
        conversation.feed(head.as_bytes());
        assert!(matches!(conversation.next_event(), Some(Event::Accepted { .. })));
        assert!(!conversation.takes_requests());
        assert_eq!(conversation.request(request(0..1)), None);
        conversation.feed(rest.as_bytes());
        let mut events = Vec::new();
        while let Some(event) = conversation.next_event() {
            events.push(event);
        }
        assert_eq!(events[events.len() - 2..], [Event::End { request: 0 }, closed(&[1]).unwrap()]);
        assert!(conversation.is_closed() && conversation.next_event().is_none());
    }
    let kept = String::from_utf8(partial(0..5, "Connection: Keep-Alive\r\n")).unwrap().replacen("1.1", "1.0", 1);
    let answers = [kept.as_bytes(), &partial(5..9, "")].concat();
    assert_eq!(served(&events_of(&[request(0..5), request(5..9)], &answers, false)).len(), 2);
}

#[test]
fn the_whole_file_in_place_of_a_range_serves_only_its_beginning() {
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", std::str::from_utf8(FILE).unwrap());
    let events = events_of(&[request(0..5)], whole.as_bytes(), false);
    assert!(matches!(&events[0], Event::Accepted { bytes, total: Some(TOTAL), .. } if *bytes == (0..TOTAL)));
    assert_eq!(served(&events), [(0, 0..TOTAL, true)]);
    // Refused before the body, of which there may be gigabytes.
    assert_eq!(refusal(5..9, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"), Refusal::IgnoresRanges);
    let endless = Request::new("http://h/f".parse().unwrap(), 0..5).unwrap();
    let events = events_of(&[endless], b"HTTP/1.1 200 OK\r\n\r\n0123", false);
    assert_eq!(events, [Event::Refused { request: 0, refusal: Refusal::UnknownLength }, closed(&[]).unwrap()]);
    // Without a length the torrent's own counts.
    let raw = format!("HTTP/1.0 200 OK\r\n\r\n{}", std::str::from_utf8(FILE).unwrap());
    assert_eq!(served(&events_of(&[request(0..5)], raw.as_bytes(), false)), [(0, 0..TOTAL, true)]);
}

#[test]
fn a_part_of_the_requested_bytes_is_taken() {
    let events = events_of(&[request(2..18)], &partial(4..9, ""), false);
    assert_eq!(served(&events), [(0, 4..9, true)]);
}

#[test]
fn each_wrong_answer_has_its_refusal() {
    let part = |fields: &str| format!("HTTP/1.1 206 X\r\nContent-Length: 5\r\n{fields}\r\n\r\n");
    let status = |status: u16, fields: &str| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{fields}\r\n");
    let right = "Content-Range: bytes 0-4/20";
    for (answer, wanted) in [
        (part("X: 1"), Refusal::NoContentRange),
        (part("Content-Range: bytes */20"), Refusal::NoContentRange),
        (part("Content-Range: bytes 4-0/20"), Refusal::NoContentRange),
        (part("Content-Range: bytes 0-20/20"), Refusal::NoContentRange),
        (part("Content-Range: lines 0-4/20"), Refusal::NoContentRange),
        (part("Content-Range: bytes 0-4/20\r\nContent-Range: bytes 1-5/20"), Refusal::NoContentRange),
        (part("Content-Range: bytes 1-5/20"), Refusal::OtherRange { asked: 0..5, sent: 1..6 }),
        (part("Content-Range: bytes 0-4/21"), Refusal::OtherTotal { expected: 20, sent: 21 }),
        (part("Content-Range: bytes 0-3/20"), Refusal::OtherLength { range: 4, length: 5 }),
        (part(&format!("{right}\r\nContent-Type: multipart/byteranges; boundary=x")), Refusal::Multipart),
        (part(&format!("{right}\r\nContent-Type: text/HTML; charset=utf-8")), Refusal::WebPage),
        (part(&format!("{right}\r\nContent-Encoding: gzip")), Refusal::Encoded("gzip".into())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n".into(), Refusal::OtherTotal { expected: 20, sent: 21 }),
        (part("Transfer-Encoding: gzip, chunked"), Refusal::Body(Fault::Coding)),
        (part("Transfer-Encoding: chunked"), Refusal::Body(Fault::Both)),
        (status(416, "Content-Range: bytes */7\r\n"), Refusal::OutOfRange { total: Some(7) }),
        (status(416, ""), Refusal::OutOfRange { total: None }),
        (status(404, ""), Refusal::Missing { status: 404 }),
        (status(410, ""), Refusal::Missing { status: 410 }),
        (status(401, ""), Refusal::Denied { status: 401 }),
        (status(403, ""), Refusal::Denied { status: 403 }),
        (status(407, ""), Refusal::Denied { status: 407 }),
        (status(500, ""), Refusal::Status { status: 500 }),
        (status(204, ""), Refusal::Status { status: 204 }),
        (status(304, ""), Refusal::Status { status: 304 }),
        (status(301, ""), Refusal::BadLocation),
        (status(302, "Location: ftp://h/f\r\n"), Refusal::BadLocation),
        (status(302, "Location: javascript:alert(1)\r\n"), Refusal::BadLocation),
        (status(503, ""), Refusal::Busy { status: 503, retry_after: None }),
        (status(101, ""), Refusal::NotHttp),
        ("ICY 200 OK\r\n\r\n".into(), Refusal::NotHttp),
        ("\0\u{1}garbage".into(), Refusal::NotHttp),
    ] {
        let found = refusal(0..5, &answer);
        assert_eq!(found, wanted, "{answer}");
        assert!(found.to_string().len() > 20, "{found}");
    }
}

#[test]
fn a_web_page_is_taken_where_a_web_page_was_requested() {
    let page = Request::new("http://h/index.HTML".parse().unwrap(), 0..5).unwrap();
    let events = events_of(&[page], &partial(0..5, "Content-Type: text/html\r\n"), false);
    assert_eq!(served(&events), [(0, 0..5, true)]);
}

#[test]
fn a_redirect_names_a_url_to_be_checked_and_only_a_few_are_followed() {
    let answer = |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    for (location, wanted) in [
        ("/other/film.mkv", "http://mirror.example/other/film.mkv"),
        ("//cdn.example/f", "http://cdn.example/f"),
        ("film%20two.mkv", "http://mirror.example/film%20two.mkv"),
        ("https://cdn.example/f\u{fc}", "https://cdn.example/f%C3%BC"),
        ("http://127.0.0.1:22/", "http://127.0.0.1:22/"),
    ] {
        let found = refusal(0..5, &answer(location));
        let wanted: Url = wanted.parse().unwrap();
        assert_eq!(found, Refusal::Moved { location: wanted.clone(), is_permanent: false }, "{location}");
        assert_eq!(found.remedy(), Remedy::Follow(wanted));
    }
    let permanent = refusal(0..5, &answer("/f").replacen("302", "308", 1));
    assert!(matches!(permanent, Refusal::Moved { is_permanent: true, .. }));
    // In a circle.
    let mut asked = request(0..5);
    for _ in 0..MAX_REDIRECTS {
        let events = events_of(&[asked.clone()], answer("/film.mkv").as_bytes(), false);
        let [Event::Refused { refusal: Refusal::Moved { location, .. }, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        asked = asked.moved_to(location.clone());
    }
    let events = events_of(&[asked], answer("/film.mkv").as_bytes(), false);
    assert_eq!(events, [Event::Refused { request: 0, refusal: Refusal::TooManyRedirects }]);
}

#[test]
fn a_busy_server_says_when_to_come_back() {
    let now = Duration::from_secs(784_111_777);
    for (text, wanted) in [
        ("120", Some(120)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
        ("99999999999999999999", Some(24 * 3600)),
        ("Sun, 06 Nov 2994 08:50:37 GMT", Some(24 * 3600)),
        ("soon", None),
        ("-1", None),
    ] {
        for status in [429, 503] {
            let answer = format!("HTTP/1.1 {status} X\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n");
            let found = refusal(0..5, &answer);
            let Refusal::Busy { retry_after, .. } = found else { panic!("{found}") };
            assert_eq!(retry_after.map(|at| at.wait(now).as_secs()), wanted, "{text}");
            assert_eq!(found.remedy(), Remedy::Wait(retry_after));
        }
    }
}

#[test]
fn after_an_error_page_the_connection_goes_on() {
    let error = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>no</p>";
    let chunked = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n";
    let answers = [error.as_bytes(), chunked.as_bytes(), &partial(0..5, "")].concat();
    let events = events_of(&[request(0..5), request(0..5), request(0..5)], &answers, false);
    assert_eq!(served(&events), [(2, 0..5, true)]);
    // A long one costs more than a new connection.
    let long = "HTTP/1.1 404 Not Found\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(events_of(&[request(0..5), request(0..5)], long.as_bytes(), false).pop(), closed(&[1]));
    let long = format!("HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n{}", "x".repeat(0x1_2000));
    assert_eq!(events_of(&[request(0..5), request(0..5)], long.as_bytes(), false).pop(), closed(&[1]));
}

#[test]
fn interim_answers_are_passed_over_but_not_without_end() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let answer = [hints.as_bytes(), &partial(0..5, "")].concat();
    assert_eq!(served(&events_of(&[request(0..5)], &answer, false)), [(0, 0..5, true)]);
    assert_eq!(refusal(0..5, &"HTTP/1.1 100 Continue\r\n\r\n".repeat(9)), Refusal::NotHttp);
}

#[test]
fn heads_have_limits_and_folded_fields_are_read() {
    let folded = "HTTP/1.1 206 OK\r\nContent-Range: bytes\r\n  0-4/20\r\nContent-Length: 5\r\n\r\n01234";
    assert_eq!(served(&events_of(&[request(0..5)], folded.as_bytes(), false)), [(0, 0..5, true)]);
    let many = |n: usize| partial(0..5, &"X-Alt: 1\r\n".repeat(n));
    assert_eq!(served(&events_of(&[request(0..5)], &many(MAX_HEADERS - 2), false)), [(0, 0..5, true)]);
    let refused = |answer: &[u8]| match events_of(&[request(0..5)], answer, false).swap_remove(0) {
        Event::Refused { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&many(MAX_HEADERS - 1)), Refusal::LongHead);
    let long = format!("HTTP/1.1 206 OK\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
    assert_eq!(refused(long.as_bytes()), Refusal::LongHead);
    // A field that is none does not make the others useless.
    let broken = partial(0..5, "no field\r\nX y: 1\r\n");
    assert_eq!(served(&events_of(&[request(0..5)], &broken, false)), [(0, 0..5, true)]);
}

#[test]
fn a_body_that_is_too_short_or_too_long_ends_the_conversation() {
    let mut short = partial(0..10, "");
    short.truncate(short.len() - 3);
    let events = events_of(&[request(0..10), request(10..12)], &short, true);
    assert_eq!(served(&events), [(0, 0..7, false)]);
    let refused = Event::Refused { request: 0, refusal: Refusal::Short { missing: 3 } };
    assert_eq!(events[events.len() - 2..], [refused, closed(&[1]).unwrap()]);
    let head = "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-4/20\r\n\r\n";
    let short = format!("{head}3\r\n012\r\n0\r\n\r\n");
    let events = events_of(&[request(0..5)], short.as_bytes(), false);
    assert!(events.contains(&Event::Refused { request: 0, refusal: Refusal::Short { missing: 2 } }));
    // The bytes of the range are right all the same; what follows is not read.
    let long = format!("{head}9\r\n012345678\r\n0\r\n\r\n");
    let events = events_of(&[request(0..5), request(5..9)], long.as_bytes(), false);
    assert_eq!((served(&events), events.last().cloned()), (vec![(0, 0..5, true)], closed(&[1])));
    let broken = format!("{head}zz\r\n");
    let events = events_of(&[request(0..5)], broken.as_bytes(), false);
    assert!(matches!(&events[1], Event::Refused { refusal: Refusal::Body(_), .. }), "{events:?}");
}

#[test]
fn a_file_that_changes_between_answers_is_refused() {
    let answers = |first: &str, second: &str| [partial(0..5, first), partial(5..9, second)].concat();
    let asked = [request(0..5), request(5..9)];
    let refused = |first: &str, second: &str| {
        let events = events_of(&asked, &answers(first, second), false);
        events.iter().any(|event| matches!(event, Event::Refused { request: 1, refusal: Refusal::Changed }))
    };
    assert!(refused("ETag: \"1\"\r\n", "ETag: \"2\"\r\n"));
    assert!(refused("Last-Modified: a\r\n", "Last-Modified: b\r\n"));
    assert!(!refused("ETag: \"1\"\r\n", "ETag: W/\"1\"\r\n"));
    assert!(!refused("ETag: \"1\"\r\nLast-Modified: a\r\n", "ETag: \"1\"\r\nLast-Modified: b\r\n"));
    assert!(!refused("ETag: \"1\"\r\n", ""));
    // Also over a new connection, if the caller states the version.
    let version = Version { etag: Some("\"0\"".into()), ..Version::default() };
    let events = events_of(&[request(0..5).expecting(None, version)], &partial(0..5, "ETag: \"1\"\r\n"), false);
    assert_eq!(events[0], Event::Refused { request: 0, refusal: Refusal::Changed });
    // Another file has its own.
    let other = Request::new("http://mirror.example/b".parse().unwrap(), 5..9).unwrap();
    let events = events_of(&[request(0..5), other], &answers("ETag: \"1\"\r\n", "ETag: \"2\"\r\n"), false);
    assert_eq!(served(&events).len(), 2);
}

#[test]
fn an_answer_without_a_request_closes_the_connection() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
    assert_eq!(events_of(&[], timeout.as_bytes(), false), [closed(&[]).unwrap()]);
    let late = [&partial(0..5, "")[..], timeout.as_bytes()].concat();
    assert_eq!(events_of(&[request(0..5)], &late, false).pop(), closed(&[]));
    // The end within a head answers nothing.
    assert_eq!(events_of(&[request(0..5)], b"HTTP/1.1 206 Par", true), [closed(&[0]).unwrap()]);
}

proptest! {
    #[test]
    fn cuts_do_not_matter(cut in 1usize..60, first in 0u64..10, ends in any::<bool>()) {
        let chunked = "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 2-11/20\r\n\r\n\
                       4\r\n2345\r\n6\r\n6789ab\r\n0\r\n\r\n";
        let error = "HTTP/1.1 404 X\r\nContent-Length: 3\r\n\r\nabc";
        let answers = [&partial(first..first + 3, "")[..], chunked.as_bytes(), error.as_bytes(), &partial(0..1, "")].concat();
        let asked = [request(first..first + 5), request(2..12), request(0..1), request(0..1)];
        let whole = events_of(&asked, &answers, ends);
        prop_assert_eq!(served(&whole).len(), 3);
        prop_assert_eq!(events_in_cuts(&asked, &answers, ends, cut), whole);
    }
}
