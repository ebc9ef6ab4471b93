//! Recorded conversations: what the comments of the recorder and the facts in its README say.

use super::recording::{self, all};
use super::*;

fn vendor_messages(messages: Vec<Message>) -> Vec<VendorMessage> {
    messages.into_iter().filter_map(|m| if let Message::Vendor(v) = m { Some(v) } else { None }).collect()
}

fn hits(messages: Vec<Message>) -> Vec<QueryHit> {
    messages.into_iter().filter_map(|m| if let Message::QueryHit(hit) = m { Some(hit) } else { None }).collect()
}

fn pongs(messages: Vec<Message>) -> Vec<Pong> {
    messages.into_iter().filter_map(|m| if let Message::Pong(pong) = m { Some(pong) } else { None }).collect()
}

#[test]
fn every_recorded_message_is_read_whatever_the_cuts() {
    for recording in all() {
        for (theirs, described) in [(true, recording.described.0), (false, recording.described.1)] {
            let frames = recording.frames(theirs, usize::MAX);
            // The comments of one leave out a ping of ours.
            let left_out = usize::from(!theirs && recording.name.starts_with("01d"));
            assert_eq!(frames.len(), described + left_out, "{}", recording.name);
            assert_eq!(recording.frames(theirs, 7), frames, "cuts must not matter");
            for message in recording.messages(theirs) {
                assert!(!matches!(message, Message::Other { .. } | Message::Vendor(VendorMessage::Other { .. })));
            }
        }
        // The recorder inflated the same bytes by another program.
        let inflated: Vec<Frame> = recording.inflated.iter().map(|f| Frame::from_datagram(f).unwrap()).collect();
        let frames = recording.frames(true, usize::MAX);
        assert!(inflated.is_empty() || inflated[..] == frames[..inflated.len()]);
    }
}

#[test]
fn a_message_is_written_as_the_real_servent_writes_it() {
    let (mut same, mut others) = (0, Vec::new());
    for recording in all() {
        for frame in recording.frames(true, usize::MAX) {
            let message = Message::decode(&frame).unwrap();
            assert_eq!(again(&message), message);
            let mut written = message.frame(frame.header.guid, frame.header.ttl).unwrap();
            written.header.hops = frame.header.hops;
            if written.encode() == frame.encode() { same += 1 } else { others.push(message) }
        }
    }
    // It says in a HEAD pong again what it was asked for, which means nothing.
    let is_pong = |message: &Message| matches!(message, Message::Vendor(VendorMessage::HeadPong(_)));
    assert!(others.iter().all(is_pong), "{others:#?}");
    assert!(same > 70 && others.len() == 4, "{same} same, {} others", others.len());
}

#[test]
fn the_first_messages_of_an_ultrapeer_are_its_vendor_messages_and_features() {
    let messages = vendor_messages(recording::leaf_deflate().messages(true));
    let [VendorMessage::Supported(ids), VendorMessage::Features(features)] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(ids.len(), 26);
    assert_eq!(ids[0], Id { vendor: *b"BEAR", number: 4, version: 1 });
    assert_eq!(ids[25], Id { vendor: *b"LIME", number: 24, version: 2 });
    assert!(OURS.iter().all(|ours| ids.contains(ours)));
    assert_eq!(features.len(), 6);
    assert_eq!(features[0], Feature { name: *b"HSEP", version: [1, 0] });
}

#[test]
fn a_leaf_exchanges_pings_pongs_and_its_push_proxy() {
    let recording = recording::first_messages();
    let pongs = pongs(recording.messages(true));
    assert_eq!(pongs.len(), 3);
    assert_eq!(pongs[0].address, v4("44.77.1.2:6346"));
    assert_eq!((pongs[0].files, pongs[0].kib), (0, 8));
    assert_eq!(pongs[0].ultrapeer_slots(), Some(UltrapeerSlots { leaves: 0xff, ultrapeers: 0x31 }));
    assert_eq!((pongs[0].daily_uptime_s(), pongs[0].vendor()), (Some(0x52), Some(*b"GTKG")));
    assert!(pongs[0].is_ultrapeer() && pongs[0].has_guess());
    // This one has no extensions.
    assert!(pongs[1].is_ultrapeer() && pongs[1].ultrapeer_slots().is_none());
    assert_eq!(pongs[2].address, v4("44.77.6.2:6346"));

    let theirs = vendor_messages(recording.messages(true));
    assert!(theirs.contains(&VendorMessage::PushProxyAck(v4("44.77.1.2:6346"))));
    let ours = vendor_messages(recording.messages(false));
    assert!(ours.contains(&VendorMessage::HopsFlow(0)));
    assert!(ours.contains(&VendorMessage::ConnectBack(6346)));
    assert!(ours.contains(&VendorMessage::PushProxyRequest));
    let bye = recording.messages(false).pop();
    assert_eq!(bye, Some(Message::Bye(Bye { code: 200, text: "User shut down".into() })));
}

#[test]
fn an_empty_table_is_written_as_servents_accept_it() {
    let recording = recording::first_messages();
    let sent: Vec<_> =
        recording.frames(false, usize::MAX).into_iter().filter(|f| f.header.kind == kind::ROUTE).collect();
    let updates = RouteTable::empty().updates();
    assert_eq!(sent.len(), updates.len());
    for (sent, update) in sent.into_iter().zip(updates) {
        let ours = Message::Route(update).frame(sent.header.guid, sent.header.ttl).unwrap();
        assert_eq!(ours, sent);
    }
}

/// Returns the last table that a side sent.
fn table(messages: &[Message]) -> RouteTable {
    let mut receiver = RouteReceiver::default();
    let updates = messages.iter().filter_map(|m| if let Message::Route(update) = m { Some(update) } else { None });
    updates.filter_map(|update| receiver.update(update).unwrap()).last().unwrap()
}

#[test]
fn the_table_of_a_real_leaf_has_the_words_of_its_files() {
    // A leaf with all five files, and infinity 2; then ours, with infinity 7.
    let theirs = table(&recording::out_of_band().messages(true));
    let names = "amber lantern orchard one.bin amber quiet harbour two.bin amber tiny pebble three.bin amber walking tower clip.mp4 cobalt slow river four.bin";
    for word in words(names) {
        assert!(theirs.has(&word), "{word}");
    }
    assert!(!theirs.has("crimson") && !theirs.has("meadow") && theirs.set_slots() < 200);
    let ours = table(&recording::query_received().messages(false));
    assert!(ours.has("crimson") && ours.has("meadow") && !ours.has("amber") && ours.set_slots() == 2);
    // The table that we would send now is the same.
    let built = RouteTable::of(["crimson", "meadow"].into_iter());
    assert_eq!(built, ours);
}

#[test]
fn hits_name_the_file_in_text_or_in_extensions() {
    let one = crate::FileHashes::from_urn(
        "urn:bitprint:PBOQP6J3YWBC4QDWDBPL4OYDEO55GBAL.IXIVZKQU23P4YG27LX42W2YVERUECB6QY3OY67Y",
    )
    .unwrap();
    // Flags 8000: text and `TT`. Flags 8800: `H`.
    for (recording, count) in [(recording::query_keywords(), 2), (recording::query_many(), 2)] {
        let hits = hits(recording.messages(true));
        assert_eq!(hits.len(), count);
        let named = |hit: &&QueryHit| hit.records.iter().any(|r| r.name == "amber lantern orchard one.bin");
        assert_eq!(hits.iter().filter(named).count(), count);
        for record in hits.iter().flat_map(|hit| &hit.records) {
            assert_eq!(record.hashes() == one, record.size == 3_000_001, "{record:?}");
            assert!(record.hashes().sha1.is_some() && record.hashes().tiger.is_some());
            assert!(record.created().is_some_and(|t| (0x672a_0850..0x672a_0860).contains(&t)));
        }
    }
    let hits = hits(recording::query_many().messages(true));
    assert_eq!(hits.iter().map(|hit| hit.records.len()).collect::<Vec<_>>(), [3, 4]);
    let trailer = hits[1].trailer.as_ref().unwrap();
    assert_eq!((hits[1].address, hits[1].speed), (v4("44.77.2.2:6346"), 16));
    assert_eq!(hits[1].servent, Guid::from_hex("ed653102b96af4020be5294a29788248").unwrap());
    assert_eq!((&trailer.vendor, trailer.can_browse()), (b"GTKG", true));
    assert_eq!(trailer.flag(ServentFlag::Push), Some(false));
    assert_eq!(trailer.flag(ServentFlag::Busy), Some(false));
    assert_eq!(trailer.flag(ServentFlag::HasUploaded), Some(false));
    assert_eq!(trailer.flag(ServentFlag::MeasuredSpeed), None);
    assert!(!hits[1].needs_push());
}

#[test]
fn a_servent_that_does_not_listen_needs_a_push() {
    let recording = recording::push();
    let hits = hits(recording.messages(true));
    let firewalled = hits.iter().find(|hit| hit.needs_push()).unwrap();
    assert_eq!(firewalled.address, v4("127.0.0.0:0"));
    assert_eq!(firewalled.listens_at(), None);
    let trailer = firewalled.trailer.as_ref().unwrap();
    assert_eq!(trailer.push_proxies(), [v4("44.77.7.2:6346"), v4("44.77.1.2:6346")]);
    let pushes = |messages: Vec<Message>| {
        let pushes = messages.into_iter().filter_map(|m| if let Message::Push(push) = m { Some(push) } else { None });
        pushes.collect::<Vec<_>>()
    };
    let sent = pushes(recording.messages(false));
    assert_eq!((sent[0].servent, sent[0].address), (firewalled.servent, v4("44.77.20.47:6346")));
    assert_eq!((sent.len(), sent[0].index), (2, 1));
    assert_eq!(pushes(recording::push_udp().messages(false))[0].servent, firewalled.servent);
    // The holder of the same file that listens needs none.
    assert!(hits.iter().any(|hit| !hit.needs_push()));
}

#[test]
fn a_hit_names_other_sources_of_a_file() {
    let hits = hits(recording::partial_query().messages(true));
    let alternates: Vec<_> = hits.iter().flat_map(|hit| &hit.records).flat_map(Record::alternates).collect();
    assert_eq!(alternates, [v4("44.77.5.2:6346")]);
    let busy = |hit: &QueryHit| hit.trailer.as_ref().and_then(|t| t.flag(ServentFlag::HasUploaded));
    assert_eq!(hits.iter().map(busy).collect::<Vec<_>>(), [Some(true); 3]);
}

#[test]
fn a_query_has_flags_words_hashes_and_extensions() {
    let first = |recording: recording::Recording, theirs| {
        let messages = recording.messages(theirs).into_iter();
        messages.filter_map(|m| if let Message::Query(query) = m { Some(query) } else { None }).next().unwrap()
    };
    let plain = first(recording::query_keywords(), false);
    assert_eq!((plain.flags, plain.text.as_str()), (0x8000, "amber lantern"));
    let urn = first(recording::query_and_urn(), false);
    assert!(urn.area.hashes().sha1.is_some() && urn.area.texts().count() == 1);
    let partial = first(recording::query_many(), false);
    assert!(partial.has(flag::FIREWALLED | flag::GGEP_HASHES) && partial.area.ggep.has("PR"));
    // The ultrapeer put its own address in.
    let received = first(recording::query_received(), true);
    assert!(received.has(flag::OUT_OF_BAND) && received.has_secure_oob());
    let frames = recording::query_received().frames(true, usize::MAX);
    let query = frames.iter().find(|frame| frame.header.kind == kind::QUERY).unwrap();
    assert_eq!(query.header.guid.address(), v4("44.77.1.2:6346"));
    assert_eq!((query.header.ttl, query.header.hops), (4, 1));
    let guid = Guid::of_random([9; 16]).with_address(v4("44.77.1.2:6346"));
    assert_eq!((guid.address(), guid.0[8], guid.0[15]), (v4("44.77.1.2:6346"), 0xff, 0));
}

#[test]
fn hits_by_udp_are_claimed_with_a_token_that_they_repeat() {
    let recording = recording::out_of_band();
    let indications: Vec<_> = vendor_messages(recording.messages(true)).into_iter().collect();
    let indication = VendorMessage::OobIndication { version: 3, hits: 1, is_reachable: true };
    assert_eq!(indications.iter().filter(|m| **m == indication).count(), 3);
    let claims = vendor_messages(recording.messages(false)).into_iter();
    let tokens: Vec<_> =
        claims.filter_map(|m| if let VendorMessage::OobClaim { token, .. } = m { Some(token) } else { None }).collect();
    let of_hits: Vec<_> =
        hits(recording.messages(true)).iter().map(|hit| hit.trailer.as_ref().unwrap().token().cloned()).collect();
    assert_eq!(tokens, of_hits);
    assert_eq!((tokens.len(), tokens[0].as_deref()), (3, Some(&[0xab, 0xd3, 0x9e, 0x7d][..])));
    assert_eq!(tokens[2], None);
}

#[test]
fn a_query_by_udp_needs_the_key_of_the_servent() {
    let recording = recording::guess();
    let pongs = pongs(recording.messages(true));
    let key = pongs[0].query_key().unwrap();
    assert_eq!(key[..], [0x7a, 0x80, 0x04, 0x65]);
    assert_eq!(pongs[0].others(), [v4("44.77.6.2:6346")]);
    // It acknowledges the query, and the wrong key is answered by the right one.
    assert!(pongs[1].query_key().is_none() && pongs[2].query_key() == Some(key));
    let sent = recording.messages(false).into_iter();
    let queries: Vec<_> = sent.filter_map(|m| if let Message::Query(query) = m { Some(query) } else { None }).collect();
    assert_eq!(queries[0].key(), Some(key));
    let ours = Query::new("amber lantern", &crate::FileHashes::default()).with_key(key);
    assert_eq!(ours, queries[0]);
}

#[test]
fn head_pongs_tell_what_a_servent_has() {
    let pongs = |recording: recording::Recording| {
        let messages = vendor_messages(recording.messages(true)).into_iter();
        messages
            .filter_map(|m| if let VendorMessage::HeadPong(pong) = m { Some(pong) } else { None })
            .collect::<Vec<_>>()
    };
    let whole = Holding { is_whole: true, is_firewalled: false, is_downloading: false };
    let pongs_of_whole = pongs(recording::head_ping());
    let (versions, holdings): (Vec<_>, Vec<_>) = pongs_of_whole.iter().map(|p| (p.version, p.holding)).unzip();
    assert_eq!(versions, [1, 1, 1, 1, 2]);
    assert_eq!(holdings, [Some(whole), Some(whole), Some(whole), None, Some(whole)]);
    let (free, gtkg) = (Some(Queue::Free(4)), Some(*b"GTKG"));
    for pong in pongs_of_whole.iter().filter(|pong| pong.holding.is_some()) {
        assert_eq!((pong.queue, pong.vendor, pong.ranges.len(), pong.alternates.len()), (free, gtkg, 0, 0));
    }
    let partial = Holding { is_whole: false, is_downloading: true, ..whole };
    let pongs = pongs(recording::partial_head_ping());
    for (pong, alternates) in pongs.iter().zip([0, 0, 1, 1]) {
        assert_eq!((pong.holding, pong.alternates.len()), (Some(partial), alternates));
    }
    assert_eq!(pongs[3].alternates, [v4("44.77.2.2:6346")]);
    // What we ask is what the servent was asked.
    let asked = vendor_messages(recording::head_ping().messages(false));
    let VendorMessage::HeadPing(first) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(asked[4], VendorMessage::HeadPing(HeadPing::new(first.sha1)));
    assert_eq!(asked[2], VendorMessage::HeadPing(HeadPing::new(first.sha1).of_version_1()));
}

#[test]
fn host_caches_name_ultrapeers_and_our_address() {
    let pongs = pongs(recording::host_cache().messages(true));
    let others: Vec<_> = pongs.iter().map(|pong| pong.others().len()).collect();
    assert_eq!(others, [0, 1, 1, 1, 1, 2]);
    assert_eq!(pongs[4].our_address(), Some(v4("44.77.20.85:6346")));
    assert!(!pongs[5].is_ultrapeer());
    assert_eq!((pongs[5].files, pongs[5].kib, pongs[5].daily_uptime_s()), (3, 4283, Some(0x0102)));
    assert!(pongs.iter().all(|pong| pong.dht_nodes().is_empty()));
}

#[test]
fn a_bye_has_a_code_and_a_reason() {
    let Some(Message::Bye(bye)) = recording::bye().messages(true).pop() else { panic!("the last message is a bye") };
    assert_eq!((bye.code, bye.reason()), (413, "No QRP RESET received before PATCH"));
    assert!(bye.text.contains("Server: gtk-gnutella"));
    // The same happens here.
    let mut receiver = RouteReceiver::default();
    let sent = recording::bye().messages(false);
    let Some(Message::Route(patch)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(receiver.update(patch), Err(Fault::Table));
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let text = include_str!("../fixtures/14f-bye-bad-message.txt");
    let recording = recording::Recording::parse("14f-bye-bad-message", text);
    let (_, rest) = recording::without_heads(&recording.ours);
    let mut reader = Reader::new(false);
    reader.feed(rest);
    let fault = Fault::LongMessage { kind: kind::VENDOR, bytes: 70_008, most: MAX_OTHER_BYTES };
    assert_eq!(reader.next_frame(), Err(fault));
}
