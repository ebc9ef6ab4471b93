//! Passes a film's subtitles to its player without delaying the film.
//!
//! Players load all subtitles from their command line before they show a picture, and wait for
//! those that no peer has. mpv therefore gets a script that adds each subtitle once it is
//! available. VLC cannot add one later. It gets URLs that are refused at once if no peer has the
//! file; in total they delay it by at most a second.

use crate::player::Show;
use anyhow::{Context, Result};
use playswarm::TorrentHandle;
use playswarm::metainfo::{Sidecars, Subtitle};
use playswarm_serve::Server;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use tokio::task::JoinHandle;

const SCRIPT: &str = include_str!("subtitles.lua");

/// The transfer of a film's subtitles to a player. Dropping it cancels the transfer.
pub(crate) struct Handover {
    /// Holds the script and the list that it reads.
    _folder: tempfile::TempDir,
    fetching: JoinHandle<()>,
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

/// A subtitle in the script's list.
struct Line {
    file: usize,
    text: String,
}

impl Handover {
    /// Starts to fetch the subtitles of a film, and adds them to `show`. Returns `None` if there
    /// are none.
    pub(crate) fn begin(
        media: &TorrentHandle,
        server: &Server,
        film: usize,
        show: &mut Show,
    ) -> Result<Option<Handover>> {
        let beside = Sidecars::new(media.metainfo());
        let subtitles = beside.subtitles(film);
        if subtitles.is_empty() {
            return Ok(None);
        }
        let lines = subtitles.iter().enumerate().map(|(place, s)| {
            let url = server.subtitle_url(s.file);
            show.subtitles.push(url.clone());
            Line { file: s.file, text: line(place, &url, s) }
        });
        let lines: Vec<Line> = lines.collect();
        let folder = tempfile::Builder::new().prefix("playswarm-play-").tempdir();
        let folder = folder.context("cannot create a temporary folder for subtitles")?;
        let (list, script) = (folder.path().join("subtitles"), folder.path().join("playswarm.lua"));
        let written = File::create(&list).and_then(|_| std::fs::write(&script, script_for(&list)));
        written.context("cannot write the list of subtitles for the player")?;
        show.subtitle_script = Some(script);
        let fetching = tokio::spawn(fetch(media, film, lines, list));
        Ok(Some(Handover { _folder: folder, fetching }))
    }
}

/// Appends each subtitle to the list once it is available, and ends the list. Does not keep the
/// torrent open.
fn fetch(
    media: &TorrentHandle,
    film: usize,
    lines: Vec<Line>,
    list: PathBuf,
) -> impl Future<Output = ()> + Send + use<> {
    let append = move |text: &str| {
        let written = OpenOptions::new().append(true).open(&list).and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(e) = written {
            tracing::debug!(error = %e, "a subtitle could not be added to the player");
        }
    };
    let also = append.clone();
    let fetched = media.fetch_subtitles(film, move |file| {
        tracing::debug!(file, "a subtitle was added");
        lines.iter().filter(|line| line.file == file).for_each(|line| append(&line.text));
    });
    async move {
        fetched.await;
        also("end\n");
    }
}

fn line(place: usize, url: &str, subtitle: &Subtitle) -> String {
    let language = subtitle.language.as_deref().unwrap_or_default();
    let title: String = subtitle.title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{place}\t{url}\t{language}\t{title}\n")
}

/// Returns the script with the path of its list, as a Lua string in which every byte is a number.
fn script_for(list: &std::path::Path) -> String {
    let mut path = String::from("\"");
    for byte in list.as_os_str().as_encoded_bytes() {
        let _ = write!(path, "\\{byte:03}");
    }
    path.push('"');
    SCRIPT.replacen("LIST", &path, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_stays_one_line_and_a_path_stays_one_string() {
        let mut subtitle = Subtitle::default();
        subtitle.language = Some("pt-BR".into());
        subtitle.title = "a\n7\thttp://x".into();
        assert_eq!(line(2, "http://u", &subtitle), "2\thttp://u\tpt-BR\ta 7 http://x\n");
        let script = script_for(std::path::Path::new("/a\"b"));
        assert!(script.contains("local list = \"\\047\\097\\034\\098\"\n"), "{script}");
    }
}
