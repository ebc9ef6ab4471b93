//! The only entry to a torrent's state.
//!
//! [`Swarm::enter`] is the only place that locks the torrent, drains its outputs and sets its
//! timer. The outputs are carried out after the lock is released, in their order: the lock on the
//! links is taken before the torrent's lock is released. Code that carries out an output must not
//! enter again; it spawns a task instead.

use crate::discovery::Discovery;
use crate::swarm::driver::Swarm;
use crate::swarm::links::Links;
use parking_lot::Mutex;
use playswarm_logic::torrent::{Event, HOUSEKEEPING, Input, Output, Surroundings, Torrent};
use playswarm_logic::{Machine, PeerKey, Time};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// A torrent's state behind its lock.
pub(super) struct Door {
    inside: Mutex<Inside>,
    links: Mutex<Links>,
    epoch: Instant,
    /// Wakes the timer task to read the timeout again.
    rearm: Notify,
}

struct Inside {
    torrent: Torrent,
    /// Time for which the timer is set.
    armed: Time,
}

impl Door {
    pub(super) fn new(torrent: impl FnOnce(Time) -> Torrent) -> Door {
        Door {
            inside: Mutex::new(Inside { torrent: torrent(Time::ZERO), armed: Time::NEVER }),
            links: Mutex::new(Links::default()),
            epoch: Instant::now(),
            rearm: Notify::new(),
        }
    }

    /// Returns the time since the torrent was opened.
    pub(super) fn age(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Closes all connections.
    pub(super) fn close(&self) {
        let links = std::mem::take(&mut *self.links.lock());
        drop(links);
    }
}

impl Swarm {
    /// Returns the time on the torrent's clock.
    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.door.age()
    }

    /// Passes an input to the torrent.
    pub(crate) fn tell(&self, input: Input) {
        self.enter(|torrent, now| torrent.handle(now, input));
    }

    /// Runs `work` on the torrent's state, then carries out the outputs.
    pub(super) fn enter<R>(&self, work: impl FnOnce(&mut Torrent, Time) -> R) -> R {
        self.enter_with(work, |_, _| {})
    }

    /// Runs `work` on the torrent's state. Then `prepare` changes the links before the outputs are
    /// carried out.
    pub(super) fn enter_with<R>(
        &self,
        work: impl FnOnce(&mut Torrent, Time) -> R,
        prepare: impl FnOnce(&mut Links, &R),
    ) -> R {
        let door = &self.door;
        let mut inside = door.inside.lock();
        // Read under the lock, so that the torrent's time never goes back.
        let now = self.now();
        let result = work(&mut inside.torrent, now);
        let mut effects = Vec::new();
        while let Some(output) = inside.torrent.poll() {
            match (output, self.content()) {
                // Straight to the store, since this comes with each piece of each reader.
                (Output::ReadersMoved, Some(content)) => content.store.set_readers(inside.torrent.reader_places()),
                (output, _) => effects.push(output),
            }
        }
        let next = inside.torrent.next_timeout();
        let rearm = next < inside.armed;
        if rearm {
            inside.armed = next;
        }
        let mut links = door.links.lock();
        drop(inside);
        prepare(&mut links, &result);
        for effect in effects {
            tracing::trace!(t = now.as_secs_f64(), ?effect, "do");
            self.carry_out(&mut links, effect);
        }
        drop(links);
        if rearm {
            door.rearm.notify_one();
        }
        result
    }

    /// Reads the torrent's state without changing it.
    pub(super) fn look<R>(&self, work: impl FnOnce(&Torrent, Time) -> R) -> R {
        let inside = self.door.inside.lock();
        work(&inside.torrent, self.now())
    }

    /// Reads the links.
    pub(super) fn with_links<R>(&self, work: impl FnOnce(&Links) -> R) -> R {
        work(&self.door.links.lock())
    }

    /// Passes timeouts to the torrent, and periodically the figures that only the driver knows,
    /// until the swarm is closed.
    pub(super) async fn keep_time(self: Arc<Self>) {
        let mut house = tokio::time::interval(HOUSEKEEPING);
        house.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (weak, cancel) = (Arc::downgrade(&self), self.cancel.clone());
        drop(self);
        loop {
            let Some(swarm) = weak.upgrade() else { return };
            let at = swarm.set_timer();
            let timer = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = timer => swarm.tell(Input::Timeout),
                () = swarm.door.rearm.notified() => {}
                _ = house.tick() => swarm.tick(),
            }
        }
    }

    /// Sets the timer to the torrent's next timeout, and returns that time.
    fn set_timer(&self) -> Option<Instant> {
        let mut inside = self.door.inside.lock();
        let next = inside.torrent.next_timeout();
        inside.armed = next;
        (next != Time::NEVER).then(|| self.door.epoch + Duration::from_micros(next.0))
    }

    fn tick(&self) {
        let content = self.content();
        let (mut room, mut disk_room_bytes) = (true, u64::MAX);
        if let Some(content) = content {
            content.store.watch_disk();
            room = content.store.room_for_pieces() > 0;
            disk_room_bytes = content.store.disk_room_bytes();
        }
        let sending = self.with_links(Links::sending);
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        self.tell(Input::Tick(Surroundings { unix_s, room, disk_room_bytes, sending }));
    }

    fn carry_out(&self, links: &mut Links, effect: Output) {
        match effect {
            Output::Send(peer, message) => links.send(peer, message),
            Output::Upload(peer) => links.wake_writer(peer),
            Output::Resume(peer) => links.resume(peer),
            Output::Disconnect(peer) => links.remove(peer),
            Output::GiveInfo(peer) => self.spawn_with(peer, Swarm::give_info),
            Output::Dial(dial) if !self.cancel.is_cancelled() => self.spawn_with(dial, Swarm::connect),
            Output::DropBlocks(piece, generation) => {
                if let Some(content) = self.content() {
                    content.store.drop_blocks(piece, generation);
                }
            }
            Output::CheckInfo { attempt, info } => self.spawn_with((attempt, info), Swarm::check_info),
            Output::Slots(output) => self.operate(links, &output),
            Output::SlotsEnd => links.operations.clear(),
            Output::AskForPeers => self.with_discovery(Discovery::hurry),
            Output::MakePrivate => self.with_discovery(Discovery::make_private),
            Output::News => self.news.notify_waiters(),
            Output::Event(event) => self.pass_on(event),
            _ => {}
        }
    }

    /// Spawns work that enters the state again.
    pub(super) fn spawn_with<T, F>(&self, what: T, work: impl FnOnce(Arc<Swarm>, T) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(swarm) = self.this.upgrade() {
            self.runtime.spawn(work(swarm, what));
        }
    }

    pub(super) fn with_discovery(&self, work: impl FnOnce(&Discovery)) {
        if let Some(discovery) = &*self.discovery.lock() {
            work(discovery);
        }
    }

    fn pass_on(&self, event: Event) {
        match &event {
            // The hash of the whole file decides that.
            Event::Completed if self.content().is_some_and(|c| c.torrent.proof.is_settled_by_whole()) => return,
            Event::PeerDisconnected { addr, why, .. } => tracing::debug!(%addr, why, "gone"),
            Event::PeerBanned { addr, why, .. } => tracing::debug!(%addr, why, "banned"),
            _ => {}
        }
        let _ = self.events.send(event);
    }

    /// Sends a peer the parts of the info dictionary that it requested.
    async fn give_info(self: Arc<Self>, peer: PeerKey) {
        /// Most bytes that may wait to be written to a peer while it gets the info dictionary. A
        /// large one must not fill its queue.
        const MAX_WAITING_BYTES: usize = 256 << 10;
        /// Pause before a peer with a full queue is checked again.
        const FULL_PAUSE: Duration = Duration::from_millis(100);
        let swarm = Arc::downgrade(&self);
        drop(self);
        loop {
            let Some(swarm) = swarm.upgrade() else { return };
            if swarm.with_links(|links| links.unsent_bytes(peer)) > MAX_WAITING_BYTES {
                tokio::time::sleep(FULL_PAUSE).await;
                continue;
            }
            let Some((message, pause)) = swarm.enter(|torrent, _| torrent.next_info_part(peer)) else { return };
            tokio::time::sleep(pause).await;
            swarm.rates.upload(message.payload_bytes() as u64).await;
            swarm.with_links(|links| links.send(peer, message));
        }
    }
}
