use super::super::cutter::{Cut, Cutter, Input, Output};
use super::*;
use crate::Time;
use proptest::prelude::*;
use std::time::Duration;

fn cut() -> Cut {
    let shape = Shape::new(4, 1, CodeId::Xor).unwrap();
    Cut { shape, group: Duration::from_millis(100), packet_bytes: 10 }
}

fn at(millis: u64) -> Time {
    Time(millis * 1000)
}

fn bytes(text: &'static str, restart: bool) -> Input {
    Input::Bytes { bytes: Bytes::from_static(text.as_bytes()), restart }
}

/// The groups in short: number, milliseconds, bytes, `R` for restart and `E` for the end.
fn groups(cutter: &mut Cutter) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(Output { number, begun, bytes, restart, end, .. }) = cutter.poll() {
        let marks = format!("{}{}", if restart { " R" } else { "" }, if end { " E" } else { "" });
        found.push(format!("{number} {} {}{marks}", begun.0 / 1000, String::from_utf8_lossy(&bytes)));
    }
    found
}

#[test]
fn a_group_ends_when_its_time_is_over() {
    let mut cutter = Cutter::new(cut(), 5);
    cutter.handle(at(10), bytes("one", true));
    assert_eq!(cutter.next_timeout(), at(110));
    cutter.handle(at(60), bytes("two", false));
    assert!(groups(&mut cutter).is_empty());
    cutter.handle(at(110), Input::Timeout);
    assert_eq!(groups(&mut cutter), ["5 10 onetwo R"]);
    assert_eq!(cutter.next_timeout(), Time::NEVER);
    // A driver that is late loses nothing and mixes nothing.
    cutter.handle(at(200), bytes("three", false));
    cutter.handle(at(400), bytes("four", false));
    assert_eq!(groups(&mut cutter), ["6 200 three"]);
}

#[test]
fn a_group_ends_before_bytes_with_which_a_player_can_begin_and_with_the_stream() {
    let mut cutter = Cutter::new(cut(), 0);
    cutter.handle(at(0), bytes("end of something", false));
    cutter.handle(at(1), bytes("key", true));
    cutter.handle(at(2), bytes("frame", false));
    cutter.handle(at(3), bytes("", true));
    cutter.handle(at(4), Input::End);
    cutter.handle(at(5), bytes("late", false));
    cutter.handle(at(6), Input::End);
    assert_eq!(groups(&mut cutter), ["0 0 end of something", "1 1 keyframe R E"]);
    let mut silent = Cutter::new(cut(), 0);
    silent.handle(at(7), Input::End);
    assert_eq!(groups(&mut silent), ["0 7  E"]);
}

#[test]
fn a_full_group_ends_and_a_new_cut_applies_from_the_next_one() {
    let mut cutter = Cutter::new(cut(), 0);
    cutter.handle(at(0), bytes("0123456789012345678901234567890123456789ab", true));
    assert_eq!(groups(&mut cutter), ["0 0 0123456789012345678901234567890123456789 R"]);
    cutter.handle(at(1), Input::Cut(Cut { packet_bytes: 2, ..cut() }));
    cutter.handle(at(2), bytes("012345678", false));
    assert_eq!(groups(&mut cutter), ["1 0 ab", "2 2 01234567"]);
}

#[test]
fn the_cut_follows_the_rate() {
    for (bytes_per_s, data, millis) in
        [(0, 4, 250), (22_477, 4, 250), (50_000, 4, 250), (125_000, 8, 250), (375_000, 8, 87), (2_500_000, 8, 50)]
    {
        let cut = Cut::of_rate(bytes_per_s);
        assert_eq!((cut.shape.data(), cut.group.as_millis()), (data, millis), "{bytes_per_s} bytes/s");
        assert_eq!(cut.shape.parity(), 1);
    }
}

proptest! {
    #[test]
    fn every_byte_is_in_one_group_and_no_group_is_too_long(
        inputs in prop::collection::vec((0usize..150, any::<bool>(), 0u64..80), 1..40),
        packet_bytes in 0usize..20,
    ) {
        let cut = Cut { packet_bytes, ..cut() };
        let (mut cutter, mut now, mut stream, mut restarts) = (Cutter::new(cut, 0), 0, Vec::new(), Vec::new());
        for (n, (length, restart, pause)) in inputs.into_iter().enumerate() {
            now += pause;
            while cutter.next_timeout() <= at(now) {
                cutter.handle(cutter.next_timeout(), Input::Timeout);
            }
            if restart && length > 0 {
                restarts.push(stream.len());
            }
            let bytes = noise(length, n as u64);
            stream.extend_from_slice(&bytes);
            cutter.handle(at(now), Input::Bytes { bytes, restart });
        }
        cutter.handle(at(now), Input::End);
        let (mut found, mut found_restarts, mut next) = (Vec::new(), Vec::new(), 0);
        while let Some(group) = cutter.poll() {
            prop_assert_eq!(group.number, next);
            next += 1;
            if group.restart {
                found_restarts.push(found.len());
            }
            found.extend_from_slice(&group.bytes);
            let shape = group.cut.shape;
            prop_assert!(shape.shard_bytes(group.bytes.len()) <= packet_bytes.max(2));
        }
        prop_assert_eq!((found, found_restarts), (stream, restarts));
    }
}
