//! The players of bindings/, built as their READMEs say and run against a shaped swarm of libtorrent seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::{build, installed, root, run};
use playswarm_tests::netlab::Link;
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds that the film lasts.
const FILM_S: u32 = 60;

/// A film of moving noise, about 3 Mbit/s, a keyframe each second.
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
    /// `None` where the machine lacks something.
    fn new(name: &str) -> Option<Stage> {
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
        let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &[Link::home(2_000, 20_000, 15.0); 5]);
        std::fs::create_dir(folder.path().join("here")).unwrap();
        Some(Stage { swarm, torrent, film, folder })
    }

    /// A program on the viewer's host that ends after a while in any case, finds the library, and has no home.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.swarm.net.place("viewer").command("timeout");
        command.arg("100").arg(program).env("LD_LIBRARY_PATH", installed().join("lib")).env("HOME", self.folder.path());
        command
    }

    /// What a session on the viewer's host is told.
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

/// A binding, built.
fn binding(name: &str) -> PathBuf {
    build(&root().join("bindings").join(name), &format!("binding-{name}"), &[])
}

/// A frame after a seek, through the swarm and from the file: the same picture.
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
