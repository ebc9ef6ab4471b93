//! Malicious Matroska files: the index may be lost, but the film plays, and memory and the number
//! of requests stay bounded.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm_media::{Accuracy, Indexer, Locate, SeekPoint, Timeline};
use std::sync::Arc;
use std::time::Duration;

const UNKNOWN: u64 = u64::MAX;

/// An element with its size in eight bytes.
fn sized(id: u32, size: u64, content: &[u8]) -> Vec<u8> {
    let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let size = if size == UNKNOWN { u64::MAX >> 7 | 1 << 56 } else { size | 1 << 56 };
    [&id, &size.to_be_bytes()[..], content].concat()
}

fn element(id: u32, content: &[u8]) -> Vec<u8> {
    sized(id, content.len() as u64, content)
}

fn number(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

fn tracks() -> Vec<u8> {
    element(0x1654_ae6b, &element(0xae, &[number(0xd7, 1), number(0x83, 1), element(0x86, b"V_VP8")].concat()))
}

fn info(milliseconds: f64) -> Vec<u8> {
    element(0x1549_a966, &element(0x4489, &milliseconds.to_be_bytes()))
}

/// Returns a keyframe and a frame after it, each of a hundred bytes.
fn blocks(cluster_time: u64) -> Vec<u8> {
    let block = |time: u8, flags: u8| element(0xa3, &[&[0x81, 0, time, flags][..], &[0x55; 100]].concat());
    [number(0xe7, cluster_time), block(0, 0x80), block(100, 0)].concat()
}

fn cluster(time: u64) -> Vec<u8> {
    element(0x1f43_b675, &blocks(time))
}

fn clusters() -> Vec<u8> {
    (0..50).flat_map(|n| cluster(n * 1000)).collect()
}

fn seek_head(entries: &[(u32, u64)]) -> Vec<u8> {
    let seeks = entries
        .iter()
        .flat_map(|(id, at)| element(0x4dbb, &[element(0x53ab, &id.to_be_bytes()), number(0x53ac, *at)].concat()));
    element(0x114d_9b74, &seeks.collect::<Vec<u8>>())
}

fn cues(points: &[(u64, u64)]) -> Vec<u8> {
    let points = points.iter().flat_map(|(time, at)| {
        let position = element(0xb7, &[number(0xf7, 1), number(0xf1, *at)].concat());
        element(0xbb, &[number(0xb3, *time), position].concat())
    });
    element(0x1c53_bb6b, &points.collect::<Vec<u8>>())
}

fn head() -> Vec<u8> {
    element(0x1a45_dfa3, &element(0x4282, b"webm"))
}

fn film(segment: &[u8]) -> Vec<u8> {
    [head(), element(0x1853_8067, segment)].concat()
}

fn index(file: &[u8]) -> Arc<Timeline> {
    let mut indexer = Indexer::new("film.mkv", file.len() as u64);
    let mut questions = 0;
    while let Some(range) = indexer.needed().into_iter().next() {
        indexer.feed(range.start, &file[range.start as usize..range.end as usize]);
        questions += 1;
        assert!(questions < 500 && indexer.held_bytes() <= 2 << 20, "{questions}, {}", indexer.held_bytes());
    }
    Arc::clone(indexer.timeline().unwrap())
}

fn seek(file: &[u8], timeline: &Arc<Timeline>, milliseconds: u64) -> SeekPoint {
    let mut locate = Locate::new(timeline, Duration::from_millis(milliseconds));
    let mut questions = 0;
    while let Some(range) = locate.needed().into_iter().next() {
        locate.feed(range.start, &file[range.start as usize..range.end as usize]);
        questions += 1;
        assert!(questions < 5000 && locate.held_bytes() <= 2 << 20);
    }
    locate.seek_point().unwrap()
}

/// Seeks all over the film and asserts that each seek point is a true keyframe, regardless of the
/// index.
#[track_caller]
fn assert_lands_right(file: &[u8]) {
    let timeline = index(file);
    assert_eq!(timeline.duration(), Duration::from_secs(50), "{:?}", timeline.accuracy());
    for milliseconds in (0..50_000).step_by(730) {
        let seek_point = seek(file, &timeline, milliseconds);
        let time = milliseconds / 1000 * 1000;
        assert_eq!(seek_point.time, Duration::from_millis(time), "a seek to {milliseconds} ms: {seek_point:?}");
        let at = seek_point.offset as usize;
        assert_eq!(file[at..at + 4], [0x81, 0, 0, 0x80], "a seek to {milliseconds} ms");
        assert!(seek_point.from < seek_point.offset && seek_point.offset < seek_point.until && !seek_point.estimated);
    }
}

#[test]
fn a_film_that_tells_the_truth_is_read() {
    let start = (info(0.0).len() + tracks().len()) as u64;
    let length = cluster(0).len() as u64;
    let points: Vec<_> = (0..50).map(|n| (n * 1000, start + n * length)).collect();
    let file = film(&[info(50_000.0), tracks(), clusters(), cues(&points)].concat());
    assert_lands_right(&file);
}

#[test]
fn cues_behind_clusters_without_a_seek_head_are_not_missed_for_seeking() {
    assert_lands_right(&film(&[info(50_000.0), tracks(), clusters()].concat()));
}

#[test]
fn cues_that_point_past_the_end_are_dropped() {
    let points: Vec<_> = (0..50).map(|n| (n * 1000, u64::MAX / 4 + n)).collect();
    let file = film(&[info(50_000.0), cues(&points), tracks(), clusters()].concat());
    assert_eq!(*index(&file).accuracy(), Accuracy::Sparse);
    assert_lands_right(&file);
}

#[test]
fn cues_whose_times_run_backwards_are_not_believed() {
    let front = |points: &[(u64, u64)]| [info(50_000.0), tracks(), cues(points)].concat();
    let length = cluster(0).len() as u64;
    let start = front(&[(0, 0); 50]).len() as u64;
    let points: Vec<_> = (0..50).map(|n| (n * 1000, start + (49 - n) * length)).collect();
    assert_lands_right(&film(&[front(&points), clusters()].concat()));
}

#[test]
fn cues_that_point_amid_blocks_are_not_believed() {
    let front = |points: &[(u64, u64)]| [info(50_000.0), tracks(), cues(points)].concat();
    let length = cluster(0).len() as u64;
    let start = front(&[(0, 0); 50]).len() as u64;
    let points: Vec<_> = (0..50).map(|n| (n * 1000, start + n * length + 57)).collect();
    assert_lands_right(&film(&[front(&points), clusters()].concat()));
}

#[test]
fn a_seek_head_that_points_to_itself_is_followed_once() {
    let file = film(&[seek_head(&[(0x114d_9b74, 0), (0x1c53_bb6b, 0)]), info(50_000.0), tracks(), clusters()].concat());
    assert_lands_right(&file);
    let circle = [(0x114d_9b74, 0); 60];
    assert_lands_right(&film(&[seek_head(&circle), info(50_000.0), tracks(), clusters()].concat()));
}

#[test]
fn unknown_sizes_one_in_the_other_are_entered() {
    let clusters: Vec<u8> = (0..50).flat_map(|n| sized(0x1f43_b675, UNKNOWN, &blocks(n * 1000))).collect();
    let segment = sized(0x1853_8067, UNKNOWN, &[info(50_000.0), tracks(), clusters].concat());
    assert_lands_right(&[head(), segment].concat());
}

#[test]
fn a_cluster_within_a_cluster_and_a_group_without_an_end_do_not_hide_the_rest() {
    let odd = [sized(0x1f43_b675, UNKNOWN, &[]), sized(0xa0, UNKNOWN, &[]), sized(0xa3, 1 << 50, &[])].concat();
    let clusters: Vec<u8> = (0..50).flat_map(|n| [cluster(n * 1000), odd.clone()].concat()).collect();
    assert_lands_right(&film(&[info(50_000.0), tracks(), clusters].concat()));
}

#[test]
fn absurd_sizes_cost_no_more_than_the_real_bytes() {
    const LARGEST: u64 = (1 << 56) - 2;
    let tracks = tracks();
    for (name, segment) in [
        ("info", sized(0x1549_a966, LARGEST, &[tracks.clone(), clusters()].concat())),
        ("tracks", sized(0x1654_ae6b, LARGEST, &[&tracks[12..], &clusters()].concat())),
        ("cues", [tracks.clone(), sized(0x1c53_bb6b, LARGEST, &clusters())].concat()),
        ("void", [tracks.clone(), sized(0xec, LARGEST, &clusters())].concat()),
        ("attachments", [tracks.clone(), sized(0x1941_a469, LARGEST, &clusters())].concat()),
        ("cluster", [tracks.clone(), sized(0x1f43_b675, LARGEST, &blocks(0)), clusters()].concat()),
        ("seek", [sized(0x114d_9b74, LARGEST, &tracks), clusters()].concat()),
    ] {
        let mut file = film(&segment);
        file.resize(file.len() + (3 << 20), 0x11);
        let timeline = index(&file);
        for milliseconds in [0, 7_000, 1 << 40] {
            let seek_point = seek(&file, &timeline, milliseconds);
            assert!(
                seek_point.from <= seek_point.until && seek_point.until <= file.len() as u64,
                "{name}: {seek_point:?}"
            );
        }
    }
}

#[test]
fn a_void_of_the_whole_file_and_a_segment_of_nothing_are_estimates_with_a_sentence() {
    let void = film(&sized(0xec, 1 << 20, &vec![0; 1 << 20]));
    let nothing = film(&[]);
    for file in [void, nothing, head(), [head(), vec![0; 5000]].concat()] {
        let timeline = index(&file);
        let Accuracy::Estimate { why } = timeline.accuracy() else { panic!("{:?}", timeline.accuracy()) };
        assert!(why.starts_with("the Matroska file's index cannot be used: it has no "), "{why}");
        assert!(seek(&file, &timeline, 100).estimated);
    }
}

#[test]
fn a_film_without_its_second_half_is_searched_as_far_as_it_goes() {
    let whole = film(&[info(50_000.0), tracks(), clusters()].concat());
    let file = &whole[..whole.len() / 2];
    let timeline = index(file);
    assert_eq!(seek(file, &timeline, 10_500).time, Duration::from_secs(10));
    assert_eq!(seek(file, &timeline, 49_000).time, Duration::from_secs(24));
}

#[test]
fn a_hole_in_a_film_that_is_not_whole_ends_a_search() {
    let mut file = film(&[info(50_000.0), tracks(), clusters()].concat());
    let at = file.len() / 3;
    file.splice(at..at, vec![0; 4 << 20]);
    let timeline = index(&file);
    for seconds in 0..50 {
        let seek_point = seek(&file, &timeline, seconds * 1000);
        assert!(seek_point.estimated || seek_point.time == Duration::from_secs(seconds), "{seek_point:?}");
    }
}
