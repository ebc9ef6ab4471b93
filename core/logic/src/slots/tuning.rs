//! The numbers of the slot index that no caller sets. Units are in the names.

/// Most virtual slots that one search covers, the viewer's own included. 8: a quarter of an
/// hour ahead.
pub(super) const REACH: u32 = 8;
/// Most data slots announced, newest first. 4: twenty minutes of film.
pub(super) const MAX_STRETCHES: usize = 4;
/// Number of parents below which the search goes on even if nothing is missing. 2: one may
/// leave unnoticed.
pub(super) const LEAST_PARENTS: usize = 2;
/// Share of the film's rate at which the parents' total rate also ends the search. 0.9.
pub(super) const ENOUGH_SHARE: f64 = 0.9;
/// Share of the film's rate received from seeds above which the search goes on, to relieve
/// them. 0.05.
pub(super) const SEEDS_SHARE: f64 = 0.05;
/// Share of the film's rate below which a parent counts as not serving. 0.02: a slow line
/// shared by several viewers.
pub(super) const LEAST_SHARE: f64 = 0.02;
/// Buffer below which the search goes on until the parents' rates suffice or every place is
/// taken. 15 s: a lookup and a few dials.
pub(super) const LOW_S: f64 = 15.0;
/// Most lookups in progress. 2.
pub(super) const LOOKUPS_AT_ONCE: usize = 2;
/// Number of addresses in an answer at which its bucket counts as full, so that the slot's next
/// level of buckets is used. 50: about the content of one answer packet.
pub(super) const FULL_PEERS: usize = 50;
/// Time between two announces under one key, plus or minus a tenth. 900 s: DHT nodes forget
/// after 25 to 45 minutes.
pub(super) const REFRESH_S: f64 = 900.0;
/// Time after which an unfinished operation has failed. 30 s.
pub(super) const OPERATION_TIMEOUT_S: f64 = 30.0;
/// Time after which an unfinished dial has failed. 15 s.
pub(super) const DIAL_TIMEOUT_S: f64 = 15.0;
/// Time after which a parent that does not serve is released while more are needed. 15 s.
pub(super) const TRIAL_S: f64 = 15.0;
/// Time for which a failed address is not dialled again. It doubles each time, up to 8 times.
/// 600 s.
pub(super) const FORGIVE_S: f64 = 600.0;
/// Time after which an address that was found and not dialled is forgotten. 600 s: viewers
/// leave.
pub(super) const STALE_S: f64 = 600.0;
/// Number of failures after which a network is avoided while no peer in it has served. 4.
pub(super) const NETWORK_FAILURES: u32 = 4;
/// Longest time between two of our messages while playing. 15 s.
pub(super) const TELL_S: f64 = 15.0;
