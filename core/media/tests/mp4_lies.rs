//! MP4 files with false indexes. Each gives an estimate with a reason, or a partial result. None
//! panics, requests much or takes much memory, which `fuzzing::film` asserts for each as well.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm_media::{Accuracy, Container, Timeline, fuzzing};
use std::sync::Arc;

/// Builds a box.
fn b(kind: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(kind.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Encodes numbers of 32 bits.
fn n(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The parts of a film, each of which a test may falsify. There are ten samples of one second and
/// 100 bytes in one chunk, with keyframes 1 and 6.
struct Film {
    stts: Vec<u32>,
    ctts: Vec<u32>,
    stss: Vec<u32>,
    stsc: Vec<u32>,
    stsz: Vec<u32>,
    stco: Vec<u32>,
    elst: Vec<u32>,
    timescale: u32,
}

impl Film {
    fn new() -> Film {
        Film {
            stts: vec![1, 10, 1000],
            ctts: vec![0],
            stss: vec![2, 1, 6],
            stsc: vec![1, 1, 10, 1],
            stsz: [vec![0, 10], vec![100; 10]].concat(),
            stco: vec![1, 24],
            elst: vec![0],
            timescale: 1000,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let table = |kind, numbers: &[u32]| b(kind, [n(&[0]), n(numbers)].concat());
        let entry = [n(&[0, 1]), b("avc1", [vec![0; 24], n(&[(160 << 16) | 120]), vec![0; 50]].concat())].concat();
        let stbl = [
            b("stsd", entry),
            table("stts", &self.stts),
            table("ctts", &self.ctts),
            table("stss", &self.stss),
            table("stsc", &self.stsc),
            table("stsz", &self.stsz),
            table("stco", &self.stco),
        ]
        .concat();
        let mdia = [
            b("mdhd", n(&[0, 0, 0, self.timescale, 10_000, 0x55c4_0000])),
            b("hdlr", [n(&[0, 0]), b"vide".to_vec(), n(&[0, 0, 0, 0])].concat()),
            b("minf", b("stbl", stbl)),
        ]
        .concat();
        let edts = b("edts", table("elst", &self.elst));
        let trak = [b("tkhd", n(&[3, 0, 0, 1, 0, 10_000])), edts, b("mdia", mdia)].concat();
        let moov = [b("mvhd", n(&[0, 0, 0, 1000, 10_000])), b("trak", trak)].concat();
        [b("ftyp", b"isom\0\0\0\0"), b("mdat", vec![0; 1000]), b("moov", moov)].concat()
    }

    fn read(&self) -> Arc<Timeline> {
        read(&self.bytes())
    }
}

fn read(bytes: &[u8]) -> Arc<Timeline> {
    fuzzing::film(Container::Mp4, bytes).unwrap()
}

/// The reason of an estimate.
fn why(timeline: &Timeline) -> String {
    match timeline.accuracy() {
        Accuracy::Estimate { why } => why.clone(),
        other => panic!("{other:?} is no estimate: {:?}", timeline.keyframes()),
    }
}

#[test]
fn without_a_lie_it_is_exact() {
    let timeline = Film::new().read();
    let found: Vec<_> = timeline.keyframes().iter().map(|k| (k.time.as_millis(), k.offset)).collect();
    assert_eq!(found, [(0, 24), (5000, 524)]);
    assert_eq!((timeline.accuracy(), timeline.duration().as_millis()), (&Accuracy::Exact, 10_000));
    assert_eq!(timeline.tracks()[0].resolution, Some((160, 120)));
}

#[test]
fn offsets_past_the_end_make_an_estimate() {
    let timeline = Film { stco: vec![1, u32::MAX], ..Film::new() }.read();
    assert!(why(&timeline).contains("past the end of the file"), "{}", why(&timeline));
}

#[test]
fn times_that_run_backwards_make_an_estimate() {
    let backwards = Film { stts: vec![2, 5, 1000, 5, -1000i32 as u32], ..Film::new() };
    assert!(why(&backwards.read()).contains("run backwards"));
    let crossed = Film { ctts: vec![2, 5, 9000, 5, 0], ..Film::new() };
    assert!(why(&crossed.read()).contains("run backwards"));
}

#[test]
fn a_billion_samples_of_one_size_cost_no_more_than_the_keyframes_that_are_kept() {
    let mut film = Film { stsz: vec![1, 1_000_000_000], stts: vec![1, 1_000_000_000, 1], ..Film::new() };
    film.stsc = vec![1, 1, 1_000_000_000, 1];
    // The keyframes are unchanged, because two are listed.
    assert_eq!(film.read().keyframes().len(), 2);
    // With every sample a keyframe, nearly all are past the end.
    let all = String::from_utf8_lossy(&film.bytes()).find("stss").unwrap();
    let mut bytes = film.bytes();
    let at = bytes.windows(4).position(|w| w == b"stss").unwrap_or(all);
    bytes[at..at + 4].copy_from_slice(b"free");
    assert!(why(&read(&bytes)).contains("past the end"));
}

#[test]
fn counts_of_all_ones_end_where_their_boxes_end() {
    let lie = |numbers: &[u32]| [&[u32::MAX], &numbers[1..]].concat();
    let film = Film::new();
    for timeline in [
        Film { stts: lie(&film.stts), ..Film::new() }.read(),
        Film { ctts: lie(&film.ctts), ..Film::new() }.read(),
        Film { stss: lie(&film.stss), ..Film::new() }.read(),
        Film { stsc: lie(&film.stsc), ..Film::new() }.read(),
        Film { stco: lie(&film.stco), ..Film::new() }.read(),
        Film { elst: lie(&film.elst), ..Film::new() }.read(),
        Film { stsz: [vec![0, u32::MAX], vec![100; 10]].concat(), ..Film::new() }.read(),
    ] {
        assert_eq!((timeline.accuracy(), timeline.keyframes().len()), (&Accuracy::Exact, 2));
    }
}

#[test]
fn runs_of_all_ones_end_with_the_samples() {
    let film = Film { stts: vec![1, u32::MAX, 1000], ctts: vec![1, u32::MAX, 500], ..Film::new() };
    let timeline = film.read();
    let found: Vec<_> = timeline.keyframes().iter().map(|k| (k.time.as_millis(), k.offset)).collect();
    assert_eq!((found, timeline.origin_us()), (vec![(0, 24), (5000, 524)], 500_000));
    let long = Film { stts: vec![1, u32::MAX, i32::MAX as u32], ..Film::new() }.read();
    assert!(long.duration().as_secs() < 100 * 366 * 24 * 3600);
    assert_eq!(Film { stsc: vec![1, 1, u32::MAX, 1], ..Film::new() }.read().keyframes().len(), 2);
}

#[test]
fn tables_that_contradict_each_other_make_an_estimate() {
    for film in [
        Film { stts: vec![0], ..Film::new() },
        Film { stsc: vec![0], ..Film::new() },
        Film { stsc: vec![1, 1, 0, 1], ..Film::new() },
        Film { stsc: vec![2, 2, 5, 1, 1, 5, 1], ..Film::new() },
        Film { stco: vec![0], ..Film::new() },
        Film { stsz: vec![0, 0], ..Film::new() },
        Film { stss: vec![0], ..Film::new() },
        Film { stss: vec![2, 6, 1], ..Film::new() },
        Film { timescale: 0, ..Film::new() },
    ] {
        let why = why(&film.read());
        assert!(why.starts_with("the MP4 file's index cannot be used: it "), "{why}");
    }
}

#[test]
fn a_moov_past_the_end_of_the_file_makes_an_estimate() {
    let mut bytes = Film::new().bytes();
    let at = bytes.windows(4).position(|w| w == b"moov").unwrap() - 4;
    bytes[at..at + 4].copy_from_slice(&n(&[0x7fff_ffff]));
    assert!(why(&read(&bytes)).contains("past the end of the file"));
    bytes.truncate(at + 20);
    assert!(why(&read(&bytes)).contains("past the end of the file"));
    bytes.truncate(at);
    assert!(why(&read(&bytes)).contains("has no moov"));
}

#[test]
fn a_box_larger_than_the_one_it_lies_in_makes_an_estimate() {
    let mut bytes = Film::new().bytes();
    let at = bytes.windows(4).position(|w| w == b"stsc").unwrap() - 4;
    bytes[at..at + 4].copy_from_slice(&n(&[0x00ff_ffff]));
    assert!(why(&read(&bytes)).contains("reaches past the one it lies in"));
}

#[test]
fn boxes_a_thousand_deep_are_not_descended() {
    let mut deep = b("trak", n(&[0]));
    for _ in 0..1000 {
        deep = b("moov", deep);
    }
    let bytes = [b("ftyp", b"isom\0\0\0\0"), deep].concat();
    assert!(why(&read(&bytes)).contains("neither pictures nor sound"));
}

#[test]
fn a_thousand_tracks_are_too_many() {
    let bytes = [b("ftyp", b"isom\0\0\0\0"), b("moov", b("trak", []).repeat(1000))].concat();
    assert!(why(&read(&bytes)).contains("more than"));
}

#[test]
fn empty_boxes_without_end_are_given_up() {
    let bytes = b("free", []).repeat(100_000);
    assert!(why(&read(&bytes)).contains("has no moov"));
}

/// Returns a film whose samples are all in fragments, which the caller adds.
fn without_its_fragments() -> Vec<u8> {
    let mut film = Film { stsz: vec![0, 0], stts: vec![0], stsc: vec![0], stco: vec![0], ..Film::new() }.bytes();
    let moov = film.windows(4).position(|w| w == b"moov").unwrap() - 4;
    let mvex = b("mvex", b("trex", n(&[0, 1, 1, 0, 0, 0])));
    let size = (film.len() - moov + mvex.len()) as u32;
    film[moov..moov + 4].copy_from_slice(&size.to_be_bytes());
    film.extend_from_slice(&mvex);
    film
}

/// Builds a fragment with the run of samples of a `trun`.
fn fragment(trun: &[u32]) -> Vec<u8> {
    let traf = [b("tfhd", n(&[0x2_0000, 1])), b("tfdt", n(&[0, 0])), b("trun", n(trun))].concat();
    b("moof", [b("mfhd", n(&[0, 1])), b("traf", traf)].concat())
}

#[test]
fn indexes_of_indexes_are_bounded_whatever_they_refer_to() {
    // One second: a keyframe of 100 bytes.
    let media = [fragment(&[0x300, 1, 1000, 100]), b("mdat", [0; 100])].concat();
    let index = |gap: usize, references: usize, size: u32| {
        let header = n(&[0, 1, 1000, 0, gap as u32, references as u32]);
        b("sidx", [header, n(&[1 << 31 | size, 1000, 0x9000_0000]).repeat(references)].concat())
    };
    let one = index(0, 1, 0).len() as u32;
    for (references, size) in [(60_000, 0), (60_000, one), (60_000, one - 1), (2, 0x7fff_ffff), (60_000, 9000)] {
        for other in [index(0, 1, one), index(0, 1, 0), index(0, 60_000, 0), index(0, 1, 0x7fff_ffff)] {
            // Placed in a separate box, whose content they do not state.
            let first = index(media.len() + 8, references, size);
            let others = b("free", other.repeat(2_000_000 / other.len()));
            let timeline = read(&[without_its_fragments(), first, media.clone(), others].concat());
            assert_eq!(timeline.keyframes().len(), 1, "{:?}", timeline.accuracy());
        }
    }
}

#[test]
fn a_moov_of_nothing_but_fragments_to_come_makes_an_estimate() {
    let film = without_its_fragments();
    assert!(why(&read(&film)).contains("fragments to come, but none"));
    // A run of samples without bytes is bounded, as is a header that claims a gigabyte.
    let moof = fragment(&[0, u32::MAX]);
    let timeline = read(&[film.clone(), moof.clone()].concat());
    assert!(timeline.keyframes().len() <= 1, "{:?}", timeline.keyframes());
    let mut large = moof;
    large[..4].copy_from_slice(&n(&[0x4000_0000]));
    assert!(why(&read(&[film, large].concat())).contains("moof"));
}

#[test]
fn edits_show_segments_in_their_own_order() {
    let film = Film { elst: vec![2, 5000, 5000, 1 << 16, 5000, 0, 1 << 16], ..Film::new() };
    let timeline = film.read();
    let found: Vec<_> = timeline.keyframes().iter().map(|k| (k.time.as_millis(), k.offset)).collect();
    assert_eq!((found, timeline.duration().as_millis()), (vec![(0, 524), (5000, 24)], 10_000));
}
