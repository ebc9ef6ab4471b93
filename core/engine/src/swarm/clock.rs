//! The swarm's timer, and what is looked at now and then.

use crate::swarm::driver::{State, Swarm};
use crate::swarm::peer::Verdict as Conduct;
use playswarm_logic::choker;
use playswarm_logic::metadata as logic_metadata;
use playswarm_logic::picker::{Input, Picker};
use playswarm_logic::torrent::address_book::Need;
use playswarm_logic::{PeerKey, PieceIndex, Time, retain, slots};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often what has no timer of its own is looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// A connection on which nothing came for so long is dead (BEP 3 wants a keep-alive each two minutes).
const SILENCE: Duration = Duration::from_secs(150);
/// The same where an answer is owed: a pulled cable sends no RST. Not sooner, since TCP's own retries bring a line that was
/// mended back to life, while a new connection is refused as long as the other side holds the old one for alive.
const OWING_SILENCE: Duration = Duration::from_secs(75);
/// While a reader waits and fewer peers than this serve us, others are asked for more.
const FEW_PEERS: usize = 3;
/// So often at most.
const HURRY_EVERY: Duration = Duration::from_secs(15);
/// What a reader has ahead of it is never given back within so many bytes.
pub(super) const NEAR_BYTES: u64 = 16 << 20;

impl Swarm {
    /// Wakes the timer where a machine wants to be told of an earlier time than it is set for.
    pub(super) fn arm(&self) {
        let mut st = self.state.lock();
        let next = self.next_timeout(&st);
        if next < st.armed {
            st.armed = next;
            drop(st);
            self.rearm.notify_one();
        }
    }

    pub(super) fn next_timeout(&self, st: &State) -> Time {
        let picker = st.picker.as_ref().and_then(Picker::next_timeout).unwrap_or(Time::NEVER);
        let metadata = st.metadata.as_ref().map_or(Time::NEVER, logic_metadata::Fetch::next_timeout);
        picker.min(metadata).min(st.choker.next_timeout()).min(Swarm::viewing_timeout(st))
    }

    pub(super) async fn keep_time(self: Arc<Self>) {
        let mut house = tokio::time::interval(HOUSEKEEPING);
        house.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let weak = Arc::downgrade(&self);
        let cancel = self.cancel.clone();
        drop(self);
        loop {
            let Some(swarm) = weak.upgrade() else { return };
            let at = {
                let mut st = swarm.state.lock();
                let next = swarm.next_timeout(&st);
                st.armed = next;
                (next != Time::NEVER).then(|| swarm.instant(next))
            };
            let timer = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = timer => swarm.on_time(),
                () = swarm.rearm.notified() => {}
                _ = house.tick() => swarm.keep_house(),
            }
        }
    }

    pub(super) fn on_time(self: &Arc<Self>) {
        let mut st = self.state.lock();
        let now = self.now();
        if st.picker.as_ref().and_then(Picker::next_timeout).is_some_and(|t| t <= now) {
            self.pick_with(&mut st, Input::Timeout);
        }
        if st.choker.next_timeout() <= now {
            self.choke_with(&mut st, choker::Input::Timeout);
        }
        if st.metadata.as_ref().is_some_and(|m| m.next_timeout() <= now) {
            self.metadata_with(&mut st, logic_metadata::Input::Timeout);
        }
        if Swarm::viewing_timeout(&st) <= now {
            self.slots_with(&mut st, slots::Input::Timeout);
        }
    }

    pub(super) fn keep_house(self: &Arc<Self>) {
        let now = self.now();
        if let Some(content) = self.content.get() {
            content.store.watch_disk();
        }
        {
            let mut st = self.state.lock();
            self.check_room(&mut st);
            let dead: Vec<PeerKey> = st
                .peers
                .iter()
                .filter(|(key, p)| {
                    let figures = st.picker.as_ref().and_then(|picker| picker.peer(**key));
                    // What is not read from it cannot be heard.
                    let silent = if p.paused { Duration::ZERO } else { p.heard.elapsed() };
                    silent > SILENCE || (silent > OWING_SILENCE && figures.is_some_and(|f| f.snubbed))
                })
                .map(|(key, _)| *key)
                .collect();
            for key in dead {
                self.part(&mut st, key, Conduct::Gone("said nothing for too long".to_owned()));
            }
            if st.warm.is_some_and(|(_, since)| since.elapsed() > super::readers::WARM) {
                self.cool_down(&mut st);
            }
            self.end_useless(&mut st);
            self.settle_twins(&mut st);
            self.turn_over(&mut st, now);
            self.fit_windows(&mut st);
            self.tell_choker_who_owes(&mut st);
            self.tell_choker_who_is_served(&mut st);
            self.ask_for_more_peers(&mut st);
            self.exchange_peers(&mut st, now);
            self.say_owed_rejects(&mut st);
            self.keep_viewing(&mut st);
            self.watch_starving(&mut st);
            self.place_readers(&st);
        }
        self.dial();
        self.arm();
    }

    /// Who owes us blocks can snub us; who owes nothing cannot.
    pub(super) fn tell_choker_who_owes(&self, st: &mut State) {
        let Some(picker) = &st.picker else { return };
        let owing: Vec<(PeerKey, bool)> = st
            .peers
            .keys()
            .filter_map(|key| picker.peer(*key).map(|figures| (*key, figures.outstanding > 0 && !figures.choked)))
            .collect();
        owing.into_iter().for_each(|(key, owes)| self.choke_with(st, choker::Input::Asked(key, owes)));
    }

    /// Whoever gets what it asks for as it asks takes nothing from others, and holds no slot.
    fn tell_choker_who_is_served(&self, st: &mut State) {
        let served: Vec<(PeerKey, bool)> = st.peers.iter_mut().map(|(key, p)| (*key, p.is_served())).collect();
        served.into_iter().for_each(|(key, served)| self.choke_with(st, choker::Input::Served(key, served)));
    }

    /// A reader waits and hardly anybody serves it: everybody who may know of peers is asked again.
    pub(super) fn ask_for_more_peers(&self, st: &mut State) {
        let few = st
            .peers
            .iter()
            .filter(|(key, p)| {
                let snubbed = st.picker.as_ref().and_then(|picker| picker.peer(**key)).is_some_and(|f| f.snubbed);
                !p.chokes_us && !snubbed && p.share() > 0.0
            })
            .count()
            < FEW_PEERS;
        let need = match &st.picker {
            Some(picker) if picker.have().is_full() => Need::Nothing,
            Some(picker) if few && picker.is_wanted_at_all() => Need::Much,
            None if st.peers.len() < FEW_PEERS => Need::Much,
            _ => Need::Some,
        };
        st.book.set_need(need);
        let waiting = st.readers.values().any(|r| r.waiting);
        let long_ago = st.hurried_at.is_none_or(|at| at.elapsed() > HURRY_EVERY);
        if few && waiting && long_ago && self.epoch.elapsed() > HURRY_EVERY {
            st.hurried_at = Some(Instant::now());
            st.book.hurry(self.now());
            if let Some(discovery) = &st.discovery {
                discovery.hurry();
            }
        }
    }

    /// Where the readers are, for what is given back when disk or memory runs short.
    pub(super) fn place_readers(&self, st: &State) {
        let Some(content) = self.content.get() else { return };
        let layout = content.torrent.layout;
        let near = (NEAR_BYTES / u64::from(layout.piece_bytes())).clamp(2, 1 << 20) as u32;
        // Straight into the store's list: this happens at every piece of every reader.
        content.store.set_readers(st.readers.values().map(|r| retain::Reader {
            first: layout.piece_at(r.start),
            at: layout.piece_at(r.position),
            near,
            end: PieceIndex(layout.piece_at(r.end.saturating_sub(1)).0 + 1),
        }));
    }
}
