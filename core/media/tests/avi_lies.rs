//! AVI files of other writers, and malicious ones.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm_media::{Accuracy, Indexer, Timeline};
use std::sync::Arc;
use std::time::Duration;

fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [id, &(content.len() as u32).to_le_bytes()[..], content, &padding].concat()
}

fn list(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    chunk(b"LIST", &[kind, content].concat())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Returns headers of 25 pictures per second, with a super index if parts are given.
fn headers(frames: u32, parts: &[(u64, u32)]) -> Vec<u8> {
    let header = [&b"vidsXVID"[..], &words(&[0, 0, 0, 1, 25, 0, frames, 0, 0, 0, 0])].concat();
    let format = [&words(&[40, 64, 48, 1]), &b"XVID"[..], &[0; 20]].concat();
    let entries = parts.iter().flat_map(|(at, size)| [&at.to_le_bytes()[..], &words(&[*size, 10])].concat());
    let index = [&[4, 0, 0, 0][..], &words(&[parts.len() as u32]), b"00dc", &[0; 12]].concat();
    let index = chunk(b"indx", &index.into_iter().chain(entries).collect::<Vec<u8>>());
    let stream = [chunk(b"strh", &header), chunk(b"strf", &format), index].concat();
    list(b"hdrl", &list(b"strl", &stream))
}

/// Returns frames of a hundred bytes each.
fn frames(count: usize) -> Vec<u8> {
    chunk(b"00dc", &[0x55; 100]).repeat(count)
}

fn riff(content: &[u8]) -> Vec<u8> {
    chunk(b"RIFF", &[&b"AVI "[..], content].concat())
}

/// Returns an old-style index with a keyframe every ten frames and offsets from `base` on.
fn old_index(count: u32, base: u32) -> Vec<u8> {
    let entry =
        |n: u32| [b"00dc", &words(&[if n.is_multiple_of(10) { 0x10 } else { 0 }, base + n * 108, 100])[..]].concat();
    chunk(b"idx1", &(0..count).flat_map(entry).collect::<Vec<u8>>())
}

fn index(file: &[u8]) -> Arc<Timeline> {
    let mut indexer = Indexer::new("film.avi", file.len() as u64);
    let mut questions = 0;
    while let Some(range) = indexer.needed().into_iter().next() {
        indexer.feed(range.start, &file[range.start as usize..range.end as usize]);
        questions += 1;
        assert!(questions < 100 && indexer.held_bytes() <= 2 << 20);
    }
    Arc::clone(indexer.timeline().unwrap())
}

/// Asserts that there is a keyframe every 0.4 s, at the right positions.
#[track_caller]
fn assert_right(file: &[u8], count: usize) {
    let timeline = index(file);
    assert_eq!(timeline.duration(), Duration::from_millis(count as u64 * 40), "{:?}", timeline.accuracy());
    assert_eq!(timeline.keyframes().len(), count / 10, "{:?}", timeline.accuracy());
    for (n, keyframe) in timeline.keyframes().iter().enumerate() {
        assert_eq!(keyframe.time, Duration::from_millis(n as u64 * 400));
        let at = keyframe.offset as usize;
        assert_eq!(file[at - 8..at - 4], *b"00dc", "keyframe {n}");
    }
}

#[track_caller]
fn assert_estimate(file: &[u8], reason: &str) {
    let timeline = index(file);
    let Accuracy::Estimate { why } = timeline.accuracy() else { panic!("{:?}", timeline.accuracy()) };
    assert!(why.contains(reason), "{why}");
}

fn with_old_index(count: u32, index: &[u8]) -> Vec<u8> {
    riff(&[&headers(count, &[]), &list(b"movi", &frames(count as usize)), index].concat())
}

#[test]
fn offsets_that_count_from_the_list_are_found() {
    assert_right(&with_old_index(100, &old_index(100, 4)), 100);
}

#[test]
fn offsets_that_count_from_the_start_of_the_file_are_found() {
    let first = 12 + headers(100, &[]).len() as u32 + 12;
    assert_right(&with_old_index(100, &old_index(100, first)), 100);
}

#[test]
fn an_index_in_parts_over_two_riffs_is_read_whole() {
    let part = |base: u64, count: u32| {
        let entry = |n: u32| words(&[n * 108 + 8, if n.is_multiple_of(10) { 100 } else { 100 | 1 << 31 }]);
        let head = [&[2, 0, 0, 1][..], &words(&[count]), b"00dc", &base.to_le_bytes(), &[0; 4]].concat();
        chunk(b"ix00", &head.into_iter().chain((0..count).flat_map(entry)).collect::<Vec<u8>>())
    };
    let movi = 12 + headers(100, &[(0, 0), (0, 0)]).len() as u64 + 12;
    let first_part = movi + 60 * 108;
    let second = first_part + part(0, 60).len() as u64 + 24;
    let second_part = second + 40 * 108;
    let size = |count| part(0, count).len() as u32;
    let headers = headers(100, &[(first_part, size(60)), (second_part, size(40))]);
    let first = riff(&[headers, list(b"movi", &[frames(60), part(movi, 60)].concat())].concat());
    let rest = list(b"movi", &[frames(40), part(second, 40)].concat());
    let rest = chunk(b"RIFF", &[&b"AVIX"[..], &rest].concat());
    assert_right(&[first, rest].concat(), 100);
}

#[test]
fn an_index_that_points_nowhere_or_is_not_there_gives_an_estimate_of_the_true_length() {
    assert_estimate(&with_old_index(100, &old_index(100, 5)), "points nowhere");
    assert_estimate(&with_old_index(100, &[]), "has no index");
    assert_estimate(&with_old_index(100, &chunk(b"idx1", &[])), "empty index");
    assert_eq!(index(&with_old_index(100, &[])).duration(), Duration::from_secs(4));
}

#[test]
fn an_index_past_the_end_is_left() {
    let mut file = with_old_index(100, &old_index(100, 4));
    file.truncate(file.len() / 2);
    assert_estimate(&file, "has no index");
    assert_estimate(&riff(&[headers(100, &[(1 << 60, 1000)]), list(b"movi", &frames(100))].concat()), "no keyframes");
    assert_estimate(&riff(&[headers(100, &[(40, u32::MAX)]), list(b"movi", &frames(100))].concat()), "no keyframes");
}

#[test]
fn headers_with_sizes_and_rates_that_lie_cost_little() {
    for byte in [0, 0x7f, 0xff] {
        let file = with_old_index(100, &old_index(100, 4));
        for at in 4..12 + headers(100, &[]).len() {
            let mut file = file.clone();
            file[at..at + 4].fill(byte);
            index(&file);
        }
    }
}
