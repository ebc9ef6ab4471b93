//! Paces the last bytes that are ready, so that no read of a player takes long.
//!
//! Players read one packet after the other and look at keys only between two packets. A player
//! whose read waits for the next piece therefore answers a seek only when that piece has arrived.
//! Until all requested bytes are ready, the last ready moments of film are sent in small portions,
//! slightly faster than playback, so that reads keep returning. At the
//! start, after a seek and after a stall, the player gets at once what it needs for a picture.
//!
//! Pure: time is an argument.

use std::time::{Duration, Instant};

/// Playback time that is handed out in small portions: most pieces take less on a line that can
/// play the file.
const PACED_S: f64 = 1.5;
/// Rate of paced bytes, as a multiple of the rate of playback. Above one, so that pacing never
/// drains the player's buffer.
const PACE: f64 = 1.1;
/// Playback time that is handed out at once at first: the index and the first pictures.
const FREE_S: f64 = 3.0;
/// Least number of bytes that are handed out at once at first.
const FREE_BYTES: f64 = 2_097_152.0;
/// Playback time that is handed out at once after a stall.
const FREE_AFTER_STALL_S: f64 = 1.0;
/// Playback time of one paced portion.
const MIN_WRITE_S: f64 = 0.025;
/// Least bytes of one paced portion: fewer are not worth a write.
const MIN_WRITE_BYTES: usize = 4096;
/// Longest wait before the caller looks again at what has arrived.
const LOOK: Duration = Duration::from_millis(50);
/// Longest delay of a caller's timer that the next portions make up for.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read at most this many bytes and hand them out.
    Give(usize),
    /// Ask again after this time.
    Wait(Duration),
}

/// The pace of one player's reads from one position on. A seek begins a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyPacer {
    /// When the next paced portion may go out.
    due: Option<Instant>,
    /// Bytes that are handed out at once if they are here.
    free: Option<f64>,
}

impl BodyPacer {
    /// Returns the next step, where `ready` bytes can be read without waiting, the player takes
    /// `max` at once and wants `left` in all, and playback takes `bytes_per_s`.
    pub(crate) fn next(&mut self, now: Instant, max: usize, ready: u64, left: u64, bytes_per_s: f64) -> Step {
        if !bytes_per_s.is_finite() || bytes_per_s < 1.0 || ready >= left {
            return Step::Give(max);
        }
        let free = self.free.get_or_insert((FREE_S * bytes_per_s).max(FREE_BYTES));
        if ready == 0 {
            *free = free.max(FREE_AFTER_STALL_S * bytes_per_s);
            return Step::Give(max);
        }
        let beyond = (ready as f64 - PACED_S * bytes_per_s).max(0.0);
        let portion = ((MIN_WRITE_S * bytes_per_s) as usize).max(MIN_WRITE_BYTES).min(max);
        let at_once = free.max(beyond) as usize;
        if at_once >= portion {
            return Step::Give(max.min(at_once));
        }
        let due = *self.due.get_or_insert(now);
        if now < due {
            return Step::Wait((due - now).min(LOOK));
        }
        let due = now.checked_sub(CATCH_UP).map_or(due, |earliest| due.max(earliest));
        self.due = Some(due + Duration::from_secs_f64(portion as f64 / (PACE * bytes_per_s)));
        Step::Give(portion)
    }

    /// Counts bytes that were handed out.
    pub(crate) fn gave(&mut self, bytes: usize) {
        if let Some(free) = &mut self.free {
            *free = (*free - bytes as f64).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RATE: f64 = 1e6;

    /// Plays what arrives at `arrivals` (second, bytes). Returns when each byte count was handed
    /// out.
    fn given(arrivals: &[(f64, u64)], left: u64) -> Vec<(f64, u64)> {
        let (mut pacer, begun) = (BodyPacer::default(), Instant::now());
        let (mut now, mut out) = (0.0, 0);
        let mut log = Vec::new();
        while now < 20.0 && out < left {
            let t = begun + Duration::from_secs_f64(now);
            let ready = arrivals.iter().filter(|(at, _)| *at <= now).map(|(_, n)| n).sum::<u64>() - out;
            match pacer.next(t, 256 << 10, ready, left - out, RATE) {
                Step::Give(_) if ready == 0 => {
                    // A read that waits for the next arrival.
                    let Some(next) = arrivals.iter().map(|(at, _)| *at).find(|at| *at > now) else { break };
                    now = next;
                }
                Step::Give(n) => {
                    let n = ready.min(n as u64);
                    pacer.gave(n as usize);
                    out += n;
                    log.push((now, out));
                }
                Step::Wait(wait) => now += wait.as_secs_f64(),
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
    fn while_pieces_arrive_in_time_no_read_takes_long() {
        // A piece of two seconds each 0.8 s, and a player that takes all it gets.
        let arrivals: Vec<(f64, u64)> = (0..25).map(|n| (f64::from(n) * 0.8, 2_000_000)).collect();
        let log = given(&arrivals, 100 << 20);
        let gaps = log.windows(2).filter(|w| w[0].0 > 3.0).map(|w| w[1].0 - w[0].0);
        let longest = gaps.fold(0.0, f64::max);
        assert!(longest < 0.06, "a read of {longest} s");
        // No more than the paced part is held back.
        let (_, out) = log.last().unwrap();
        assert!(*out >= 48_000_000, "{out} of 50 MB");
    }

    #[test]
    fn all_is_given_where_all_is_here_or_the_rate_is_unknown() {
        let (mut pacer, now) = (BodyPacer::default(), Instant::now());
        pacer.gave(10_000_000);
        assert_eq!(pacer.next(now, 1000, 5000, 5000, RATE), Step::Give(1000));
        for unknown in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(pacer.next(now, 1000, 5000, 90_000, unknown), Step::Give(1000));
        }
    }

    #[test]
    fn after_a_stall_a_second_is_given_at_once() {
        let log = given(&[(0.0, 3_000_000), (10.0, 1_200_000)], 100 << 20);
        let at_once = log.iter().filter(|(at, _)| *at == 10.0).map(|(_, out)| *out).max().unwrap();
        assert!((3_990_000..4_200_000).contains(&at_once), "{at_once}");
        assert_eq!(log.last().unwrap().1, 4_200_000, "the rest follows");
        assert!(log.last().unwrap().0 < 10.3);
    }
}
