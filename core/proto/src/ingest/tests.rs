//! Requests as real clients sent them, and bodies in any cuts.

use super::{Credentials, Event, Framing, Kind, MAX_HEAD_BYTES, Push, Refusal, Request, Session};
use proptest::prelude::*;

/// FFmpeg 5.1: `-f mpegts -method PUT`, `icecast://`, and that with `-legacy_icecast 1`.
const FFMPEG_PUT: &str = "PUT /cast HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\nConnection: close\r\nHost: 127.0.0.1:33345\r\nIcy-MetaData: 1\r\n\r\n";
const FFMPEG_ICECAST: &str = "PUT /live HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\nExpect: 100-continue\r\nConnection: close\r\nHost: 127.0.0.1:45771\r\nContent-Type: audio/mpeg\r\nIcy-MetaData: 1\r\nIce-Name: N\u{e4}me\r\nIce-Public: 0\r\nAuthorization: Basic c291cmNlOnB3\r\n\r\n";
const FFMPEG_LEGACY: &str = "SOURCE /live HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\nConnection: close\r\nHost: 127.0.0.1:34465\r\nContent-Type: audio/mpeg\r\nIcy-MetaData: 1\r\nIce-Public: 0\r\nAuthorization: Basic c291cmNlOnB3\r\n\r\n";
/// libshout 2.4.6 as GStreamer 1.22 uses it: three connections.
const LIBSHOUT_OPTIONS: &str = "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:45345\r\nUser-Agent: GStreamer 1.22.0\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n\r\n";
const LIBSHOUT_PUT: &str = "PUT /live HTTP/1.1\r\nAuthorization: Basic c291cmNlOnB3\r\nHost: 127.0.0.1:39859\r\nUser-Agent: GStreamer 1.22.0\r\nContent-Type: audio/mpeg\r\nExpect: 100-continue\r\nice-public: 0\r\nice-name: Test\r\nice-description: \r\nice-genre: \r\nPrefer: return=minimal\r\n\r\n";
/// curl 7.88: `-T FILE`, and GStreamer's `souphttpclientsink`, its second request.
const CURL: &str = "PUT /cast HTTP/1.1\r\nHost: 127.0.0.1:34075\r\nAuthorization: Basic dTpwdw==\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 2604\r\nExpect: 100-continue\r\n\r\n";
const SOUP: &str = "PUT /cast HTTP/1.1\r\nContent-Length: 2256\r\nContent-Range: bytes 376-2631/*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: GStreamer souphttpclientsink libsoup/3.2.3\r\nConnection: Keep-Alive\r\nHost: 127.0.0.1:40109\r\n\r\n";
/// The form of encoders for Icecast 1 and Shoutcast.
const ICE: &[u8] = b"SOURCE /live ICE/1.0\r\ncontent-type: audio/mpeg\r\nAuthorization: Basic c291cmNlOnB3\r\nice-name: Caf\xe9\r\nice-genre: Jazz\r\nice-url: http://example.org/\r\n\r\n";

/// Returns the request of a session that was fed these bytes, and the session.
#[track_caller]
fn requested(bytes: &[u8]) -> (Request, Session) {
    let mut session = Session::new();
    session.feed(bytes);
    match session.next_event() {
        Ok(Some(Event::Request(request))) => (*request, session),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn pushed(bytes: &[u8]) -> Push {
    match requested(bytes).0.kind {
        Kind::Push(push) => push,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(bytes: &[u8]) -> (u16, String) {
    let mut session = Session::new();
    session.feed(bytes);
    let refusal = session.next_event().unwrap_err();
    assert!(session.is_closed());
    (refusal.status, text(&mut session))
}

fn text(session: &mut Session) -> String {
    String::from_utf8(session.take_output().to_vec()).unwrap()
}

/// Returns what a session was sent of streams, and whether one has ended.
fn body(session: &mut Session) -> (Vec<u8>, bool) {
    let (mut found, mut has_ended) = (Vec::new(), false);
    while let Some(event) = session.next_event().unwrap() {
        match event {
            Event::Data(bytes) => found.extend_from_slice(&bytes),
            Event::End => has_ended = true,
            Event::Request(_) => session.accept(),
        }
    }
    (found, has_ended)
}

#[test]
fn the_heads_of_real_clients_say_how_their_bodies_end() {
    assert_eq!(pushed(FFMPEG_PUT.as_bytes()).framing, Framing::Chunked);
    assert_eq!(pushed(FFMPEG_ICECAST.as_bytes()).framing, Framing::Raw);
    assert_eq!(pushed(FFMPEG_LEGACY.as_bytes()).framing, Framing::Raw);
    assert_eq!(pushed(LIBSHOUT_PUT.as_bytes()).framing, Framing::Raw);
    assert_eq!(pushed(CURL.as_bytes()).framing, Framing::Length(2604));
    let soup = pushed(SOUP.as_bytes());
    assert_eq!((soup.framing, soup.offset), (Framing::Length(2256), Some(376)));
    assert_eq!(pushed(ICE).framing, Framing::Raw);
}

#[test]
fn names_types_and_passwords_are_read_in_any_encoding() {
    let (request, _) = requested(FFMPEG_ICECAST.as_bytes());
    let Credentials { user, secret } = request.credentials.unwrap();
    assert_eq!((user.as_deref(), &*secret), (Some("source"), "pw"));
    let push = pushed(FFMPEG_ICECAST.as_bytes());
    assert_eq!((push.name.as_deref(), push.content_type.as_deref()), (Some("Näme"), Some("audio/mpeg")));
    let push = pushed(ICE);
    assert_eq!((push.name.as_deref(), push.genre.as_deref()), (Some("Café"), Some("Jazz")));
    assert_eq!(push.url.as_deref(), Some("http://example.org/"));
    let push = pushed(LIBSHOUT_PUT.as_bytes());
    assert_eq!((push.name.as_deref(), push.description), (Some("Test"), None));

    let head = |target: &str, field: &str| format!("PUT {target} HTTP/1.1\r\nContent-Length: 1\r\n{field}\r\n\r\n");
    let (request, _) = requested(head("/a%20b?x=1&token=t%2B+k", "Content-Type: Video/MP2T; x=y").as_bytes());
    assert_eq!((&*request.path, &*request.credentials.unwrap().secret), ("/a b", "t+ k"));
    assert_eq!(pushed(head("/", "Content-Type: Video/MP2T; x=y").as_bytes()).content_type.unwrap(), "video/mp2t");
    let (request, _) = requested(head("http://host:1/live", "Authorization: Bearer abc").as_bytes());
    assert_eq!((&*request.path, &*request.credentials.unwrap().secret), ("/live", "abc"));
    for none in ["Authorization: Basic !", "Authorization: Digest x", "Authorization: x", "A: b"] {
        assert_eq!(requested(head("/", none).as_bytes()).0.credentials, None, "{none}");
    }
}

#[test]
fn passwords_are_not_in_debug_output() {
    let (request, _) = requested(FFMPEG_ICECAST.as_bytes());
    assert!(!format!("{request:?}").contains("pw"), "{request:?}");
}

#[test]
fn each_client_gets_the_lines_for_which_it_waits() {
    for (head, now, at_end) in [
        (FFMPEG_ICECAST, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        (FFMPEG_LEGACY, "HTTP/1.0 200 OK\r\n\r\n", ""),
        (std::str::from_utf8(&ICE[..22]).unwrap(), "HTTP/1.0 200 OK\r\n\r\n", ""),
    ] {
        let head = format!("{}\r\n\r\n", head.trim_end());
        let (_, mut session) = requested(head.as_bytes());
        session.accept();
        assert_eq!(text(&mut session), now);
        session.feed(b"abc");
        assert_eq!(body(&mut session), (b"abc".to_vec(), false));
        assert!(session.end_of_input() && session.is_closed());
        assert!(text(&mut session).starts_with(at_end));
    }
    let (_, mut session) = requested(FFMPEG_PUT.as_bytes());
    session.accept();
    assert_eq!(text(&mut session), "");
    session.feed(b"3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(body(&mut session), (b"abc".to_vec(), true));
    assert!(text(&mut session).starts_with("HTTP/1.1 200 OK\r\n") && session.is_closed());
}

#[test]
fn a_stream_of_many_requests_goes_on_over_one_connection() {
    let mut session = Session::new();
    session.feed(LIBSHOUT_OPTIONS.as_bytes());
    assert_eq!(session.next_event(), Ok(None));
    assert!(text(&mut session).contains("Allow: PUT, POST, SOURCE, OPTIONS\r\n"));
    session.feed(SOUP.as_bytes());
    session.feed(&[7; 2256]);
    session.feed(b"\r\n");
    session.feed(SOUP.as_bytes());
    assert_eq!(body(&mut session), (vec![7; 2256], true));
    assert_eq!(text(&mut session), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    session.feed(&[8; 2255]);
    assert_eq!(body(&mut session), (vec![8; 2255], false));
    assert!(!session.end_of_input(), "a byte is missing");
}

#[test]
fn requests_that_push_nothing_are_refused_with_a_sentence() {
    let put = |fields: &str| format!("PUT / HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes();
    for (bytes, status, words) in [
        (b"GET /live HTTP/1.1\r\n\r\n".to_vec(), 405, "address for players"),
        (put("Host: a"), 411, "neither how long"),
        (put("Content-Length: 3\r\nTransfer-Encoding: chunked"), 400, "not both"),
        (put("Content-Length: 3\r\nContent-Length: 4"), 400, "not one number"),
        (put("Content-Length: -1"), 400, "not one number"),
        (put("Content-Length: 99999999999999999999"), 400, "not one number"),
        (put("Transfer-Encoding: gzip, chunked"), 501, "only transfer encoding"),
        (put("Content-Length: 3\r\nContent-Encoding: gzip"), 415, "compressed"),
        (put("Content-Length: 3\r\nExpect: a miracle"), 417, "100-continue"),
        (put(&"A: b\r\n".repeat(80)), 431, "over 64 header fields"),
        (put(&format!("A: {}", "b".repeat(MAX_HEAD_BYTES))), 431, "over 16384 bytes"),
        (vec![b'P'; MAX_HEAD_BYTES], 431, "over 16384 bytes"),
        (b"PUT / HTTP/2.0\r\n\r\n".to_vec(), 505, "ICE/1.0"),
        (b"\x16\x03\x01\x02\x00".to_vec(), 400, "not a request of HTTP"),
        (b"GET /admin/metadata?mode=kill HTTP/1.0\r\n\r\n".to_vec(), 400, "updinfo"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let (found, answer) = refused(&bytes);
        assert_eq!(found, status, "{shown}: {answer}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(words), "{answer}");
        assert!(head.contains(&format!("Content-Length: {}\r\nConnection: close", text.len())), "{head}");
    }
}

#[test]
fn the_callers_refusals_use_the_version_of_the_client() {
    let (_, mut session) = requested(ICE);
    session.refuse(&Refusal::unauthorized());
    let answer = text(&mut session);
    assert!(answer.starts_with("HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"playswarm\"\r\n"));
    assert!(answer.ends_with(&format!("{}\n", Refusal::unauthorized().sentence)));
    let (_, mut session) = requested(FFMPEG_PUT.as_bytes());
    session.refuse(&Refusal::busy());
    assert!(text(&mut session).starts_with("HTTP/1.1 403 Forbidden\r\n") && session.is_closed());
    session.feed(b"more");
    assert_eq!(session.next_event(), Ok(None));

    // A stream that turns out to be unusable is refused in its middle.
    let (_, mut session) = requested(FFMPEG_PUT.as_bytes());
    session.accept();
    session.refuse(&Refusal::unsupported("no"));
    assert!(text(&mut session).starts_with("HTTP/1.1 415 "));
}

#[test]
fn titles_are_read_in_the_encoding_that_they_state() {
    let title = |query: &str| {
        let head =
            format!("GET /admin/metadata?mode=updinfo&{query} HTTP/1.0\r\nAuthorization: Basic c291cmNlOnB3\r\n\r\n");
        let (request, mut session) = requested(head.as_bytes());
        assert_eq!(request.credentials.unwrap().secret, "pw");
        session.accept();
        assert!(text(&mut session).contains("<return>1</return>") && session.is_closed());
        match request.kind {
            Kind::Metadata(metadata) => (metadata.mount, metadata.title),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(title("mount=/live&song=A+-+B%26C"), (Some("/live".into()), "A - B&C".into()));
    assert_eq!(title("song=Caf%C3%A9").1, "Café");
    assert_eq!(title("song=%A4+5&charset=iso-8859-15").1, "€ 5");
    assert_eq!(title("song=%A4+5").1, "¤ 5");
    assert_eq!(title("artist=A&title=B"), (None, "A - B".into()));
    assert_eq!(title("x=y"), (None, String::new()));
    assert_eq!(title(&format!("song={}", "ä".repeat(200))).1.len(), 254);
}

#[test]
fn titles_in_a_body_are_read_once_it_is_whole() {
    let body = "mode=updinfo&mount=%2Flive&song=A+-+B";
    let length = body.len();
    let head = format!("POST /admin/metadata HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    let mut session = Session::new();
    session.feed(format!("{head}{}", &body[..9]).as_bytes());
    assert_eq!(session.next_event(), Ok(None));
    session.feed(&body.as_bytes()[9..]);
    match session.next_event() {
        Ok(Some(Event::Request(request))) => assert!(matches!(request.kind, Kind::Metadata(m) if m.title == "A - B")),
        other => panic!("{other:?}"),
    }
    let long = "POST /admin/metadata HTTP/1.1\r\nContent-Length: 99999\r\n\r\n";
    assert_eq!(refused(long.as_bytes()).0, 413);
}

#[test]
fn a_request_of_a_web_page_and_its_name_of_the_server_are_told() {
    let (request, _) = requested(FFMPEG_PUT.as_bytes());
    assert_eq!((request.host.as_deref(), request.is_from_page), (Some("127.0.0.1:33345"), false));
    for field in ["Origin: null", "Sec-Fetch-Site: same-origin"] {
        let head = FFMPEG_PUT.replace("Accept: */*", field);
        assert!(requested(head.as_bytes()).0.is_from_page, "{field}");
    }
    assert_eq!(refused(FFMPEG_PUT.replace("Accept: ", "Host: ").as_bytes()).0, 400);
}

#[test]
fn wrong_chunks_end_the_stream() {
    for chunks in [
        &b"x\r\n"[..],
        b"3\r\nabcd\r\n",
        b"11111111111111111\r\n",
        b"3\r\nabc\r\n0\r\nA: b\r\nno end\r\n",
        &[b'1'; 600],
        &[b"0\r\n".to_vec(), vec![b'a'; 5000]].concat(),
        &[b"0\r\n".to_vec(), b"a: b\r\n".repeat(1000)].concat(),
    ] {
        let (_, mut session) = requested(FFMPEG_PUT.as_bytes());
        session.accept();
        session.feed(chunks);
        let end = loop {
            match session.next_event() {
                Ok(Some(Event::Data(_))) => {}
                other => break other,
            }
        };
        let shown = String::from_utf8_lossy(&chunks[..chunks.len().min(40)]);
        match end {
            Err(refusal) => assert!([400, 431].contains(&refusal.status) && session.is_closed(), "{shown}"),
            // The trailer has not ended, so the stream has not.
            other => assert!(other == Ok(None) && !session.end_of_input(), "{shown}"),
        }
    }
}

/// Returns a session's events for these bytes in these cuts. All requests are accepted, and data
/// are joined.
fn in_cuts(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<u8>) {
    let (mut session, mut events, mut data) = (Session::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        session.feed(now);
        loop {
            match session.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Data(bytes))) => data.extend_from_slice(&bytes),
                Ok(Some(event)) => {
                    session.accept();
                    events.push(format!("{event:?} {}", text(&mut session)));
                }
                Err(refusal) => {
                    events.push(refusal.to_string());
                    break;
                }
            }
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    (events, data)
}

proptest! {
    #[test]
    fn cuts_do_not_matter(cuts in proptest::collection::vec(1usize..90, 1..40)) {
        let chunked = FFMPEG_PUT.replace("close", "keep-alive");
        let chunks = "5;x=y\r\nHello\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let sent = [LIBSHOUT_OPTIONS.as_bytes(), chunked.as_bytes(), chunks.as_bytes(), b"\r\n", ICE, b"raw bytes"].concat();
        let whole = in_cuts(&sent, &[sent.len()]);
        prop_assert_eq!(whole.0.len(), 3, "{:?}", &whole);
        prop_assert_eq!(&whole.1, b"Hello0123456789raw bytes");
        prop_assert_eq!(in_cuts(&sent, &cuts), whole);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(start in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let heads = ["", FFMPEG_PUT, CURL];
        in_cuts(&[heads[start].as_bytes(), &bytes].concat(), &[97]);
    }
}
