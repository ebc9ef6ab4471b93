//! Errors of a handshake, and random peer ids.

use playswarm_proto::handshake::{NotBitTorrent, PeerId};

/// The reason why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The other side uses another protocol (encrypted, HTTP, garbage).
    #[error("the peer does not speak the BitTorrent protocol")]
    NotBitTorrent,
    /// The handshake names another torrent, or one that we do not have.
    #[error("the peer requested another torrent")]
    WrongTorrent,
    /// The connection reached ourselves.
    #[error("the peer is this client itself")]
    Ourselves,
    /// The torrent refuses this peer: it is banned, or there are enough.
    #[error("the peer was refused")]
    NotWanted,
    /// The handshake timed out.
    #[error("the handshake took too long")]
    TimedOut,
    /// The connection failed or was closed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

impl From<NotBitTorrent> for HandshakeError {
    fn from(_: NotBitTorrent) -> HandshakeError {
        HandshakeError::NotBitTorrent
    }
}

/// Returns a new random peer id. Each session has one.
pub(crate) fn random_peer_id() -> PeerId {
    let mut random = [0; 12];
    crate::random::fill(&mut random);
    PeerId::from_random(random)
}
