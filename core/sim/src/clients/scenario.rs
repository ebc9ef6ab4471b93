//! Scenarios of whole clients.

/// A swarm.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its subject, in one sentence.
    pub about: &'static str,
    /// Clients that have everything from the start.
    pub origins: u32,
    /// Number of clients that arrive, play from the beginning, and leave.
    pub viewers: u32,
    /// The film's length, seconds.
    pub film_s: f64,
    /// The film's rate, bytes a second.
    pub film_bytes_per_s: f64,
    /// Bytes of a piece.
    pub piece_bytes: u32,
    /// Time within which viewers arrive at random, in seconds.
    pub arrivals_s: f64,
    /// Uplink of an origin, bytes a second.
    pub origin_up: f64,
    /// Uplink of a viewer, bytes a second.
    pub viewer_up: f64,
    /// Downlink of a viewer, bytes a second.
    pub viewer_down: f64,
    /// Delay of every line, one way, seconds.
    pub delay_s: f64,
    /// Share of the viewers that cannot be dialled.
    pub unreachable: f64,
    /// Share of the viewers that leave early, at a random time of the film.
    pub leavers: f64,
    /// Mean time between two jumps of a viewer, seconds; 0 for none.
    pub jumps_s: f64,
    /// Share of the viewers that serve wrong blocks; each of their blocks is wrong with a
    /// probability of a half.
    pub liars: f64,
    /// Whether viewers find each other by the slot index.
    pub slot_index: bool,
    /// Addresses in a tracker's answer.
    pub tracker_peers: usize,
}

impl Scenario {
    /// P2PMoD's experiment as `tests/src/bin/p2pmod` plays it with real processes (docs/P2PMOD.md).
    fn p2pmod() -> Scenario {
        Scenario {
            name: "p2pmod",
            about: "P2PMoD's 70 viewers and one origin, ten minutes at 40 kB/s",
            origins: 1,
            viewers: 70,
            film_s: 600.0,
            film_bytes_per_s: 40_000.0,
            piece_bytes: 32 << 10,
            arrivals_s: 600.0,
            origin_up: 10e6 / 8.0,
            viewer_up: 1e6 / 8.0,
            viewer_down: 8e6 / 8.0,
            delay_s: 0.02,
            unreachable: 0.0,
            leavers: 0.0,
            jumps_s: 0.0,
            liars: 0.0,
            slot_index: true,
            tracker_peers: 50,
        }
    }

    /// Bytes of the film.
    pub fn film_bytes(&self) -> u64 {
        (self.film_s * self.film_bytes_per_s) as u64
    }
}

/// Returns all scenarios.
pub fn catalogue() -> Vec<Scenario> {
    let base = Scenario::p2pmod();
    vec![
        Scenario {
            name: "p2pmod_no_index",
            about: "the same without the slot index",
            slot_index: false,
            ..base.clone()
        },
        Scenario { name: "flash_crowd", about: "P2PMoD's viewers within one minute", arrivals_s: 60.0, ..base.clone() },
        Scenario {
            name: "home_lines",
            about: "twenty viewers of a film of 500 kB/s on lines of 4 Mbit/s up and 50 down",
            viewers: 20,
            film_s: 300.0,
            film_bytes_per_s: 500e3,
            piece_bytes: 256 << 10,
            arrivals_s: 300.0,
            origin_up: 100e6 / 8.0,
            viewer_up: 4e6 / 8.0,
            viewer_down: 50e6 / 8.0,
            ..base.clone()
        },
        Scenario {
            name: "jumpers",
            about: "thirty viewers that jump once a minute",
            viewers: 30,
            film_s: 300.0,
            arrivals_s: 120.0,
            jumps_s: 60.0,
            ..base.clone()
        },
        Scenario {
            name: "behind_nat",
            about: "P2PMoD's viewers, seven in ten of them not to be dialled",
            unreachable: 0.7,
            ..base.clone()
        },
        Scenario {
            name: "liars",
            about: "thirty viewers, one in five of them gives wrong blocks",
            viewers: 30,
            film_s: 300.0,
            arrivals_s: 200.0,
            liars: 0.2,
            ..base.clone()
        },
        Scenario {
            name: "viewers_1000",
            about: "1,000 viewers with churn: four in ten leave early, three in ten cannot be dialled",
            viewers: 1000,
            arrivals_s: 600.0,
            unreachable: 0.3,
            leavers: 0.4,
            origin_up: 100e6 / 8.0,
            ..base.clone()
        },
        Scenario {
            name: "flash_crowd_1000",
            about: "1,000 viewers within two minutes",
            viewers: 1000,
            arrivals_s: 120.0,
            unreachable: 0.3,
            origin_up: 100e6 / 8.0,
            ..base.clone()
        },
    ]
    .into_iter()
    .fold(vec![base], |mut all, scenario| {
        all.push(scenario);
        all
    })
}

/// Returns the scenario of that name.
pub fn scenario(name: &str) -> Option<Scenario> {
    catalogue().into_iter().find(|scenario| scenario.name == name)
}
