//! The source of a peer's address.

/// The source of a peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A tracker.
    Tracker,
    /// The mainline DHT.
    Dht,
    /// An announcement on the local network.
    Lsd,
    /// Another peer, by peer exchange (BEP 11).
    Pex,
    /// The user or the magnet link.
    Given,
    /// The slot index: a viewer near ours in the film.
    Slots,
    /// An incoming connection.
    Incoming,
    /// The torrent or the magnet link, which name a web seed (BEP 19): a source, not a peer.
    WebSeed,
    /// The user, who named a mirror: a source, not a peer.
    Mirror,
    /// A servent of Gnutella that the link or a search names: a source, not a peer.
    Servent,
    /// A servent that another one names: a source, not a peer.
    Alternate,
    /// A servent that came to us after a push: a source, not a peer.
    Pushed,
}

impl Origin {
    /// Returns the name that the status shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Tracker => "tracker",
            Origin::Dht => "dht",
            Origin::Lsd => "lsd",
            Origin::Pex => "pex",
            Origin::Given => "given",
            Origin::Slots => "slots",
            Origin::Incoming => "incoming",
            Origin::WebSeed => "web_seed",
            Origin::Mirror => "mirror",
            Origin::Servent => "servent",
            Origin::Alternate => "alternate",
            Origin::Pushed => "pushed",
        }
    }
}
