//! Live streams that are damaged, begin in the middle, change, or cannot be joined.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::Film;
use common::live::{assert_plays, split, split_as};
use playswarm_media::fuzzing;
use playswarm_media::live::{Splitter, Unsplittable};
use std::sync::atomic::{AtomicUsize, Ordering};

const VIDEO: &str = "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -f lavfi -i sine=f=440:d=6 -shortest";
const AUDIO: &str = "-f lavfi -i sine=f=440:r=48000:d=4 -ac 2";
const X264: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";
const FRAGMENTS: &str = "-movflags frag_keyframe+empty_moov+default_base_moof";

/// Returns a film that was written as a stream, without going back.
fn live(name: &str, recipe: &str) -> Film {
    Film::new(name, &format!("{recipe} -seekable 0"))
}

/// Returns a stream of each container.
fn streams() -> Vec<Film> {
    vec![
        live("hurt.ts", &format!("{VIDEO} {X264} -f mpegts")),
        live("hurt.flv", &format!("{VIDEO} {X264} -f flv")),
        live("hurt.mkv", &format!("{VIDEO} {X264} -f matroska")),
        live("hurt.mp4", &format!("{VIDEO} {X264} {FRAGMENTS} -f mp4")),
        live("hurt.ogg", &format!("{AUDIO} -c:a libopus -page_duration 200000 -f ogg")),
        live("hurt.mp3", &format!("{AUDIO} -c:a libmp3lame -write_xing 0 -f mp3")),
        live("hurt.aac", &format!("{AUDIO} -c:a aac -f adts")),
        live("hurt.flac", &format!("{AUDIO} -c:a flac -f flac")),
    ]
}

#[test]
fn after_bytes_that_are_missing_or_wrong_players_can_begin_again() {
    if !common::ffmpeg() {
        return;
    }
    for film in streams() {
        let stream = film.bytes();
        let whole = split(&stream, 4096).unwrap().players().len();
        let half = stream.len() / 2;
        let hole = [&stream[..half], &stream[half + 2500..]].concat();
        let noise = (0u32..2500).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
        let noise = [&stream[..half], &noise, &stream[half..]].concat();
        for (what, damaged) in [("a hole", hole), ("noise", noise)] {
            let players = split(&damaged, 1000).unwrap().players();
            let what = format!("{} with {what}", film.name);
            assert!(players.len() + 2 >= whole, "{what}: {} of {whole} restart points", players.len());
            assert_plays(&players[players.len() - 1], &what);
        }
    }
}

#[test]
fn streams_that_need_no_beginning_are_joined_anywhere() {
    if !common::ffmpeg() {
        return;
    }
    for (film, content_type) in streams().iter().zip(["video/mp2t", "", "", "", "", "audio/mpeg", "audio/aac; x=y"]) {
        if content_type.is_empty() {
            continue;
        }
        let stream = film.bytes();
        let joined = split_as(Some(content_type), &stream[stream.len() / 3..], 777).unwrap();
        assert_eq!(joined.extension, film.name.rsplit('.').next());
        let players = joined.players();
        assert!(players.len() >= 3, "{}: {} restart points", film.name, players.len());
        assert_plays(&players[0], &film.name);
    }
}

#[test]
fn an_mp4_that_is_complete_only_at_its_end_is_refused_with_the_remedy() {
    if !common::ffmpeg() {
        return;
    }
    for (name, recipe, why) in [
        ("whole.mp4", "-f mp4", Unsplittable::WholeMp4),
        ("front.mp4", "-f mp4 -movflags faststart", Unsplittable::WholeMp4),
        ("not-empty.mp4", "-f mp4 -movflags frag_keyframe", Unsplittable::WholeMp4),
        ("absolute.mp4", "-f mp4 -movflags frag_keyframe+empty_moov", Unsplittable::AbsoluteMp4),
    ] {
        let stream = Film::new(name, &format!("{VIDEO} {X264} {recipe}")).bytes();
        for piece in [1, 4096, stream.len()] {
            assert_eq!(split(&stream, piece).err(), Some(why), "{name}");
        }
        assert!(why.to_string().contains(FRAGMENTS), "{why}");
    }
}

#[test]
fn the_next_link_of_an_ogg_chain_has_its_own_init_bytes() {
    if !common::ffmpeg() {
        return;
    }
    let link = |name: &str, rate: u32, serial: u32| {
        let recipe = format!("-c:a libvorbis -ar {rate} -page_duration 200000 -serial_offset {serial} -f ogg");
        live(name, &format!("{AUDIO} {recipe}")).bytes()
    };
    let (first, second) = (link("first.ogg", 48_000, 1), link("second.ogg", 32_000, 7));
    let chain = split(&[first, second.clone()].concat(), 1000).unwrap();
    let inits: Vec<_> = chain.units.iter().filter_map(|unit| unit.init.clone()).collect();
    assert_eq!(inits.len(), 2);
    assert!(second.starts_with(&inits[1]));
    assert!(chain.joined().ends_with(&second), "players that began before get all of the link");
    let last = chain.players().pop().unwrap();
    assert!(last.starts_with(&inits[1]));
    assert_plays(&last, "the second link");
}

#[test]
fn sequence_headers_that_change_are_init_bytes_from_the_next_keyframe_on() {
    if !common::ffmpeg() {
        return;
    }
    let first = live("first.flv", &format!("{VIDEO} {X264} -f flv")).bytes();
    let second = live("second.flv", &format!("{VIDEO} -s 320x180 {X264} -f flv")).bytes();
    // Players expect no second header.
    let both = split(&[first.clone(), second.clone()].concat(), 1000).unwrap();
    let inits: Vec<_> = both.units.iter().filter_map(|unit| unit.init.clone()).collect();
    assert!(both.joined() == [&first[inits[0].len()..], &second[13..]].concat());
    assert_eq!(inits.len(), 2);
    assert_ne!(inits[0], inits[1]);
    assert_plays(&both.players().pop().unwrap(), "the second part");
}

#[test]
fn tables_with_a_wrong_checksum_are_no_init_bytes() {
    if !common::ffmpeg() {
        return;
    }
    const MAP_PID: u8 = 0x10;
    let mut stream = streams()[0].bytes();
    let half = stream.len() / 2;
    let mut later = stream.chunks_exact_mut(188).skip(half / 188);
    let map = later.find(|packet| packet[1] == 0x40 | MAP_PID && packet[2] == 0).unwrap();
    // The type of the first stream.
    map[17] ^= 1;
    let inits = split(&stream, 1000).unwrap().units.iter().filter(|unit| unit.init.is_some()).count();
    assert_eq!(inits, 1);
}

#[test]
fn mutated_streams_neither_panic_nor_depend_on_the_pieces_in_which_they_come() {
    let seeds: Vec<Vec<u8>> = common::mutate::seeds("live_split").into_iter().map(|(_, stream)| stream).collect();
    assert!(seeds.iter().all(|stream| fuzzing::live_split(stream) > 1));
    let (joined, mutations) = (AtomicUsize::new(0), 10_000);
    common::mutate::each(&seeds, mutations, |_, mutated| {
        joined.fetch_add(usize::from(fuzzing::live_split(mutated) > 1), Ordering::Relaxed);
    });
    let joined = joined.into_inner();
    assert!(joined > mutations / 2, "most mutated streams can still be joined: {joined}");
}

#[test]
fn the_caller_says_where_a_player_can_begin_in_an_opaque_stream() {
    let mut splitter = Splitter::opaque(Some("video/x-raw"));
    splitter.push(&[1; 10]).unwrap();
    splitter.push(&[2; 5000]).unwrap();
    splitter.mark_restart();
    splitter.push(&[3; 10]).unwrap();
    let units: Vec<_> = std::iter::from_fn(|| splitter.poll()).collect();
    let told: Vec<_> = units.iter().map(|unit| (unit.bytes[0], unit.bytes.len(), unit.restart)).collect();
    assert_eq!(told, [(1, 10, true), (2, 4096, false), (2, 904, false), (3, 10, true)]);
    assert!(units[0].init.as_ref().is_some_and(|init| init.is_empty()) && units[3].init.is_none());
    assert_eq!((splitter.content_type(), splitter.extension()), (Some("video/x-raw"), None));
    assert_eq!(splitter.restart_interval_s(), None);
}
