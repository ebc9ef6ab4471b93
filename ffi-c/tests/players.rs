//! The players of bindings/, built as their READMEs describe and run against a shaped swarm of
//! libtorrent seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::{build, installed, root, run};
use playswarm_tests::netlab::Link;
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Length of the film in seconds.
const FILM_S: u32 = 60;

/// Makes a film of moving noise, about 3 Mbit/s, with a keyframe every second.
fn make_film(path: &Path) {
    let source = format!("testsrc2=size=640x360:rate=25:duration={FILM_S}");
    let sound = format!("sine=frequency=440:duration={FILM_S}");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source, "-f", "lavfi", "-i", &sound])
        .args(["-vf", "noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"])
        .args(["-b:v", "3M", "-maxrate", "3M", "-bufsize", "3M", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(path));
}

/// A film in a swarm of five home connections of 2 Mbit/s, and a host to watch it on.
struct Stage {
    swarm: Swarm,
    torrent: TestTorrent,
    film: PathBuf,
    folder: tempfile::TempDir,
}

impl Stage {
    /// `None` if a requirement is missing.
    fn new(name: &str) -> Option<Stage> {
        Stage::with(name, &[Link::home(2_000, 20_000, 15.0); 5])
    }

    fn with(name: &str, seeds: &[Link]) -> Option<Stage> {
        let able = requirement::network()
            && requirement::libtorrent()
            && ["ffmpeg", "cmake", "pkg-config"].into_iter().all(requirement::program);
        if !able {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join(name);
        make_film(&film);
        let torrent = TestTorrent::of_file(&film, 256 << 10);
        let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), seeds);
        std::fs::create_dir(folder.path().join("here")).unwrap();
        Some(Stage { swarm, torrent, film, folder })
    }

    /// Returns a command on the viewer's host. It ends after a timeout, finds the library, has no
    /// home folder, and prints all output to stdout.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.swarm.net.place("viewer").command("timeout");
        command.args(["100", "sh", "-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program);
        command.env("LD_LIBRARY_PATH", installed().join("lib")).env("HOME", self.folder.path());
        command
    }

    /// Returns the settings of a session on the viewer's host.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let peers: Vec<String> = self.swarm.addrs().iter().map(ToString::to_string).collect();
        let off = ["dht", "lsd", "trackers", "port_map"].map(|key| (key, "false".to_owned()));
        let mut settings = Vec::from(off);
        settings.push(("dir", self.folder.path().join("here").display().to_string()));
        settings.push(("listen", self.swarm.net.addr("viewer", 6881).to_string()));
        settings.push(("peers", peers.join(",")));
        settings
    }

    fn pairs(&self) -> Vec<String> {
        self.settings().into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A built binding.
fn binding(name: &str) -> PathBuf {
    build(&root().join("bindings").join(name), &format!("binding-{name}"), &[])
}

/// Compares a frame after a seek through the swarm with the same frame of the file.
fn ffmpeg_shows_the_frame(name: &str, seconds: &str) {
    let Some(stage) = Stage::new(name) else { return };
    let program = binding("ffmpeg").join("frame");
    let (swarm, file) = (stage.out("swarm.png"), stage.out("file.png"));
    run(stage.command(&program).args(stage.pairs()).arg(stage.torrent.file()).arg(seconds).arg(&swarm));
    run(stage.command(&program).arg(format!("file:{}", stage.film.display())).arg(seconds).arg(&file));
    let (swarm, file) = (std::fs::read(swarm).unwrap(), std::fs::read(file).unwrap());
    assert!(swarm.len() > 10_000, "a picture of noise is not small");
    assert!(swarm == file, "another picture came from the swarm");
}

/// Options of mpv for playback without output, with warnings.
const HEADLESS: [&str; 5] = ["--vo=null", "--ao=null", "--msg-level=all=warn", "--terminal=yes", "--cache=yes"];

/// Parses the playback positions that it prints, in seconds.
fn played(printed: &str) -> Vec<f64> {
    let steps = printed.lines().filter_map(|line| line.strip_prefix("played to ")?.trim_end().strip_suffix(" s"));
    steps.map(|at| at.parse().unwrap()).collect()
}

/// Checks that it played from the start, and that two seconds after each jump it is two seconds
/// further.
#[track_caller]
fn has_jumped(printed: &str, jumps: &[f64]) {
    let at = played(printed);
    assert_eq!(at.len(), jumps.len() + 1, "{printed}");
    assert!((0.5..5.0).contains(&at[0]), "{printed}");
    for (at, target) in at[1..].iter().zip(jumps) {
        assert!((target + 0.3..target + 5.0).contains(at), "after the jump to {target} s: {printed}");
    }
    // Its later output is about the packet in which it was ended.
    let printed = &printed[..printed.rfind("played to").unwrap()];
    for bad in ["error", "corrupt", "invalid", "failed"] {
        assert!(!printed.to_lowercase().contains(bad), "{printed}");
    }
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Plays a URL with the library's player, with three jumps.
fn mpv_plays(stage: &Stage, url: &str) {
    let mut command = stage.command(binding("mpv").join("player"));
    command.args(HEADLESS).args(["--demuxer-readahead-secs=5", "--demuxer-max-bytes=4MiB"]);
    let output = run(command.args(stage.pairs()).arg(url).args(["40", "10", "50"]));
    println!("{url}:\n{}", text(&output));
    has_jumped(&text(&output), &[40.0, 10.0, 50.0]);
}

mod mpv {
    use super::*;

    #[test]
    fn plays_the_protocol_and_jumps() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        mpv_plays(&stage, &format!("playswarm://{}#film", stage.torrent.file().display()));
    }

    #[test]
    fn plays_a_magnet_link_by_the_protocol_and_jumps() {
        let Some(stage) = Stage::new("film.mp4") else { return };
        mpv_plays(&stage, &format!("playswarm://{}", stage.torrent.magnet(&[], &[])));
    }

    #[test]
    fn says_why_the_protocol_cannot_play() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        let mut command = stage.command(binding("mpv").join("player"));
        command
            .args(HEADLESS)
            .args(stage.pairs())
            .arg(format!("playswarm://{}#trailer", stage.torrent.file().display()));
        let output = command.output().unwrap();
        assert!(!output.status.success() && text(&output).contains("there is no file trailer"), "{}", text(&output));
    }

    /// Returns the seconds from the start of a player until it reports its first frame.
    fn first_frame_s(command: &mut Command) -> f64 {
        let start = std::time::Instant::now();
        let mut player = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(player.stdout.take().unwrap()).lines();
        let mut first = None;
        for line in lines.map_while(Result::ok) {
            if line.contains("first frame") {
                first.get_or_insert(start.elapsed().as_secs_f64());
            }
        }
        assert!(player.wait().unwrap().success());
        first.unwrap()
    }

    #[test]
    #[ignore = "a measurement: run it alone, on an idle machine"]
    fn first_frame_by_the_protocol_and_by_http() {
        // The scenario `residential` of the simulator: ten equal peers of 4 Mbit/s.
        let seeds = [Link::home(4_000, 20_000, 15.0); 10];
        let (mut protocol, mut http) = (Vec::new(), Vec::new());
        let player = binding("mpv").join("player");
        for _ in 0..9 {
            let Some(stage) = Stage::with("film.mkv", &seeds) else { return };
            let mut command = stage.command(&player);
            command.args(HEADLESS).args(stage.pairs()).arg(format!("playswarm://{}", stage.torrent.file().display()));
            // The player ends after its first jump.
            protocol.push(first_frame_s(command.arg("1")));

            let Some(stage) = Stage::with("film.mkv", &seeds) else { return };
            let first =
                r#"mp.register_event("playback-restart", function() print("first frame") mp.commandv("quit") end)"#;
            let mut command = by_the_script(&stage, first);
            http.push(first_frame_s(
                command.args(HEADLESS).arg("--msg-level=all=warn,other=info").arg(stage.torrent.file()),
            ));
        }
        for (name, times) in [("stream_cb", &mut protocol), ("HTTP", &mut http)] {
            times.sort_by(f64::total_cmp);
            println!("first frame through {name}: {:.3} s (median of {times:.3?})", times[times.len() / 2]);
        }
        assert!(protocol[protocol.len() / 2] <= http[http.len() / 2]);
    }

    /// Unmodified mpv with the script and a second one.
    fn by_the_script(stage: &Stage, other: &str) -> Command {
        let script = stage.out("other.lua");
        std::fs::write(&script, other).unwrap();
        let mut args = format!("--dir {} --no-dht --no-lsd --no-port-map", stage.out("here").display());
        args += &format!(" --listen {}", stage.swarm.net.addr("viewer", 6881));
        args.extend(stage.swarm.addrs().iter().map(|addr| format!(" --peer {addr}")));
        let binary = playswarm_tests::playswarm::binary();
        let mut command = stage.command("mpv");
        command.arg("--no-config").arg(format!("--script={}", root().join("bindings/mpv/playswarm.lua").display()));
        command.arg(format!("--script={}", script.display()));
        command.arg(format!("--script-opts=playswarm-binary={},playswarm-args={args}", binary.display()));
        command
    }

    /// A script that seeks three times, two seconds apart, prints the position after each, and
    /// quits.
    const SEEKER: &str = r#"
        local targets, step = {40, 10, 50}, 0
        mp.register_event("file-loaded", function()
            local timer
            timer = mp.add_periodic_timer(2, function()
                print(string.format("played to %.2f s", mp.get_property_number("time-pos") or -1))
                step = step + 1
                if targets[step] then
                    mp.commandv("seek", targets[step], "absolute+exact")
                else
                    timer:kill()
                    mp.commandv("quit", 0)
                end
            end)
        end)
    "#;

    #[test]
    fn plays_a_magnet_link_by_the_script_and_ends_the_program_with_it() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        if !requirement::program("mpv") {
            return;
        }
        let mut command = by_the_script(&stage, SEEKER);
        command.args(["--vo=null", "--ao=null", "--msg-level=all=warn,other=info,playswarm=info"]);
        command.args(["--demuxer-readahead-secs=5", "--demuxer-max-bytes=4MiB"]);
        let output = run(command.arg(stage.torrent.magnet(&[], &[])));
        let printed = text(&output).replace("[other] ", "");
        assert!(printed.contains("[playswarm] plays http://"), "{printed}");
        has_jumped(&printed, &[40.0, 10.0, 50.0]);
        // Its port is free again.
        drop(stage.swarm.net.place("viewer").listen(stage.swarm.net.addr("viewer", 6881)));
    }
}

mod vlc {
    use super::*;

    #[test]
    fn plays_by_its_media_callbacks_and_jumps() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        let mut command = stage.command(binding("vlc").join("player"));
        command.env("PLAYER_VLC_OPTION", "--vout=dummy").args(stage.pairs()).arg(stage.torrent.file());
        let output = run(command.args(["40", "10", "50"]));
        println!("{}", text(&output));
        let at = played(&text(&output));
        assert_eq!(at.len(), 4, "{}", text(&output));
        for (at, from) in at.iter().zip([0.0, 40.0, 10.0, 50.0]) {
            assert!((from + 0.5..from + 6.0).contains(at), "{}", text(&output));
        }
    }

    /// Unmodified VLC with the plug-in: three seconds from the fortieth on.
    fn plays_with_the_plug_in(stage: &Stage, source: &str) {
        // VLC refuses to run as root, so another user must reach its files.
        let anyone = |path: &Path| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        };
        let folder = stage.torrent.file();
        [stage.folder.path(), &stage.out("here"), folder.parent().unwrap()].into_iter().for_each(anyone);
        // The plug-in and the library, at a place that this user can read.
        let plugins = stage.out("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for file in [binding("vlc").join("plugins/libplayswarm_plugin.so"), installed().join("lib/libplayswarm.so.0")] {
            std::fs::copy(&file, plugins.join(file.file_name().unwrap())).unwrap();
        }
        let settings = stage.pairs().join(";");
        let mut command = stage.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"]);
        command.arg(format!("LD_LIBRARY_PATH={}", plugins.display()));
        command.arg(format!("VLC_PLUGIN_PATH={}", plugins.display()));
        command.args(["cvlc", "-vv", "--no-color", "--vout=dummy", "--aout=dummy", "--no-video-title-show"]);
        command.args(["--start-time=40", "--run-time=3", "--play-and-exit"]);
        let output = run(command.arg(format!("--playswarm-settings={settings}")).args([source, "vlc://quit"]));
        let printed = text(&output);
        let seeks = printed.lines().filter(|line| line.contains("playswarm") && line.contains("seek to byte")).count();
        assert!(printed.contains(&format!("plays {source}")) && seeks > 0, "{printed}");
        assert!(printed.contains("Received first picture"), "{printed}");
        let lines = printed.lines().filter(|l| l.contains("playswarm") || l.contains("first picture"));
        println!("{}", lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn plays_a_magnet_link_with_the_plug_in() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        if requirement::program("cvlc") {
            plays_with_the_plug_in(&stage, &stage.torrent.magnet(&[], &[]));
        }
    }

    #[test]
    fn plays_a_torrent_file_with_the_plug_in() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        if requirement::program("cvlc") {
            plays_with_the_plug_in(&stage, stage.torrent.file().to_str().unwrap());
        }
    }
}

mod gstreamer {
    use super::*;

    /// Returns a command for a program of GStreamer that finds the plug-in.
    fn command(stage: &Stage, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = stage.command(program);
        command.env("GST_PLUGIN_PATH", binding("gstreamer").join("plugins"));
        command.env("GST_REGISTRY", stage.out("registry.bin")).env("GST_DEBUG", "*:1,playswarmsrc:5");
        command.env("GST_DEBUG_NO_COLOR", "1");
        command
    }

    #[test]
    fn launches_a_pipeline_that_decodes_every_frame() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        if !requirement::program("gst-launch-1.0") {
            return;
        }
        let frames = stage.out("frames");
        let mut command = command(&stage, "gst-launch-1.0");
        command.args(["-q", "playswarmsrc"]).arg(format!("uri=playswarm://{}", stage.torrent.file().display()));
        command.arg(format!("settings={}", stage.pairs().join(";")));
        // 40 by 10 pixels of grey for each frame.
        command.args("! decodebin ! videoconvert ! videoscale".split(' '));
        command.args("! video/x-raw,format=GRAY8,width=40,height=10 ! filesink".split(' '));
        run(command.arg(format!("location={}", frames.display())));
        assert_eq!(std::fs::metadata(frames).unwrap().len(), u64::from(FILM_S) * 25 * 400);
    }

    fn plays_and_jumps(stage: &Stage, uri: &str) {
        let mut command = command(stage, binding("gstreamer").join("player"));
        command.arg("--headless").arg(stage.pairs().join(";")).arg(uri);
        let output = run(command.args(["40", "10", "50"]));
        let printed = text(&output);
        has_jumped(&printed, &[40.0, 10.0, 50.0]);
        assert!(printed.contains(" plays ") && printed.contains("seek to byte"), "{printed}");
        let lines = printed.lines().filter(|l| l.contains("played") || l.contains("plays"));
        println!("{}", lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn plays_a_torrent_file_in_playbin_and_jumps() {
        let Some(stage) = Stage::new("film.mp4") else { return };
        plays_and_jumps(&stage, &format!("playswarm://{}", stage.torrent.file().display()));
    }

    #[test]
    fn plays_a_magnet_link_in_playbin_and_jumps() {
        let Some(stage) = Stage::new("film.mkv") else { return };
        plays_and_jumps(&stage, &stage.torrent.magnet(&[], &[]));
    }
}

mod ffmpeg {
    #[test]
    fn decodes_the_first_frame_after_a_seek_in_matroska() {
        super::ffmpeg_shows_the_frame("film.mkv", "41.3");
    }

    #[test]
    fn decodes_the_first_frame_after_a_seek_in_mp4_with_its_index_at_the_end() {
        super::ffmpeg_shows_the_frame("film.mp4", "30");
    }
}

/// A live channel of ten seconds on loopback, which ends by itself.
mod channels {
    use super::*;
    use engine::live::CastOptions;
    use engine::{Config, Session};

    /// Length of the stream in tenths of a second.
    const TENTHS: usize = 100;

    /// Runs a program of a binding on this machine, which prints all output to stdout.
    fn command(folder: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["60", "sh", "-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program);
        command.env("LD_LIBRARY_PATH", installed().join("lib")).env("HOME", folder);
        command
    }

    fn settings(folder: &Path, name: &str) -> Vec<String> {
        let off = ["dht", "lsd", "pex", "trackers", "port_map"].map(|key| format!("{key}=false"));
        let dir = folder.join(name);
        [off.to_vec(), vec![format!("dir={}", dir.display()), "listen=127.0.0.1:0".to_owned()]].concat()
    }

    /// Returns a stream of MPEG-TS with a keyframe each second.
    fn stream(folder: &Path) -> Vec<u8> {
        let path = folder.join("stream.ts");
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=10"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"])
            .arg(&path));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn are_played_by_mpv_ffmpeg_and_gstreamer() {
        if !["ffmpeg", "cmake", "pkg-config", "gst-launch-1.0"].into_iter().all(requirement::program) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let film = stream(folder.path());
        let [mpv, ffmpeg, gstreamer] = ["mpv", "ffmpeg", "gstreamer"].map(binding);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = runtime.block_on(Session::new(Config::offline(folder.path()))).unwrap();
        let mut options = CastOptions::default();
        options.bytes_per_s = film.len() as u32 / 10;
        let cast = session.cast(options).unwrap();
        let link = cast.link().to_string();

        let mut player = command(folder.path(), mpv.join("player"));
        player.args(HEADLESS).args(settings(folder.path(), "mpv")).arg(link.replace("playswarm:", "playswarm://"));
        let (picture, frames) = (folder.path().join("frame.png"), folder.path().join("frames"));
        let mut frame = command(folder.path(), ffmpeg.join("frame"));
        frame.args(settings(folder.path(), "ffmpeg")).args([&link, "0"]).arg(&picture);
        let mut launch = command(folder.path(), "gst-launch-1.0");
        launch.env("GST_PLUGIN_PATH", gstreamer.join("plugins")).env("GST_REGISTRY", folder.path().join("registry"));
        launch.args(["-q", "playswarmsrc"]).arg(format!("uri={link}"));
        launch.arg(format!("settings={}", settings(folder.path(), "gstreamer").join(";")));
        launch.args("! decodebin ! videoconvert ! videoscale".split(' '));
        launch.args("! video/x-raw,format=GRAY8,width=40,height=10 ! filesink".split(' '));
        launch.arg(format!("location={}", frames.display()));

        let [played, shown, decoded] = std::thread::scope(|scope| {
            let running = [&mut player, &mut frame, &mut launch].map(|command| scope.spawn(move || run(command)));
            for part in film.chunks(film.len().div_ceil(TENTHS)) {
                cast.push(part).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            cast.end().unwrap();
            running.map(|running| text(&running.join().unwrap()))
        });
        assert!(played.contains("first frame at"), "{played}");
        assert!(shown.contains("mpegts 320x180") && std::fs::read(picture).unwrap().starts_with(b"\x89PNG"), "{shown}");
        // 40 by 10 pixels of grey for each frame; the first seconds may be over before it starts.
        let frames = std::fs::metadata(frames).unwrap().len() / 400;
        assert!((100..=250).contains(&frames), "{frames} frames: {decoded}");
        drop(session);
    }
}
