#![allow(clippy::unwrap_used)]
use super::*;
use crate::metainfo::ChooseFile;
use bytes::Bytes;
use proptest::prelude::*;

/// Returns a torrent of these files; lengths in thousands of bytes.
pub(crate) fn torrent(name: &str, files: &[(&str, u64)]) -> Metainfo {
    let info = b"d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe";
    let mut torrent = Metainfo::from_info(Bytes::from_static(info), Vec::new()).unwrap();
    torrent.name = name.into();
    torrent.files = files.iter().map(|(name, length)| entry(name, length * 1000)).collect();
    torrent
}

/// Returns a file of a torrent.
pub(in super::super) fn entry(name: &str, length: u64) -> FileEntry {
    let mut file = FileEntry::default();
    (file.path, file.name, file.length) = (name.into(), name.into(), length);
    file
}

/// Returns the name of the file to play, or the sentence that explains why there is none.
fn played(name: &str, files: &[(&str, u64)]) -> String {
    match torrent(name, files).default_file() {
        Ok(n) => files[n].0.to_owned(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn playable_files_are_listed_in_natural_order() {
    let files = [("E10.mkv", 1), ("E2.mkv", 1), ("x.txt", 1), ("E1.mkv", 0)];
    assert_eq!(torrent("f", &files).playable(), [1, 0]);
}

#[test]
fn samples_trailers_and_extras_give_way_to_the_film() {
    for extra in [
        "Sample/f.mkv",
        "f-sample.mkv",
        "Extras/Making of.mkv",
        "Featurettes/a.mkv",
        "f.trailer.mp4",
        "NCOP1.mkv",
        "Behind.The.Scenes/a.mkv",
        "bonus/disc2.mkv",
        "Special Features/a.mkv",
        "f-behindthescenes.mkv",
        "Muestra/f.mkv",
        "Soundtrack/all.flac",
        "f.mka",
    ] {
        assert_eq!(played("Film 2014", &[(extra, 900_000), ("f.mkv", 700_000)]), "f.mkv", "{extra}");
        assert_eq!(played("Film 2014", &[(extra, 900_000)]), extra, "there is nothing else");
    }
}

#[test]
fn a_title_that_equals_a_word_for_extras_is_no_extra() {
    assert_eq!(
        played("The.Interview.2014", &[("The.Interview.2014.mkv", 700_000), ("site.mp4", 200_000)]),
        "The.Interview.2014.mkv"
    );
    assert_eq!(played("x", &[("Trailer Park Boys.mkv", 700_000), ("site.mp4", 900)]), "Trailer Park Boys.mkv");
}

#[test]
fn a_film_that_is_packed_is_named_and_its_sample_is_not_played() {
    let rar: Vec<(String, u64)> = (0..40).map(|n| (format!("rel.r{n:02}"), 15_000)).collect();
    let mut files: Vec<(&str, u64)> = rar.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    files.extend([("rel.rar", 15_000), ("rel.sfv", 1), ("rel.nfo", 7)]);
    for sample in [None, Some(("Sample/rel-sample.mkv", 6)), Some(("rel-s.avi", 20_000))] {
        let files: Vec<(&str, u64)> = files.iter().copied().chain(sample).collect();
        let sentence = played("rel", &files);
        assert!(sentence.contains("in the archive rel.rar (RAR archive)"), "{sample:?}: {sentence}");
    }
    for name in ["film.iso", "film.img", "film.nrg", "film.zip", "film.7z", "film.7z.001", "film.part1.rar", "film.r00"]
    {
        let sentence = played("f", &[(name, 4_000_000), ("trailer.mp4", 30_000), ("readme.txt", 1)]);
        assert!(sentence.contains(name), "{sentence}");
    }
    let sentence = played("f", &[("f.z01", 100_000), ("f.z02", 100_000), ("f.zip", 50_000)]);
    assert!(sentence.contains("in the archive f.zip (ZIP archive)"), "{sentence}");
}

#[test]
fn an_album_is_played_where_its_film_is_small() {
    assert_eq!(played("a", &[("1.flac", 300_000), ("2.flac", 310_000), ("clip.mp4", 20_000)]), "2.flac");
    assert_eq!(played("a", &[("all.flac", 300_000), ("concert.mkv", 250_000)]), "concert.mkv");
}

#[test]
fn small_archives_beside_a_film_or_an_album_are_nothing() {
    assert_eq!(played("f", &[("f.mkv", 700_000), ("Subs.rar", 1000), ("scans.zip", 90_000)]), "f.mkv");
    assert_eq!(played("a", &[("1.flac", 30_000), ("2.flac", 31_000), ("scans.zip", 100_000)]), "2.flac");
    assert_eq!(played("f", &[("f.mkv", 700_000), ("f.iso", 1_500_000)]), "f.mkv");
    assert_eq!(played("f", &[("sample.mkv", 20_000), ("art.zip", 1000)]), "sample.mkv");
}

#[test]
fn a_file_without_an_ending_is_played_where_it_is_far_larger_and_is_looked_at() {
    for name in ["film", "film.xyz", "film.bin", "Film 2014 x264"] {
        let files = [(name, 700_000), ("sample.mkv", 20_000), ("other.mkv", 20_000), ("a.srt", 90)];
        assert_eq!(played("f", &files), name);
        let choice = choose(&torrent("f", &files), &Seen::new());
        assert_eq!(choice.look_at, [0]);
    }
    let files = [("film", 700_000), ("film.mkv", 100_000), ("x", 3)];
    assert_eq!(played("f", &files), "film.mkv", "names decide where nothing else is known");
    let torrent = torrent("f", &files);
    assert_eq!(choose(&torrent, &Seen::new()).look_at, [0]);
    let told = |content| choose(&torrent, &Seen::from([(0, content)]));
    assert_eq!(told(Some(Content::Video)).file.unwrap(), 0);
    assert_eq!(told(Some(Content::Document)).file.unwrap(), 1);
    assert_eq!(told(None).file.unwrap(), 1);
    assert!(matches!(told(Some(Content::Packed)).file, Err(Error::Packed { .. })));
    assert_eq!(choose(&torrent, &Seen::new()).look_at, [0]);
}

#[test]
fn a_file_that_is_alone_is_played_without_a_look() {
    for name in ["film", "content-256", "film.xyz"] {
        let torrent = torrent(name, &[(name, 700_000)]);
        let choice = choose(&torrent, &Seen::new());
        assert_eq!((choice.file.unwrap(), choice.look_at), (0, Vec::new()), "{name}");
    }
}

#[test]
fn every_ending_of_a_film_counts() {
    for name in ["f.m2t", "f.tp", "f.dv", "f.vob", "f.evo", "f.mxf", "f.rmvb", "f.3g2", "f.f4v", "f.mpv", "f.wtv"] {
        assert_eq!(played("f", &[(name, 700_000), ("sample.mkv", 20_000), ("x.avi", 300_000)]), name);
    }
}

#[test]
fn a_torrent_without_media_gives_its_largest_file_and_an_empty_one_says_so() {
    assert_eq!(played("f", &[("a.txt", 5), ("b.pdf", 9)]), "b.pdf");
    assert_eq!(played("f", &[("a", 5), ("b", 9), ("c", 9)]), "b");
    assert!(matches!(torrent("f", &[("a.mkv", 0)]).default_file(), Err(Error::NothingPlayable)));
}

#[test]
fn a_link_that_selects_files_chooses_among_them() {
    let files = [("big.mkv", 900), ("a.mkv", 300), ("b.mkv", 500), ("notes.txt", 600)];
    let mut torrent = torrent("t", &files);
    for (selected, wanted) in [
        (vec![], 0),
        (vec![1..=1], 1),
        (vec![1..=3], 2),
        (vec![3..=3], 3),
        (vec![9..=99_999_999_999], 0),
        (vec![9..=9, 1..=1], 1),
    ] {
        torrent.selected.clone_from(&selected);
        assert_eq!(torrent.default_file().unwrap(), wanted, "{selected:?}");
    }
}

proptest! {
    #[test]
    fn any_files_give_one_of_them_or_a_sentence(
        files in proptest::collection::vec(("(Sample/)?[a-c](\\.mkv|\\.rar|\\.srt|\\.xyz|)", 0u64..100), 0..8),
        seen in proptest::collection::vec(0usize..8, 0..4),
    ) {
        let files: Vec<(&str, u64)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
        let torrent = torrent("t", &files);
        let seen: Seen = seen.into_iter().map(|n| (n, Some(Content::Video))).collect();
        let choice = choose(&torrent, &seen);
        if let Ok(n) = choice.file {
            prop_assert!(torrent.files[n].length > 0);
        }
        prop_assert!(choice.look_at.iter().all(|n| !seen.contains_key(n)));
    }
}
