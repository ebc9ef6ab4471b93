//! When samples are sent. Players differ: FFmpeg starts only after some twenty pictures and an exact
//! jump decodes all from the keyframe on, so it wants a burst. GStreamer and VLC measure the
//! sender's clock by arrivals, and a burst makes them drop or hurry pictures.

use std::time::{Duration, Instant};

/// Rate assumed for a film of unknown or very low rate, in bytes per second. A keyframe then takes
/// a fraction of a second.
const LEAST_RATE: f64 = 128.0 * 1024.0;

/// Most films in one that a line is made for. Beyond it only keyframes are sent.
const FASTEST_LINE: f64 = 8.0;

/// Fastest sending of what is due at once after PLAY, in bytes per second: two thirds of what a line of
/// 100 Mbit/s carries. FFmpeg asks for a receive buffer of 384 KiB and gets at least 208 KiB, which
/// this fills in 16 ms at the least (a datagram of 1,400 bytes takes 2,304 of it).
const FASTEST_AT_ONCE: f64 = 8e6;

/// Bounds of datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    /// Most bytes at once.
    burst: f64,
    /// The rate after them, as a multiple of the film's.
    times: f64,
    /// The same for what is due at once after PLAY, up to [`FASTEST_AT_ONCE`]. A jump waits for it.
    times_at_once: f64,
}

/// How a kind of client is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// How far ahead of its time a sample is sent.
    lead: Duration,
    /// Whether the pictures before the time that was asked for are sent at once.
    catches_up: bool,
    /// `None`: as fast as the socket takes them.
    line: Option<Line>,
    /// How long after the last picture was shown a client is told of the end. VLC discards what it
    /// has buffered when it is told.
    pub(crate) end_after: Duration,
}

/// FFmpeg and its users, and ExoPlayer, over TCP.
pub(crate) const EAGER: Profile =
    Profile { name: "eager", lead: Duration::from_secs(10), catches_up: true, line: None, end_after: Duration::ZERO };
/// The same over UDP, whose receive buffer holds 208 KiB by default.
pub(crate) const QUICK: Profile = Profile {
    name: "quick",
    lead: Duration::from_secs(1),
    catches_up: true,
    line: Some(Line { burst: 64.0 * 1024.0, times: 4.0, times_at_once: 16.0 }),
    end_after: Duration::from_millis(500),
};
/// VLC, and clients that are not known.
pub(crate) const STEADY: Profile = Profile {
    name: "steady",
    lead: Duration::from_millis(300),
    catches_up: false,
    line: Some(Line { burst: 32.0 * 1024.0, times: 4.0, times_at_once: 4.0 }),
    end_after: Duration::from_secs(2),
};
/// GStreamer.
pub(crate) const EVEN: Profile = Profile {
    name: "even",
    lead: Duration::from_millis(100),
    catches_up: false,
    line: Some(Line { burst: 32.0 * 1024.0, times: 2.0, times_at_once: 2.0 }),
    end_after: Duration::from_millis(500),
};

impl Profile {
    /// Returns the profile for a client by its `User-Agent` and its transport.
    pub(crate) fn of(user_agent: &str, is_udp: bool) -> Profile {
        let is = |names: &[&str]| names.iter().any(|name| user_agent.contains(name));
        match is_udp {
            _ if is(&["GStreamer"]) => EVEN,
            false if is(&["Lavf", "mpv", "ExoPlayer", "AndroidXMedia3"]) => EAGER,
            true if is(&["Lavf", "mpv", "ExoPlayer", "AndroidXMedia3"]) => QUICK,
            _ => STEADY,
        }
    }
}

/// The pace of one part of a film.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    profile: Profile,
    speed: f64,
    /// The decoding time that belongs to `start`.
    origin_ns: i64,
    start: Instant,
    rate: f64,
    /// Bytes that may be sent at `filled`.
    tokens: f64,
    filled: Instant,
    /// Whether all that goes out was due at the start.
    at_once: bool,
}

impl Pace {
    /// Begins at a landing, on behalf of a client that asked for a time at or after it. `rate` is the
    /// film's, in bytes per second. A negative `speed` runs backward.
    pub(crate) fn new(profile: Profile, now: Instant, landed_ns: i64, asked_ns: i64, rate: f64, speed: f64) -> Pace {
        let origin_ns = if profile.catches_up { asked_ns.max(landed_ns) } else { landed_ns };
        let tokens = profile.line.map_or(0.0, |line| line.burst);
        let rate = rate.max(LEAST_RATE);
        Pace { profile, speed, origin_ns, start: now, rate, tokens, filled: now, at_once: true }
    }

    /// Returns when a sample with this decoding time may be sent.
    pub(crate) fn due(&self, dts_ns: i64) -> Instant {
        let after = self.due_after_s(dts_ns).max(0.0);
        self.start + Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX / 4)
    }

    /// Returns the seconds from the start to when a sample is due.
    fn due_after_s(&self, dts_ns: i64) -> f64 {
        (dts_ns - self.origin_ns) as f64 / self.speed / 1e9 - self.profile.lead.as_secs_f64()
    }

    /// Returns when a client shows what has this decoding time, if nothing delays it.
    pub(crate) fn shown(&self, dts_ns: i64) -> Instant {
        let after = (dts_ns - self.origin_ns) as f64 / self.speed / 1e9;
        self.start + Duration::try_from_secs_f64(after.max(0.0)).unwrap_or(Duration::MAX / 4)
    }

    /// Returns the time of the film that a client shows now.
    pub(crate) fn shows(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.start).as_secs_f64() * self.speed;
        self.origin_ns.saturating_add((passed * 1e9) as i64)
    }

    /// Records that a sample goes out. If it is late, the client has stalled, and all later ones are
    /// shown as much later.
    pub(crate) fn goes_out(&mut self, now: Instant, dts_ns: i64) {
        self.at_once &= self.due_after_s(dts_ns) <= 0.0;
        self.start += now.saturating_duration_since(self.shown(dts_ns));
    }

    /// Takes a packet's bytes from what may be sent now.
    ///
    /// # Errors
    /// When it may be sent.
    pub(crate) fn line(&mut self, now: Instant, bytes: usize) -> Result<(), Instant> {
        let Some(line) = self.profile.line else { return Ok(()) };
        let film = self.rate * self.speed.abs().clamp(1.0, FASTEST_LINE);
        let usual = film * line.times;
        let at_once = (film * line.times_at_once).min(FASTEST_AT_ONCE).max(usual);
        let rate = if self.at_once { at_once } else { usual };
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        (self.tokens, self.filled) = ((self.tokens + passed * rate).min(line.burst), now);
        let missing = bytes as f64 - self.tokens;
        if missing <= 0.0 {
            self.tokens -= bytes as f64;
            return Ok(());
        }
        // A little more than exact, so that rounding does not make a second wait of nothing.
        Err(now + Duration::from_secs_f64(missing / rate) + Duration::from_micros(10))
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn clients_are_known_by_their_names() {
        assert_eq!(Profile::of("Lavf59.27.100", false), EAGER);
        assert_eq!(Profile::of("Lavf59.27.100", true), QUICK);
        assert_eq!(Profile::of("GStreamer/1.22.0", false), EVEN);
        assert_eq!(Profile::of("LibVLC/3.0.18 (LIVE555 Streaming Media v2016.11.28)", true), STEADY);
        assert_eq!(Profile::of("", true), STEADY);
    }

    #[test]
    fn an_exact_jump_gets_all_up_to_the_time_asked_for_and_the_lead_at_once() {
        let now = Instant::now();
        let pace = Pace::new(EAGER, now, 20 * S, 25 * S, 1e6, 1.0);
        assert_eq!(pace.due(35 * S), now);
        assert_eq!(pace.due(37 * S), now + seconds(2.0));
        let pace = Pace::new(EVEN, now, 20 * S, 25 * S, 1e6, 1.0);
        assert_eq!(pace.due(21 * S), now + seconds(0.9));
    }

    #[test]
    fn after_a_stall_no_burst_makes_up_for_it() {
        let now = Instant::now();
        let mut pace = Pace::new(STEADY, now, 0, 0, 1e6, 1.0);
        pace.goes_out(now, 0);
        pace.goes_out(now + seconds(15.0), S);
        assert_eq!(pace.due(2 * S), now + seconds(15.7));
        assert_eq!(pace.shows(now + seconds(15.0)), S);
    }

    #[test]
    fn speed_divides_the_waits() {
        let now = Instant::now();
        let pace = Pace::new(EVEN, now, 0, 0, 1e6, 2.0);
        assert_eq!(pace.due(2 * S), now + seconds(0.9));
    }

    #[test]
    fn a_film_that_runs_backward_is_late_with_earlier_times() {
        let now = Instant::now();
        let mut pace = Pace::new(EVEN, now, 30 * S, 30 * S, 1e6, -4.0);
        assert_eq!(pace.due(30 * S), now);
        assert_eq!(pace.due(22 * S), now + seconds(1.9));
        assert_eq!(pace.shows(now + seconds(1.0)), 26 * S);
        pace.goes_out(now + seconds(3.0), 22 * S);
        assert_eq!(pace.shown(18 * S), now + seconds(4.0));
    }

    #[test]
    fn datagrams_go_out_no_faster_than_a_multiple_of_the_film() {
        let now = Instant::now();
        for (rate, is_steady, most) in [
            (200_000.0, false, 16.0 * 200_000.0),
            (500_000.0, false, FASTEST_AT_ONCE),
            (500_000.0, true, 4.0 * 500_000.0),
            (2_000_000.0, false, 4.0 * 2_000_000.0),
        ] {
            let mut pace = Pace::new(QUICK, now, 0, 0, rate, 1.0);
            pace.goes_out(now, S);
            if is_steady {
                pace.goes_out(now, 100 * S);
            }
            let sent = in_a_second(&mut pace);
            assert!((most..most + 70_000.0).contains(&sent), "{rate}: {sent}");
        }
        let mut pace = Pace::new(EVEN, now, 0, 0, 500_000.0, 1.0);
        let sent = in_a_second(&mut pace);
        assert!((1_000_000.0..1_040_000.0).contains(&sent), "a burst breaks GStreamer: {sent}");
    }

    /// Returns the bytes that a line takes in its first second.
    fn in_a_second(pace: &mut Pace) -> f64 {
        let start = pace.filled;
        let (mut now, mut sent) = (start, 0.0);
        while now < start + seconds(1.0) {
            match pace.line(now, 1400) {
                Ok(()) => sent += 1400.0,
                Err(at) => now = at,
            }
        }
        sent
    }
}
