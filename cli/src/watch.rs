//! `playswarm watch`: joins a live channel, serves its stream to players, and passes it on.

use crate::ExitCode;
use crate::args::{HttpArgs, NetworkArgs, WatchArgs};
use crate::channel::shown_name;
use crate::log;
use crate::player::{self, Player, Show};
use crate::stop::{self, Stop};
use crate::stream::until_the_end;
use crate::units::bit_rate;
use crate::view::{self, View};
use anyhow::{Result, bail};
use playswarm::live::{ArchiveOptions, Channel, ChannelLink, ChannelStatus, channel_link};
use playswarm::{Config, Session, printable};
use playswarm_serve::{ChannelServer, serve_channel};
use std::path::Path;
use std::time::Duration;

/// Longest wait after the end of the stream for players that have not read all of it.
const LAST_READS: Duration = Duration::from_secs(10);
/// Time between looks at them.
const LOOK: Duration = Duration::from_millis(50);

/// Returns the settings of a session for live channels.
pub(crate) fn config(network: &NetworkArgs) -> Result<Config> {
    let mut config = network.config()?;
    // A channel is in memory only.
    (config.read_only, config.seed_in_background) = (true, false);
    Ok(config)
}

pub(crate) async fn watch(args: &WatchArgs, view: view::Options) -> Result<ExitCode> {
    let player = match (&args.player, args.play) {
        (None, false) => None,
        (command, _) => Some(player::chosen(command.as_deref())?),
    };
    let link = channel_link(&args.link)?;
    run(&link, args.archive.as_deref(), &args.http, &args.network, player, view).await
}

/// Watches the channel of a link until stopped, or until the player ends.
pub(crate) async fn run(
    link: &ChannelLink,
    archive: Option<&Path>,
    http: &HttpArgs,
    network: &NetworkArgs,
    player: Option<Player>,
    view: view::Options,
) -> Result<ExitCode> {
    if http.rtsp.is_some() {
        bail!("live channels are served over HTTP only; leave out --rtsp");
    }
    let http = http.config()?;
    let config = config(network)?;
    let mut link = link.clone();
    link.at.extend(config.peers.iter().cloned());
    let mut stop = Stop::new()?;
    let session = Session::new(config).await?;
    let channel = session.watch(&link)?;
    let archiving = archive.map_or(Ok(()), |dir| channel.archive(&ArchiveOptions::new(dir)));
    let serving = async {
        archiving?;
        serve_channel(channel.clone(), &link, http).await
    };
    let done = match serving.await {
        Ok(server) => {
            let done = play(&channel, &server, player, &mut stop, view).await;
            server.stop().await;
            done
        }
        Err(e) => Err(e.into()),
    };
    channel.leave().await;
    drop(channel);
    stop::close(&session).await;
    done
}

async fn play(
    channel: &Channel,
    server: &ChannelServer,
    player: Option<Player>,
    stop: &mut Stop,
    view: view::Options,
) -> Result<ExitCode> {
    let shown = channel.clone();
    let joining = View::of(move || vec![waiting(&shown.status())], view);
    let begun = stop.unless(channel.on_air()).await;
    joining.stop().await;
    let head = match begun {
        None => return Ok(ExitCode::SUCCESS),
        Some(None) => bail!("the stream of this channel has ended"),
        Some(Some(head)) => head,
    };
    if !view.quiet {
        let (name, kind) = (printable::line(shown_name(&head)), printable::line(&head.content_type));
        log::line(&format!("watching {name} ({kind}, {})", bit_rate(head.bytes_per_s.into())));
    }
    log::out(&format!("url: {}", server.url()));
    let shown = channel.clone();
    let status = View::of(move || vec![view::channel(&shown.status())], view);
    let done = match player {
        Some(player) => until_the_end(stop, Some(player), &Show { url: server.url(), ..Show::default() }).await,
        None => {
            let all = async {
                all_was_read(channel).await;
                channel.archived().await;
            };
            if stop.unless(all).await.is_some() && !view.quiet {
                log::line("the stream has ended");
            }
            Ok(ExitCode::SUCCESS)
        }
    };
    status.stop().await;
    done
}

/// Returns once the stream has ended and the players have read it.
async fn all_was_read(channel: &Channel) {
    channel.ended().await;
    let reads = async {
        while channel.status().readers > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    // One that is paused is not waited for.
    let _ = tokio::time::timeout(LAST_READS, reads).await;
}

pub(crate) fn waiting(status: &ChannelStatus) -> String {
    match (status.full_for_s, status.connections, status.addresses) {
        (Some(s), ..) => format!("the channel is full; asking for a place again in {s} s"),
        (None, 0, 0) => "looking for nodes of the channel; no address of one is known yet".to_owned(),
        _ if status.on_air == Some(false) => "the source says that it is off the air; waiting for it".to_owned(),
        (None, 0, known) => {
            format!("looking for nodes of the channel; none of {known} known addresses has answered yet")
        }
        (None, 1, _) => "connected to 1 node of the channel, waiting for the stream".to_owned(),
        (None, n, _) => format!("connected to {n} nodes of the channel, waiting for the stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_is_named_whatever_else_is_known() {
        let mut status = ChannelStatus::default();
        (status.connections, status.addresses) = (3, 5);
        assert_eq!(waiting(&status), "connected to 3 nodes of the channel, waiting for the stream");
        status.full_for_s = Some(4);
        for connections in [0, 1, 3] {
            status.connections = connections;
            assert_eq!(waiting(&status), "the channel is full; asking for a place again in 4 s");
        }
        status.title = Some("One\nTwo".to_owned());
        status.reachable = Some(false);
        let line = view::channel(&status);
        assert!(line.contains("; One") && line.ends_with("; no node can dial this one"), "{line}");
        assert!(!line.contains('\n'), "{line:?}");
    }
}
