//! The players: they open the film, read, wait, stall and jump.

use super::network::Event;
use super::world::World;
use playswarm_logic::ReaderKey;
use playswarm_logic::torrent::{Input, OpenReader, Purpose};

/// Time between two checks of a player, in seconds.
const LOOK_S: f64 = 0.25;
/// Time for which a viewer stays after the film's end, in seconds.
const STAY_S: f64 = 1.0;

impl World<'_> {
    pub(super) fn open_player(&mut self, n: u32) {
        let (now, end) = (self.now, self.layout.total_bytes());
        let node = &mut self.nodes[n as usize];
        node.reader = ReaderKey(1);
        node.asked_at = Some(now);
        node.player.jump(now, 0, end);
        let open = OpenReader { purpose: Purpose::Play, file: 0, start: 0, end, position: 0 };
        self.tell(n, Input::ReaderOpened(ReaderKey(1), open));
        self.serve(n);
    }

    /// Moves the player to a random place.
    pub(super) fn jump(&mut self, n: u32) {
        let (now, end) = (self.now, self.layout.total_bytes());
        let node = &mut self.nodes[n as usize];
        if node.gone {
            return;
        }
        let position = node.rng.below(end * 9 / 10);
        let after_s = node.rng.between(0.5, 1.5) * self.scenario.jumps_s;
        node.asked_at = Some(now);
        node.waiting = false;
        node.player.jump(now, position, end);
        let reader = node.reader;
        self.later(after_s, Event::Jump(n));
        self.tell(n, Input::ReaderSought(reader, position));
        self.serve(n);
    }

    /// Lets a player read the bytes that it wants and that are ready.
    pub(super) fn serve(&mut self, n: u32) {
        let now = self.now;
        let node = &mut self.nodes[n as usize];
        if node.is_origin || node.gone || !node.here || node.asked_at.is_none() && node.report.start_s.is_none() {
            return;
        }
        let player = &mut node.player;
        player.advance(now);
        let wants = player.wants_to().max(player.read);
        let here = self.layout.bytes_here(&node.store.have, player.read, wants - player.read);
        let (reader, can) = (node.reader, player.read + here);
        let short = can < wants;
        let was_waiting = std::mem::replace(&mut node.waiting, short);
        if here > 0 {
            player.read = can;
            let first = node.asked_at.map(|at| now.since(at).as_secs_f64());
            node.report.first_byte_s = node.report.first_byte_s.or(first);
            self.tell(n, Input::ReaderRead(reader, can));
        }
        if short && (here > 0 || !was_waiting) {
            self.tell(n, Input::ReaderBlocked(reader, can));
        }
        self.show(n);
    }

    /// Starts playback if enough is buffered, and schedules the next check.
    fn show(&mut self, n: u32) {
        let now = self.now;
        let node = &mut self.nodes[n as usize];
        if node.player.start_if_ready(now)
            && let Some(at) = node.asked_at.take()
        {
            let took_s = now.since(at).as_secs_f64();
            if node.report.start_s.is_none() {
                node.report.start_s = Some(took_s);
            } else {
                node.report.jumps_s.push(took_s);
            }
        }
        if node.player.state == crate::reader::State::Done {
            return self.later(STAY_S, Event::Leave(n));
        }
        node.player.ticks += 1;
        let number = node.player.ticks;
        self.later(LOOK_S, Event::Play(n, number));
    }
}
