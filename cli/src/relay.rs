//! `playswarm relay`: passes live channels on, without a player.

use crate::ExitCode;
use crate::args::NetworkArgs;
use crate::channel::shown_name;
use crate::log;
use crate::stop::{self, Stop};
use crate::view::{self, View};
use crate::watch;
use anyhow::Result;
use clap::Args;
use playswarm::live::{Channel, channel_link};
use playswarm::{Session, printable};
use tokio::task::JoinSet;

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Links to channels: playswarm:KEY?at=HOST:PORT, or magnet:?xt=urn:psl:KEY
    #[arg(required = true, value_name = "LINK")]
    pub(crate) links: Vec<String>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

pub(crate) async fn relay(args: &RelayArgs, view: view::Options) -> Result<ExitCode> {
    let mut links = args.links.iter().map(|link| channel_link(link)).collect::<Result<Vec<_>, _>>()?;
    let config = watch::config(&args.network)?;
    links.iter_mut().for_each(|link| link.at.extend(config.peers.iter().cloned()));
    let mut stop = Stop::new()?;
    let session = Session::new(config).await?;
    let joined = links.iter().map(|link| session.watch(link)).collect::<Result<Vec<_>, _>>();
    let done = match joined {
        Ok(channels) => {
            run(&channels, &mut stop, view).await;
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => Err(e.into()),
    };
    stop::close(&session).await;
    done
}

/// Passes the channels on until all their streams have ended, or the program is stopped.
async fn run(channels: &[Channel], stop: &mut Stop, view: view::Options) {
    let shown = channels.to_vec();
    let status = View::of(move || shown.iter().flat_map(lines).collect(), view);
    let ended = async {
        for channel in channels {
            channel.ended().await;
        }
    };
    let all = stop.unless(ended).await;
    status.stop().await;
    if all.is_some() && !view.quiet {
        log::line(if channels.len() == 1 { "the stream has ended" } else { "all streams have ended" });
    }
    let mut leaving = JoinSet::new();
    for channel in channels {
        let channel = channel.clone();
        leaving.spawn(async move { channel.leave().await });
    }
    leaving.join_all().await;
}

fn lines(channel: &Channel) -> Vec<String> {
    let status = channel.status();
    match channel.head() {
        Some(head) => {
            let name = printable::line(shown_name(&head)).into_owned();
            vec![format!("{name}: {}", view::channel(&status))]
        }
        None => vec![format!("{}: {}", channel.key(), watch::waiting(&status))],
    }
}
