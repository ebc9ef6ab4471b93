//! `playswarm search`: files that servents of the Gnutella network share.

use crate::ExitCode;
use crate::args::NetworkArgs;
use crate::log;
use crate::stop::{self, Stop};
use crate::units::{bytes, parse_count, parse_wait};
use crate::view::{self, View};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use playswarm::gnutella::{Hit, Kind, Query};
use playswarm::{Config, Session, printable};
use serde_json::json;
use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Examples in the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  playswarm search big buck bunny                 prints a table: number, size, sources, hash and name of each file
  playswarm search 'big buck bunny' --kind video --wait 5
  playswarm play \"$(playswarm search big buck bunny --magnets --limit 1)\"
      plays the first file that is found
  playswarm search big buck bunny --json          prints each file with its link, its sources and its hash
  playswarm search test --gnutella-node 127.0.0.1:6346
      searches a network of your own

Strangers see the words and your address; docs/GNUTELLA.md says more. What is found is checked by its hash when it plays.
Exit code 1: nothing was found.";

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words of the file's name. Strangers see them
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Kind of the file. Default: any
    #[arg(long, value_name = "KIND")]
    kind: Option<KindArg>,
    /// Longest duration of the search. Default: 8
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait)]
    wait: Option<f64>,
    /// Number of files after which the search ends
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "50")]
    limit: usize,
    /// Show files that look like spam as well, and why
    #[arg(long)]
    all: bool,
    /// Print JSON, with the link and the sources of each file
    #[arg(long, conflicts_with = "magnets")]
    json: bool,
    /// Print the links alone, one a line
    #[arg(long)]
    magnets: bool,
    /// Folder in which the hosts of the network are saved for the next time. Default: the folder of `stream`
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    gnutella: GnutellaArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Gnutella")]
pub(crate) struct GnutellaArgs {
    /// Ultrapeer of the Gnutella network to connect to first; may be repeated. The well-known caches of hosts are then not asked
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) gnutella_node: Vec<SocketAddrV4>,
    /// Cache that names ultrapeers, as HOST:PORT (asked by UDP) or a URL, instead of the well-known ones; may be repeated
    #[arg(long, value_name = "HOST:PORT|URL")]
    pub(crate) gnutella_cache: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Video,
    Audio,
}

/// Of commands for which the network is off by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gnutella")]
pub(crate) struct MaybeGnutellaArgs {
    /// Find sources of a file that a SHA-1 names in the Gnutella network. Strangers see the hash, the words of its name, and your address
    #[arg(long)]
    gnutella: bool,
    #[command(flatten)]
    network: GnutellaArgs,
}

impl MaybeGnutellaArgs {
    /// Turns the network on if it is asked for, or if a host or a cache is named.
    pub(crate) fn apply(&self, config: &mut Config) {
        let network = &self.network;
        if self.gnutella || !network.gnutella_node.is_empty() || !network.gnutella_cache.is_empty() {
            network.apply(config);
        }
    }
}

impl GnutellaArgs {
    /// Turns the network on, with these hosts and caches.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.gnutella.enabled = true;
        config.gnutella.hosts.extend(&self.gnutella_node);
        if !self.gnutella_cache.is_empty() {
            config.gnutella.caches.clone_from(&self.gnutella_cache);
        }
    }
}

impl SearchArgs {
    /// Returns the settings: of the networks, only Gnutella is used.
    fn config(&self) -> Result<Config> {
        let mut config = self.network.config()?;
        (config.dht, config.lsd, config.port_map, config.utp) = (false, false, false, false);
        config.seed_in_background = false;
        config.dir = self.dir.clone().unwrap_or(config.dir);
        self.gnutella.apply(&mut config);
        Ok(config)
    }

    fn query(&self) -> Query {
        let mut query = Query::new(self.words.join(" "));
        query.kind = self.kind.map(|kind| match kind {
            KindArg::Video => Kind::Video,
            KindArg::Audio => Kind::Audio,
        });
        query.wait = self.wait.map(Duration::from_secs_f64);
        query.most = self.limit;
        query
    }
}

pub(crate) async fn search(args: &SearchArgs, view: view::Options) -> Result<ExitCode> {
    let config = args.config()?;
    let mut stop = Stop::new()?;
    let session = Session::new(config).await?;
    let done = look(args, &session, view, &mut stop).await;
    stop::close(&session).await;
    let hits = shown(done?, args, |hit| hit.hidden.is_some());
    if args.json {
        log::print(&as_json(&hits))?;
    } else if args.magnets {
        hits.iter().filter_map(Hit::magnet).try_for_each(|link| log::print(&link))?;
    } else if !hits.is_empty() {
        log::print(text(&hits).trim_end())?;
    }
    match hits.is_empty() {
        true => bail!("no file was found; use fewer or other words, or extend the time with --wait SECONDS"),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Returns the files that are printed: the first ones that are not hidden, or all.
fn shown<T>(mut all: Vec<T>, args: &SearchArgs, is_hidden: impl Fn(&T) -> bool) -> Vec<T> {
    if !args.all {
        all.retain(|hit| !is_hidden(hit));
        all.truncate(args.limit);
    }
    all
}

/// Searches until the end, or until the user stops it. Returns the files that were found.
async fn look(args: &SearchArgs, session: &Session, view: view::Options, stop: &mut Stop) -> Result<Vec<Hit>> {
    let search = session.search(args.query())?;
    let found = Arc::new(AtomicUsize::new(0));
    let count = found.clone();
    let line = move || vec![format!("searching: {} files found", count.load(Ordering::Relaxed))];
    let shown = View::lines(line, view);
    let all = async {
        while search.next().await?.is_some() {
            found.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), playswarm::Error>(())
    };
    let ended = stop.unless(all).await;
    shown.stop().await;
    ended.transpose()?;
    Ok(search.hits())
}

fn as_json(hits: &[Hit]) -> String {
    printable::json(&json!({ "hits": hits }).to_string()).into_owned()
}

fn text(hits: &[Hit]) -> String {
    let mut out = String::new();
    for (hit, number) in hits.iter().zip(1..) {
        let (size, sources) = (bytes(hit.size_bytes).to_string(), hit.sources.len());
        let what = if sources == 1 { "source " } else { "sources" };
        let _ = write!(out, "{number:>3} {size:>10} {sources:>3} {what} {:<8} {}", proof(hit), hit.name);
        let _ = match hit.hidden {
            Some(why) => writeln!(out, "  (spam? {why})"),
            None => writeln!(out),
        };
    }
    out
}

/// Returns which hash a file has: one with a tree plays at once.
fn proof(hit: &Hit) -> &'static str {
    match hit.urn.as_deref().unwrap_or_default() {
        urn if urn.starts_with("urn:bitprint:") => "bitprint",
        urn if urn.starts_with("urn:sha1:") => "sha1",
        urn if urn.starts_with("urn:tree:") => "tree",
        _ => "no hash",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parsed(line: &str) -> SearchArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Search(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_options_become_the_query_and_only_gnutella_is_used() {
        let args = parsed(
            "playswarm search big buck bunny --kind video --wait 2.5 --limit 7 --gnutella-node 192.0.2.1:6346 \
             --gnutella-cache cache.example:1 --dir /d",
        );
        let query = args.query();
        assert_eq!((query.words.as_str(), query.kind, query.most), ("big buck bunny", Some(Kind::Video), 7));
        assert_eq!(query.wait, Some(Duration::from_millis(2500)));
        let config = args.config().unwrap();
        assert!(config.gnutella.enabled && !config.dht && !config.lsd && !config.port_map);
        assert_eq!(config.gnutella.hosts, ["192.0.2.1:6346".parse().unwrap()]);
        assert_eq!((config.gnutella.caches, config.dir), (vec!["cache.example:1".to_owned()], "/d".into()));
        assert_eq!(parsed("playswarm search x").query().wait, None);
    }

    #[test]
    fn as_many_files_are_printed_as_were_asked_for_unless_all_are() {
        // Odd ones look like spam.
        let printed = |line| shown((0..10).collect(), &parsed(line), |number| number % 2 == 1);
        assert_eq!(printed("playswarm search x --limit 2"), [0, 2]);
        assert_eq!(printed("playswarm search x --limit 2 --all").len(), 10);
    }

    #[test]
    fn words_are_needed_and_links_are_not_printed_as_json() {
        for line in ["playswarm search", "playswarm search x --json --magnets", "playswarm search x --kind text"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
