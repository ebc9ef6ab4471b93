//! The archive of a live channel between sessions on one machine: real FFmpeg makes and plays it,
//! and a real libtorrent downloads from a viewer.
#![allow(clippy::unwrap_used)]

use playswarm::live::{ArchiveOptions, Cast, CastOptions, Channel, ChannelLink};
use playswarm::{Config, ErrorKind, Metainfo, PeerAddress, Session, Source};
use playswarm_tests::peers::libtorrent;
use playswarm_tests::requirement;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Returns ten seconds of MPEG-TS with a keyframe twice a second.
fn film(dir: &Path) -> Vec<u8> {
    let path = dir.join("film.ts");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-f", "lavfi", "-i", "sine", "-t", "10"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-b:v", "800k", "-c:a", "aac", "-f", "mpegts"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg must be there").success());
    std::fs::read(path).unwrap()
}

async fn session() -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path().join("session"));
    // As the program does.
    config.read_only = true;
    (dir, Session::new(config).await.unwrap())
}

fn every_two_seconds(dir: &Path) -> ArchiveOptions {
    let mut options = ArchiveOptions::new(dir);
    options.seconds = 2;
    options
}

fn cast(source: &Session, dir: &Path, name: &str, content_type: Option<&str>) -> (Cast, ChannelLink) {
    let mut options = CastOptions::default();
    (options.name, options.bytes_per_s) = (name.to_owned(), 400_000);
    options.content_type = content_type.map(str::to_owned);
    options.archive = Some(every_two_seconds(dir));
    let cast = source.cast(options).unwrap();
    let mut link = ChannelLink::new(cast.key());
    link.at = source.listen_addr().into_iter().map(PeerAddress::from).collect();
    (cast, link)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), waited).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// Returns MP3 frames without sound: a player can begin with each.
fn sound(frames: u32) -> Vec<u8> {
    let frame = |n: u32| {
        let payload = (4..417).map(move |i| (n.wrapping_mul(31) + i * 7) as u8 & 0x7f);
        [0xff, 0xfb, 0x90, 0x00].into_iter().chain(payload)
    };
    (0..frames).flat_map(frame).collect()
}

/// Pushes bytes, evenly within this time.
async fn push(cast: &Cast, bytes: &[u8], seconds: f64) {
    const PARTS: usize = 50;
    for part in bytes.chunks(bytes.len().div_ceil(PARTS)) {
        cast.push(part).unwrap();
        tokio::time::sleep(Duration::from_secs_f64(seconds / PARTS as f64)).await;
    }
}

/// Returns the visible files below a folder, by their paths in it.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// Asserts that FFmpeg plays this without a word.
fn plays(input: &[&str], from: &Path) {
    let played = Command::new("ffmpeg")
        .current_dir(from)
        .args(["-v", "error"])
        .args(input)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(
        played.status.success() && played.stderr.is_empty(),
        "{input:?}: {}",
        String::from_utf8_lossy(&played.stderr)
    );
}

/// Returns what a real libtorrent downloads from this peer.
async fn downloaded(magnet: String, from: SocketAddr) -> Vec<(PathBuf, Vec<u8>)> {
    let download = move || {
        let mut peer = libtorrent::leech_magnet(&magnet, &libtorrent::Options::default());
        peer.connect(from);
        playswarm_tests::wait_for("libtorrent has the minute", Duration::from_secs(40), || {
            // In this order: it may become whole in between.
            let is_whole = peer.figure("progress") >= 1.0;
            let found = files(&peer.dir);
            (is_whole && !found.is_empty()).then_some(found)
        })
    };
    tokio::task::spawn_blocking(download).await.unwrap()
}

fn is_torrent(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "torrent")
}

#[tokio::test(flavor = "multi_thread")]
async fn source_and_viewers_make_the_same_files_and_any_client_downloads_them_after_the_source_has_gone() {
    if !requirement::program("ffmpeg") || !requirement::libtorrent() {
        return;
    }
    let films = tempfile::tempdir().unwrap();
    let film = film(films.path());
    let ((a, source), (b, early), (c, late)) = (session().await, session().await, session().await);
    let (cast, link) = cast(&source, &a.path().join("archive"), "../Night: 1", None);
    let (here, there) = (b.path().join("archive"), c.path().join("archive"));
    let watch = |viewer: &Session, dir: &Path| {
        let channel: Channel = viewer.watch(&link).unwrap();
        channel.archive(&ArchiveOptions::new(dir)).unwrap();
        channel
    };
    let first = watch(&early, &here);
    assert_eq!(first.archive(&ArchiveOptions::new(&here)).unwrap_err().kind(), ErrorKind::BadArgument);
    until("the viewer is fed", || first.status().fed > 0).await;
    push(&cast, &film[..film.len() / 2], 4.0).await;
    until("a minute", || cast.status().archived > Some(0)).await;
    let second = watch(&late, &there);
    until("the late viewer is fed", || second.status().fed > 0).await;
    push(&cast, &film[film.len() / 2..], 4.0).await;
    cast.end().unwrap();
    let all = async { tokio::join!(cast.archived(), first.archived(), second.archived()) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the archives are complete");

    for (who, status) in [("source", cast.status()), ("early", first.status()), ("late", second.status())] {
        assert_eq!(status.trouble, None, "{who}: {status:?}");
        assert!(status.archived == Some(status.minutes) && status.minutes >= 3, "{who}: {status:?}");
    }
    let made = files(&a.path().join("archive"));
    let (torrents, minutes): (Vec<_>, Vec<_>) = made.iter().cloned().partition(|(path, _)| is_torrent(path));
    assert_eq!(
        (torrents.len(), minutes.len()),
        (1, cast.status().minutes),
        "{:?}",
        made.iter().map(|m| &m.0).collect::<Vec<_>>()
    );
    for (dir, who) in [(&here, "early"), (&there, "late")] {
        let theirs = files(dir);
        let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&theirs), names(&made), "{who}");
        for ((path, theirs), (_, made)) in theirs.iter().zip(&made) {
            let differs = theirs.iter().zip(made).position(|(a, b)| a != b);
            assert!(
                theirs == made,
                "{who}: {path:?} has {} of {} bytes, other from {differs:?}",
                theirs.len(),
                made.len()
            );
        }
    }

    // Each minute plays alone, and all of them in a row.
    let dir = a.path().join("archive");
    let names: Vec<&str> = minutes.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    names.iter().for_each(|name| plays(&["-f", "mpegts", "-i", &format!("file:{name}")], &dir));
    let joined: Vec<u8> = minutes.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    std::fs::write(films.path().join("joined.ts"), &joined).unwrap();
    plays(&["-i", "joined.ts"], films.path());
    let whole = Metainfo::from_bytes(&torrents[0].1).unwrap();
    assert_eq!((whole.files.len(), whole.total_bytes()), (minutes.len(), joined.len() as u64));
    assert!(whole.files.iter().all(|file| names.contains(&file.path.to_str().unwrap())));

    // The source goes, and a client of another make downloads a minute from a viewer.
    let announced = first.minutes();
    assert_eq!(announced[0].bytes, minutes[0].1.len() as u64);
    drop(cast);
    source.close().await;
    let downloaded = downloaded(announced[0].magnet.clone(), early.listen_addr().unwrap()).await;
    assert!(downloaded[0].1 == minutes[0].1, "libtorrent has another file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_with_a_gap_downloads_only_what_it_lacks_and_files_of_others_stay() {
    let ((a, source), (b, viewer)) = (session().await, session().await);
    let (cast, link) = cast(&source, &a.path().join("archive"), "Gap", None);
    let stream = sound(5000);
    push(&cast, &stream[..1_000_000], 1.5).await;
    // It comes within the first minute, and receives its end.
    let channel = viewer.watch(&link).unwrap();
    let dir = b.path().join("archive");
    channel.archive(&ArchiveOptions::new(&dir)).unwrap();
    until("the viewer is fed", || channel.status().fed > 0).await;
    push(&cast, &stream[1_000_000..], 4.0).await;
    until("a minute", || !channel.minutes().is_empty()).await;
    let until_kept = || channel.status().archived > Some(0);
    until("the first minute is complete", until_kept).await;
    let minute = channel.minutes()[0].clone();
    let torrent = viewer.open(Source::parse(&minute.magnet).unwrap()).await.unwrap();
    let fetched = torrent.status().downloaded_bytes;
    assert!((1..minute.bytes - 200_000).contains(&fetched), "{fetched} of {} bytes were downloaded", minute.bytes);
    drop(torrent);
    let folder = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let torrent = dir.join(format!("{}.torrent", folder.file_name().unwrap().to_str().unwrap()));
    std::fs::write(&torrent, "the user's own").unwrap();
    cast.end().unwrap();
    tokio::time::timeout(Duration::from_secs(40), async { tokio::join!(cast.archived(), channel.archived()) })
        .await
        .expect("the archives are complete");
    assert_eq!((channel.status().trouble, cast.status().trouble), (None, None));
    assert_eq!(std::fs::read_to_string(&torrent).unwrap(), "the user's own");
    let of = |dir: &Path| files(dir).into_iter().filter(|(path, _)| !is_torrent(path)).collect::<Vec<_>>();
    let made = of(&a.path().join("archive"));
    assert!(of(&dir) == made, "the viewer has other bytes");
    assert_eq!(made.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), stream.len());
    assert_eq!(files(&dir).iter().filter(|(path, _)| is_torrent(path)).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_goes_on_if_the_archive_cannot() {
    let ((_a, source), (_b, viewer)) = (session().await, session().await);
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().to_str().unwrap().to_owned();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none", &small]).output().unwrap();
    if !mounted.status.success() && requirement::missing("cannot mount a tmpfs") {
        return;
    }
    let (cast, link) = cast(&source, folder.path(), "Full", Some("application/x-test"));
    let channel = viewer.watch(&link).unwrap();
    // Its folder is a file.
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    channel.archive(&ArchiveOptions::new(&file)).unwrap();
    until("the viewer is fed", || channel.status().fed > 0).await;
    let mut stream = channel.stream();
    let read = tokio::spawn(async move {
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await.map(|_| all)
    });
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7 * 31 + i / 65_536) as u8).collect();
    push(&cast, &bytes, 3.0).await;
    cast.end().unwrap();
    let all = tokio::time::timeout(Duration::from_secs(40), read).await.expect("the stream ends").unwrap().unwrap();
    assert!(all == bytes, "the viewer has another stream");
    let (source_says, viewer_says) = (cast.status().trouble.unwrap(), channel.status().trouble.unwrap());
    assert!(source_says.starts_with("the archive is incomplete: ") && source_says.contains("space"), "{source_says}");
    assert!(viewer_says.starts_with("the archive is incomplete: "), "{viewer_says}");
    tokio::time::timeout(Duration::from_secs(40), cast.archived()).await.expect("nothing more is expected");
    drop((cast, channel));
    source.close().await;
    viewer.close().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
    let unmounted = Command::new("umount").args(["-l", &small]).status().unwrap();
    assert!(unmounted.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_duration_of_a_file_has_bounds() {
    let (a, source) = session().await;
    for seconds in [0, 1, 121] {
        let mut options = CastOptions::default();
        let mut archive = ArchiveOptions::new(a.path());
        archive.seconds = seconds;
        options.archive = Some(archive);
        assert_eq!(source.cast(options).err().unwrap().kind(), ErrorKind::BadConfig, "{seconds}");
    }
}
