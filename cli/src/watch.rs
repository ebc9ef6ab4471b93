//! `playswarm watch`: joins a live channel, serves its stream to players, and passes it on.

use crate::ExitCode;
use crate::args::{HttpArgs, NetworkArgs, WatchArgs};
use crate::log;
use crate::player::{self, Player, Show};
use crate::stop::{self, Stop};
use crate::stream::until_the_end;
use crate::units::bit_rate;
use crate::view::{self, View};
use anyhow::{Result, anyhow, bail};
use playswarm::live::{Channel, ChannelLink, parse_link};
use playswarm::{Session, printable};
use playswarm_serve::{ChannelServer, serve_channel};

pub(crate) async fn watch(args: &WatchArgs, view: view::Options) -> Result<ExitCode> {
    let player = match (&args.player, args.play) {
        (None, false) => None,
        (command, _) => Some(player::chosen(command.as_deref())?),
    };
    let link = parse_link(&args.link)
        .ok_or_else(|| anyhow!("this is no link to a live channel; write one such as playswarm:KEY?at=HOST:PORT"))??;
    run(&link, &args.http, &args.network, player, view).await
}

/// Watches the channel of a link until stopped, or until the player ends.
pub(crate) async fn run(
    link: &ChannelLink,
    http: &HttpArgs,
    network: &NetworkArgs,
    player: Option<Player>,
    view: view::Options,
) -> Result<ExitCode> {
    if http.rtsp.is_some() {
        bail!("live channels are served over HTTP only; leave out --rtsp");
    }
    let http = http.config()?;
    let mut config = network.config()?;
    // A channel is in memory only.
    (config.read_only, config.seed_in_background) = (true, false);
    let mut link = link.clone();
    link.at.extend(config.peers.iter().cloned());
    let mut stop = Stop::new()?;
    let session = Session::new(config).await?;
    let channel = session.watch(&link)?;
    let done = match serve_channel(channel.clone(), &link, http).await {
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
    let joining = View::of(move || vec![waiting(&shown)], view);
    let begun = stop.unless(channel.on_air()).await;
    joining.stop().await;
    let head = match begun {
        None => return Ok(ExitCode::SUCCESS),
        Some(None) => bail!("the stream of this channel has ended"),
        Some(Some(head)) => head,
    };
    if !view.quiet {
        let name = if head.name.is_empty() { "a channel without a name" } else { &head.name };
        let (name, kind) = (printable::line(name), printable::line(&head.content_type));
        log::line(&format!("watching {name} ({kind}, {})", bit_rate(head.bytes_per_s.into())));
    }
    log::out(&format!("url: {}", server.url()));
    let shown = channel.clone();
    let status = View::of(move || vec![place(&shown)], view);
    let done = until_the_end(stop, player, &Show { url: server.url(), ..Show::default() }).await;
    status.stop().await;
    done
}

fn waiting(channel: &Channel) -> String {
    match channel.status().connections {
        0 => "looking for nodes of the channel".to_owned(),
        n => format!("connected to {n} nodes of the channel, waiting for the stream"),
    }
}

fn place(channel: &Channel) -> String {
    let status = channel.status();
    let lost = if status.lost > 0 { format!("; {} groups lost", status.lost) } else { String::new() };
    format!(
        "{} of {} stripes at depth {}; {} passed on, {} connections{lost}",
        status.fed, status.stripes, status.depth, status.children, status.connections
    )
}
