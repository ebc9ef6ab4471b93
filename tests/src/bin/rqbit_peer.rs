//! A peer made of librqbit's session, the engine of rqbit: `rqbit_peer SOURCE DIR LISTEN_IP:PORT
//! [PEER_IP:PORT…]`.
//!
//! Seeds the data in DIR and fetches missing data from these peers and the torrent's trackers.
//! Prints `ready` when it listens and `complete` when it has all data, and runs until its stdin
//! ends.

use anyhow::{Context, Result};
use librqbit::{AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, Session, SessionOptions};
use std::net::SocketAddr;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().context("the first argument is the source")?;
    let dir = PathBuf::from(arguments.next().context("the second argument is the folder")?);
    let listen: SocketAddr = arguments.next().context("the third argument is the address")?.parse()?;
    let peers = arguments.map(|peer| Ok(peer.parse()?)).collect::<Result<Vec<SocketAddr>>>()?;
    tokio::runtime::Runtime::new()?.block_on(run(&source, dir, listen, peers))
}

async fn run(source: &str, dir: PathBuf, listen: SocketAddr, peers: Vec<SocketAddr>) -> Result<()> {
    let options = SessionOptions {
        dht: None,
        disable_local_service_discovery: true,
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: listen,
            ipv4_only: true,
            ..ListenerOptions::default()
        }),
        ..SessionOptions::default()
    };
    let session = Session::new_with_opts(dir, options).await?;
    println!("ready");
    // Without its own output folder, a torrent of several files gets a sub-folder, as with other
    // clients.
    let add = AddTorrentOptions { overwrite: true, initial_peers: Some(peers), ..AddTorrentOptions::default() };
    let added = session.add_torrent(AddTorrent::from_cli_argument(source)?, Some(add)).await?;
    let torrent = added.into_handle().context("a torrent that is not only listed has a handle")?;
    torrent.wait_until_completed().await?;
    println!("complete");
    let mut rest = String::new();
    tokio::task::spawn_blocking(move || std::io::Read::read_to_string(&mut std::io::stdin(), &mut rest)).await??;
    Ok(())
}
