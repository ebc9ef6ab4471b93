//! A lookup in the DHT, as its reader sees it.

use super::service::Service;
use playswarm_logic::gnutella::dht::{End, Found, LookupKey};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the service passes on of a lookup.
#[derive(Debug)]
pub(super) enum Event {
    Found(Found),
    Ended(End),
}

/// A lookup of the servents that have a file. Dropping it ends it.
pub(crate) struct Lookup {
    service: Arc<Service>,
    key: LookupKey,
    /// The machine bounds the events: it sends few datagrams, and an answer has few values.
    events: mpsc::UnboundedReceiver<Event>,
    end: Option<End>,
}

impl Lookup {
    pub(super) fn new(service: Arc<Service>, key: LookupKey, events: mpsc::UnboundedReceiver<Event>) -> Lookup {
        Lookup { service, key, events, end: None }
    }

    /// Returns the next thing that was found; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Found> {
        match self.events.recv().await? {
            Event::Found(found) => Some(found),
            Event::Ended(end) => {
                self.end = Some(end);
                None
            }
        }
    }

    /// Returns why it has ended. `None` before its end, and if the session was closed.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.service.forget_lookup(self.key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Lookups among real nodes: those of the test servent, on loopback.

    use super::*;
    use crate::{Config, Session};
    use data_encoding::BASE32_NOPAD;
    use playswarm_proto::gnutella::Guid;
    use playswarm_proto::sha1::Digest;
    use playswarm_tests::peers::fresh_ip;
    use playswarm_tests::peers::servent::{Options, Servent};
    use playswarm_tests::place::Place;
    use playswarm_tests::requirement;
    use std::net::{SocketAddr, SocketAddrV4};
    use std::time::{Duration, Instant};
    use tokio::time::timeout;

    /// Longest wait for the end of a lookup.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// Files of the network.
    const FILES: usize = 10;

    /// Twenty nodes. One has files, stored at all; another came later, so that a lookup that begins
    /// with it takes a second step.
    struct Network {
        holder: Servent,
        late: Servent,
        _folder: tempfile::TempDir,
    }

    impl Network {
        fn start() -> Option<Network> {
            if !requirement::libtorrent() || !requirement::program("rhash") {
                return None;
            }
            let folder = tempfile::tempdir().unwrap();
            for n in 0..FILES {
                std::fs::write(folder.path().join(format!("quiet film {n}.mp4")), vec![n as u8; 2000]).unwrap();
            }
            let share = vec![folder.path().to_owned()];
            let holder = published(&Options { share, dht_crowd: 18, ..options() });
            let late = published(&Options { dht: vec![holder.addr], ..options() });
            Some(Network { holder, late, _folder: folder })
        }

        fn file(&self, n: usize) -> Digest {
            BASE32_NOPAD.decode(self.holder.files[n % FILES].sha1.as_bytes()).unwrap().try_into().unwrap()
        }
    }

    fn options() -> Options {
        Options::ultrapeer(&Place::Here, SocketAddr::new(fresh_ip().into(), 0))
    }

    /// Starts a servent that joins the network, and waits until it has.
    fn published(options: &Options) -> Servent {
        let mut servent = Servent::start(options);
        servent.published();
        servent
    }

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        let SocketAddr::V4(v4) = address else { panic!("{address}") };
        v4
    }

    /// Returns all that a lookup finds, and why it ends.
    async fn all(mut lookup: Lookup) -> (Vec<Found>, Option<End>) {
        let mut all = Vec::new();
        while let Some(found) = timeout(PATIENCE, lookup.next()).await.expect("an end") {
            all.push(found);
        }
        (all, lookup.end())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_is_found_by_its_sha1_among_twenty_nodes_from_one_of_them() {
        let Some(network) = Network::start() else { return };
        let guid = Guid::from_hex(&network.holder.guid).unwrap();
        let mut times = Vec::new();
        for n in 0..FILES {
            // A new session each time, which knows one node.
            let dir = tempfile::tempdir().unwrap();
            let mut config = Config::offline(dir.path());
            (config.gnutella.enabled, config.gnutella.hosts) = (true, vec![v4(network.late.addr)]);
            let session = Session::new(config).await.unwrap();
            let begun = Instant::now();
            let mut lookup = session.gnutella().unwrap().lookup(network.file(n));
            let first = timeout(PATIENCE, lookup.next()).await.unwrap();
            times.push(begun.elapsed().as_secs_f64());
            let Some(Found::Source { servent, address, size, tiger, is_partial }) = first else {
                panic!("{n}: {first:?}, {:?}", lookup.end())
            };
            assert_eq!((servent, address, size), (guid, Some(v4(network.holder.addr)), Some(2000)));
            assert!(tiger.is_some() && !is_partial);
            assert_eq!(all(lookup).await, (vec![], Some(End::Enough)));
            if n == 0 {
                let nothing = all(session.gnutella().unwrap().lookup([7; 20])).await;
                assert_eq!(nothing, (vec![], Some(End::AllAsked)));
                // One that goes on when the session is closed ends.
                let last = session.gnutella().unwrap().lookup([8; 20]);
                session.close().await;
                assert_eq!(all(last).await, (vec![], None));
            }
        }
        times.sort_by(f64::total_cmp);
        println!("lookups: median {:.3} s, longest {:.3} s", times[FILES / 2], times[FILES - 1]);
    }
}
