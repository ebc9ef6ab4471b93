//! Where torrents and peers come from: sources, trackers, the DHT, the local network, the router's port.

pub mod source;
