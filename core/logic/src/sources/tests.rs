//! Requests of a lane, files of a source, and which source is dialled.

use super::*;
use crate::Time;
use crate::torrent::Origin;
use bytes::Bytes;
use playswarm_proto::gnutella::{QueuePlace, ServentFields};
use playswarm_proto::http_range::{Refusal, RequestId, RetryAfter};
use playswarm_proto::wire::{Message, Span};
use playswarm_proto::{AddressClass, Metainfo, bencode};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const BLOCK: u32 = 16 << 10;
const PIECE: u32 = 2 * BLOCK;

/// Returns a torrent of files with these lengths. One of a negative length is a pad file.
fn torrent(lengths: &[i64]) -> Arc<Metainfo> {
    let mut info = b"d5:filesl".to_vec();
    for (n, length) in lengths.iter().enumerate() {
        info.push(b'd');
        if *length < 0 {
            info.extend_from_slice(b"4:attr1:p");
        }
        info.extend_from_slice(format!("6:lengthi{}e4:pathl", length.abs()).as_bytes());
        bencode::put_string(&mut info, format!("f{n}").as_bytes());
        info.extend_from_slice(b"ee");
    }
    let total: u64 = lengths.iter().map(|length| length.unsigned_abs()).sum();
    info.extend_from_slice(format!("e4:name1:t12:piece lengthi{PIECE}e6:pieces").as_bytes());
    bencode::put_string(&mut info, &vec![0; total.div_ceil(PIECE.into()) as usize * 20]);
    info.push(b'e');
    Arc::new(Metainfo::from_info(info.into(), playswarm_proto::metainfo::Trackers::default()).unwrap())
}

fn site(lengths: &[i64]) -> Site {
    Site::new(torrent(lengths), url("http://h.example/x/"), AddressClass::Loopback)
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Returns the byte that the torrent has at an offset: zero in pad files.
fn byte(torrent: &Metainfo, at: u64) -> u8 {
    let file = torrent.files.iter().find(|file| at < file.offset + file.length).unwrap();
    if file.padding { 0 } else { 1 + (at % 251) as u8 }
}

/// A server that answers in order, with all faults of connections.
struct Server {
    torrent: Arc<Metainfo>,
    site: Site,
    gets: Gets,
    asked: VecDeque<(RequestId, usize, std::ops::Range<u64>)>,
    next: RequestId,
    got: Vec<(Span, Bytes)>,
    rejected: Vec<Span>,
    requests: usize,
}

impl Server {
    fn new(lengths: &[i64]) -> Server {
        Server {
            torrent: torrent(lengths),
            site: site(lengths),
            gets: Gets::default(),
            asked: VecDeque::new(),
            next: 0,
            got: Vec::new(),
            rejected: Vec::new(),
            requests: 0,
        }
    }

    fn span(&self, block: u64) -> Span {
        let at = block * u64::from(BLOCK);
        let length = u64::from(BLOCK).min(self.torrent.total_bytes() - at) as u32;
        Span { piece: (at / u64::from(PIECE)) as u32, begin: (at % u64::from(PIECE)) as u32, length }
    }

    fn blocks(&self) -> u64 {
        self.torrent.total_bytes().div_ceil(BLOCK.into())
    }

    fn ask(&mut self, blocks: impl IntoIterator<Item = u64>) {
        for block in blocks {
            let span = self.span(block);
            self.gets.request(&self.site, span);
        }
    }

    fn hear(&mut self, said: Vec<Message>) {
        for message in said {
            match message {
                Message::Piece { piece, begin, data } => {
                    self.got.push((Span { piece, begin, length: data.len() as u32 }, data));
                }
                Message::Reject(span) => self.rejected.push(span),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends up to `depth` requests.
    fn send(&mut self, depth: usize) {
        let mut said = Vec::new();
        while self.asked.len() < depth
            && let Some(place) = self.gets.next(&self.site, 4 << 20, &mut said)
        {
            self.asked.push_back((self.next, place.file, place.request.unwrap().range()));
            self.gets.sent(self.next);
            (self.next, self.requests) = (self.next + 1, self.requests + 1);
        }
        self.hear(said);
    }

    /// Answers the oldest request, but only this many bytes. The connection ends if they are fewer.
    fn answer(&mut self, most: u64) {
        let Some((id, file, range)) = self.asked.pop_front() else { return };
        let mut said = Vec::new();
        self.gets.accepted(id, &range, &mut said);
        let offset = self.torrent.files[file].offset;
        let end = range.end.min(range.start.saturating_add(most));
        let all: Bytes = (range.start..end).map(|at| byte(&self.torrent, offset + at)).collect();
        for part in all.chunks(5000) {
            assert_eq!(self.gets.data(id, Bytes::copy_from_slice(part), &mut said), Rest::More);
        }
        let is_done = end == range.end && self.gets.ended(id, Lost::Again, &mut said);
        if !is_done {
            self.reset(&mut said);
        }
        self.hear(said);
    }

    /// Answers the oldest request with these bytes of the first file.
    fn answer_part(&mut self, part: std::ops::Range<u64>) {
        let (id, ..) = self.asked.pop_front().unwrap();
        let mut said = Vec::new();
        self.gets.accepted(id, &part, &mut said);
        let all: Bytes = part.map(|at| byte(&self.torrent, at)).collect();
        assert_eq!(self.gets.data(id, all, &mut said), Rest::More);
        assert!(!self.gets.ended(id, Lost::Again, &mut said));
        self.hear(said);
    }

    fn reset(&mut self, said: &mut Vec<Message>) {
        self.asked.clear();
        self.gets.reset(&self.site, said);
    }

    /// Checks that each block came once, with the right bytes.
    fn check(&self, blocks: &[u64]) {
        let mut spans: Vec<Span> = self.got.iter().map(|(span, _)| *span).collect();
        spans.sort();
        let mut wanted: Vec<Span> = blocks.iter().map(|block| self.span(*block)).collect();
        wanted.sort();
        assert_eq!(spans, wanted);
        for (span, data) in &self.got {
            let start = u64::from(span.piece) * u64::from(PIECE) + u64::from(span.begin);
            let right = (start..).zip(data).all(|(at, b)| byte(&self.torrent, at) == *b);
            assert!(right, "{span:?}");
        }
    }
}

#[test]
fn consecutive_blocks_are_one_request_for_each_file_and_pad_files_are_none() {
    // Files end within blocks; one is shorter than a block, one is empty.
    let mut server = Server::new(&[40_000, -25_536, 100, 0, 70_000, -12_000]);
    let all: Vec<u64> = (0..server.blocks()).collect();
    server.ask(all.clone());
    for _ in 0..10 {
        server.send(8);
        server.answer(u64::MAX);
    }
    server.check(&all);
    assert_eq!((server.requests, server.gets.is_idle()), (3, true));
}

#[test]
fn blocks_that_do_not_follow_each_other_come_in_the_order_of_their_requests() {
    let mut server = Server::new(&[10 * i64::from(BLOCK)]);
    server.ask([7, 8, 2, 3, 0]);
    server.send(8);
    let starts: Vec<u64> = server.asked.iter().map(|(_, _, range)| range.start / u64::from(BLOCK)).collect();
    assert_eq!(starts, [7, 2, 0]);
    (0..3).for_each(|_| server.answer(u64::MAX));
    server.check(&[7, 8, 2, 3, 0]);
}

#[test]
fn what_was_not_sent_can_be_withdrawn_and_what_was_sent_comes_unless_the_connection_ends() {
    let mut server = Server::new(&[10 * i64::from(BLOCK)]);
    server.ask([0, 1, 5]);
    server.send(1);
    let (sent, waits) = (server.span(1), server.span(5));
    assert_eq!(server.gets.cancel(waits), Some(Message::Reject(waits)));
    assert_eq!(server.gets.cancel(sent), None);
    // The connection ends within the first block: the second is not requested again.
    server.answer(1000);
    assert_eq!(server.rejected, [sent]);
    server.send(1);
    assert_eq!(server.asked[0].2, 1000..u64::from(BLOCK), "what came is kept");
    server.answer(u64::MAX);
    server.check(&[0]);
}

#[test]
fn an_answer_with_more_than_was_requested_is_read_no_further() {
    let mut server = Server::new(&[10 * i64::from(BLOCK)]);
    server.ask([0]);
    server.send(1);
    let (id, _, range) = server.asked[0].clone();
    let mut said = Vec::new();
    server.gets.accepted(id, &(0..10 * u64::from(BLOCK)), &mut said);
    let bytes: Bytes = (0..range.end + 500).map(|at| byte(&server.torrent, at)).collect();
    assert_eq!(server.gets.data(id, bytes, &mut said), Rest::Unwanted);
    server.hear(said);
    server.check(&[0]);
}

#[test]
fn a_server_may_choose_a_part_of_the_range_and_the_rest_is_rejected_or_requested_again() {
    // The second file begins within a block.
    let mut server = Server::new(&[10 * i64::from(BLOCK) - 100, 3 * i64::from(BLOCK)]);
    server.ask(0..12);
    server.send(2);
    assert_eq!(server.asked.len(), 2);
    // It begins within the second block and ends within the fifth.
    let block = u64::from(BLOCK);
    server.answer_part(block + 1000..4 * block + 7);
    assert_eq!(server.rejected, [server.span(0), server.span(1)]);
    server.answer(u64::MAX);
    // What was requested beside it is still whole, but for the block that begins in the first file.
    server.check(&[2, 3, 10, 11]);
    server.send(2);
    server.answer(u64::MAX);
    server.answer(u64::MAX);
    server.check(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert!(server.gets.is_idle());
}

#[test]
fn a_request_that_was_refused_rejects_its_blocks_and_no_others() {
    let mut server = Server::new(&[10 * i64::from(BLOCK)]);
    server.ask([7, 8, 2, 5]);
    server.send(2);
    let mut said = Vec::new();
    let (id, ..) = server.asked.pop_front().unwrap();
    server.gets.refused(id, &mut said);
    server.gets.reject_waiting(&mut said);
    server.hear(said);
    assert_eq!(server.rejected, [7, 8, 5].map(|block| server.span(block)));
    server.answer(u64::MAX);
    server.check(&[2]);
}

#[test]
fn a_servent_with_parts_of_the_file_has_the_pieces_that_are_whole_there() {
    let (torrent, piece) = (torrent(&[10 * i64::from(PIECE) + 5]), u64::from(PIECE));
    let at = "http://9.9.9.9:6346/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    let mut site = Site::new(torrent, url(at), AddressClass::Global);
    assert!(site.is_servent() && site.bits().is_none());
    // The second and third touch; the last piece is short.
    let parts =
        vec![8 * piece..9 * piece - 1, piece + 1..2 * piece + 7, 2 * piece + 7..5 * piece, 10 * piece..10 * piece + 5];
    assert!(site.has_parts(Some(parts.clone())) && !site.has_parts(Some(parts)));
    let bits = site.bits().unwrap();
    assert_eq!((0..bits.len()).filter(|piece| bits.get(*piece)).collect::<Vec<_>>(), [2, 3, 4, 10]);
    assert!(
        site.has_all(piece + 1..5 * piece)
            && !site.has_all(piece..piece + 2)
            && !site.has_all(5 * piece - 1..5 * piece + 1)
    );
    assert!(site.has_parts(Some(Vec::new())));
    assert_eq!(site.bits().unwrap().count(), 0, "nothing is there yet");
    assert!(site.has_parts(None) && site.bits().is_none());
}

#[test]
fn what_a_servent_says_about_waiting_is_obeyed() {
    let busy = |status| Refusal::Busy { status, retry_after: Some(RetryAfter::Seconds(1)) };
    let mut said = ServentFields::default();
    let waits = |refusal: &Refusal, said: &ServentFields| match servent::verdict(refusal, said) {
        servent::Verdict::Wait(wait) => wait.as_secs(),
        other => panic!("{other:?}"),
    };
    let denied = Refusal::Denied { status: 403 };
    let conflict = Refusal::Status { status: 409 };
    let all = [busy(503), conflict, busy(429), denied];
    assert_eq!(all.each_ref().map(|refusal| waits(refusal, &said)), [61, 46, 1201, 1201]);
    // The shortest pause of the older queue counts, and so does the field of HTTP.
    let mut place = QueuePlace::default();
    place.poll_min_s = Some(45);
    (said.queue, said.retry_after_s) = (Some(place), Some(20));
    assert_eq!(all.each_ref().map(|refusal| waits(refusal, &said)), [46, 46, 61, 61], "a ban lasts a minute at least");
    said.retry_after_s = Some(300);
    assert_eq!(waits(&busy(503), &said), 301);
    assert_eq!(servent::verdict(&Refusal::OutOfRange { total: None }, &said), servent::Verdict::Lacks);
    assert_eq!(servent::verdict(&Refusal::Missing { status: 404 }, &said), servent::Verdict::AsWeb);
}

#[test]
fn a_servent_takes_one_connection_and_a_wait_is_no_failure() {
    let mut book = Book::default();
    let at = "http://9.9.9.9:6346/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    book.add(url(at), AddressClass::Global, Origin::WebSeed);
    assert_eq!(book.get(SourceKey(0)).unwrap().origin, Origin::Servent);
    let mut now = Time::ZERO;
    for _ in 0..5 {
        assert_eq!(dials(&mut book, now, true), [0]);
        book.joined(now, SourceKey(0));
        now = now + Duration::from_secs(100);
        assert_eq!(dials(&mut book, now, true), [], "there is no second connection");
        book.left(now, SourceKey(0), true, End::Held("a queue".to_owned(), Duration::from_secs(40)));
        now = now + Duration::from_millis(39_999);
        assert_eq!(dials(&mut book, now, true), []);
        now = now + Duration::from_millis(1);
    }
}

#[test]
fn servents_name_others_within_bounds_and_none_in_private_networks() {
    let mut book = book(3);
    let at = "http://9.9.9.9:6346/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    let key = book.add(url(at), AddressClass::Global, Origin::WebSeed).unwrap();
    let addrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<std::net::SocketAddr>>();
    let useless =
        addrs(&["10.0.0.1:6346", "127.0.0.1:6346", "192.168.1.1:80", "8.8.8.8:22", "8.8.8.8:6379", "9.9.9.9:6346"]);
    assert!(!book.add_alternates(key, &useless, AddressClass::Global));
    assert!(!book.add_alternates(SourceKey(0), &addrs(&["8.8.8.8:6346"]), AddressClass::Global), "it is no servent");
    let many: Vec<_> = (0..5000u32).map(|n| (std::net::Ipv4Addr::from_bits(0x0800_0000 + n), 6346).into()).collect();
    assert!(book.add_alternates(key, &many, AddressClass::Global));
    assert_eq!(book.entries().count(), 4 + 40, "others may name some as well");
    assert!(!book.add_alternates(key, &many[1000..], AddressClass::Global));
    for n in 4..50 {
        book.add_alternates(SourceKey(n), &many[n * 100..], AddressClass::Global);
    }
    assert_eq!(book.entries().count(), 4 + MAX_ALTERNATES);
    let first = book.get(SourceKey(4)).unwrap().clone();
    assert_eq!((first.origin, first.url.as_str()), (Origin::Alternate, at.replace("9.9.9.9", "8.0.0.0").as_str()));
    // Others still have their places.
    assert!(book.add(url("http://h9.example/"), AddressClass::Loopback, Origin::Mirror).is_some());
    assert_eq!(dials(&mut book, Time::ZERO, true), [0, 1, 2, 3]);
    assert_eq!(dials(&mut book, Time::from_secs_f64(1.0), true), [4]);
    // A stranger may be a victim of the one that named it.
    book.left(Time::ZERO, SourceKey(4), false, End::Failed("it is down".to_owned()));
    assert_eq!(book.get(SourceKey(4)).unwrap().not_before, Time::ZERO + Duration::from_secs(600));
}

#[test]
fn a_servent_cannot_fill_the_book_with_the_ports_of_one_address() {
    let mut book = Book::default();
    let at = "http://9.9.9.9:6346/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    let key = book.add(url(at), AddressClass::Global, Origin::WebSeed).unwrap();
    let addrs = |ip: &str| (7000..7020).map(|port| format!("{ip}:{port}").parse().unwrap()).collect::<Vec<_>>();
    for ip in ["8.8.8.8", "8.8.4.4"] {
        book.add_alternates(key, &addrs(ip), AddressClass::Global);
    }
    assert_eq!(book.entries().count(), 1 + 2 * 4);
}

#[test]
fn sources_are_dialled_beside_lanes_that_are_held_in_queues() {
    let mut book = Book::new(Config { first: 24 });
    let sha1 = [7; 20];
    let servents = |book: &mut Book, from: u32, most: usize| {
        (0..most as u32).for_each(|n| {
            let ip = std::net::Ipv4Addr::from_bits(0x0808_0000 + from + n);
            book.add_servent((ip, 6346).into(), sha1, AddressClass::Global).unwrap();
        });
    };
    servents(&mut book, 0, 24);
    let first = dials(&mut book, Time::ZERO, false);
    assert_eq!(first.len(), 24);
    first.iter().for_each(|n| book.joined(Time::ZERO, SourceKey(*n)));
    let mirror = book.add(url("http://h.example/"), AddressClass::Loopback, Origin::Mirror).unwrap();
    assert_eq!(dials(&mut book, Time::ZERO, true), [], "as many lanes as there may be");
    first.iter().for_each(|n| book.holds(SourceKey(*n), true));
    assert_eq!(dials(&mut book, Time::ZERO, false), [mirror.0]);
    // One that goes on counts again.
    book.joined(Time::ZERO, mirror);
    servents(&mut book, 100, 40);
    book.holds(SourceKey(0), false);
    let further = dials(&mut book, Time::ZERO, false);
    assert_eq!(further.len(), 22);
    // And there is an end to those that are held.
    for n in further {
        book.joined(Time::ZERO, SourceKey(n));
        book.holds(SourceKey(n), true);
    }
    assert_eq!(dials(&mut book, Time::ZERO, false).len(), 1, "48 in all");
    book.left(Time::ZERO, SourceKey(1), true, End::Idle);
    assert_eq!(dials(&mut book, Time::ZERO, false), [1], "the next lane to it is not held yet");
    assert_eq!(dials(&mut book, Time::ZERO, false), []);
}

#[test]
fn a_servent_that_comes_again_takes_its_own_place_and_no_other_source_is_kept_away() {
    let (mut book, sha1) = (Book::default(), [7; 20]);
    let come = |book: &mut Book, at: String| book.add_pushed(at.parse().unwrap(), sha1);
    let key = come(&mut book, "8.8.8.8:1000".to_owned()).unwrap();
    let host = book.get(key).unwrap().host;
    for port in 1001..2000 {
        book.left(Time::ZERO, key, false, End::Useless("it closed the connection".to_owned()));
        assert_eq!(book.get(key).unwrap().state(Time::ZERO), State::Refused);
        assert_eq!(come(&mut book, format!("8.8.8.8:{port}")), Some(key));
        let entry = book.get(key).unwrap();
        assert_eq!((entry.state(Time::ZERO), entry.url.port()), (State::Dialling, Some(port)));
    }
    // Others behind the same address are as guilty of what it did.
    let other = come(&mut book, "8.8.8.8:2000".to_owned()).unwrap();
    assert!(other != key && book.get(other).unwrap().host == host);
    assert!((2001..2100).filter_map(|port| come(&mut book, format!("8.8.8.8:{port}"))).count() == 2);
    // They have no place of what the user names.
    (0..MAX_SOURCES).for_each(|n| {
        assert!(book.add(url(&format!("http://h{n}.example/")), AddressClass::Global, Origin::WebSeed).is_some());
    });
    assert_eq!(book.add(url("http://more.example/"), AddressClass::Global, Origin::WebSeed), None);
    assert!(book.add(url("http://more.example/"), AddressClass::Loopback, Origin::Mirror).is_some());
}

#[test]
fn a_source_that_lacks_a_file_has_the_pieces_of_the_others() {
    let mut site = site(&[40_000, 40_000, 40_000]);
    assert_eq!(site.bits(), None);
    let missing = Refusal::Missing { status: 404 };
    assert_eq!(site.refused(1, &missing, AddressClass::Global), After::Lacks);
    let bits = site.bits().unwrap();
    let here: Vec<bool> = (0..bits.len()).map(|piece| bits.get(piece)).collect();
    assert_eq!(here, [true, false, false, true]);
    assert!(site.has_all(0..40_000) && !site.has_all(39_999..40_001));
    assert_eq!(site.refused(0, &missing, AddressClass::Global), After::Lacks);
    assert_eq!(site.refused(2, &missing, AddressClass::Global), After::Useless);
    // Its requests are rejected, and not answered with zeros.
    let mut gets = Gets::default();
    let (mut said, span) = (Vec::new(), Span { piece: 0, begin: 0, length: BLOCK });
    gets.request(&site, span);
    assert_eq!(gets.next(&site, 1 << 20, &mut said), None);
    assert_eq!(said, [Message::Reject(span)]);
}

#[test]
fn a_wrong_address_is_not_tried_for_each_file() {
    let mut site = site(&[1000; 100]);
    let refusals = (0..100).map(|file| site.refused(file, &Refusal::Missing { status: 404 }, AddressClass::Global));
    assert_eq!(refusals.take_while(|after| *after == After::Lacks).count(), 7);
}

#[test]
fn a_moved_file_is_requested_at_its_new_place_with_the_permissions_of_the_server_that_moved_it() {
    let mut site = site(&[1000, 1000]);
    let to = |location: &str| Refusal::Moved { location: url(location), is_permanent: false };
    assert_eq!(site.refused(1, &to("http://other.example/y"), AddressClass::Global), After::Again);
    let place = &site.places(1500..1600)[0];
    assert_eq!(place.named_by, AddressClass::Global);
    let request = place.request.as_ref().unwrap();
    assert_eq!((request.url().as_str(), request.range()), ("http://other.example/y", 500..600));
    assert_eq!(site.places(0..10)[0].request.as_ref().unwrap().url().as_str(), "http://h.example/x/t/f0");
    // The place was good and is gone: the first one is asked again.
    site.served(1);
    assert_eq!(site.refused(1, &Refusal::Denied { status: 403 }, AddressClass::Global), After::Again);
    assert_eq!(site.places(1500..1600)[0].request.as_ref().unwrap().url().as_str(), "http://h.example/x/t/f1");
    // A circle ends.
    let rounds =
        (0..20).take_while(|_| site.refused(1, &to("http://h.example/x/t/f1"), AddressClass::Global) == After::Again);
    assert_eq!(rounds.count(), 5);
}

fn book(urls: usize) -> Book {
    let mut book = Book::default();
    for n in 0..urls {
        let source = book.add(url(&format!("http://h{n}.example/")), AddressClass::Global, Origin::WebSeed);
        assert_eq!(source, Some(SourceKey(n)));
    }
    book
}

fn dials(book: &mut Book, now: Time, is_short: bool) -> Vec<usize> {
    std::iter::from_fn(|| book.next(now, is_short).map(|key| key.0)).collect()
}

#[test]
fn four_sources_are_dialled_and_others_if_too_little_comes() {
    let mut book = book(6);
    assert_eq!(book.add(url("http://h1.example/"), AddressClass::Loopback, Origin::Mirror), None, "it is known");
    let mut now = Time::ZERO;
    assert_eq!(dials(&mut book, now, false), [0, 1, 2, 3]);
    (0..4).for_each(|n| book.joined(now, SourceKey(n)));
    assert_eq!(dials(&mut book, now, false), []);
    assert_eq!(dials(&mut book, now, true), [4]);
    now = now + Duration::from_millis(900);
    assert_eq!(dials(&mut book, now, true), []);
    now = now + Duration::from_millis(200);
    assert_eq!(dials(&mut book, now, true), [5]);
    (4..6).for_each(|n| book.joined(now, SourceKey(n)));
    // Then further lanes, to the hosts that have the fewest. Each delivers as much as the others.
    let mut more = Vec::new();
    for _ in 0..100 {
        now = now + Duration::from_secs(1);
        more.extend(further(&mut book, now, |lanes| 100_000 * lanes as u64));
        assert_eq!(book.surplus(now), None);
    }
    assert_eq!(more, [0, 1, 2, 3, 4, 5].repeat(3));
}

/// Lets each source deliver what it does in a second, dials where too little comes, and returns what
/// was dialled.
fn further(book: &mut Book, now: Time, delivers: fn(usize) -> u64) -> Vec<usize> {
    let lanes: Vec<(SourceKey, usize)> = book.entries().map(|(key, entry)| (key, entry.lanes())).collect();
    lanes.into_iter().for_each(|(key, lanes)| book.served(key, delivers(lanes)));
    let new = dials(book, now, true);
    new.iter().for_each(|n| book.joined(now, SourceKey(*n)));
    new
}

#[test]
fn a_source_gets_further_lanes_only_as_long_as_they_bring_more() {
    let mut book = book(2);
    let mut now = Time::ZERO;
    assert_eq!(dials(&mut book, now, false), [0, 1]);
    (0..2).for_each(|n| book.joined(now, SourceKey(n)));
    let (mut more, mut closed) = (Vec::new(), Vec::new());
    for second in 1..=200 {
        now = now + Duration::from_secs(1);
        more.extend(further(&mut book, now, |_| 100_000).into_iter().map(|n| (second, n)));
        while let Some(key) = book.surplus(now) {
            book.left(now, key, true, End::Idle);
            closed.push((second, key.0));
        }
    }
    // Two lanes of a slow line bring no more than one.
    assert_eq!(more, [(10, 0), (11, 1)]);
    assert_eq!(closed, [(15, 0), (16, 1)]);
    // While enough comes, nothing is judged.
    now = now + Duration::from_secs(600);
    assert_eq!(dials(&mut book, now, false), []);
    assert_eq!(further(&mut book, now + Duration::from_secs(9), |_| 100_000), []);
    assert_eq!(further(&mut book, now + Duration::from_secs(10), |_| 100_000), [0]);
}

/// Returns the lanes that a source keeps, if each brings the same up to a limit of the server.
fn lanes_kept(delivers: fn(usize) -> u64, ends: impl Fn(&mut Book, Time, u64)) -> Vec<usize> {
    let mut book = book(1);
    assert_eq!(dials(&mut book, Time::ZERO, false), [0]);
    book.joined(Time::ZERO, SourceKey(0));
    let after = |second| {
        let now = Time::ZERO + Duration::from_secs(second);
        further(&mut book, now, delivers);
        while let Some(key) = book.surplus(now) {
            book.left(now, key, true, End::Idle);
        }
        ends(&mut book, now, second);
        book.entries().next().unwrap().1.lanes()
    };
    (1..=200).map(after).collect()
}

#[test]
fn a_server_that_serves_two_lanes_at_full_rate_keeps_both_when_the_third_is_closed() {
    let mut lanes = lanes_kept(|lanes| 100_000 * lanes.min(2) as u64, |_, _, _| {});
    lanes.dedup();
    assert_eq!(lanes, [1, 2, 3, 2]);
}

#[test]
fn a_lane_that_ends_by_itself_costs_no_further_one() {
    let end = |book: &mut Book, now: Time, second: u64| {
        if second == 24 {
            book.left(now, SourceKey(0), true, End::Failed("it was cut".to_owned()));
        }
    };
    let lanes = lanes_kept(|lanes| 100_000 * lanes as u64, end);
    assert!(lanes[23] >= 2 && lanes[23] == lanes[22] - 1, "{lanes:?}");
    assert!(lanes[23..].is_sorted(), "{lanes:?}");
}

#[test]
fn as_many_sources_are_dialled_at_first_as_the_settings_say() {
    let mut book = Book::new(Config { first: 1 });
    for n in 0..3 {
        book.add(url(&format!("http://h{n}.example/")), AddressClass::Global, Origin::WebSeed);
    }
    assert_eq!(dials(&mut book, Time::ZERO, false), [0]);
    book.joined(Time::ZERO, SourceKey(0));
    assert_eq!(dials(&mut book, Time::ZERO, true), [1], "a standby");
}

#[test]
fn a_failed_source_is_tried_again_after_pauses_that_grow_and_a_standby_takes_its_place() {
    let mut book = book(5);
    let mut now = Time::ZERO;
    assert_eq!(dials(&mut book, now, false), [0, 1, 2, 3]);
    (1..4).for_each(|n| book.joined(now, SourceKey(n)));
    book.left(now, SourceKey(0), false, End::Failed("it is down".to_owned()));
    assert_eq!(dials(&mut book, now, false), [4]);
    book.joined(now, SourceKey(4));
    (1..5).for_each(|n| book.left(now, SourceKey(n), true, End::Useless("gone".to_owned())));
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let next = book.get(SourceKey(0)).unwrap().not_before;
        pauses.push(next.since(now).as_secs());
        now = next;
        assert_eq!(dials(&mut book, now, true), [0]);
        book.left(now, SourceKey(0), false, End::Failed("it is down".to_owned()));
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    let states: Vec<State> = book.entries().map(|(_, entry)| entry.state(now)).collect();
    assert_eq!(states, [State::Waiting, State::Refused, State::Refused, State::Refused, State::Refused]);
    assert_eq!(book.entries().next().unwrap().1.error.as_deref(), Some("it is down"));
}

#[test]
fn a_busy_source_is_left_alone_for_as_long_as_it_says() {
    let mut book = book(1);
    assert_eq!(dials(&mut book, Time::ZERO, false), [0]);
    book.joined(Time::ZERO, SourceKey(0));
    book.left(Time::ZERO, SourceKey(0), true, End::Busy("busy".to_owned(), Some(Duration::from_secs(120))));
    assert_eq!(book.get(SourceKey(0)).unwrap().not_before, Time::ZERO + Duration::from_secs(120));
}

#[test]
fn a_known_source_that_the_user_names_is_a_mirror_and_is_tried_again() {
    let mut book = book(2);
    assert_eq!(dials(&mut book, Time::ZERO, false), [0, 1]);
    book.left(Time::ZERO, SourceKey(1), false, End::Useless("its port is another service's".to_owned()));
    assert_eq!(book.make_mirror(&url("http://h9.example/")), None, "it is another source");
    assert_eq!(book.make_mirror(&url("http://h1.example/")), Some(SourceKey(1)));
    assert_eq!(dials(&mut book, Time::ZERO, false), [1]);
    let entry = book.entries().nth(1).unwrap().1;
    assert_eq!((entry.origin, entry.named_by), (Origin::Mirror, AddressClass::Loopback));
    let mut site = Site::new(torrent(&[5]), url("http://h1.example/"), AddressClass::Global);
    assert_eq!(site.refused(0, &Refusal::Missing { status: 404 }, AddressClass::Global), After::Useless);
    site.make_mirror();
    assert!(site.has_all(0..5));
    assert_eq!(site.first().1, AddressClass::Loopback);
}

#[test]
fn a_server_that_refuses_a_further_lane_keeps_the_lanes_that_it_has() {
    let mut book = book(1);
    let mut now = Time::ZERO;
    assert_eq!(dials(&mut book, now, true), [0]);
    book.joined(now, SourceKey(0));
    now = now + Duration::from_secs(10);
    assert_eq!(dials(&mut book, now, true), [0]);
    book.left(now, SourceKey(0), false, End::Busy("busy".to_owned(), None));
    now = now + Duration::from_secs(2);
    assert_eq!(dials(&mut book, now, true), []);
    assert_eq!(book.entries().next().unwrap().1.state(now), State::Serving);
    // Later it may take more: a lane that ended once is no limit for ever.
    now = now + Duration::from_secs(60);
    assert_eq!(dials(&mut book, now, true), [0]);
    book.joined(now, SourceKey(0));
    book.left(now, SourceKey(0), true, End::Busy("busy".to_owned(), Some(Duration::from_secs(120))));
    now = now + Duration::from_secs(119);
    assert_eq!(dials(&mut book, now, true), []);
    assert_eq!(dials(&mut book, now + Duration::from_secs(1), true), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_block_comes_once_and_right_whatever_connections_do(
        lengths in prop::collection::vec(prop_oneof![1..60_000i64, -40_000..-1i64], 1..6),
        order in any::<u64>(),
        cuts in prop::collection::vec(0..50_000u64, 0..12),
        depth in 1..5usize,
    ) {
        prop_assume!(lengths.iter().any(|length| *length > 0));
        let mut server = Server::new(&lengths);
        let count = server.blocks();
        // Runs in a mixed order.
        let mut blocks: Vec<u64> = (0..count).collect();
        blocks.rotate_left((order % count) as usize);
        server.ask(blocks.clone());
        for cut in cuts.into_iter().chain(std::iter::repeat_n(u64::MAX, 40)) {
            server.send(depth);
            server.answer(cut);
        }
        server.check(&blocks);
        prop_assert!(server.gets.is_idle() && server.rejected.is_empty());
    }
}
