//! What a player is given of what lies ready, so that it never hangs in a read for long.
//!
//! Players read one packet after the other, and hear of a key only between two of them: one that hangs in a read
//! until the next piece is here answers a seek only then. So as long as not all that it asked for is here, the last moments
//! of what is ready are given out little by little, somewhat faster than they are shown, and the packets keep coming. Whoever has
//! just begun, jumped or run dry gets what it needs for a picture at once.

use crate::Time;
use crate::limiter::Limiter;
use std::time::Duration;

/// So much of the media is held for the time until the next piece is here: most pieces take less on a line that plays them.
const HELD_S: f64 = 1.5;
/// It is given out so many times as fast as it is shown: a player is no worse for it, and its buffer grows by what comes beyond.
const PACE: f64 = 1.1;
/// What is given at once at first: the index and the first pictures.
const FREE_S: f64 = 3.0;
const FREE_BYTES: f64 = 2_097_152.0;
/// The same after the player ran dry, which is what most want to go on.
const FREE_AFTER_S: f64 = 1.0;
/// What is given out at a time: less is not worth a write.
const SPOON_S: f64 = 0.025;
const SPOON_BYTES: usize = 4096;
/// Longer than this is never waited without looking at what has come meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Read so many bytes at most and hand them out.
    Give(usize),
    /// Ask again after so long.
    Wait(Duration),
}

/// One player's reads from one place on; a jump is a new one.
#[derive(Clone, Debug)]
pub struct Reserve {
    limiter: Limiter,
    /// Bytes that are given out at once, if they are here.
    free: Option<f64>,
}

impl Reserve {
    /// Nothing was given yet.
    pub fn new(now: Time) -> Reserve {
        Reserve { limiter: Limiter::new(now, 0), free: None }
    }

    /// What to give of `ready` bytes that lie ready, where the player takes `max` at once, wants `left` in all, and shows
    /// `bytes_per_s`.
    pub fn next(&mut self, now: Time, max: usize, ready: u64, left: u64, bytes_per_s: f64) -> Turn {
        if !bytes_per_s.is_finite() || bytes_per_s < 1.0 || ready >= left {
            return Turn::Give(max);
        }
        let free = self.free.get_or_insert((FREE_S * bytes_per_s).max(FREE_BYTES));
        if ready == 0 {
            *free = free.max(FREE_AFTER_S * bytes_per_s);
            return Turn::Give(max);
        }
        let beyond = (ready as f64 - HELD_S * bytes_per_s).max(0.0);
        let spoon = ((SPOON_S * bytes_per_s) as usize).max(SPOON_BYTES).min(max);
        let at_once = free.max(beyond) as usize;
        if at_once >= spoon {
            return Turn::Give(max.min(at_once));
        }
        self.limiter.set_rate(now, (PACE * bytes_per_s) as u64);
        match self.limiter.wait(now) {
            Duration::ZERO => {
                self.limiter.take(now, spoon as u64);
                Turn::Give(spoon)
            }
            wait => Turn::Wait(wait.min(LOOK)),
        }
    }

    /// So many bytes were given.
    pub fn gave(&mut self, bytes: usize) {
        if let Some(free) = &mut self.free {
            *free = (*free - bytes as f64).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 1e6;

    /// Plays through what comes at `arrivals` (second, bytes) and gives when each byte count was handed out.
    fn given(arrivals: &[(f64, u64)], left: u64) -> Vec<(f64, u64)> {
        let mut reserve = Reserve::new(Time::ZERO);
        let (mut now, mut out) = (0.0, 0);
        let mut log = Vec::new();
        while now < 20.0 && out < left {
            let t = Time::from_secs_f64(now);
            let ready = arrivals.iter().filter(|(at, _)| *at <= now).map(|(_, n)| n).sum::<u64>() - out;
            match reserve.next(t, 256 << 10, ready, left - out, RATE) {
                Turn::Give(_) if ready == 0 => {
                    // A read that hangs until something is here.
                    let Some(next) = arrivals.iter().map(|(at, _)| *at).find(|at| *at > now) else { break };
                    now = next;
                }
                Turn::Give(n) => {
                    let n = ready.min(n as u64);
                    reserve.gave(n as usize);
                    out += n;
                    log.push((now, out));
                }
                Turn::Wait(wait) => now += wait.as_secs_f64(),
            }
        }
        log
    }

    #[test]
    fn what_a_picture_needs_is_given_at_once() {
        let log = given(&[(0.0, 2_900_000)], 100 << 20);
        assert!(log.iter().all(|(at, _)| *at == 0.0), "{log:?}");
    }

    #[test]
    fn while_pieces_come_in_time_no_read_hangs() {
        // A piece of two seconds each 0.8 s, and a player that takes whatever it gets.
        let arrivals: Vec<(f64, u64)> = (0..25).map(|n| (f64::from(n) * 0.8, 2_000_000)).collect();
        let log = given(&arrivals, 100 << 20);
        let gaps = log.windows(2).filter(|w| w[0].0 > 3.0).map(|w| w[1].0 - w[0].0);
        let longest = gaps.fold(0.0, f64::max);
        assert!(longest < 0.06, "a read of {longest} s");
        // Nothing is held but that.
        let (_, out) = log.last().unwrap();
        assert!(*out >= 48_000_000, "{out} of 50 MB");
    }

    #[test]
    fn all_is_given_where_all_is_here_or_the_rate_is_unknown() {
        let mut reserve = Reserve::new(Time::ZERO);
        reserve.gave(10_000_000);
        assert_eq!(reserve.next(Time::ZERO, 1000, 5000, 5000, RATE), Turn::Give(1000));
        for unknown in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(reserve.next(Time::ZERO, 1000, 5000, 90_000, unknown), Turn::Give(1000));
        }
    }

    #[test]
    fn whoever_ran_dry_gets_a_second_at_once() {
        let log = given(&[(0.0, 3_000_000), (10.0, 1_200_000)], 100 << 20);
        let at_once = log.iter().filter(|(at, _)| *at == 10.0).map(|(_, out)| *out).max().unwrap();
        assert!((3_990_000..4_200_000).contains(&at_once), "{at_once}");
        assert_eq!(log.last().unwrap().1, 4_200_000, "the rest follows");
        assert!(log.last().unwrap().0 < 10.3);
    }
}
