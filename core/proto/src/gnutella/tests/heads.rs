//! Heads: the handshake, connections that servents make to us, and what they say over HTTP.

use super::recording;
use super::*;
use crate::http_range::{self, Conversation, Event, Request};
use crate::{FileHashes, tiger_tree};
use proptest::prelude::*;
use std::net::SocketAddr;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Returns the heads of a handshake, one after another.
fn handshakes(mut bytes: &[u8]) -> Vec<Handshake> {
    let mut found = Vec::new();
    while bytes.starts_with(b"GNUTELLA") {
        let (handshake, length) = Handshake::parse(bytes).unwrap().unwrap();
        assert_eq!(Handshake::parse(&bytes[..length - 1]), Ok(None), "it has no end yet");
        bytes = &bytes[length..];
        found.push(handshake);
    }
    found
}

/// Returns the heads of answers over HTTP.
fn answers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"HTTP/1.1 "));
    starts.map(|at| bytes[at..at + header_fields::head_bytes(&bytes[at..]).unwrap()].to_vec()).collect()
}

fn fields_of(bytes: &[u8]) -> Vec<ServentFields> {
    answers(bytes).iter().map(|head| ServentFields::parse(head).unwrap()).collect()
}

macro_rules! recording {
    ($file:literal) => {
        recording::Recording::parse($file, include_str!(concat!("../fixtures/", $file, ".txt")))
    };
}

#[test]
fn an_ultrapeer_takes_a_leaf_and_compresses() {
    for (recording, is_deflated) in [(recording::leaf_deflate(), true), (recording::first_messages(), false)] {
        let answer = &handshakes(&recording.theirs)[0];
        let confirmation = Bytes::from_static(b"GNUTELLA/0.6 200 OK\r\n\r\n");
        assert!(recording.ours.windows(confirmation.len()).any(|window| window == confirmation));
        assert_eq!(answer.outcome(), Outcome::Accepted { confirmation, is_deflated });
    }
    let answer = &handshakes(&recording::leaf_deflate().theirs)[0];
    assert_eq!((answer.is_ultrapeer(), answer.accepts_deflate()), (Some(true), true));
    assert_eq!(answer.servent(), Guid::from_hex("ed6a3102132cdce6cf8fad23d799c393"));
    assert_eq!(answer.our_ip(), Some("44.77.20.2".parse().unwrap()));
    assert!(answer.user_agent().unwrap().starts_with("gtk-gnutella/1.2.3"));
}

#[test]
fn a_leaf_greets_as_a_real_ultrapeer_accepts_it() {
    let sent = recording::leaf_deflate().ours;
    let (greeting, length) = Handshake::parse(&sent).unwrap().unwrap();
    let ours = leaf_greeting(greeting.listens_at(), address("44.77.1.2:6346"), greeting.servent().unwrap());
    let version = format!("playswarm/{}", env!("CARGO_PKG_VERSION"));
    let sent = String::from_utf8(sent[..length].to_vec()).unwrap().replace("playswarm/0.1.0", &version);
    assert_eq!(String::from_utf8(ours.to_vec()).unwrap().to_lowercase(), sent.to_lowercase());
}

#[test]
fn a_refusal_has_a_code_and_perhaps_other_servents() {
    for (recording, status, others) in [
        (recording!("01a-handshake-leaf-plain"), 403, 0),
        (recording!("14a-reject-leaf-to-leaf-204"), 204, 0),
        (recording!("14b-reject-no-headers"), 403, 0),
        (recording!("14d-reject-same-guid"), 409, 0),
        (recording!("14h-reject-full-503"), 503, 10),
    ] {
        let outcome = handshakes(&recording.theirs).last().unwrap().outcome();
        let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!((refusal.status, refusal.others.len()), (status, others), "{}", refusal.reason);
    }
    // Its list goes on in further lines.
    let recording = recording!("14h-reject-full-503");
    let others = handshakes(&recording.theirs)[0].others();
    assert_eq!((others[0], others[9]), (address("44.77.239.2:6346"), address("44.77.230.2:6346")));
    // Several connections in one recording; the third comes too soon.
    let text = String::from_utf8_lossy(&recording!("14c-reject-too-often").theirs).into_owned();
    let at = text.find("GNUTELLA/0.6 429").unwrap();
    let (handshake, _) = Handshake::parse(&text.as_bytes()[at..]).unwrap().unwrap();
    assert!(matches!(handshake.outcome(), Outcome::Refused(Refusal { status: 429, .. })));
}

#[test]
fn servents_that_connect_to_us_greet_and_confirm() {
    let heads = handshakes(&recording::leaf_connects_to_us().theirs);
    assert_eq!((&heads[0].start, heads[0].is_ultrapeer()), (&Start::Connect, Some(false)));
    assert_eq!(heads[0].listens_at(), Some(address("44.77.5.2:6346")));
    assert!(heads[1].sends_deflate() && heads[1].start == Start::Answer { status: 200, reason: "OK".into() });
    assert_eq!(heads[0].outcome(), Outcome::NoUltrapeer);
    let heads = handshakes(&recording!("01f-servent-ultrapeer-connects-to-us").theirs);
    assert_eq!(heads[0].is_ultrapeer(), Some(true));
    assert!(matches!(heads[1].start, Start::Answer { status: 403, .. }));
    // Our answer is one that can be read.
    let ours = leaf_refusal(address("44.77.5.2:6346"));
    let (ours, _) = Handshake::parse(&ours).unwrap().unwrap();
    assert!(matches!(ours.outcome(), Outcome::Refused(Refusal { status: 204, .. })));
}

#[test]
fn heads_beyond_the_bounds_are_refused() {
    let fault = Err(Fault::LongHead(MAX_HEAD_BYTES));
    let endless = [&b"GNUTELLA/0.6 200 OK\r\n"[..], &b"X-Try: 1.2.3.4:5, \r\n ".repeat(2000)].concat();
    assert_eq!(Handshake::parse(&endless[..MAX_HEAD_BYTES - 1]), Ok(None));
    assert_eq!(Handshake::parse(&endless), fault);
    let fields = |count| [&b"GNUTELLA/0.6 200 OK\r\n"[..], &b"A: b\r\n".repeat(count), b"\r\n"].concat();
    assert!(Handshake::parse(&fields(MAX_HEAD_FIELDS)).is_ok());
    assert_eq!(Handshake::parse(&fields(MAX_HEAD_FIELDS + 1)), fault);
    for other in
        ["HTTP/1.1 200 OK\r\n\r\n", "GNUTELLA\r\n\r\n", "GNUTELLA/0.6 2000 OK\r\n\r\n", "GNUTELLA CONNECT/9\r\n\r\n"]
    {
        assert_eq!(Handshake::parse(other.as_bytes()), Err(Fault::Head), "{other}");
    }
    assert_eq!(Handshake::parse(b"GNUT"), Ok(None));
    assert_eq!(Handshake::parse(b"GNUX"), Err(Fault::Head));
    let many = format!("GNUTELLA/0.6 503 Full\r\nX-Try-Ultrapeers: {}\r\n\r\n", "1.2.3.4:5,".repeat(500));
    assert_eq!(Handshake::parse(many.as_bytes()).unwrap().unwrap().0.others().len(), MAX_TRIES);
}

#[test]
fn servents_that_call_back_are_told_apart() {
    let give = recording!("12d-push-udp-giv").theirs;
    let servent = Guid::from_hex("b7393102f14f52b35d8148cadea29b71").unwrap();
    assert_eq!(callback(&give), Some((Callback::Give { servent }, give.len())));
    assert_eq!(give_line(2, servent)[..], give[..]);
    for length in 0..give.len() {
        assert_eq!(callback(&give[..length]), None, "{length}");
    }
    let queue = recording!("06b-queue-passive-callback").theirs;
    let at = queue.windows(6).position(|window| window == b"QUEUE ").unwrap();
    let expected =
        Callback::Queue { id: "d412bf4929ab86e29eb182e0eeaeb89b".into(), servent: address("44.77.3.2:6346") };
    assert_eq!(callback(&queue[at..]), Some((expected, 55)));
    let push = b"PUSH guid:B7393102F14F52B35D8148CADEA29B71\r\n\r\nrest";
    assert_eq!(callback(push), Some((Callback::Give { servent }, push.len() - 4)));
    assert_eq!(callback(&recording::leaf_connects_to_us().theirs), Some((Callback::Handshake, 0)));
    for other in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"GIV 1:b739/file\n\n",
        b"GIV x:b7393102f14f52b35d8148cadea29b71/file\n\n",
        b"GIV 1:b7393102f14f52b35d8148cadea29b71/file\nx",
        b"QUEUE a-b 1.2.3.4:5\r\n",
        b"QUEUE ab 1.2.3.4\r\n",
        &[&b"GIV 1:"[..], &[b'a'; MAX_CALLBACK_BYTES]].concat(),
    ] {
        assert_eq!(callback(other), Some((Callback::Other, 0)), "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn a_push_proxy_is_asked_and_answers() {
    let recording = recording!("12e-push-proxy-http");
    let servent = Guid::from_hex("b7393102f14f52b35d8148cadea29b71").unwrap();
    let ours = push_proxy_request(address("44.77.1.2:6346"), servent, address("44.77.20.47:6346"));
    let ours = String::from_utf8(ours.to_vec()).unwrap();
    let version = format!("playswarm/{}", env!("CARGO_PKG_VERSION"));
    let sent = String::from_utf8(recording.ours.clone()).unwrap().replace("playswarm/0.1.0", &version);
    assert!(sent.starts_with(&ours), "{ours}");
    assert_eq!(Guid::from_base32("w44tcaxrj5jlgxmbjdfn5iu3oe"), Some(servent));
    let statuses = answers(&recording.theirs).into_iter().map(|head| {
        let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        PushProxyAnswer::of_status(status)
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [PushProxyAnswer::Sent, PushProxyAnswer::Sent, PushProxyAnswer::Gone]);
}

#[test]
fn an_answer_names_the_file_its_tree_and_our_place_in_the_queue() {
    let one =
        FileHashes::from_urn("urn:bitprint:PBOQP6J3YWBC4QDWDBPL4OYDEO55GBAL.IXIVZKQU23P4YG27LX42W2YVERUECB6QY3OY67Y")
            .unwrap();
    let head = &fields_of(&recording!("04e-odd-requests-kept").theirs)[0];
    assert_eq!(head.content, FileHashes { tiger: None, ..one });
    let tree = head.tree.as_ref().unwrap();
    assert_eq!(tree.root, one.tiger);
    assert_eq!(Target::parse(&tree.path), Some(Target::Tree(head.content)));
    assert_eq!(Target::Tree(one).path().as_ref(), Some(&tree.path));
    assert_eq!(head.servent, Guid::from_hex("ed653102b96af4020be5294a29788248"));

    let queued = fields_of(&recording!("06a-queue-active").theirs);
    let places: Vec<_> = queued.iter().map(|f| (f.retry_after_s, f.queue.as_ref().unwrap().position)).collect();
    assert_eq!(places[..3], [(Some(30), Some(1)), (Some(30), Some(1)), (Some(45), Some(2))]);
    let place = queued[1].queue.as_ref().unwrap();
    assert_eq!(place.id.as_deref(), Some("e7587b3b4d8ee3f9b34915ab7deca46c"));
    assert_eq!((place.lifetime_s, place.length, place.eta_s), (Some(90), Some(5), Some(0)));
    // What we send for it.
    let ours = QueuePlace { id: place.id.clone(), position: place.position, ..QueuePlace::default() };
    let lines = ServentFields { queue: Some(ours), ..ServentFields::default() }.to_lines();
    let sent = String::from_utf8(recording!("06a-queue-active").ours).unwrap();
    assert!(sent.contains(&lines) && lines.starts_with("X-Queued: "), "{lines}");
    // An estimate of five days is no error.
    let passive = &fields_of(&recording!("06b-queue-passive-callback").theirs)[0];
    assert_eq!(passive.queue.as_ref().unwrap().eta_s, Some(456_386));
    // A conflict has no place.
    let conflict = fields_of(&recording!("07b-second-connection-409").theirs);
    assert!(conflict.iter().all(|fields| fields.queue.is_none() && fields.content.is_empty()));
}

/// Returns the values of a field in requests.
fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn ranges_are_requested_from_a_servent_and_what_it_says_is_kept() {
    let urn = FileHashes::from_urn("urn:sha1:6RN2AP2Q4RWAFRL6CLAZTYDKEAH6KJQP").unwrap();
    let url = format!("http://44.77.2.2:6346{}", Target::File(urn).path().unwrap());
    let alternates = vec![address("44.77.3.2:6346"), address("44.77.101.2:6346")];
    let node = Some(address("44.77.20.11:6346"));
    let fields = ServentFields { alternates: alternates.clone(), node, ..ServentFields::default() };
    let mut conversation = Conversation::new();
    for range in [0..100, 100..200] {
        let request = Request::new(url.parse().unwrap(), range).unwrap().to_servent(&fields);
        conversation.request(request).unwrap();
    }
    let recording = recording!("10a-alternates-given");
    let (ours, sent) = (conversation.take_output(), String::from_utf8(recording.ours.clone()).unwrap());
    let ours = String::from_utf8(ours.to_vec()).unwrap();
    for name in ["Range", "X-Queue", "X-Features", "X-Node", "Host"] {
        assert_eq!(values(&ours, name), values(&sent, name), "{name}");
    }
    assert_eq!(ours.lines().next(), sent.lines().next());
    conversation.feed(&recording.theirs);
    let (mut bytes, mut said) = (Vec::new(), Vec::new());
    while let Some(event) = conversation.next_event() {
        said.extend(conversation.take_servent_fields());
        if let Event::Data { bytes: more, .. } = event {
            bytes.extend(more);
        }
    }
    assert_eq!((bytes.len(), said.len()), (200, 2));
    assert_eq!((&said[0].1.alternates, said[0].1.content), (&alternates, urn));
    // Further answers say less.
    assert!(said[1].1.alternates.is_empty() && said[1].1.content.is_empty());

    // A place in the queue comes with a refusal, and the connection is kept.
    let mut conversation = Conversation::new();
    for id in 0..5 {
        let request = Request::new(url.parse().unwrap(), 0..524_288).unwrap();
        assert_eq!(conversation.request(request.to_servent(&ServentFields::default())), Some(id));
    }
    conversation.feed(&recording!("06a-queue-active").theirs);
    for id in 0..5 {
        let event = conversation.next_event();
        assert!(
            matches!(&event, Some(Event::Refused { request, refusal: http_range::Refusal::Busy { .. } }) if *request == id),
            "{event:?}"
        );
        let (request, fields) = conversation.take_servent_fields().unwrap();
        assert!(request == id && fields.queue.is_some_and(|place| place.position.is_some()));
    }
    assert!(conversation.takes_requests());
}

#[test]
fn a_partial_file_names_its_ranges_and_its_own_source() {
    let recording = recording!("09a-partial-file");
    let heads = fields_of(&recording.theirs);
    assert!(heads.iter().take(6).all(|head| head.available == Some(std::iter::once(0..393_216).collect())));
    assert_eq!(heads[0].alternates, [address("44.77.2.2:6346")]);
    let of = |value: &str| {
        let head = format!("HTTP/1.1 206 X\r\nX-Available-Ranges: {value}\r\n\r\n");
        ServentFields::parse(head.as_bytes()).unwrap().available
    };
    assert_eq!(of("bytes"), Some(vec![]));
    assert_eq!(of("bytes 0-9, 20-29,5-4,x,7-18446744073709551615"), Some(vec![0..10, 20..30]));
    assert_eq!(of("bytes=0-9"), Some(std::iter::once(0..10).collect()));
    assert_eq!(of("0-9"), None);
    assert_eq!(of(&format!("bytes {}", "0-9,".repeat(2000))).unwrap().len(), MAX_HEAD_RANGES);
}

#[test]
fn other_sources_come_and_go_in_heads() {
    let given = recording!("10a-alternates-given");
    let both = [address("44.77.3.2:6346"), address("44.77.101.2:6346")];
    assert_eq!(fields_of(&given.theirs)[0].alternates, both);
    assert_eq!(fields_of(&recording!("10b-alternates-told").theirs)[0].alternates, both);
    // What we sent.
    let sent = ServentFields::parse(&given.ours).unwrap();
    assert_eq!((sent.alternates, sent.node), (both.to_vec(), Some(address("44.77.20.11:6346"))));
    let dead = ServentFields::parse(&recording!("10c-alternates-dead-1").ours).unwrap();
    assert_eq!(dead.dead, both[1..]);

    let head =
        b"HTTP/1.1 206 X\r\nX-Alt: tls=F0, 1.2.3.4:5,\r\n\t9.9.9.9, http://h/ 2002, [2001:db8::1]:7, 1.2.3.4:0\r\n\
        X-Falt: b7393102f14f52b35d8148cadea29b71;pptls=8;1.2.3.4:5;6.7.8.9, bad;1.2.3.4:5\r\n\
        X-FW-Node-Info: b7393102f14f52b35d8148cadea29b71; <none>\r\nX-Push-Proxies: 44.77.7.2:6346, 44.77.1.2:6346\r\n\
        X-Queue: position=2,length=5,limit=4,pollMin=45,pollMax=99999999\r\nRetry-After: 99999999999\r\n\r\n";
    let fields = ServentFields::parse(head).unwrap();
    assert_eq!(fields.alternates, [address("1.2.3.4:5"), address("9.9.9.9:6346"), address("[2001:db8::1]:7")]);
    let servent = Guid::from_hex("b7393102f14f52b35d8148cadea29b71").unwrap();
    let proxies = vec![address("1.2.3.4:5"), address("6.7.8.9:6346")];
    assert_eq!(fields.push_alternates, [PushSource { servent, proxies }]);
    assert_eq!((fields.servent, fields.push_proxies.len()), (Some(servent), 2));
    let place = fields.queue.unwrap();
    assert_eq!((place.position, place.poll_min_s, place.poll_max_s), (Some(2), Some(45), Some(86_400)));
    assert_eq!(fields.retry_after_s, Some(86_400));
}

#[test]
fn a_servent_that_downloads_from_us_asks_for_the_file_and_its_tree() {
    let recording = recording!("16-servent-downloads-from-us");
    let four = FileHashes::from_urn("urn:sha1:PVAIEUGSSMJDKYOPCDWKNGPZN2ETIPBV").unwrap();
    let text = String::from_utf8(recording.theirs).unwrap();
    let requests: Vec<&str> = text.split_inclusive("\r\n\r\n").collect();
    assert_eq!(requests.len(), 8);
    for (number, request) in requests.into_iter().enumerate() {
        let path = request.split(' ').nth(1).unwrap();
        let target = if number == 1 { Target::Tree(four) } else { Target::File(four) };
        assert_eq!(Target::parse(path), Some(target));
        let fields = ServentFields::parse(request.as_bytes()).unwrap();
        assert_eq!(fields.node, Some(address("44.77.7.2:6346")));
        assert_eq!(fields.downloaded.is_some(), number != 1);
        // It has something to give after the first answer, and says so.
        let is_source = number > 1;
        assert_eq!((fields.alternates.len(), fields.content == four), (usize::from(is_source), is_source));
    }
    // What we answered, and it accepted.
    let ours = ServentFields::parse(&answers(&recording.ours)[0]).unwrap();
    let tree = TreePlace { path: Target::Tree(four).path().unwrap(), root: ours.tree.as_ref().unwrap().root };
    let answer = ServentFields { content: four, tree: Some(tree), ..ServentFields::default() };
    assert_eq!(ours, answer);
    assert!(String::from_utf8_lossy(&recording.ours).contains(&answer.to_lines()));
}

#[test]
fn paths_lead_to_the_servent_itself() {
    let tree = |value: &str| {
        let head = format!("HTTP/1.1 206 X\r\nX-Thex-URI: {value}\r\n\r\n");
        ServentFields::parse(head.as_bytes()).unwrap().tree.map(|tree| (tree.path, tree.root.is_some()))
    };
    let root = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";
    assert_eq!(tree(&format!("/a?b;{root}")), Some(("/a?b".into(), true)));
    assert_eq!(tree("/a;short"), Some(("/a".into(), false)));
    for other in ["//host/a", "http://host/a", "a", "/a b", "/ä", &format!("/{}", "a".repeat(600))] {
        assert_eq!(tree(other), None, "{other}");
    }
    let index = Target::Index { index: 7, name: "wörd & 1/2?.mkv".into() };
    assert_eq!(index.path().as_deref(), Some("/get/7/w%C3%B6rd%20&%201%2F2%3F.mkv"));
    assert_eq!(index.path().and_then(|path| Target::parse(&path)), Some(index));
    assert_eq!(Target::File(FileHashes { tiger: Some([1; 24]), sha1: None }).path(), None);
    for other in ["/", "/uri-res/N2R?urn:md5:x", "/get/x/y", "/get/4294967296/y", "/get/1", "/\u{fc}ri-res/N2R?"] {
        assert_eq!(Target::parse(other), None, "{other}");
    }
}

#[test]
fn the_tree_that_a_servent_sends_is_read_and_written_alike() {
    let theirs = recording!("05a-thex-one").theirs;
    let length = 1096;
    let at = theirs.windows(4).position(|window| window == b"\x0c\x10\0\0").unwrap();
    let dime = Bytes::copy_from_slice(&theirs[at..at + length]);
    let root = fields_of(&theirs)[0].tree.as_ref().unwrap().root.unwrap();
    let level = tiger_tree::read(tiger_tree::Transfer::Dime, &dime, 3_000_001, &root).unwrap();
    assert_eq!((level.slices(), level.slice_bytes()), (12, 256 << 10));
    let ours = tiger_tree::to_dime(&level);
    // The names of the records alone differ.
    let masked = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let parts: Vec<String> =
            text.split("uuid:").enumerate().map(|(n, part)| part[if n > 0 { 36 } else { 0 }..].to_owned()).collect();
        parts
    };
    assert_eq!((ours.len(), masked(&ours)), (length, masked(&dime)));
    assert_eq!(tiger_tree::read(tiger_tree::Transfer::Dime, &ours.into(), 3_000_001, &root), Ok(level));
}

proptest! {
    #[test]
    fn any_head_is_read_or_refused(
        start in "(GNUTELLA/0.6 |GNUTELLA CONNECT/|HTTP/1.1 |GIV |QUEUE )?[ -~\r\n]{0,60}",
        lines in proptest::collection::vec(prop_oneof![
            "(X-Alt|X-Try|X-Queued|X-Available-Ranges|X-Thex-URI|X-Falt): [ -~]{0,40}",
            "(X-Alt|X-Nalt|X-Push-Proxies|X-Node): 1\\.2\\.3\\.[0-9]{1,3}(:[0-9]{1,5})?(, 4\\.5\\.6\\.7)?",
            "X-Available-Ranges: bytes [0-9]{1,3}-[0-9]{1,3}(,[0-9]{3}-[0-9]{3}){0,2}",
            "X-Queued: position=[0-9]{1,3}; ID=[0-9a-f]{1,9}; lifetime=[0-9]{1,7}; ETA=[0-9]{1,3}",
            "X-Falt: [0-9a-f]{32};1\\.2\\.3\\.4:[0-9]{1,5}",
        ], 0..5),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let text = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"));
        for bytes in [text.as_bytes(), &bytes] {
            if let Ok(Some((handshake, length))) = Handshake::parse(bytes) {
                prop_assert!(length <= bytes.len());
                let _ = (handshake.outcome(), handshake.listens_at());
            }
            let fields = ServentFields::parse(bytes).unwrap();
            // Waits longer than a day, and the form of a place, are not kept in writing.
            let head = format!("HTTP/1.1 206 X\r\n{}\r\n", fields.to_lines());
            let again = ServentFields::parse(head.as_bytes()).unwrap();
            prop_assert_eq!(again.to_lines(), fields.to_lines());
            if let Some((_, skip)) = callback(bytes) {
                prop_assert!(skip <= bytes.len());
            }
        }
    }
}
