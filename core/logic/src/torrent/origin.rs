//! How a peer came to be known.

/// How a peer came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A tracker named it.
    Tracker,
    /// The mainline DHT named it.
    Dht,
    /// It announced itself on the local network.
    Lsd,
    /// Another peer named it (BEP 11).
    Pex,
    /// The user or the magnet link named it.
    Given,
    /// The slot index named it: a viewer near ours in the film.
    Slots,
    /// It connected to us.
    Incoming,
}

impl Origin {
    /// As the status shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Tracker => "tracker",
            Origin::Dht => "dht",
            Origin::Lsd => "lsd",
            Origin::Pex => "pex",
            Origin::Given => "given",
            Origin::Slots => "slots",
            Origin::Incoming => "incoming",
        }
    }
}
