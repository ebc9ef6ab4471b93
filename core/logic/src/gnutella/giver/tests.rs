//! Requests and their answers.

use super::*;
use playswarm_proto::gnutella::MAX_HEAD_BYTES;
use proptest::prelude::*;
use std::time::Duration;

const SIZE: u64 = 4_194_305;

fn hashes() -> FileHashes {
    let mut hashes = FileHashes::default();
    (hashes.sha1, hashes.tiger) = (Some([1; 20]), Some([2; 24]));
    hashes
}

fn urn() -> String {
    let mut sha1 = hashes();
    sha1.tiger = None;
    sha1.urn().unwrap()
}

fn client(n: u8) -> SocketAddr {
    SocketAddr::from(([60, n, 1, 1], 40_000))
}

fn part(verified: &[Range<u64>]) -> Part {
    let sources = vec![SocketAddr::from(([61, 1, 1, 1], 6346)), SocketAddr::from(([60, 1, 1, 1], 6346))];
    Part { hashes: hashes(), size: SIZE, verified: verified.to_vec(), has_tree: true, sources }
}

/// What is shared, the side that gives, and the time.
struct Lab {
    giver: Giver,
    part: Part,
    now: Time,
}

impl Lab {
    fn new(verified: &[Range<u64>]) -> Lab {
        Lab { giver: Giver::default(), part: part(verified), now: Time::ZERO }
    }

    fn whole() -> Lab {
        Lab::new(std::slice::from_ref(&(0..SIZE)))
    }

    fn says(&mut self, connection: u64, from: SocketAddr, head: &str) -> Answer {
        let part = self.part.clone();
        let shared = |asked: &FileHashes| (asked.sha1 == part.hashes.sha1).then(|| part.clone());
        self.giver.answer(self.now, ConnectionKey(connection), from, head.as_bytes(), shared)
    }

    /// Asks for the file as a servent does, with these further lines.
    fn asks(&mut self, connection: u64, from: SocketAddr, lines: &str) -> Answer {
        self.says(connection, from, &format!("GET /uri-res/N2R?{} HTTP/1.1\r\nHost: us\r\n{lines}\r\n", urn()))
    }
}

fn status(answer: &Answer) -> &str {
    &answer.head[9..12]
}

fn line<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn range(answer: &Answer) -> Range<u64> {
    if let Body::Bytes(_, range) = &answer.body { range.clone() } else { panic!("{answer:?}") }
}

#[test]
fn a_range_of_a_whole_file_is_given_with_its_names() {
    let mut lab = Lab::whole();
    lab.giver.set_reachable(Some(SocketAddrV4::new([59, 1, 1, 1].into(), 6346)));
    let answer = lab.asks(1, client(1), "Range: bytes=1048576-1572863\r\nX-Queue: 1.1\r\n");
    assert_eq!((status(&answer), range(&answer), answer.keeps), ("206", 1_048_576..1_572_864, true));
    assert_eq!(line(&answer, "Content-Range"), Some("bytes 1048576-1572863/4194305"));
    assert_eq!(line(&answer, "Content-Length"), Some("524288"));
    assert_eq!(line(&answer, "X-Gnutella-Content-URN"), Some(&urn()[..]));
    assert!(line(&answer, "X-Thex-URI").unwrap().starts_with(&format!("/uri-res/N2X?{};", urn())));
    assert_eq!(line(&answer, "X-Alt"), Some("61.1.1.1"), "not the client itself");
    assert_eq!(line(&answer, "X-Node"), Some("59.1.1.1:6346"));
    assert_eq!(line(&answer, "X-Available-Ranges"), None);
    let whole = lab.asks(1, client(1), "Connection: close\r\n");
    assert_eq!((status(&whole), range(&whole), whole.keeps), ("200", 0..SIZE, false));
    let last = lab.asks(1, client(1), "Range: bytes=-5\r\n");
    assert_eq!(range(&last), SIZE - 5..SIZE);
}

#[test]
fn a_real_servent_gets_what_it_asked_for_in_each_recorded_request() {
    let text = include_str!("../../../../proto/src/gnutella/fixtures/16-servent-downloads-from-us.txt");
    let unhex =
        |hex: &str| (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
    let heads: Vec<Vec<u8>> = text.lines().filter_map(|line| line.strip_prefix("< ")).map(unhex).collect();
    let mut asked = 0;
    for head in &heads {
        let request = FileRequest::parse(head).unwrap();
        let Some(Target::File(sha1) | Target::Tree(sha1)) = request.target else { panic!("{request:?}") };
        let mut hashes = hashes();
        hashes.sha1 = sha1.sha1;
        let shared = |_: &FileHashes| Some(Part { hashes, ..part(std::slice::from_ref(&(0..SIZE))) });
        let answer = Giver::default().answer(Time::ZERO, ConnectionKey(1), client(1), head, shared);
        match request.bytes {
            Some(bytes) => assert_eq!((status(&answer), range(&answer)), ("206", bytes.of(SIZE).unwrap())),
            None => assert_eq!(answer.body, Body::Tree(hashes)),
        }
        assert!(answer.keeps && request.has_queue);
        asked += 1;
    }
    assert_eq!(asked, 8);
}

#[test]
fn of_a_partial_file_only_verified_bytes_are_given() {
    let mut lab = Lab::new(&[100..200, 300..400]);
    let ask = |lab: &mut Lab, range: &str| lab.asks(1, client(1), &format!("Range: bytes={range}\r\n"));
    for (asked, given) in [("0-149", 100..150), ("120-390", 120..200), ("250-", 300..400), ("399-399", 399..400)] {
        let answer = ask(&mut lab, asked);
        assert_eq!((status(&answer), range(&answer)), ("206", given), "{asked}");
        assert_eq!(line(&answer, "X-Available-Ranges"), Some("bytes 100-199,300-399"));
    }
    for asked in ["0-99", "200-299", "400-", "-10"] {
        let answer = ask(&mut lab, asked);
        assert_eq!((status(&answer), &answer.body, answer.keeps), ("416", &Body::None, true), "{asked}");
        assert_eq!(line(&answer, "X-Available-Ranges"), Some("bytes 100-199,300-399"));
    }
    assert_eq!(line(&ask(&mut lab, &format!("{SIZE}-")), "Content-Range"), Some("bytes */4194305"));
    assert_eq!(status(&lab.asks(1, client(1), "")), "416", "all of it is not here");
    assert_eq!(status(&Lab::new(&[]).asks(1, client(1), "Range: bytes=0-9\r\n")), "416");
}

#[test]
fn a_head_has_the_fields_of_the_answer_and_takes_no_slot() {
    let mut lab = Lab::whole();
    for n in 0..20 {
        let answer = lab.says(n, client(1), &format!("HEAD /uri-res/N2R?{} HTTP/1.1\r\nHost: us\r\n\r\n", urn()));
        assert_eq!((status(&answer), &answer.body), ("200", &Body::None));
    }
}

#[test]
fn four_files_are_given_at_once_one_to_an_address_and_the_others_wait_in_their_order() {
    let mut lab = Lab::whole();
    let ask = |lab: &mut Lab, n: u8| lab.asks(n.into(), client(n), "Range: bytes=0-9\r\nX-Queue: 1.1\r\n");
    for n in 1..=4 {
        assert_eq!(status(&ask(&mut lab, n)), "206");
    }
    assert_eq!(status(&ask(&mut lab, 1)), "206", "a connection keeps its slot");
    let second = lab.asks(99, client(1), "Range: bytes=0-9\r\nX-Queue: 1.1\r\n");
    assert_eq!((status(&second), second.keeps, line(&second, "X-Queue")), ("503", false, None));
    for n in 5..=6 {
        let answer = ask(&mut lab, n);
        let place = format!("position={0},length={0},limit=4,pollMin=45,pollMax=120", n - 4);
        assert_eq!((status(&answer), line(&answer, "X-Queue")), ("503", Some(&place[..])));
        assert_eq!((answer.keeps, line(&answer, "Retry-After")), (true, Some("45")));
    }
    let other = lab.asks(7, client(7), "Range: bytes=0-9\r\n");
    assert_eq!((status(&other), line(&other, "Retry-After"), other.keeps), ("503", Some("60"), false));
    lab.giver.closed(ConnectionKey(2));
    assert_eq!(status(&ask(&mut lab, 6)), "503", "another was first");
    assert_eq!(status(&ask(&mut lab, 5)), "206");
    lab.giver.closed(ConnectionKey(3));
    lab.giver.closed(ConnectionKey(4));
    assert_eq!(status(&ask(&mut lab, 8)), "206", "two slots are free, and one client waits");
    lab.now = lab.now + Duration::from_secs(151);
    assert_eq!(status(&ask(&mut lab, 9)), "206", "the place of a client that went is lost");
}

#[test]
fn the_queue_has_a_bound() {
    let mut lab = Lab::whole();
    for n in 0..60u8 {
        lab.asks(n.into(), client(n), "Range: bytes=0-9\r\nX-Queue: 1.1\r\n");
    }
    let last = lab.asks(100, client(100), "Range: bytes=0-9\r\nX-Queue: 1.1\r\n");
    assert_eq!((status(&last), line(&last, "X-Queue")), ("503", None));
    let known = lab.asks(200, client(10), "Range: bytes=0-9\r\nX-Queue: 1.1\r\n");
    assert_eq!(line(&known, "X-Queue"), Some("position=7,length=32,limit=4,pollMin=45,pollMax=120"));
}

#[test]
fn what_is_not_shared_by_its_hash_is_not_there_and_ends_the_connection() {
    let mut lab = Lab::whole();
    let other = "urn:sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for path in ["/", "/get/1/quiet%20film.mp4", "/uri-res/N2R?urn:sha1:short", "/../../etc/passwd", "/status", "*"]
        .map(String::from)
        .into_iter()
        .chain([format!("/uri-res/N2R?{other}"), format!("/uri-res/N2X?{other}"), format!("/uri-res/N2R?{}/..", urn())])
    {
        let answer = lab.says(1, client(1), &format!("GET {path} HTTP/1.1\r\nHost: us\r\n\r\n"));
        assert_eq!((status(&answer), &answer.body, answer.keeps), ("404", &Body::None, false), "{path}");
    }
    lab.part.has_tree = false;
    let tree = lab.says(1, client(1), &format!("GET /uri-res/N2X?{} HTTP/1.1\r\nHost: us\r\n\r\n", urn()));
    assert_eq!(status(&tree), "404");
    assert_eq!(line(&lab.asks(1, client(1), "Range: bytes=0-9\r\n"), "X-Thex-URI"), None);
}

#[test]
fn malformed_requests_end_the_connection_with_their_reason() {
    let mut lab = Lab::whole();
    let path = format!("/uri-res/N2R?{}", urn());
    for (head, wanted) in [
        (format!("GET {path} HTTP/1.1\r\n\r\n"), "400 Missing Host Header"),
        (format!("GET {path}\r\nHost: us\r\n\r\n"), "400 Malformed Request"),
        (format!("GET {path} HTTP/2.0\r\nHost: us\r\n\r\n"), "400 Malformed Request"),
        (format!("GET  {path} HTTP/1.1\r\nHost: us\r\n\r\n"), "400 Malformed Request"),
        (format!("GET {path} HTTP/1.1\r\nHost: us\r\nContent-Length: 5\r\n\r\n"), "400 Request Has A Body"),
        (format!("GET {path} HTTP/1.1\r\nHost: us\r\nTransfer-Encoding: chunked\r\n\r\n"), "400 Request Has A Body"),
        (format!("POST {path} HTTP/1.1\r\nHost: us\r\n\r\n"), "501 Not Implemented"),
        (format!("GET {path} HTTP/1.1\r\nHost: us\r\n{}\r\n", "A: b\r\n".repeat(101)), "400 Too Many Fields"),
    ] {
        let answer = lab.says(1, client(1), &head);
        assert_eq!((&answer.head[9..9 + wanted.len()], answer.keeps), (wanted, false), "{head}");
        assert_eq!(answer.body, Body::None);
    }
}

#[test]
fn sources_that_a_client_names_are_claims_and_none_is_in_a_private_network() {
    let mut lab = Lab::whole();
    let lines = "Range: bytes=0-9\r\nX-Alt: 62.1.1.1, 192.168.1.1:6346, 62.1.1.2:25\r\nX-Node: 62.1.1.3:6346\r\n";
    let answer = lab.asks(1, client(1), lines);
    let wanted = [[62, 1, 1, 1], [62, 1, 1, 3]].map(|ip| SocketAddr::from((ip, 6346)));
    assert_eq!(answer.named, wanted);
    assert_eq!(line(&answer, "X-Alt"), Some("61.1.1.1"), "they are not passed on");
}

proptest! {
    #[test]
    fn whatever_is_asked_only_verified_bytes_are_given(
        first in any::<u64>(), last in any::<u64>(), noise in prop::collection::vec(any::<u8>(), 0..300),
        near in 0..6_000_000u64, length in 0..6_000_000u64,
    ) {
        let mut lab = Lab::new(&[1000..2_000_000, 3_000_000..SIZE]);
        for range in [format!("{first}-{last}"), format!("{near}-{}", near + length), format!("-{first}"), format!("{near}-")] {
            let answer = lab.asks(1, client(1), &format!("Range: bytes={range}\r\n"));
            if let Body::Bytes(_, given) = &answer.body {
                prop_assert!(lab.part.verified.iter().any(|range| range.start <= given.start && given.end <= range.end));
                prop_assert!(!given.is_empty());
            }
        }
        let answer = lab.says(1, client(1), &String::from_utf8_lossy(&noise));
        prop_assert!(answer.head.len() < MAX_HEAD_BYTES && answer.body == Body::None);
    }
}
