//! Valid, odd, broken and hostile torrents.

use super::parse::MAX_FRONT_BYTES;
use super::*;
use crate::bencode::{put_integer, put_string};
use crate::sha1::sha1;
use encoding_rs::Encoding;
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Returns a dictionary of keys and bencoded values.
fn dict(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![b'd'];
    for (key, value) in fields {
        put_string(&mut out, key.as_bytes());
        out.extend_from_slice(value);
    }
    out.push(b'e');
    out
}
fn s(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, text.as_ref());
    out
}
fn i(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_integer(&mut out, value);
    out
}
fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'l'];
    items.into_iter().for_each(|item| out.extend(item));
    out.push(b'e');
    out
}
fn file(path: &[&str], length: u64) -> Vec<u8> {
    dict(&[("length", i(length)), ("path", list(path.iter().map(s)))])
}
/// Returns an info dictionary of several files, with the required number of hashes.
fn multi(files: Vec<Vec<u8>>, total: u64) -> Vec<u8> {
    let pieces = total.div_ceil(16384) as usize;
    dict(&[
        ("files", list(files)),
        ("name", s("show")),
        ("piece length", i(16384)),
        ("pieces", s(vec![7; pieces * 20])),
    ])
}
fn single(name: &str, length: u64) -> Vec<u8> {
    let pieces = length.div_ceil(16384) as usize;
    dict(&[("length", i(length)), ("name", s(name)), ("piece length", i(16384)), ("pieces", s(vec![7; pieces * 20]))])
}
fn parse(info: Vec<u8>) -> Result<Metainfo> {
    Metainfo::from_info(info.into(), Vec::new())
}
fn refusal(info: Vec<u8>) -> String {
    parse(info).unwrap_err().to_string()
}

#[test]
fn a_torrent_of_one_file_is_read_whole() {
    let info = single("film.mp4", 40_000);
    let file = dict(&[
        ("announce", s("http://a.example/announce")),
        (
            "announce-list",
            list([list([s("udp://b.example:80"), s("wss://no.example")]), list([s("http://a.example/announce")])]),
        ),
        ("creation date", i(u64::MAX / 2)),
        ("info", info.clone()),
    ]);
    let torrent = Metainfo::from_bytes(&file).unwrap();
    assert_eq!(torrent.info_hash, InfoHash(sha1(&info)));
    assert_eq!(torrent.name, "film.mp4");
    assert_eq!((torrent.layout.pieces(), torrent.layout.total_bytes()), (3, 40_000));
    assert_eq!(torrent.files.len(), 1);
    assert_eq!(torrent.files[0].path, Path::new("film.mp4"));
    assert_eq!(torrent.trackers, ["udp://b.example:80", "http://a.example/announce"]);
    assert_eq!(torrent.hash_of(2), Some(&[7u8; 20][..]));
    assert_eq!(torrent.hash_of(3), None);
    assert!(!torrent.private);
}

#[test]
fn a_written_torrent_is_read_back_unchanged() {
    let torrent = Metainfo::from_info(
        multi(vec![file(&["a.mkv"], 5), file(&["s", "b.mkv"], 9)], 14).into(),
        vec![
            "http://t.example/announce".into(),
            "http://t.example/announce".into(),
            "rubbish".into(),
            "udp://u.example:6969/announce".into(),
        ],
    )
    .unwrap();
    let again = Metainfo::from_bytes(&torrent.to_torrent_bytes().unwrap()).unwrap();
    assert_eq!((again.info_hash, &again.files, &again.info), (torrent.info_hash, &torrent.files, &torrent.info));
    assert_eq!(again.trackers, ["http://t.example/announce", "udp://u.example:6969/announce"]);
}

#[test]
fn files_follow_each_other_without_gaps() {
    let torrent = parse(multi(vec![file(&["a"], 3), file(&["empty"], 0), file(&["d", "b"], 4)], 7)).unwrap();
    let seen: Vec<_> =
        torrent.files.iter().map(|f| (f.path.to_str().unwrap(), f.name.as_str(), f.offset, f.length)).collect();
    assert_eq!(seen, [("show/a", "a", 0, 3), ("show/empty", "empty", 3, 0), ("show/d/b", "d/b", 3, 4)]);
}

#[test]
fn pad_files_and_symbolic_links_are_never_created() {
    let pad =
        |attr: &str, path: &[&str], n| dict(&[("attr", s(attr)), ("length", i(n)), ("path", list(path.iter().map(s)))]);
    let torrent = parse(multi(
        vec![
            file(&["a"], 1),
            pad("p", &[".pad", "9"], 9),
            pad("p", &[".pad", "9"], 9),
            file(&["_____padding_file_0_if you see this"], 5),
            pad("l", &["link"], 0),
            pad("x", &["run"], 2),
        ],
        26,
    ))
    .unwrap();
    assert_eq!(torrent.files.iter().map(|f| f.padding).collect::<Vec<_>>(), [false, true, true, true, true, false]);
}

#[test]
fn a_private_torrent_is_known_as_such() {
    let mut info = single("x", 1);
    info.pop();
    info.extend_from_slice(b"7:privatei1ee");
    assert!(parse(info).unwrap().private);
}

#[test]
fn a_hybrid_is_read_through_its_v1_half_and_a_pure_v2_torrent_is_refused() {
    let v2 = [
        ("file tree", dict(&[("x", dict(&[("", dict(&[("length", i(5))]))]))])),
        ("meta version", i(2)),
        ("name", s("x")),
        ("piece length", i(16384)),
    ];
    assert!(refusal(dict(&v2)).contains("v2"));
    let mut hybrid = v2.to_vec();
    hybrid.push(("length", i(5)));
    hybrid.push(("pieces", s([1; 20])));
    assert_eq!(parse(dict(&hybrid)).unwrap().layout.total_bytes(), 5);
}

/// Returns a torrent file with an info dictionary and further fields.
fn outer(fields: &[(&str, Vec<u8>)], info: &[u8]) -> Vec<u8> {
    let mut all = fields.to_vec();
    all.push(("info", info.to_vec()));
    dict(&all)
}

#[test]
fn a_path_that_tries_to_leave_the_folder_is_made_safe() {
    for (path, wanted) in [
        (&["..", "x"][..], "show/_/x"),
        (&["a", ".."], "show/a/_"),
        (&["/etc/passwd"], "show/etc_passwd"),
        (&["a/../../b"], "show/a_.._.._b"),
    ] {
        assert_eq!(parse(multi(vec![file(path, 1)], 1)).unwrap().files[0].path, Path::new(wanted), "{path:?}");
    }
    assert_eq!(parse(single("../../x", 1)).unwrap().files[0].path, Path::new(".._.._x"));
    assert_eq!(parse(single("..", 1)).unwrap().files[0].path, Path::new("_"));
}

#[test]
fn awkward_names_are_made_safe_but_shown_as_they_are() {
    let torrent = parse(multi(vec![file(&["AC/DC", "NUL"], 1), file(&["x\u{1b}[2J"], 1)], 2)).unwrap();
    assert_eq!(torrent.files[0].name, "AC\u{2215}DC/NUL");
    assert_eq!(torrent.files[1].name, "x\u{fffd}[2J");
    if cfg!(unix) {
        assert_eq!(torrent.files[0].path, Path::new("show/AC_DC/NUL"));
    }
}

#[test]
fn a_slash_in_a_name_neither_cuts_it_nor_makes_it_absolute() {
    let torrent = parse(single("AC/DC Live.mkv", 1)).unwrap();
    assert_eq!((torrent.name.as_str(), torrent.files[0].name.as_str()), ("AC/DC Live.mkv", "AC\u{2215}DC Live.mkv"));
    assert_eq!(torrent.files[0].path, Path::new("AC_DC Live.mkv"));
    let torrent = parse(single("/film.mkv", 1)).unwrap();
    assert_eq!((torrent.files[0].name.as_str(), torrent.files[0].path.as_path()), ("film.mkv", Path::new("film.mkv")));
    let torrent = parse(multi(vec![file(&["/a.mkv"], 1), file(&["", "/", "b.mkv"], 1)], 2)).unwrap();
    assert_eq!(torrent.files[0].path, Path::new("show/a.mkv"));
    assert_eq!(torrent.files[1].path, Path::new("show/b.mkv"));
}

#[test]
fn names_are_read_in_the_encoding_that_the_torrent_states() {
    let name = |bytes: &[u8]| {
        dict(&[("length", i(5)), ("name", s(bytes)), ("piece length", i(16384)), ("pieces", s([7; 20]))])
    };
    for (label, page, text) in [
        ("windows-1251", 1251, "Ирония судьбы.mkv"),
        ("CP1251", 1251, "Ирония судьбы.mkv"),
        ("GBK", 936, "让子弹飞.mkv"),
        ("GB2312", 936, "字幕.mkv"),
        ("Shift-JIS", 932, "七人の侍.mkv"),
        ("BIG5", 950, "悲情城市.mkv"),
        ("EUC-KR", 949, "기생충.mkv"),
        ("windows-1250", 1250, "Příběh č. 1.mkv"),
    ] {
        let encoding = Encoding::for_label(label.as_bytes()).unwrap();
        let info = name(&encoding.encode(text).0);
        for stated in [("encoding", s(label)), ("codepage", i(page))] {
            let torrent = Metainfo::from_bytes(&outer(&[stated], &info)).unwrap();
            assert_eq!((torrent.name.as_str(), torrent.info_hash), (text, InfoHash(sha1(&info))), "{label}");
            assert_eq!(torrent.files[0].path, Path::new(text));
            // The stated encoding is kept when the torrent is saved.
            let again = Metainfo::from_bytes(&torrent.to_torrent_bytes().unwrap()).unwrap();
            assert_eq!((&again.files, again.info_hash), (&torrent.files, torrent.info_hash));
        }
    }
    // The same bytes are another letter in each encoding.
    for (label, text) in [("windows-1251", "А.mkv"), ("windows-1252", "À.mkv"), ("windows-1253", "ΐ.mkv")] {
        let torrent = Metainfo::from_bytes(&outer(&[("encoding", s(label))], &name(b"\xc0.mkv"))).unwrap();
        assert_eq!(torrent.name, text, "{label}");
    }
    // UTF-8 names stay unchanged, whatever encoding is stated.
    let utf8 =
        Metainfo::from_bytes(&outer(&[("encoding", s("windows-1251"))], &name("Ирония.mkv".as_bytes()))).unwrap();
    assert_eq!(utf8.name, "Ирония.mkv");
}

#[test]
fn names_in_an_encoding_that_nothing_states_are_read_as_well_as_can_be() {
    let encode = |label: &str, text: &str| Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned();
    for (label, text) in [
        ("windows-1251", "Место встречи изменить нельзя серия.mkv"),
        ("shift_jis", "となりのトトロ スタジオジブリ作品.mkv"),
        ("gbk", "霸王别姬 导演陈凯歌 国语中字.mkv"),
    ] {
        let info = dict(&[
            ("length", i(5)),
            ("name", s(encode(label, text))),
            ("piece length", i(16384)),
            ("pieces", s([7; 20])),
        ]);
        assert_eq!(parse(info.clone()).unwrap().name, text);
        // Stating UTF-8 wrongly changes nothing.
        assert_eq!(Metainfo::from_bytes(&outer(&[("encoding", s("UTF-8"))], &info)).unwrap().name, text);
    }
    // No bytes are lost to an error.
    assert!(parse(single("NAME", 1)).is_ok());
}

#[test]
fn names_in_utf8_take_precedence_over_the_stated_encoding() {
    let cyrillic = encoding_rs::WINDOWS_1251.encode("фильм.mkv").0.into_owned();
    let entry = |twin: Vec<u8>| dict(&[("length", i(5)), ("path", list([s(&cyrillic)])), ("path.utf-8", list([twin]))]);
    let info = |twin: Vec<u8>| {
        dict(&[
            ("files", list([entry(twin)])),
            ("name", s(&cyrillic)),
            ("name.utf-8", s("имя")),
            ("piece length", i(16384)),
            ("pieces", s([7; 20])),
        ])
    };
    let stated = [("encoding", s("windows-1251"))];
    let torrent = Metainfo::from_bytes(&outer(&stated, &info(s("двойник.mkv")))).unwrap();
    assert_eq!((torrent.name.as_str(), torrent.files[0].name.as_str()), ("имя", "двойник.mkv"));
    // A `.utf-8` field that is not UTF-8, or not a list of strings, is ignored.
    for odd in [s(&cyrillic), i(5)] {
        assert_eq!(Metainfo::from_bytes(&outer(&stated, &info(odd))).unwrap().files[0].name, "фильм.mkv");
    }
}

#[test]
fn trackers_are_found_however_they_are_listed() {
    let (a, b, c) = ("http://a.example/", "udp://b.example:1/", "https://c.example/x");
    for (fields, wanted) in [
        (vec![("announce", list([s(a), s(b)]))], vec![a, b]),
        (vec![("announce", list([list([s(a)]), list([s(b), s(c)])]))], vec![a, b, c]),
        (vec![("announce", s(format!(" {a}\r\n")))], vec![a]),
        (vec![("announce", s(format!("{a}\n{b} {c}")))], vec![a, b, c]),
        (vec![("announce-list", s(a))], vec![a]),
        (vec![("announce-list", list([s(a), list([s(b)]), i(5)])), ("announce", s(c))], vec![a, b, c]),
        (vec![("announce", i(5)), ("announce-list", dict(&[]))], vec![]),
        (vec![("announce", list([]))], vec![]),
        (vec![("announce-list", list([list([list([s(a)])]), list([s(b)])]))], vec![b]),
    ] {
        let torrent = Metainfo::from_bytes(&outer(&fields, &single("x", 1))).unwrap();
        assert_eq!(torrent.trackers, wanted, "{fields:?}");
    }
}

#[test]
fn bytes_in_front_of_a_torrent_and_behind_it_do_no_harm() {
    let info = single("x", 1);
    let whole = outer(&[("announce", s("http://a.example/"))], &info);
    for front in [
        &b""[..],
        b"\xef\xbb\xbf",
        b"\r\n\r\n",
        b"\0\0",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-bittorrent; d5\r\nDate: Fri\r\n\r\n",
        b"d3 ",
    ] {
        for behind in [&b""[..], b"\r\n", b"\0", b"e", b"<!-- ads -->"] {
            let torrent = Metainfo::from_bytes(&[front, &whole, behind].concat()).unwrap();
            assert_eq!(torrent.info_hash, InfoHash(sha1(&info)), "{front:?} {behind:?}");
        }
    }
    let far = [&vec![b' '; MAX_FRONT_BYTES + 10][..], &whole].concat();
    assert!(Metainfo::from_bytes(&far).unwrap_err().to_string().contains("begin"));
}

#[test]
fn odd_fields_that_other_clients_read_are_read() {
    let with = |key: &'static str, value: Vec<u8>| {
        let mut fields = vec![
            ("length", i(5)),
            ("name", s("x")),
            ("piece length", i(16384)),
            ("pieces", s([7; 20])),
            ("private", i(0)),
        ];
        match fields.iter_mut().find(|(name, _)| *name == key) {
            Some(field) => field.1 = value,
            None => fields.push((key, value)),
        }
        parse(dict(&fields)).unwrap()
    };
    assert_eq!(with("length", b"i005e".to_vec()).layout.total_bytes(), 5);
    assert_eq!(with("length", s("5")).layout.total_bytes(), 5);
    assert_eq!(with("name", b"003:abc".to_vec()).name, "abc");
    assert!(!with("private", b"i-0e".to_vec()).private);
    assert!(!with("private", s("0")).private && !with("private", list([])).private);
    for private in [i(1), i(256), s("1"), b"i-1e".to_vec()] {
        assert!(with("private", private).private);
    }
    assert_eq!(with("name.utf-8", i(7)).name, "x");
    assert_eq!(with("files", i(7)).files.len(), 1);
    let listed = with("files", list([file(&["a"], 5)]));
    assert_eq!(listed.files[0].path, Path::new("x/a"));
    // Keys in any order, and twice: the first counts.
    let unsorted = dict(&[
        ("pieces", s([7; 20])),
        ("name", s("first")),
        ("name", s("second")),
        ("piece length", i(16384)),
        ("length", i(5)),
    ]);
    assert_eq!(parse(unsorted).unwrap().name, "first");
    let twice = dict(&[("info", single("a", 1)), ("info", single("b", 1))]);
    assert_eq!(Metainfo::from_bytes(&twice).unwrap().name, "a");
}

#[test]
fn files_without_a_usable_path_get_one() {
    let entry = |path: Vec<u8>| dict(&[("length", i(1)), ("path", path)]);
    let torrent = parse(multi(
        vec![entry(list([])), entry(list([s("")])), entry(s("film.mkv")), entry(i(5)), dict(&[("length", i(1))])],
        5,
    ))
    .unwrap();
    let paths: Vec<_> = torrent.files.iter().map(|f| f.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["show/_", "show/_ (2)", "show/film.mkv", "show/_ (3)", "show/_ (4)"]);
    assert_eq!(torrent.files[0].name, "_");
}

#[test]
fn a_nameless_torrent_is_called_by_its_hash() {
    let torrent = parse(single("", 1)).unwrap();
    assert_eq!(torrent.name, torrent.info_hash.to_string());
    let torrent = parse(single("/", 1)).unwrap();
    assert_eq!(torrent.files[0].path, Path::new(&torrent.info_hash.to_string()));
    let unnamed = dict(&[("length", i(1)), ("piece length", i(16384)), ("pieces", s([7; 20]))]);
    let torrent = parse(unnamed).unwrap();
    assert_eq!(torrent.name, torrent.info_hash.to_string());
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let with = |length, piece: u64, hashes: usize| {
        dict(&[("length", i(length)), ("name", s("x")), ("piece length", i(piece)), ("pieces", s(vec![0; hashes]))])
    };
    assert!(parse(with(100, 1024, 20)).is_ok());
    for (length, piece, hashes) in [
        (100, 1024, 40),
        (100, 1024, 19),
        (2000, 1024, 20),
        (100, 1023, 20),
        (100, 0, 20),
        (100, u64::from(MAX_PIECE_BYTES) + 1, 20),
        (100, (1 << 32) + 16384, 20),
        (0, 1024, 0),
        (MAX_TOTAL_BYTES + 1, 1024, 20),
        (i64::MAX as u64, 1024, 20),
    ] {
        refusal(with(length, piece, hashes));
    }
    assert!(refusal(multi(vec![file(&["a"], i64::MAX as u64), file(&["b"], i64::MAX as u64)], 1)).contains("TiB"));
}

#[test]
fn missing_and_mistyped_fields_are_refused() {
    let good = [("length", i(5)), ("name", s("x")), ("piece length", i(16384)), ("pieces", s([0; 20]))];
    assert!(parse(dict(&good)).is_ok());
    for n in [0, 2, 3] {
        let mut fields = good.to_vec();
        fields.remove(n);
        refusal(dict(&fields));
        let mut fields = good.to_vec();
        fields[n].1 = list([]);
        refusal(dict(&fields));
    }
    refusal(multi(vec![], 1));
    refusal(multi(vec![dict(&[("path", list([s("a")]))])], 5));
    refusal(multi(vec![dict(&[("length", b"i-5e".to_vec()), ("path", list([s("a")]))])], 5));
    refusal(multi(vec![i(5)], 5));
}

#[test]
fn garbage_is_refused_with_a_sentence() {
    for bytes in [
        &b""[..],
        b"<html>",
        b"de",
        b"d4:infoe",
        b"d4:infodee",
        b"d4:infoi5ee",
        b"d4:infod4:name99999999999999999999:ee",
        b"le",
        b"\0\0\0",
    ] {
        let why = Metainfo::from_bytes(bytes).unwrap_err().to_string();
        assert!(!why.is_empty(), "{bytes:?}");
    }
}

#[test]
fn every_truncation_of_a_good_torrent_is_refused() {
    let whole = dict(&[("announce", s("http://a")), ("info", multi(vec![file(&["a"], 5)], 5))]);
    assert!(Metainfo::from_bytes(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(Metainfo::from_bytes(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn deep_nesting_anywhere_is_refused() {
    let deep = [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat();
    assert!(Metainfo::from_bytes(&dict(&[("a", deep.clone()), ("info", single("x", 1))])).is_err());
    let mut info = single("x", 1);
    info.pop();
    info.extend(s("z"));
    info.extend(deep);
    info.push(b'e');
    assert!(refusal(info).contains("nested"));
}

#[test]
fn a_file_beyond_the_limits_of_depth_is_refused() {
    let path = vec!["d"; MAX_PATH_DEPTH + 1];
    assert!(refusal(multi(vec![file(&path, 1)], 1)).contains("folders"));
}

#[test]
fn trackers_beyond_the_limits_are_left_out() {
    let urls: Vec<String> =
        (0..500).map(|n| format!("http://t{n}.example/")).chain(["http://x/".to_owned() + &"y".repeat(3000)]).collect();
    let torrent = Metainfo::from_info(single("x", 1).into(), urls).unwrap();
    assert_eq!(torrent.trackers.len(), MAX_TRACKERS);
}

#[test]
fn a_hundred_thousand_files_are_read_at_once() {
    let files: Vec<_> = (0..100_000).map(|n| file(&[&format!("dir{}", n % 100), &format!("file{n}.bin")], 1)).collect();
    let info = multi(files, 100_000);
    let start = Instant::now();
    let torrent = parse(info).unwrap();
    eprintln!("parse took {:?}", start.elapsed());
    // 0.2 s on two slow cores in the dev profile. The bound allows for a busy machine, but not for
    // quadratic work.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(torrent.files.len(), 100_000);
    assert_eq!(torrent.files[99_999].path, Path::new("show/dir99/file99999.bin"));
}

#[test]
fn a_hundred_thousand_equal_names_cost_no_more() {
    let info = multi((0..100_000).map(|_| file(&["same"], 1)).collect(), 100_000);
    let start = Instant::now();
    let torrent = parse(info).unwrap();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(torrent.files[99_999].path, Path::new("show/same (100000)"));
}

#[test]
fn too_many_files_are_refused() {
    assert!(refusal(multi((0..=MAX_FILES).map(|_| file(&["a"], 1)).collect(), 1)).contains("files"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Metainfo::from_bytes(&bytes);
    }

    #[test]
    fn a_good_torrent_with_some_bytes_changed_never_panics(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = dict(&[("announce", s("http://a")), ("info", multi(vec![file(&["a", "b"], 5), file(&["c"], 70_000)], 70_005))]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(torrent) = Metainfo::from_bytes(&bytes) {
            prop_assert_eq!(torrent.files.iter().map(|f| f.length).sum::<u64>(), torrent.layout.total_bytes());
            prop_assert_eq!(torrent.proof.hashes(), u64::from(torrent.layout.pieces()));
        }
    }
}

#[test]
fn web_seeds_are_kept_whatever_their_form() {
    let with = |url_list: Vec<u8>| {
        let torrent = dict(&[("info", single("film.mkv", 5)), ("url-list", url_list)]);
        Metainfo::from_bytes(&torrent).unwrap()
    };
    let urls = |torrent: &Metainfo| torrent.web_seeds.iter().map(|seed| seed.url.to_string()).collect::<Vec<_>>();
    for (url_list, wanted) in [
        (s("http://h/f"), vec!["http://h/f"]),
        (s(""), vec![]),
        (s("http://a/ http://b/"), vec!["http://a/", "http://b/"]),
        (list([s("http://a/x y"), s("http://b/"), s("ftp://c/"), s("http://b/")]), vec!["http://a/x%20y", "http://b/"]),
        (list([i(5), list([s("http://inner/")]), s("http://a/")]), vec!["http://a/"]),
        (i(5), vec![]),
        (dict(&[("a", s("http://h/"))]), vec![]),
    ] {
        let torrent = with(url_list);
        assert_eq!(urls(&torrent), wanted);
        let again = Metainfo::from_bytes(&torrent.to_torrent_bytes().unwrap()).unwrap();
        assert_eq!(again.web_seeds, torrent.web_seeds);
        assert_eq!(torrent.magnet().servers, again.magnet().servers);
        assert_eq!(torrent.magnet().servers.len(), wanted.len());
    }
    let many = with(list((0..10_000).map(|n| s(format!("http://h{n}/")))));
    assert_eq!(many.web_seeds.len(), MAX_WEB_SEEDS);
    // A stranger's torrent names them as a stranger.
    let named = many.web_seeds.named_by(crate::AddressClass::Global);
    assert!(named.iter().all(|seed| seed.named_by == crate::AddressClass::Global));
    let info_only = Metainfo::from_info(single("film.mkv", 5).into(), Vec::new()).unwrap();
    assert!(info_only.web_seeds.is_empty());
}
