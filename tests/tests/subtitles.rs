//! Subtitles beside a film in a real swarm: mpv shows the film first, and soon after has each
//! subtitle that a peer has.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const PIECE: u64 = 32 << 10;
const SUBTITLES: usize = 40;
/// First subtitle that no peer has.
const MISSING: usize = 20;

/// A script for mpv. It prints when the first picture is shown. It quits once there are enough
/// subtitles and the first by name is shown, as in players that know all from the start.
const WATCHER: &str = r#"
local enough = tonumber(mp.get_opt("enough"))
local seen = false
mp.register_event("playback-restart", function()
    if seen then return end
    seen = true
    print("PICTURE")
    mp.add_periodic_timer(0.25, function()
        local names = {}
        local shown = "none"
        for _, track in ipairs(mp.get_property_native("track-list")) do
            if track.type == "sub" then
                names[#names + 1] = track.title
                if track.selected then shown = track.title end
            end
        end
        if #names >= enough and shown == "film.v00.srt" then
            print("SUBTITLES " .. #names .. " SHOWN " .. shown .. " AT " .. mp.get_property("time-pos"))
            mp.commandv("quit", 0)
        end
    end)
end)
"#;

#[test]
fn mpv_shows_the_film_before_any_subtitle_and_gets_those_that_a_peer_has() {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") || !requirement::program("mpv") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("Film");
    std::fs::create_dir_all(folder.join("Subs")).unwrap();
    film(&folder, "film.mkv", 60, 1_000_000);
    let mut names = vec!["film.mkv".to_owned()];
    for n in 0..SUBTITLES {
        let mut text = String::new();
        for cue in 0..600 {
            let _ =
                write!(text, "{cue}\n00:{:02}:{:02},000 --> 00:59:59,000\nline {cue} of {n}\n\n", cue / 60, cue % 60);
        }
        names.push(format!("Subs/film.v{n:02}.srt"));
        std::fs::write(folder.join(names.last().unwrap()), text).unwrap();
    }
    let torrent = TestTorrent::of_files(&folder, &names, PIECE);
    let before: u64 = names[..=MISSING].iter().map(|name| std::fs::metadata(folder.join(name)).unwrap().len()).sum();
    let last = u32::try_from(before / PIECE).unwrap() - 1;
    let here = MISSING - 2;
    let seed = libtorrent::seed_with(&torrent, &torrent.file(), &libtorrent::Options::default(), &[(0, last)]);
    let script = scratch.path().join("watcher.lua");
    std::fs::write(&script, WATCHER).unwrap();
    let player = format!(
        "mpv --no-config --vo=null --ao=null --msg-level=all=error,watcher=info --script={} --script-opts=enough={here}",
        script.display()
    );
    let mut playswarm = Builder::play(torrent.file(), &player).peers([seed.addr]).start();
    let begun = Instant::now();
    // The player prints to standard error.
    let seen = |playswarm: &Playswarm| playswarm.process.stderr().iter().any(|line| line.contains("PICTURE"));
    while !seen(&playswarm) {
        assert!(begun.elapsed() < Duration::from_secs(20), "no picture: {:?}", playswarm.process.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("the first picture came after {:?}", begun.elapsed());
    let status = playswarm.process.wait(Duration::from_secs(60));
    let log = [playswarm.process.stdout(), playswarm.process.stderr()].concat();
    assert!(status.success(), "{status}: {log:?}");
    let printed = log.iter().find(|line| line.contains("SUBTITLES ")).unwrap();
    println!("{printed}, {:?} after the start", begun.elapsed());
}
