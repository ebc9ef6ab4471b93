//! Upload slots for servents, and the queue before them.

use crate::Time;
use playswarm_proto::address_class::subscriber;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Files that are given at once, one to a subscriber.
pub(super) const SLOTS: usize = 4;
/// Clients that wait. More are told to come later.
const MAX_WAITING: usize = 32;
/// Least and longest time between two requests of a client that waits, seconds.
pub(super) const POLL_MIN_S: u64 = 45;
pub(super) const POLL_MAX_S: u64 = 120;
/// Time after which the place of a client that says nothing is lost.
const PLACE: Duration = Duration::from_secs(POLL_MAX_S + 30);

/// A connection, numbered by the driver. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// Why a client gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It waits at this place, the first of which is 1.
    Waiting {
        /// Its place.
        position: usize,
        /// Length of the queue.
        length: usize,
    },
    /// It is to come later.
    Refused,
}

/// A client that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    client: IpAddr,
    until: Time,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: BTreeMap<ConnectionKey, IpAddr>,
    waiting: Vec<Waiting>,
}

impl Slots {
    pub(super) fn closed(&mut self, connection: ConnectionKey) {
        self.taken.remove(&connection);
    }

    /// Gives a slot to a connection, which keeps it to its end. Returns why it gets none.
    pub(super) fn enter(&mut self, now: Time, connection: ConnectionKey, from: IpAddr, waits: bool) -> Option<Entry> {
        if self.taken.contains_key(&connection) {
            return None;
        }
        let client = subscriber(from);
        if self.taken.values().any(|holder| *holder == client) {
            return Some(Entry::Refused);
        }
        self.waiting.retain(|waiting| waiting.until > now);
        let place = self.waiting.iter().position(|waiting| waiting.client == client);
        let ahead = place.unwrap_or(self.waiting.len());
        if self.taken.len() + ahead < SLOTS {
            self.waiting.retain(|waiting| waiting.client != client);
            self.taken.insert(connection, client);
            return None;
        }
        if !waits || (place.is_none() && self.waiting.len() >= MAX_WAITING) {
            return Some(Entry::Refused);
        }
        let until = now + PLACE;
        match place {
            Some(place) => self.waiting[place].until = until,
            None => self.waiting.push(Waiting { client, until }),
        }
        Some(Entry::Waiting { position: ahead + 1, length: self.waiting.len() })
    }
}
