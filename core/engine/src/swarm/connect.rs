//! New connections: dialled, or accepted by the listener.

use crate::swarm::driver::Swarm;
use crate::swarm::handshake::HandshakeError;
use crate::swarm::link::{Link, Via};
use crate::swarm::links::Tasks;
use crate::swarm::transport::{ConnectError, Manner};
use playswarm_logic::torrent::{Admission, Connection, Dial, Input, Origin};
use std::net::SocketAddr;
use std::sync::Arc;

impl Swarm {
    /// Dials an address for the torrent and reports the result.
    pub(super) async fn connect(self: Arc<Self>, dial: Dial) {
        let Dial { addr, origin, patient } = dial;
        let manner = Manner { patient, ..Manner::default() };
        let words = || self.look(|torrent, _| torrent.greeting());
        let dialled = tokio::select! {
            () = self.cancel.cancelled() => return,
            r = self.transport.connect(addr, self.info_hash, &words, manner) => r,
        };
        match dialled {
            Ok(link) => self.adopt(link, addr, origin),
            Err(e) => {
                tracing::debug!(%addr, "cannot connect: {e}");
                let ourselves = matches!(e, ConnectError::Handshake(HandshakeError::Ourselves));
                self.tell(Input::DialFailed { dial, ourselves });
            }
        }
    }

    /// Passes a connection to the torrent. `addr` is the address at which the peer can be dialled,
    /// if known.
    pub(super) fn adopt(&self, link: Link, addr: SocketAddr, origin: Origin) {
        let Some(swarm) = self.this.upgrade().filter(|_| !self.cancel.is_cancelled()) else { return };
        let connection = Connection {
            addr,
            origin,
            remote: link.remote,
            peer_id: link.peer_id,
            reserved: link.reserved,
            incoming: link.incoming,
            utp: link.via == Via::Utp,
            rtt: link.rtt,
            told: link.told.clone(),
        };
        let (handle, tasks) = Tasks::new(link, &self.cancel);
        let admission = self.enter_with(
            |torrent, now| torrent.connect(now, &connection),
            |links, admission| {
                if let Admission::Joined(key) = admission {
                    links.insert(*key, handle);
                }
            },
        );
        match admission {
            Admission::Joined(key) => tasks.spawn(swarm, key),
            Admission::Known(_) => tracing::debug!(%addr, "the peer is already connected"),
            Admission::Refused => tracing::debug!(%addr, "the peer was not admitted"),
        }
    }
}
