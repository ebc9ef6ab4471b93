//! Malicious MP3, FLAC and Ogg files: they give a seek point or an estimate with a reason, in
//! bounded time and memory.
#![allow(clippy::unwrap_used)]

#[allow(unused_macros)]
mod common;

use common::mutate;
use playswarm_media::{Accuracy, Container, Indexer, Locate, SeekPoint, Timeline};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An eighth of the hundred thousand mutations that all containers share.
const MUTATIONS: usize = 12_500;

#[test]
fn mutated_mp3_files_neither_panic_nor_hang_nor_take_memory() {
    // Each takes ten times as long as one of the others: frames are sought in all of the file.
    mutate::run("media_mp3", Container::Mp3, MUTATIONS / 10);
}

#[test]
fn mutated_flac_files_neither_panic_nor_hang_nor_take_memory() {
    mutate::run("media_flac", Container::Flac, MUTATIONS);
}

#[test]
fn mutated_ogg_files_neither_panic_nor_hang_nor_take_memory() {
    mutate::run("media_ogg", Container::Ogg, MUTATIONS);
}

fn seed(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name)).unwrap()
}

/// The cost of indexing a file: bytes fed and the most held.
#[derive(Debug, Default)]
struct Cost {
    fed: u64,
    held: usize,
}

impl Cost {
    fn serve(&mut self, file: &[u8], needed: &[Range<u64>], mut feed: impl FnMut(u64, &[u8]) -> usize) {
        for range in needed {
            self.fed += range.end - range.start;
            self.held = self.held.max(feed(range.start, &file[range.start as usize..range.end as usize]));
        }
    }
}

fn index(name: &str, file: &[u8]) -> (Arc<Timeline>, Cost) {
    let mut indexer = Indexer::new(name, file.len() as u64);
    let mut cost = Cost::default();
    while indexer.timeline().is_none() {
        let needed = indexer.needed();
        cost.serve(file, &needed, |offset, bytes| {
            indexer.feed(offset, bytes);
            indexer.held_bytes()
        });
    }
    (indexer.timeline().unwrap().clone(), cost)
}

fn land(timeline: &Arc<Timeline>, file: &[u8], time: Duration) -> (SeekPoint, Cost) {
    let mut locate = Locate::new(timeline, time);
    let mut cost = Cost::default();
    while locate.seek_point().is_none() {
        let needed = locate.needed();
        cost.serve(file, &needed, |offset, bytes| {
            locate.feed(offset, bytes);
            locate.held_bytes()
        });
    }
    (locate.seek_point().unwrap(), cost)
}

/// Seeks to ten times within the bounds, and returns the offsets.
fn lands(timeline: &Arc<Timeline>, file: &[u8]) -> Vec<u64> {
    let landed = (0..10).map(|n| {
        let (seek_point, cost) = land(timeline, file, timeline.duration() * n / 9);
        assert!(seek_point.offset <= file.len() as u64 && seek_point.from <= seek_point.offset, "{seek_point:?}");
        assert!(cost.held <= 2 << 20 && cost.fed <= 16 << 20, "{cost:?}");
        seek_point.offset
    });
    landed.collect()
}

fn why(timeline: &Timeline) -> String {
    match timeline.accuracy() {
        Accuracy::Estimate { why } => why.clone(),
        other => panic!("{other:?}"),
    }
}

/// Returns meaningless bytes, the same each time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(next).collect()
}

#[test]
fn an_id3_tag_that_claims_more_than_the_file_gives_an_estimate() {
    let mut file = b"ID3\x04\0\0\x7f\x7f\x7f\x7f".to_vec();
    file.extend(noise(100_000));
    assert!(why(&index("a.mp3", &file).0).contains("a tag as large as the whole file"));
}

#[test]
fn sync_words_inside_garbage_are_no_mp3() {
    let mut file = noise(3 << 20);
    for place in (0..file.len() - 4).step_by(97) {
        file[place..place + 4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    }
    let (timeline, cost) = index("a.mp3", &file);
    assert!(why(&timeline).contains("no MPEG audio within"), "{:?}", timeline.accuracy());
    assert!(cost.held <= 1 << 20 && cost.fed <= 1 << 20, "{cost:?}");
    lands(&timeline, &file);
}

#[test]
fn a_xing_frame_with_a_billion_frames_is_not_believed() {
    let mut file = seed("media_mp3/xing.mp3");
    let at = file.windows(4).position(|w| w == b"Xing").unwrap();
    file[at + 8..at + 12].copy_from_slice(&1_000_000_000u32.to_be_bytes());
    let (timeline, _) = index("a.mp3", &file);
    assert!(why(&timeline).contains("does not fit the file"), "{:?}", timeline.accuracy());
    assert!(timeline.duration() < Duration::from_secs(60));
    lands(&timeline, &file);
}

#[test]
fn a_table_of_contents_that_runs_backwards_is_said_to() {
    let mut file = seed("media_mp3/xing.mp3");
    let at = file.windows(4).position(|w| w == b"Xing").unwrap();
    file[at + 16..at + 116].reverse();
    let (timeline, _) = index("a.mp3", &file);
    assert!(why(&timeline).contains("runs backwards"), "{:?}", timeline.accuracy());
    let offsets = lands(&timeline, &file);
    assert!(offsets.is_sorted(), "{offsets:?}");
}

#[test]
fn flac_without_frames_behind_its_head_still_ends_each_seek() {
    let whole = seed("media_flac/bare.flac");
    let head = whole.windows(2).position(|w| w == [0xff, 0xf8]).unwrap();
    let mut file = whole[..head + 4096].to_vec();
    // The header claims ten hours, and only sync codes follow.
    file[8 + 14..8 + 18].copy_from_slice(&(8000u32 * 36_000).to_be_bytes());
    file.extend([0xff, 0xf8].repeat(2 << 20));
    let (timeline, _) = index("a.flac", &file);
    assert_eq!(timeline.duration(), Duration::from_secs(36_000));
    lands(&timeline, &file);
}

#[test]
fn a_flac_block_that_claims_more_than_the_file_gives_an_estimate() {
    let mut file = seed("media_flac/bare.flac");
    let at = 4 + 4 + 34;
    file[at + 1..at + 4].fill(0xff);
    let timeline = index("a.flac", &file).0;
    assert!(timeline.is_estimate());
    assert!(why(&timeline).len() > 20, "{:?}", timeline.accuracy());
}

/// Splits an Ogg file into its pages.
fn pages(file: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (0..file.len()).filter(|at| file[*at..].starts_with(b"OggS\0")).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).map(|(start, end)| file[*start..end].to_vec()).collect()
}

/// Sets a page's granule and its checksum, which RFC 3533 defines.
fn set_granule(page: &mut [u8], granule: i64) {
    page[6..14].copy_from_slice(&granule.to_le_bytes());
    page[22..26].fill(0);
    let crc = page.iter().fold(0u32, |crc, byte| {
        let bit = |crc: u32, _| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        (0..8).fold(crc ^ u32::from(*byte) << 24, bit)
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn granules_that_run_backwards_end_each_seek_all_the_same() {
    let mut pages = pages(&seed("media_ogg/opus.opus"));
    let count = pages.len();
    for (n, page) in pages.iter_mut().enumerate().take(count - 1).skip(2) {
        set_granule(page, ((count - n) * 9600) as i64);
    }
    let file = pages.concat();
    let (timeline, _) = index("a.opus", &file);
    lands(&timeline, &file);
}

#[test]
fn granules_of_minus_one_leave_nothing_to_measure_by() {
    let mut pages = pages(&seed("media_ogg/opus.opus"));
    for page in pages.iter_mut().skip(2) {
        set_granule(page, -1);
    }
    let file = pages.concat();
    let timeline = index("a.opus", &file).0;
    assert!(why(&timeline).contains("granule"), "{:?}", timeline.accuracy());
}

#[test]
fn a_granule_of_a_million_years_is_not_believed() {
    let mut pages = pages(&seed("media_ogg/opus.opus"));
    set_granule(pages.last_mut().unwrap(), i64::MAX);
    let timeline = index("a.opus", &pages.concat()).0;
    assert!(why(&timeline).contains("a thousand hours"), "{:?}", timeline.accuracy());
}

#[test]
fn an_ogg_file_of_one_page_is_an_estimate() {
    let file = pages(&seed("media_ogg/opus.opus")).remove(0);
    assert!(index("a.opus", &file).0.is_estimate());
}

#[test]
fn false_pages_between_the_first_and_the_last_cost_a_bounded_search() {
    let pages = pages(&seed("media_ogg/opus.opus"));
    let (head, last) = (pages[..4].concat(), pages.last().unwrap());
    let garbage = b"OggS\0\0aaaaaaaabbbbbbbbbbbb\x01\x05".repeat(1 << 18);
    let file = [&head, &garbage, last].map(Vec::as_slice).concat();
    let (timeline, cost) = index("a.opus", &file);
    assert!(cost.held <= 2 << 20, "{cost:?}");
    lands(&timeline, &file);
}

#[test]
fn an_endless_chain_is_an_estimate_along_its_known_links() {
    let links: Vec<Vec<u8>> = (0..200u32)
        .map(|n| {
            let mut pages = pages(&seed("media_ogg/opus.opus"));
            for page in &mut pages {
                page[14..18].copy_from_slice(&(1000 + n).to_le_bytes());
                let granule = i64::from_le_bytes(page[6..14].try_into().unwrap());
                set_granule(page, granule);
            }
            pages.concat()
        })
        .collect();
    let file = links.concat();
    let (timeline, cost) = index("a.opus", &file);
    assert!(why(&timeline).contains("chain of more than"), "{:?}", timeline.accuracy());
    assert!(cost.held <= 2 << 20 && cost.fed <= 48 << 20, "{cost:?}");
    let one = index("a.opus", &links[0]).0.duration();
    let error = timeline.duration().as_secs_f64() / (one.as_secs_f64() * 200.0) - 1.0;
    assert!(error.abs() < 0.1, "{:?} for 200 of {one:?}", timeline.duration());
}
