//! Bytes as flows: the peers that a viewer requests from, the sharing of a busy line, and the
//! origin's part.

use super::scenario::Sharing;
use super::sharing::{Wanting, share, share_evenly};
use super::viewer::{AHEAD_S, READY_S, State, Supplier, Wait};
use super::world::{DT, Request, World};

/// Most peers that a viewer requests from at the same time.
const SUPPLIERS: usize = 12;
/// Buffer in seconds up to which the origin is asked for missing film. It is asked for nothing
/// else.
const ORIGIN_S: f64 = 10.0;

impl World<'_> {
    /// Chooses suppliers among the holders of the next needed film: those that gave most lately,
    /// then random others.
    pub(super) fn scan(&mut self, id: u32) {
        let mut suppliers = std::mem::take(&mut self.viewers[id as usize].suppliers);
        let v = &self.viewers[id as usize];
        let edge = v.edge;
        let mut holders: Vec<Supplier> = v
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| self.viewers[link.peer as usize].holds(edge))
            .map(|(i, link)| {
                let gives = suppliers.iter().find(|s| s.peer == link.peer).map_or(0.0, |s| s.gives);
                Supplier { link: i as u32, peer: link.peer, gives, granted: 0.0 }
            })
            .collect();
        if holders.len() > SUPPLIERS {
            holders.sort_by(|a, b| b.gives.total_cmp(&a.gives));
            // Two of the places are for other holders, so that better ones are found.
            let keep = holders.iter().take_while(|s| s.gives > 0.0).count().min(SUPPLIERS - 2);
            for i in keep..SUPPLIERS {
                let j = i + self.rng.below((holders.len() - i) as u64) as usize;
                holders.swap(i, j);
            }
            holders.truncate(SUPPLIERS);
        }
        suppliers.clear();
        let v = &mut self.viewers[id as usize];
        v.rescan = false;
        v.suppliers = holders;
    }

    pub(super) fn flow(&mut self, now: f64, here: &[u32]) {
        let chunk = self.crowd.chunk_s * self.crowd.film_rate;
        let mut asked: Vec<u32> = Vec::new();
        for &id in here {
            let v = &self.viewers[id as usize];
            let wants = v.wants(AHEAD_S, chunk);
            let near_end = v.position + AHEAD_S >= self.crowd.film_s;
            // Whole pieces: a viewer with enough buffered requests two at a time.
            if wants <= 0.0
                || v.suppliers.is_empty()
                || (wants < 2.0 * chunk && v.ahead_s() > AHEAD_S / 2.0 && !near_end)
            {
                continue;
            }
            let wants = wants.min(v.drawn.down * DT);
            let (edge, got) = (v.edge, v.got);
            let most = (wants / chunk) as u32 + 2;
            // Each supplier is asked for its share of the recent bytes plus a margin, by which a
            // faster one is noticed.
            let mean = v.suppliers.iter().map(|s| s.gives).sum::<f64>() / v.suppliers.len() as f64;
            let floor = 0.15 * mean + 1.0;
            let sum: f64 = v.suppliers.iter().map(|s| s.gives + floor).sum();
            let runs = v.suppliers.iter().enumerate();
            let runs = runs.map(|(i, s)| (self.viewers[s.peer as usize].run(edge, most), i));
            let mut runs: Vec<(u32, usize)> = runs.collect();
            runs.sort_unstable();
            // Film beyond the run of one supplier comes from those with longer runs. All together
            // give no more than the longest run.
            let mut so_far = got;
            for (run, i) in runs {
                let s = &self.viewers[id as usize].suppliers[i];
                let bytes = (wants * (s.gives + floor) / sum).min(f64::from(run) * chunk - so_far);
                if bytes > 0.0 {
                    so_far += bytes;
                    let peer = s.peer;
                    if self.inbox[peer as usize].is_empty() {
                        asked.push(peer);
                    }
                    self.inbox[peer as usize].push(Request { from: id, supplier: i as u32, bytes });
                }
            }
        }
        for peer in asked {
            let requests = std::mem::take(&mut self.inbox[peer as usize]);
            let can = self.viewers[peer as usize].drawn.up * DT;
            let wanted = requests.iter().map(|r| r.bytes).sum::<f64>();
            self.viewers[peer as usize].lived.sent += wanted.min(can);
            self.viewers[peer as usize].sends += wanted.min(can) / DT / 4.0; // A moving average, with the factor 0.8 below.
            if wanted <= can {
                for r in &requests {
                    self.viewers[r.from as usize].suppliers[r.supplier as usize].granted = r.bytes;
                }
            } else {
                let shares = self.shared(can, &requests);
                for (r, bytes) in requests.iter().zip(shares) {
                    self.viewers[r.from as usize].suppliers[r.supplier as usize].granted = bytes;
                }
            }
            let mut requests = requests;
            requests.clear();
            self.inbox[peer as usize] = requests;
        }
        self.origin(now, here, chunk);
        for &id in here {
            self.advance(now, id, chunk);
        }
    }

    fn shared(&self, can: f64, requests: &[Request]) -> Vec<f64> {
        let wanting: Vec<Wanting> = requests
            .iter()
            .map(|r| Wanting { ahead_s: self.viewers[r.from as usize].ahead_s(), most_bytes_per_s: r.bytes })
            .collect();
        match self.sharing {
            Sharing::Urgent => share(can, &wanting),
            Sharing::Even => share_evenly(can, &wanting),
        }
    }

    /// Lets the origin send the next seconds of film that peers do not supply. Its bytes are
    /// counted in `lived`.
    fn origin(&mut self, now: f64, here: &[u32], chunk: f64) {
        let mut requests = Vec::new();
        for &id in here {
            let v = &self.viewers[id as usize];
            let granted: f64 = v.suppliers.iter().map(|s| s.granted).sum();
            let missing = (v.wants(ORIGIN_S, chunk) - granted).min(v.drawn.down * DT - granted);
            if missing > 1.0 && !matches!(v.state, State::Paused(_)) {
                requests.push(Request { from: id, supplier: u32::MAX, bytes: missing });
            }
        }
        let can = self.crowd.origin_rate * DT;
        let wanted: f64 = requests.iter().map(|r| r.bytes).sum();
        let shares =
            if wanted <= can { requests.iter().map(|r| r.bytes).collect() } else { self.shared(can, &requests) };
        for (r, bytes) in requests.iter().zip(shares) {
            let v = &mut self.viewers[r.from as usize];
            // It counts as one more supplier until `advance` has added its bytes.
            v.suppliers.push(Supplier { link: u32::MAX, peer: u32::MAX, gives: 0.0, granted: bytes });
            v.used_origin = true;
            v.origin_gives += bytes / DT / 9.0; // As above, with the factor 0.9.
            self.origin_minutes[(now / 60.0) as usize] += bytes;
        }
    }

    fn advance(&mut self, now: f64, id: u32, chunk: f64) {
        let v = &mut self.viewers[id as usize];
        let missing = v.wants(READY_S, chunk);
        v.origin_gives *= 0.9;
        v.sends *= 0.8;
        let sum_asked = v.suppliers.iter().any(|s| s.granted > 0.0);
        let mut sum = 0.0;
        for i in 0..v.suppliers.len() {
            let bytes = v.suppliers[i].granted;
            sum += bytes;
            if v.suppliers[i].link == u32::MAX {
                v.lived.from_origin += bytes;
                continue;
            }
            if sum_asked {
                v.suppliers[i].gives = 0.7 * v.suppliers[i].gives + 0.3 * bytes;
            }
            v.suppliers[i].granted = 0.0;
            if bytes > 0.0 {
                let link = &mut v.links[v.suppliers[i].link as usize];
                link.used = now;
                link.unsaid += bytes;
                v.lived.from_peers += bytes;
                if link.parent {
                    v.lived.from_parents += bytes;
                }
            }
        }
        if v.suppliers.last().is_some_and(|s| s.link == u32::MAX) {
            v.suppliers.pop();
        }
        let before = v.edge;
        v.receive(sum, chunk);
        let fraction = if sum > 0.0 { (missing / sum).clamp(0.0, 1.0) } else { 0.0 };
        v.play(now, DT, fraction);
        if v.edge != before {
            // The requested film has arrived. The suppliers' runs show whether they have the next
            // part.
            let lacks = v.suppliers.iter().map(|s| s.peer).collect::<Vec<_>>();
            let edge = v.edge;
            let none = !lacks.iter().any(|peer| self.viewers[*peer as usize].holds(edge));
            let v = &mut self.viewers[id as usize];
            v.rescan = v.rescan || none;
        }
        let v = &self.viewers[id as usize];
        debug_assert!(!matches!(v.state, State::Waiting(_, Wait::Start)) || v.lived.played_s == 0.0);
    }
}
