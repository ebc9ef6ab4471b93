//! Situations of the slot index, and the invariants that hold in all of them.

mod any;
mod survival;

use super::*;

const FILM: Film = Film { info_hash: [9; 20], file: 0, duration_s: 6000.0 };
const RATE: f64 = 75_000.0;
const UNIX_S: f64 = 1.8e9;

fn at(s: f64) -> Time {
    Time::from_secs_f64(s)
}

/// Returns the n-th address; each is in a network of its own.
fn addr(n: u32) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from(0x1400_0007 + (n << 8)), 6881))
}

/// A machine, the clock, and all outputs so far.
struct Driver {
    slots: Slots,
    now: f64,
    said: Vec<Output>,
    next_peer: u32,
    dialled: Vec<SocketAddr>,
}

impl Driver {
    fn new(config: Config) -> Driver {
        let slots = Slots::new(at(0.0), config, FILM);
        Driver { slots, now: 0.0, said: Vec::new(), next_peer: 0, dialled: Vec::new() }
    }

    /// Creates a viewer that plays from now on with an empty buffer.
    fn playing(config: Config, position_s: f64) -> Driver {
        let mut d = Driver::new(config);
        d.tell(Input::Wall(UNIX_S));
        d.supply(0.0, 0.0);
        d.tell(Input::Play { position_s, playing: true });
        d
    }

    fn tell(&mut self, input: Input) {
        self.slots.handle(at(self.now), input);
        self.slots.check_invariants(at(self.now)).unwrap();
        while let Some(output) = self.slots.poll() {
            if let Output::Dial(addr) = output {
                self.dialled.push(addr);
            }
            self.said.push(output);
        }
    }

    fn supply(&mut self, ahead_s: f64, seeds_bytes_per_s: f64) {
        let film_bytes_per_s = RATE;
        self.tell(Input::Supply { film_bytes_per_s, ahead_s, seeds_bytes_per_s, spare_bytes_per_s: 1000 });
    }

    /// Advances the time and passes the timeouts.
    fn until(&mut self, s: f64) {
        let mut turns = 0;
        while self.slots.next_timeout() <= at(s) {
            self.now = self.slots.next_timeout().as_secs_f64().max(self.now);
            let due = self.slots.next_timeout();
            self.slots.handle(due, Input::Timeout);
            self.slots.check_invariants(due).unwrap();
            while let Some(output) = self.slots.poll() {
                if let Output::Dial(addr) = output {
                    self.dialled.push(addr);
                }
                self.said.push(output);
            }
            turns += 1;
            assert!(turns < 20_000, "it spins");
        }
        self.now = s;
    }

    fn lookups(&mut self) -> Vec<(Operation, Key)> {
        self.take(|o| match o {
            Output::Lookup { operation, key } => Some((*operation, *key)),
            _ => None,
        })
    }

    fn announces(&mut self) -> Vec<(Operation, Key)> {
        self.take(|o| match o {
            Output::Announce { operation, key } => Some((*operation, *key)),
            _ => None,
        })
    }

    fn dials(&mut self) -> Vec<SocketAddr> {
        self.take(|o| match o {
            Output::Dial(addr) => Some(*addr),
            _ => None,
        })
    }

    fn releases(&mut self) -> Vec<PeerKey> {
        self.take(|o| match o {
            Output::Release(peer) => Some(*peer),
            _ => None,
        })
    }

    fn take<T>(&mut self, wanted: impl Fn(&Output) -> Option<T>) -> Vec<T> {
        let found = self.said.iter().filter_map(&wanted).collect();
        self.said.retain(|o| wanted(o).is_none());
        found
    }

    /// Answers each lookup with these addresses, and ends it.
    fn answer(&mut self, peers: &[SocketAddr]) -> usize {
        let lookups = self.lookups();
        for (operation, _) in &lookups {
            self.tell(Input::Found(*operation, peers.to_vec()));
            self.tell(Input::Ended(*operation, true));
        }
        lookups.len()
    }

    /// Reports success for all dials.
    fn connect(&mut self) -> Vec<PeerKey> {
        let mut peers = Vec::new();
        loop {
            let dials = self.dials();
            if dials.is_empty() {
                return peers;
            }
            for addr in dials {
                peers.push(PeerKey(self.next_peer));
                self.next_peer += 1;
                self.tell(Input::Dialled(addr, Dialled::Connected(*peers.last().unwrap())));
            }
        }
    }

    fn dialled_to(&self, wanted: impl Fn(SocketAddr) -> bool) -> usize {
        self.dialled.iter().filter(|a| wanted(**a)).count()
    }
}

fn key_of(config: &Config, slot: i64, bucket: u16) -> Key {
    key(&FILM.info_hash, FILM.file, config.kind, config.width_s(), slot, bucket)
}

fn said(position_s: f64, unix_s: f64) -> Message {
    let (playhead_ms, unix_s) = ((position_s * 1000.0) as u64, unix_s as i64);
    Message { playhead_ms, playing: true, unix_s, spare_bytes_per_s: 10_000, ..Message::default() }
}

#[test]
fn a_viewer_looks_up_its_own_slot_and_the_one_before_at_once_and_announces_after_a_while() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 0.0);
    let slot = virtual_slot(UNIX_S, 0.0, 120);
    let keys: Vec<Key> = d.lookups().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, [key_of(&config, slot - 1, 0), key_of(&config, slot, 0)]);
    d.until(19.9);
    assert_eq!(d.announces(), []);
    d.until(20.1);
    assert_eq!(d.announces().into_iter().map(|(_, key)| key).collect::<Vec<_>>(), [key_of(&config, slot, 0)]);
}

#[test]
fn without_anybody_it_goes_back_slot_by_slot_within_its_budget() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 0.0);
    let mut looked_up = 0;
    for minute in 1..=120 {
        looked_up += d.answer(&[]);
        for (operation, _) in d.announces() {
            d.tell(Input::Ended(operation, true));
        }
        d.until(f64::from(minute) * 60.0);
    }
    let done = d.slots.counters();
    assert_eq!(done.lookups as usize, looked_up + d.lookups().len());
    assert!(done.lookups + done.announces <= 6 + 120, "{done:?}");
    assert!(done.lookups > 20 && done.announces >= 7, "{done:?}");
}

#[test]
fn an_announce_is_refreshed_before_nodes_forget_it_and_one_that_failed_is_repeated_sooner() {
    let mut d = Driver::playing(Config::default(), 0.0);
    let mut times = Vec::new();
    for tick in 1..7200 {
        d.until(f64::from(tick));
        d.answer(&[]);
        for (operation, _) in d.announces() {
            times.push(d.now);
            d.tell(Input::Ended(operation, times.len() != 2));
        }
    }
    let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!((809.0..992.0).contains(&gaps[0]), "{gaps:?}");
    assert!((119.0..125.0).contains(&gaps[1]), "the second failed: {gaps:?}");
    assert!(gaps[2..].iter().all(|gap| (809.0..992.0).contains(gap)), "{gaps:?}");
}

#[test]
fn parents_ahead_stay_and_the_search_ends_with_them() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&(0..40).map(addr).collect::<Vec<_>>());
    let peers = d.connect();
    assert_eq!(peers.len(), 8, "every place, and no more");
    for second in 1..300 {
        d.until(f64::from(second));
        for peer in &peers[..3] {
            d.tell(Input::Gave(*peer, 25_000));
        }
        d.supply(30.0, 0.0);
        d.tell(Input::Play { position_s: f64::from(second), playing: true });
    }
    assert_eq!(d.releases(), [], "idle parents cost nothing while nothing is missing");
    assert_eq!(d.lookups(), []);
    assert_eq!(d.slots.counters().parent_bytes, 299 * 75_000);
}

#[test]
fn parents_that_do_not_serve_while_the_buffer_is_short_are_replaced_by_others_that_are_known() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&(0..40).map(addr).collect::<Vec<_>>());
    let first = d.connect();
    d.until(16.0);
    assert_eq!(d.releases(), first);
    assert_eq!(d.connect().len(), 8);
    let known: BTreeSet<SocketAddr> = d.dialled.iter().copied().collect();
    assert_eq!(known.len(), 16, "nobody is dialled twice");
}

#[test]
fn seeds_that_feed_the_film_alone_are_relieved_by_parents() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&(0..2).map(addr).collect::<Vec<_>>());
    assert_eq!(d.connect().len(), 2);
    d.supply(40.0, 0.0);
    d.answer(&[]); // The operations in progress.
    let searches = |d: &mut Driver, seeds| {
        d.now += 100.0;
        let now = d.now;
        d.supply(40.0, seeds);
        d.until(now + 50.0);
        d.answer(&[])
    };
    assert_eq!(searches(&mut d, 0.0), 0);
    assert!(searches(&mut d, 70_000.0) > 0);
}

#[test]
fn a_seek_moves_the_slot_forgets_near_viewers_and_searches_there_a_second_later() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 600.0);
    let here = virtual_slot(UNIX_S, 600.0, 120);
    d.answer(&(0..40).map(addr).collect::<Vec<_>>());
    d.connect();
    d.until(30.0);
    assert_eq!(d.announces()[0].1, key_of(&config, here, 0));
    d.said.clear();
    for step in 0..5 {
        // Scrubbing: a seek each half second.
        d.now += 0.5;
        d.tell(Input::Play { position_s: 3000.0 + 100.0 * f64::from(step), playing: true });
    }
    assert_eq!(d.lookups(), [], "while it scrubs nothing is asked");
    let there = virtual_slot(UNIX_S + d.now, 3400.0, 120);
    let landed = d.now;
    d.until(landed + 1.1);
    // Earlier parents still have their places. Those that do not serve lose them, and new ones are
    // searched for.
    d.until(landed + 35.0);
    let keys: Vec<Key> = d.lookups().into_iter().map(|(_, key)| key).collect();
    assert!(!keys.is_empty() && keys.iter().all(|k| (there - 8..=there).any(|s| *k == key_of(&config, s, 0))));
    assert_eq!(d.announces().first().map(|(_, key)| *key), Some(key_of(&config, there, 0)));
    assert_eq!(d.dialled_to(|a| a == addr(39)) + d.dialled_to(|a| a == addr(38)), {
        let before: Vec<SocketAddr> = d.dialled[..8].to_vec();
        before.iter().filter(|a| **a == addr(39) || **a == addr(38)).count()
    });
}

#[test]
fn stalls_and_clock_ticks_do_not_move_the_slot() {
    let mut d = Driver::playing(Config::default(), 0.0);
    let slot = d.slots.slot(at(0.0));
    // A stall of 20 s in all, reported second by second.
    for second in 1..100 {
        d.until(f64::from(second));
        d.tell(Input::Play { position_s: f64::from(second - (second / 5).min(20)), playing: true });
    }
    assert_eq!(d.slots.slot(at(100.0)), slot);
}

#[test]
fn a_short_pause_changes_nothing_and_a_long_one_ends_the_announces_until_it_goes_on() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 0.0);
    d.supply(30.0, 0.0);
    d.until(25.0);
    let announces = d.announces();
    assert_eq!(announces.len(), 1);
    d.tell(Input::Ended(announces[0].0, true));
    d.lookups();
    d.tell(Input::Play { position_s: 25.0, playing: false });
    d.until(3000.0);
    assert_eq!(d.announces(), [], "after two minutes its slot is not where it is");
    assert_eq!(d.lookups(), []);
    d.tell(Input::Play { position_s: 25.0, playing: true });
    d.until(3030.0);
    let resumed = virtual_slot(UNIX_S + 3000.0, 25.0, 120);
    assert_eq!(d.announces().into_iter().map(|(_, k)| k).collect::<Vec<_>>(), [key_of(&config, resumed, 0)]);
}

#[test]
fn data_slots_announce_film_near_the_playhead_and_look_up_the_next_part() {
    let config = Config { kind: Kind::Data, ..Config::default() };
    let mut d = Driver::playing(config.clone(), 1000.0);
    let keys: Vec<Key> = d.lookups().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, [key_of(&config, 3, 0)]);
    for stretch in [0, 1, 2, 3, 9] {
        d.tell(Input::Holds { stretch, held: true });
    }
    d.tell(Input::Holds { stretch: 2, held: false });
    d.until(21.0);
    let announced: BTreeSet<Key> = d.announces().into_iter().map(|(_, key)| key).collect();
    assert_eq!(announced, [0, 1, 3, 9].map(|s| key_of(&config, s, 0)).into());
}

#[test]
fn a_crowded_bucket_sends_the_announce_to_the_next_level_at_once() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 0.0);
    d.answer(&[]);
    d.until(21.0);
    let (operation, _) = d.announces()[0];
    d.tell(Input::Found(operation, (0..80).map(addr).collect()));
    d.tell(Input::Ended(operation, true));
    let slot = virtual_slot(UNIX_S, 0.0, 120);
    let (_, key) = d.announces()[0];
    assert!(key == key_of(&config, slot, 1) || key == key_of(&config, slot, 2));
}

#[test]
fn viewers_are_informed_at_the_start_a_seek_a_pause_and_a_low_buffer() {
    let mut d = Driver::playing(Config::default(), 0.0);
    let told = |d: &mut Driver| d.take(|o| if let Output::Tell(message) = o { Some(*message) } else { None });
    assert_eq!(told(&mut d).len(), 1);
    d.now = 2.0;
    d.tell(Input::Play { position_s: 500.0, playing: true });
    assert_eq!(told(&mut d)[0].playhead_ms, 500_000);
    d.now = 3.0;
    d.tell(Input::Play { position_s: 501.0, playing: false });
    assert!(!told(&mut d)[0].playing);
    d.now = 5.0;
    d.supply(30.0, 0.0);
    assert_eq!(told(&mut d)[0].ahead_s, 30);
}

#[test]
fn closing_the_film_gives_every_place_back() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&(0..40).map(addr).collect::<Vec<_>>());
    let peers = d.connect();
    d.tell(Input::Stopped);
    assert_eq!(d.releases(), peers);
    d.said.clear();
    d.until(4000.0);
    assert_eq!(d.said, []);
}

#[test]
fn the_same_seed_says_the_same() {
    let run = |seed| {
        let mut d = Driver::playing(Config { seed, ..Config::default() }, 0.0);
        for second in 1..600 {
            d.until(f64::from(second));
            d.answer(&(0..60).map(|n| addr(n * second)).collect::<Vec<_>>());
        }
        (d.dialled, d.said)
    };
    assert!(run(1) == run(1) && run(1).0 != run(2).0);
}
