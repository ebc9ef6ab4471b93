//! Live channels between hosts of a shaped network: NAT, and how soon the first packet is here.
#![allow(clippy::unwrap_used)]

use playswarm::live::{CastOptions, ChannelLink, ChannelStatus};
use playswarm::{Config, Session};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::place::Place;
use playswarm_tests::requirement;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longest wait for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);
/// The stream: MP3 of 128 kbit/s.
const BYTES_PER_S: u32 = 16_000;
const FRAME_BYTES: usize = 417;

/// Runs a client at a host, on threads of its own, until it is done.
fn at<T: Send + 'static, F: Future<Output = T>>(
    place: Place,
    run: impl FnOnce() -> F + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        place.run(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(run())
        })
    })
}

async fn session(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path());
    config.listen = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6881)));
    change(&mut config);
    (dir, Session::new(config).await.unwrap())
}

/// Casts at a host until the receiver's sender is dropped. Sends the link first.
fn source(
    net: &Net,
    upload: u64,
    links: mpsc::Sender<ChannelLink>,
    end: mpsc::Receiver<()>,
) -> std::thread::JoinHandle<()> {
    let addr = net.addr("source", 6881);
    at(net.place("source"), move || async move {
        let (_dir, session) = session(|config| config.upload_bytes_per_s = upload).await;
        let mut options = CastOptions::default();
        options.bytes_per_s = BYTES_PER_S;
        let cast = session.cast(options).unwrap();
        let mut frame = [0; FRAME_BYTES];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        (0..80).for_each(|_| cast.push(&frame).unwrap());
        let mut link = ChannelLink::new(cast.key());
        link.at.push(addr.into());
        links.send(link).unwrap();
        while end.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            cast.push(&frame).unwrap();
            sleep(Duration::from_millis(26)).await;
        }
        session.close().await;
    })
}

/// Waits until a viewer's status is as wanted.
async fn until(channel: &playswarm::live::Channel, is: impl Fn(&ChannelStatus) -> bool) -> ChannelStatus {
    let begun = Instant::now();
    loop {
        let status = channel.status();
        if is(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:?}");
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_viewer_behind_nat_feeds_one_that_is_not() {
    if !requirement::network() {
        return;
    }
    let behind = Link { hidden: true, ..Link::default() };
    let net = Net::new(&[("source", Link::default()), ("hidden", behind), ("viewer", Link::default())]);
    let ((to_links, links), (running, end)) = (mpsc::channel(), mpsc::channel());
    // One copy of the stream.
    let cast = source(&net, 28_000, to_links, end);
    let link = links.recv().unwrap();
    let (of_hidden, (fed, is_fed), (done, is_done)) = (link.clone(), mpsc::channel(), mpsc::channel::<()>());
    let hidden = at(net.place("hidden"), move || async move {
        let (_dir, session) = session(|_| {}).await;
        let channel = session.watch(&of_hidden).unwrap();
        until(&channel, |status| status.stripes > 0 && status.fed == status.stripes).await;
        fed.send(()).unwrap();
        while is_done.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    is_fed.recv().unwrap();
    let viewer = at(net.place("viewer"), move || async move {
        let (_dir, session) = session(|_| {}).await;
        let channel = session.watch(&link).unwrap();
        channel.on_air().await.unwrap();
        until(&channel, |status| status.stripes > 0 && status.fed == status.stripes).await
    });
    let status = viewer.join().unwrap();
    drop(done);
    hidden.join().unwrap();
    // The source, and the only other node.
    assert_eq!(status.depth, 2, "{status:?}");
    drop(running);
    cast.join().unwrap();
}

/// Prints how soon the first packet is here, over a round trip of 80 ms.
#[test]
#[ignore = "a measurement, not a check"]
fn the_first_packet_is_here_after_two_round_trips() {
    let far = Link { delay_ms: 20.0, ..Link::default() };
    let net = Net::new(&[("source", far), ("viewer", far)]);
    let ((to_links, links), (running, end)) = (mpsc::channel(), mpsc::channel());
    let cast = source(&net, 0, to_links, end);
    let link = links.recv().unwrap();
    let mut took = Vec::new();
    for _ in 0..30 {
        let link = link.clone();
        let viewer = at(net.place("viewer"), move || async move {
            let (_dir, session) = session(|_| {}).await;
            let begun = Instant::now();
            let channel = session.watch(&link).unwrap();
            until(&channel, |status| status.packets > 0).await;
            let took = begun.elapsed();
            channel.leave().await;
            session.close().await;
            took
        });
        took.push(viewer.join().unwrap());
    }
    took.sort_unstable();
    println!("first packet after {:?} in the median, {:?} at 95 %", took[15], took[28]);
    drop(running);
    cast.join().unwrap();
}
