//! Sessions that real encoders sent, and messages in all forms.

use super::amf0::{Value, decode, encode};
use super::chunk::{self, Message, Reader};
use super::{Event, Fault, MAX_MESSAGE_BYTES, Session};
use crate::ingest::Refusal;
use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

/// What FFmpeg 5.1, and GStreamer 1.22 by `rtmpsink` (librtmp) and `rtmp2sink`, sent after the
/// handshake: a short stream with the key `k3y` for the application `live`.
const FFMPEG: &[u8] = include_bytes!("../../../../fuzz/seeds/rtmp/ffmpeg");
const LIBRTMP: &[u8] = include_bytes!("../../../../fuzz/seeds/rtmp/librtmp");
const GSTREAMER: &[u8] = include_bytes!("../../../../fuzz/seeds/rtmp/gstreamer");

const PACKET: usize = 1536;

/// Returns a session after its handshake.
fn connected() -> Session {
    let mut session = Session::new();
    session.feed(&[3]);
    session.feed(&[5; PACKET]);
    assert_eq!(session.next_event(), Ok(None));
    let answer = session.take_output();
    assert_eq!((answer[0], answer.len()), (3, 1 + 2 * PACKET));
    assert_eq!((&answer[5..9], &answer[1 + PACKET..]), (&[0; 4][..], &[5; PACKET][..]));
    session.feed(&[0; PACKET]);
    assert_eq!(session.next_event(), Ok(None));
    session
}

/// Returns what a session sent: the types of messages, and the values of commands.
fn sent(session: &mut Session) -> Vec<(u8, Vec<Value>)> {
    let (mut reader, mut output) = (Reader::new(), BytesMut::from(&session.take_output()[..]));
    let mut found = Vec::new();
    while let Some(message) = reader.next(&mut output).unwrap() {
        let values = if message.kind == 20 { decode(&message.payload).unwrap() } else { Vec::new() };
        found.push((message.kind, values));
    }
    assert!(output.is_empty());
    found
}

/// Returns the names of commands and status codes that a session sent.
fn names(session: &mut Session) -> Vec<String> {
    let code = |values: &[Value]| values.last().and_then(|v| v.get("code")).and_then(Value::text).map(str::to_owned);
    let commands = sent(session).into_iter().filter(|(kind, _)| *kind == 20);
    commands.map(|(_, values)| code(&values).unwrap_or_else(|| values[0].text().unwrap().to_owned())).collect()
}

fn command(name: &str, transaction: f64, arguments: &[Value]) -> Vec<u8> {
    let mut values = vec![Value::String(name.into()), Value::Number(transaction)];
    values.extend_from_slice(arguments);
    message(20, &encode(&values))
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    chunk::write(&mut out, 3, kind, 0, payload);
    out.to_vec()
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

/// Feeds bytes in these cuts and accepts streams. Returns the file and the other events.
fn stream(session: &mut Session, bytes: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Vec<Event>), Fault> {
    let (mut file, mut events, mut rest) = (Vec::new(), Vec::new(), bytes);
    for cut in cuts.iter().cycle() {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        session.feed(now);
        while let Some(event) = session.next_event()? {
            match event {
                Event::Data(bytes) => file.extend_from_slice(&bytes),
                event => events.push(event),
            }
            session.accept();
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    Ok((file, events))
}

fn whole(session: &mut Session, bytes: &[u8]) -> Result<(Vec<u8>, Vec<Event>), Fault> {
    stream(session, bytes, &[bytes.len().max(1)])
}

/// Returns a session that is taking a stream.
fn publishing() -> Session {
    let mut session = connected();
    let start = [
        command("connect", 1.0, &[Value::Object(vec![("app".into(), text("live"))])]),
        command("publish", 2.0, &[Value::Null, text("k3y"), text("live")]),
    ];
    let (_, events) = whole(&mut session, &start.concat()).unwrap();
    assert_eq!(events.len(), 1);
    session.take_output();
    session
}

/// Returns the tags of a file: type, time and payload.
fn tags(file: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let (mut rest, mut found) = (file.strip_prefix(b"FLV\x01").map_or(file, |rest| &rest[9..]), Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        found.push((rest[0], time, rest[11..11 + length].to_vec()));
        assert_eq!(rest[11 + length..15 + length], (length as u32 + 11).to_be_bytes());
        rest = &rest[15 + length..];
    }
    found
}

#[test]
fn the_sessions_of_real_encoders_become_files() {
    for (bytes, encoder, flags, kinds) in [
        (FFMPEG, Some("FMLE/3.0 (compatible; Lavf59.27.100)"), 5, &[18, 9, 8, 8, 9, 8][..]),
        (LIBRTMP, None, 1, &[18, 9, 9][..]),
        (GSTREAMER, Some("LNX 10,0,32,18"), 1, &[18, 9, 9][..]),
    ] {
        let mut session = connected();
        let (file, events) = whole(&mut session, bytes).unwrap();
        let [Event::Publish(publish), rest @ ..] = &events[..] else { panic!("{events:?}") };
        assert_eq!((&*publish.app, &*publish.key, publish.encoder.as_deref()), ("live", "k3y", encoder));
        assert!(!format!("{publish:?}").contains("k3y"));
        assert!(matches!(rest, [] | [Event::End]), "{rest:?}");
        assert_eq!((&file[..4], file[4]), (&b"FLV\x01"[..], flags));
        let found: Vec<u8> = tags(&file).iter().map(|(kind, ..)| *kind).collect();
        assert!(found.starts_with(kinds), "{found:?}");
        assert!(tags(&file)[0].2.starts_with(b"\x02\x00\x0aonMetaData"));
        let answers = names(&mut session);
        let expected = ["NetConnection.Connect.Success", "_result", "_result", "NetStream.Publish.Start", "_result"];
        assert_eq!(answers[..5], expected);
        assert_eq!(answers[5], "NetStream.Publish.Start");
    }
}

proptest! {
    #[test]
    fn cuts_do_not_matter(cuts in proptest::collection::vec(1usize..400, 1..40)) {
        let expected = whole(&mut connected(), FFMPEG);
        prop_assert_eq!(stream(&mut connected(), FFMPEG, &cuts), expected);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(
        at in any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = whole(&mut connected(), &bytes);
        let _ = whole(&mut Session::new(), &bytes);
        let mut changed = LIBRTMP.to_vec();
        let at = at.index(changed.len());
        changed.splice(at..(at + bytes.len() / 20).min(LIBRTMP.len()), bytes);
        let _ = whole(&mut connected(), &changed);
    }

    #[test]
    fn values_survive_their_bytes(number in any::<f64>(), name in ".{0,20}", count in 0usize..5) {
        let inner = Value::Object(vec![(format!("x{name}"), Value::Boolean(true)), ("y".into(), Value::Null)]);
        let values = vec![Value::Date(1.5), text(&name.repeat(4000)), Value::Array(vec![inner; count]), Value::Undefined];
        prop_assert_eq!(decode(&encode(&values)), Ok(values));
        let bytes = encode(&[Value::Number(number)]);
        prop_assert_eq!(encode(&decode(&bytes).unwrap()), bytes);
    }
}

#[test]
fn other_protocols_and_encryption_are_refused() {
    for (bytes, words) in [(&b"GET / HTTP/1.1\r\n"[..], "not RTMP"), (&[6][..], "encryption")] {
        let mut session = Session::new();
        session.feed(bytes);
        let fault = session.next_event().unwrap_err();
        assert!(fault.to_string().contains(words) && session.is_closed(), "{fault}");
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, Fault> {
    let (mut reader, mut input, mut found) = (Reader::new(), BytesMut::from(bytes), Vec::new());
    while let Some(message) = reader.next(&mut input)? {
        found.push(message);
    }
    Ok(found)
}

#[test]
fn chunks_of_several_streams_may_lie_between_each_other() {
    let mut bytes = vec![4, 0, 0, 9, 0, 0, 200, 8, 1, 0, 0, 0];
    bytes.extend([1; 128]);
    // A chunk stream whose number takes two bytes, and one whose number takes three.
    bytes.extend([0, 10, 0, 0, 8, 0, 0, 200, 9, 1, 0, 0, 0]);
    bytes.extend([2; 128]);
    bytes.extend([1, 10, 2, 0, 0, 7, 0, 0, 0, 22, 1, 0, 0, 0]);
    bytes.push(0xc4);
    bytes.extend([1; 72]);
    bytes.extend([0xc0, 10]);
    bytes.extend([2; 72]);
    let found: Vec<_> = read(&bytes).unwrap().into_iter().map(|m| (m.kind, m.timestamp, m.payload.to_vec())).collect();
    assert_eq!(found, [(22, 7, vec![]), (8, 9, vec![1; 200]), (9, 8, vec![2; 200])]);
}

#[test]
fn times_are_whole_relative_repeated_or_long() {
    let bytes = [
        // The whole time, then times since the message before.
        &[4, 0, 0, 100, 0, 0, 1, 8, 1, 0, 0, 0, b'a'][..],
        &[0x44, 0, 0, 20, 0, 0, 2, 9, b'b', b'b'],
        &[0x84, 0, 0, 5, b'c', b'c'],
        &[0xc4, b'd', b'd'],
        // A long time, which each chunk of the message repeats.
        &[4, 255, 255, 255, 0, 0, 130, 8, 1, 0, 0, 0, 255, 255, 255, 250],
        &[b'e'; 128],
        &[0xc4, 255, 255, 255, 250, b'e', b'e'],
        // A long time since the message before, which wraps around.
        &[0x44, 255, 255, 255, 0, 0, 1, 8, 1, 0, 0, 0, b'f'],
        &[0xc4, 1, 0, 0, 0, b'g'],
        // After a whole time, the next message is later by that time.
        &[5, 0, 0, 40, 0, 0, 1, 8, 1, 0, 0, 0, b'h'],
        &[0xc5, b'i'],
    ];
    let found: Vec<_> = read(&bytes.concat()).unwrap().into_iter().map(|m| (m.payload[0], m.timestamp)).collect();
    let late = 0xffff_fffa_u32.wrapping_add(0x100_0000);
    let expected = [
        (b'a', 100),
        (b'b', 120),
        (b'c', 125),
        (b'd', 130),
        (b'e', 0xffff_fffa),
        (b'f', late),
        (b'g', late.wrapping_add(0x100_0000)),
        (b'h', 40),
        (b'i', 80),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_message_may_be_given_up() {
    let begun = [&[4, 0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0][..], &[1; 128]].concat();
    let next = [4, 0, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, 7];
    // By a message that says so, or by the next one in its place.
    let mut session = publishing();
    let media = [&begun, &message(2, &[0, 0, 0, 4])[..], &[0xc4], &[9; 128], &[0xc4], &[9; 72]].concat();
    let (file, _) = whole(&mut session, &media).unwrap();
    assert_eq!(tags(&file), [(8, 0, vec![9; 200])]);
    let found = read(&[&begun[..], &next].concat()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(&found[0].payload[..], [7]);
}

#[test]
fn the_length_of_chunks_is_the_clients_choice_within_bounds() {
    for length in [1_u32, 4096, 65_536, 0x7fff_ffff] {
        let mut session = publishing();
        let mut media = message(1, &length.to_be_bytes());
        media.extend([4, 0, 0, 0, 0, 7, 208, 9, 1, 0, 0, 0]);
        for (n, piece) in [3; 2000].chunks(length as usize).enumerate() {
            media.extend((n > 0).then_some(0xc4));
            media.extend(piece);
        }
        assert_eq!(tags(&whole(&mut session, &media).unwrap().0), [(9, 0, vec![3; 2000])], "{length}");
    }
    for wrong in [0, 0x8000_0000_u32] {
        let mut session = publishing();
        assert!(whole(&mut session, &message(1, &wrong.to_be_bytes())).is_err() && session.is_closed());
    }
}

#[test]
fn memory_is_bounded() {
    let head = |id: u8, length: u32| {
        let mut head = vec![0, id, 0, 0, 0];
        head.extend(&length.to_be_bytes()[1..]);
        head.extend([9, 1, 0, 0, 0]);
        head
    };
    let longest = MAX_MESSAGE_BYTES as u32;
    let fault = |bytes: &[u8]| whole(&mut publishing(), bytes).unwrap_err().to_string();
    assert!(fault(&head(0, longest + 1)).contains("8 MiB"));
    assert!(fault(&[0x44, 0, 0, 0, 0, 0, 1, 9]).contains("header before it"));
    let many: Vec<u8> = (0..=80).flat_map(|id| head(id, 0)).collect();
    assert!(fault(&many).contains("too many chunk streams"));
    // Messages that never end.
    let mut media = message(1, &(longest / 2).to_be_bytes());
    for id in 0..5 {
        media.extend(head(id, longest));
        media.resize(media.len() + MAX_MESSAGE_BYTES / 2, 0);
    }
    assert!(fault(&media).contains("too many long messages"));
}

#[test]
fn values_are_bounded_in_depth_and_number() {
    let deep = [3, 0, 1, b'a'].repeat(100_000);
    assert!(decode(&deep).unwrap_err().to_string().contains("too deep"));
    let many = [10, 0xff, 0xff, 0xff, 0xff].into_iter().chain([5; 10_000]).collect::<Vec<u8>>();
    assert!(decode(&many).unwrap_err().to_string().contains("too many"));
    for cut in [&[0, 0][..], &[2, 0, 5, b'a'], &[12, 255, 255, 255, 255, 1], &[3, 0, 1, b'a', 5], &[8, 0, 0]] {
        assert_eq!(decode(cut), Err(Fault("a value of AMF is cut off")), "{cut:?}");
    }
    assert!(decode(&[17, 1]).is_err());
    // A typed object, an associative array with a wrong number, a date and XML.
    let typed = [16, 0, 1, b'T', 0, 1, b'a', 1, 1, 0, 0, 9, 8, 0, 0, 0, 7, 0, 0, 9, 13, 15, 0, 0, 0, 1, b'x'];
    let object = Value::Object(vec![("a".into(), Value::Boolean(true))]);
    assert_eq!(decode(&typed).unwrap(), [object, Value::Object(vec![]), Value::Undefined, text("x")]);
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let mut session = publishing();
    let (window, ping) = (message(5, &1000_u32.to_be_bytes()), message(4, &[0, 6, 1, 2, 3, 4]));
    whole(&mut session, &[window, ping].concat()).unwrap();
    let output = session.take_output();
    assert!(output.ends_with(&[0, 7, 1, 2, 3, 4]), "{output:?}");
    whole(&mut session, &message(8, &[1; 900])).unwrap();
    let kinds: Vec<u8> = sent(&mut session).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [3]);
    whole(&mut session, &message(8, &[1; 90])).unwrap();
    assert!(sent(&mut session).is_empty());
}

#[test]
fn a_refused_stream_ends_with_its_reason() {
    for (refusal, code) in [
        (Refusal::unauthorized(), "NetStream.Publish.Denied"),
        (Refusal::busy(), "NetStream.Publish.BadName"),
        (Refusal::unsupported("no"), "NetStream.Publish.Rejected"),
    ] {
        let mut session = connected();
        let start = [command("connect", 1.0, &[Value::Null]), command("publish", 2.0, &[Value::Null, text("a")])];
        session.feed(&start.concat());
        assert!(matches!(session.next_event(), Ok(Some(Event::Publish(_)))));
        session.feed(&message(8, b"abc"));
        assert_eq!(session.next_event(), Ok(None), "nothing is read before the decision");
        session.refuse(&refusal);
        let (_, values) = sent(&mut session).pop().unwrap();
        let status = values.last().unwrap();
        assert_eq!((values[0].text(), status.get("code")), (Some("onStatus"), Some(&text(code))));
        assert_eq!(status.get("description"), Some(&text(&refusal.sentence)));
        assert!(session.is_closed() && session.next_event() == Ok(None));
    }
}

#[test]
fn commands_out_of_place_are_answered() {
    let mut session = publishing();
    let commands = [
        message(8, b"abc"),
        command("publish", 4.0, &[Value::Null, text("b")]),
        command("play", 5.0, &[Value::Null, text("b")]),
        command("getStreamLength", 6.0, &[Value::Null]),
        command("_checkbw", 7.0, &[Value::Null]),
        command("onStatus", 0.0, &[Value::Null]),
        command("unknown", 0.0, &[]),
        // AMF 3's form of a command, which holds AMF 0.
        message(
            17,
            &[&[0][..], &encode(&[text("FCUnpublish"), Value::Number(8.0), Value::Null, text("k3y")])].concat(),
        ),
        command("deleteStream", 9.0, &[Value::Null, Value::Number(1.0)]),
    ];
    let (_, events) = whole(&mut session, &commands.concat()).unwrap();
    assert_eq!(events, [Event::End]);
    let expected = [
        "NetStream.Publish.BadName",
        "NetStream.Play.Failed",
        "NetConnection.Call.Failed",
        "_result",
        "_result",
        "NetStream.Unpublish.Success",
        "NetStream.Unpublish.Success",
    ];
    assert_eq!(names(&mut session), expected);
    // The connection may be used for another stream, whose file has a header again.
    let again = [command("publish", 2.0, &[Value::Null, text("c")]), message(8, b"abc")];
    let (file, events) = whole(&mut session, &again.concat()).unwrap();
    assert!(matches!(&events[..], [Event::Publish(publish)] if publish.key == "c"));
    assert!(file.starts_with(b"FLV\x01\x05"));
    assert!(whole(&mut connected(), &command("publish", 1.0, &[Value::Null, text("a")])).is_err());
    assert!(whole(&mut connected(), &message(20, &[5])).is_err());
    assert!(whole(&mut connected(), &message(20, &vec![0; 70_000])).is_err());
}

#[test]
fn what_is_sent_before_the_decision_is_kept() {
    let mut session = connected();
    let late = [&[4, 255, 255, 255, 0, 0, 1, 8, 1, 0, 0, 0, 1, 2, 3, 4][..], b"a"].concat();
    let start = [command("connect", 1.0, &[Value::Null]), command("publish", 2.0, &[Value::Null, text("a")]), late];
    session.feed(&start.concat());
    assert!(matches!(session.next_event(), Ok(Some(Event::Publish(_)))));
    assert_eq!(session.next_event(), Ok(None));
    session.accept();
    let Ok(Some(Event::Data(file))) = session.next_event() else { panic!("nothing was kept") };
    assert_eq!(tags(&file), [(8, 0x0102_0304, b"a".to_vec())]);
}

#[test]
fn a_stream_that_continues_another_begins_at_its_time() {
    let at = |time: u8, payload: &[u8]| [&[4, 0, 0, time, 0, 0, 1, 8, 1, 0, 0, 0][..], payload].concat();
    for (start_ms, times) in [(0, [7, 40]), (5000, [5000, 5033]), (u32::MAX, [u32::MAX, 32])] {
        let mut session = connected();
        let start = [command("connect", 1.0, &[Value::Null]), command("publish", 2.0, &[Value::Null, text("a")])];
        session.feed(&start.concat());
        assert!(matches!(session.next_event(), Ok(Some(Event::Publish(_)))));
        session.accept_at(start_ms);
        let (file, _) = whole(&mut session, &[at(7, b"a"), at(40, b"b")].concat()).unwrap();
        let found: Vec<u32> = tags(&file).into_iter().map(|(_, time, _)| time).collect();
        assert_eq!(found, times, "{start_ms}");
    }
}

#[test]
fn enhanced_codecs_pass_unchanged() {
    let mut session = connected();
    let list = Value::Array(vec![text("av01"), text("hvc1")]);
    let connect = command("connect", 1.0, &[Value::Object(vec![("fourCcList".into(), list)])]);
    whole(&mut session, &connect).unwrap();
    let (_, values) = sent(&mut session).pop().unwrap();
    assert_eq!(values.last().unwrap().get("fourCcList"), Some(&Value::Array(vec![text("*")])));
    let mut session = publishing();
    let video = [&[0x90][..], b"hvc1", &[1, 2, 3]].concat();
    let (file, _) = whole(&mut session, &message(9, &video)).unwrap();
    assert_eq!(tags(&file), [(9, 0, video)]);
}

#[test]
fn metadata_loses_the_words_for_servers_and_names_the_tracks() {
    let metadata = |name: &str| {
        let object = Value::Object(vec![(name.into(), Value::Number(7.0))]);
        message(18, &encode(&[text("@setDataFrame"), text("onMetaData"), object]))
    };
    for (name, flags) in [("videocodecid", 1), ("audiocodecid", 4), ("duration", 5)] {
        let (file, _) = whole(&mut publishing(), &metadata(name)).unwrap();
        assert_eq!(file[4], flags, "{name}");
        assert!(tags(&file)[0].2.starts_with(b"\x02\x00\x0aonMetaData"));
    }
    let nothing = [message(18, &encode(&[text("@clearDataFrame")])), message(18, &[5]), message(9, &[])];
    assert!(whole(&mut publishing(), &nothing.concat()).unwrap().0.is_empty());
    // AMF 3's form.
    let flex = message(15, &[&[0][..], &encode(&[text("onCuePoint"), Value::Null])].concat());
    assert_eq!(tags(&whole(&mut publishing(), &flex).unwrap().0)[0].0, 18);
}

#[test]
fn an_aggregate_message_is_taken_apart() {
    let mut payload = BytesMut::new();
    for (kind, time, body) in [(8, 500, &b"aa"[..]), (9, 520, b"v"), (4, 530, b"x"), (8, 540, b"bb")] {
        payload.put_u8(kind);
        payload.put_uint(body.len() as u64, 3);
        payload.put_uint(time, 3);
        payload.put_uint(0, 4);
        payload.extend_from_slice(body);
        payload.put_u32(body.len() as u32 + 11);
    }
    payload.extend_from_slice(&[9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
    let mut bytes = vec![4, 0, 3, 232, 0, 0, payload.len() as u8, 22, 1, 0, 0, 0];
    bytes.extend_from_slice(&payload);
    let (file, _) = whole(&mut publishing(), &bytes).unwrap();
    assert_eq!(tags(&file), [(8, 1000, b"aa".to_vec()), (9, 1020, b"v".to_vec()), (8, 1040, b"bb".to_vec())]);
}
