//! `playswarm info`: what is in a torrent.

use crate::ExitCode;
use crate::args::{InfoArgs, NetworkArgs};
use crate::log;
use crate::stop::{self, Stop};
use crate::units::bytes;
use anyhow::Result;
use playswarm::front::natural_order;
use playswarm::torrent::{content_type, is_playable};
use playswarm::{Config, Session, Source, Torrent};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) async fn info(args: &InfoArgs) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let source = Source::parse(&args.source)?;
    let session = Session::new(asking(&source, &args.network)?).await?;
    let described = stop.unless(session.describe(source)).await;
    stop::close(&session).await;
    match described {
        Some(torrent) => {
            let torrent = torrent?;
            log::out(if args.json { as_json(&torrent) } else { as_text(&torrent) }.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        // Asked to end before there was an answer.
        None => Ok(ExitCode::FAILURE),
    }
}

/// Settings to learn what is in a torrent: peers are needed only for what a magnet does not say.
pub(crate) fn asking(source: &Source, network: &NetworkArgs) -> Result<Config> {
    match source {
        Source::Magnet(_) | Source::InfoHash(_) => network.config(),
        _ => Ok(Config::offline(".")),
    }
}

fn as_text(torrent: &Torrent) -> String {
    let mut out = String::new();
    let layout = &torrent.layout;
    let files = natural_order(torrent);
    let _ = writeln!(out, "name       {}", torrent.name);
    let _ = writeln!(out, "info-hash  {}", torrent.info_hash);
    let _ = writeln!(out, "size       {} ({} bytes)", bytes(layout.total_bytes()), layout.total_bytes());
    let _ = writeln!(out, "pieces     {} of {}", layout.pieces(), bytes(layout.piece_bytes().into()));
    let _ = writeln!(out, "private    {}", if torrent.private { "yes" } else { "no" });
    for (i, tracker) in torrent.trackers.iter().enumerate() {
        let _ = writeln!(out, "{:<10} {tracker}", if i == 0 { "trackers" } else { "" });
    }
    let _ = writeln!(out, "files      {} (* can be played)", files.len());
    let width = torrent.files.len().saturating_sub(1).to_string().len().max(3);
    for i in files {
        let file = &torrent.files[i];
        let mark = if is_playable(&file.name) { '*' } else { ' ' };
        let _ = writeln!(out, "{i:>width$} {mark} {:>11}  {}", bytes(file.length).to_string(), file.name);
    }
    out
}

fn as_json(torrent: &Torrent) -> String {
    let files: Vec<_> = natural_order(torrent)
        .into_iter()
        .map(|i| {
            let file = &torrent.files[i];
            json!({
                "index": i,
                "name": file.name,
                "path": file.path,
                "length": file.length,
                "content_type": content_type(&file.name),
                "playable": is_playable(&file.name),
            })
        })
        .collect();
    let all = json!({
        "name": torrent.name,
        "info_hash": torrent.info_hash.to_string(),
        "total_bytes": torrent.layout.total_bytes(),
        "piece_bytes": torrent.layout.piece_bytes(),
        "pieces": torrent.layout.pieces(),
        "private": torrent.private,
        "trackers": torrent.trackers,
        "files": files,
    });
    format!("{all:#}")
}
