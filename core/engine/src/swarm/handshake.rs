//! Why a handshake led to nothing, and random peer ids.

use playswarm_proto::handshake::{NotBitTorrent, PeerId};

/// Why a handshake led to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The other side speaks something else (encrypted, HTTP, nonsense).
    #[error("the peer does not speak the BitTorrent protocol")]
    NotBitTorrent,
    /// It is about another torrent, or one that we do not have.
    #[error("the peer asked for another torrent")]
    WrongTorrent,
    /// We reached ourselves.
    #[error("connected to ourselves")]
    Ourselves,
    /// The torrent does not want this peer: banned, or there are enough.
    #[error("the peer is not wanted")]
    NotWanted,
    /// It took too long.
    #[error("the handshake took too long")]
    TimedOut,
    /// The connection broke or was closed.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
}

impl From<NotBitTorrent> for HandshakeError {
    fn from(_: NotBitTorrent) -> HandshakeError {
        HandshakeError::NotBitTorrent
    }
}

/// Returns a new peer id; one is made for each session.
pub(crate) fn random_peer_id() -> PeerId {
    let mut random = [0; 12];
    crate::random::fill(&mut random);
    PeerId::from_random(random)
}
