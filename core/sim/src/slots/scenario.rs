//! Crowds of viewers of one film: their arrivals, lines and actions. These are descriptions only,
//! drawn by seed.

use crate::rng::Rng;
use playswarm_logic::slots::Kind;
use serde::{Deserialize, Serialize};

/// The distribution of the viewers' arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Arrivals {
    /// Poisson: all times are equally likely.
    Poisson,
    /// Half of the viewers arrive within five minutes, half an hour after the start; the others as
    /// above.
    Flash,
}

/// The targets of jumps, and the starting positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Jumps {
    /// Some minutes forwards or back, exponentially distributed.
    Near,
    /// To one of twenty scenes, the k-th with weight 1/k (Zipf); three of ten viewers begin at one.
    Scenes,
}

/// How viewers find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Index {
    /// By the tracker alone.
    None,
    /// By the tracker and the slot index.
    Slots(Kind),
}

impl Index {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Index::None => "tracker alone",
            Index::Slots(kind) => kind.name(),
        }
    }
}

/// How a viewer shares its upload if more is requested than it can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Equally.
    Even,
    /// Viewers with the lowest buffer first (`sharing.rs`).
    Urgent,
}

/// The settings of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Crowd {
    /// The name in tables.
    pub name: String,
    /// Its subject, in one sentence.
    pub about: String,
    /// Number of viewers.
    pub viewers: u32,
    /// Time over which they arrive, in seconds.
    pub arrive_s: f64,
    /// The run's end, seconds.
    pub end_s: f64,
    /// The distribution of their arrivals.
    pub arrivals: Arrivals,
    /// The targets of their jumps.
    pub jumps: Jumps,
    /// The film's length, seconds.
    pub film_s: f64,
    /// Its rate, bytes per second.
    pub film_rate: f64,
    /// Length of a chunk, the unit of storage and exchange, in seconds of film: about a piece.
    pub chunk_s: f64,
    /// Length of film that a viewer keeps around the playhead, in seconds either way; `None` to
    /// keep all.
    pub keeps_s: Option<f64>,
    /// The origin's upload, bytes per second.
    pub origin_rate: f64,
    /// Peers in one answer of the tracker.
    pub tracker_peers: usize,
    /// Share of the viewers that cannot be dialled (NAT without a mapped port).
    pub unreachable: f64,
    /// Share of the viewers whose clocks are wrong by an hour, forwards or back.
    pub wrong_clocks: f64,
    /// Whether the machine may correct its clock by those of others.
    pub corrects_clocks: bool,
    /// Number of networks, each with sixteen addresses, that a Sybil announces in every slot. They
    /// accept connections and send nothing.
    pub sybil_networks: u32,
    /// Share of lookups that return garbage: thousands of addresses without a viewer.
    pub garbage: f64,
    /// Time in seconds at which one of ten viewers leaves without notice.
    pub exodus_s: Option<f64>,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd {
            name: "poisson".into(),
            about: "10,000 viewers come over two hours".into(),
            viewers: 10_000,
            arrive_s: 7200.0,
            end_s: 7200.0,
            arrivals: Arrivals::Poisson,
            jumps: Jumps::Near,
            film_s: 6000.0,
            film_rate: 75_000.0,
            // 225 kB, about a piece of 256 KiB.
            chunk_s: 3.0,
            keeps_s: Some(600.0),
            origin_rate: 125e6,
            tracker_peers: 50,
            unreachable: 0.3,
            wrong_clocks: 0.0,
            corrects_clocks: true,
            sybil_networks: 0,
            garbage: 0.0,
            exodus_s: None,
        }
    }
}

/// The crowds with the kinds of index and sharing that are compared on each.
pub type Rows = (Crowd, Vec<(Index, Sharing)>);

/// Returns the crowds of docs/SLOTS-SIM.md: three of ten thousand viewers, then smaller ones for
/// faults.
pub fn crowds() -> Vec<Rows> {
    let great = |name: &str, about: &str| Crowd { name: name.into(), about: about.into(), ..Crowd::default() };
    let lesser = |name: &str, about: &str| Crowd { viewers: 2000, ..great(name, about) };
    let tracker = (Index::None, Sharing::Urgent);
    let by_virtual = (Index::Slots(Kind::Virtual), Sharing::Urgent);
    let by_data = (Index::Slots(Kind::Data), Sharing::Urgent);
    let evenly = [(Index::None, Sharing::Even), (Index::Slots(Kind::Virtual), Sharing::Even)];
    let kinds = vec![tracker, by_virtual, by_data];
    let both = vec![tracker, by_virtual];
    let all = [&evenly[..], &kinds[..]].concat();
    let about_clocks = "a fifth of the clocks are wrong by an hour";
    vec![
        (great("poisson", "10,000 viewers come over two hours"), all),
        (Crowd { arrivals: Arrivals::Flash, ..great("flash", "half of them come within five minutes") }, kinds.clone()),
        (Crowd { jumps: Jumps::Scenes, ..great("zipf", "they begin at and jump to popular scenes") }, kinds.clone()),
        (lesser("lesser", "2,000 viewers"), kinds.clone()),
        (
            Crowd { origin_rate: 0.9e6, ..lesser("narrow_origin", "2,000 viewers, and the origin has 12 streams") },
            vec![evenly[0], tracker, by_virtual],
        ),
        (Crowd { viewers: 500, ..great("small", "500 viewers") }, kinds.clone()),
        (Crowd { keeps_s: None, ..lesser("keep_all", "2,000 viewers that keep the whole film") }, kinds.clone()),
        (Crowd { wrong_clocks: 0.2, ..lesser("wrong_clocks", about_clocks) }, kinds),
        (
            Crowd {
                wrong_clocks: 0.2,
                corrects_clocks: false,
                ..lesser("uncorrected", "the same, without correction of clocks")
            },
            vec![by_virtual],
        ),
        (
            Crowd { sybil_networks: 64, ..lesser("sybil", "1,024 useless addresses are announced in every slot") },
            vec![by_virtual],
        ),
        (
            Crowd { garbage: 0.33, ..lesser("garbage", "every third lookup answers with 2,000 made-up addresses") },
            vec![by_virtual],
        ),
        (
            Crowd { exodus_s: Some(4500.0), ..lesser("exodus", "at 1:15 each tenth viewer leaves in the same second") },
            both,
        ),
    ]
}

/// Draws a line: downlink and uplink in bytes per second. From table 1 of Bharambe, Herley and
/// Padmanabhan (INFOCOM 2006), based on the measurements of Saroiu, Gummadi and Gribble (MMCN
/// 2002).
fn line(rng: &mut Rng) -> (f64, f64) {
    let kbit = |down: f64, up: f64| (down * 125.0, up * 125.0);
    match rng.unit() {
        x if x < 0.2 => kbit(784.0, 128.0),
        x if x < 0.6 => kbit(1500.0, 384.0),
        x if x < 0.85 => kbit(3000.0, 1000.0),
        _ => kbit(10_000.0, 5000.0),
    }
}

/// An action of a viewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Act {
    Pause(f64),
    /// A jump by this number of seconds.
    By(f64),
    /// A jump to this second.
    To(f64),
}

/// A viewer as drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) arrives: f64,
    pub(super) begins_at: f64,
    pub(super) down: f64,
    pub(super) up: f64,
    pub(super) reachable: bool,
    pub(super) clock_off_s: f64,
    /// Seconds of watching after which it leaves.
    pub(super) watches_s: f64,
    /// Actions, by seconds of watching.
    pub(super) acts: Vec<(f64, Act)>,
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.unit()).ln()
}

fn scene(rng: &mut Rng, film_s: f64) -> f64 {
    let total: f64 = (1..=20).map(|k| 1.0 / f64::from(k)).sum();
    let mut at = rng.unit() * total;
    let mut rank = 1;
    for k in 1..=20 {
        rank = k;
        at -= 1.0 / f64::from(k);
        if at <= 0.0 {
            break;
        }
    }
    // The popular scenes are spread over the film: 7 and 20 have no common factor.
    film_s * 0.95 * f64::from(rank * 7 % 20) / 20.0
}

/// Draws all viewers, in the order of arrival.
pub(super) fn draw(crowd: &Crowd, seed: u64) -> Vec<Drawn> {
    let mut rng = Rng::new(seed);
    let mut viewers: Vec<Drawn> = (0..crowd.viewers)
        .map(|_| {
            let flash = crowd.arrivals == Arrivals::Flash && rng.chance(0.5);
            let arrives = if flash { 1800.0 + rng.between(0.0, 300.0) } else { rng.between(0.0, crowd.arrive_s) };
            let (down, up) = line(&mut rng);
            let wrong = rng.chance(crowd.wrong_clocks);
            let by = if rng.chance(0.5) { 3600.0 } else { -3600.0 };
            let begins = crowd.jumps == Jumps::Scenes && rng.chance(0.3);
            let watches_s = exponential(&mut rng, 4800.0);
            let mut acts = Vec::new();
            let mut at = exponential(&mut rng, 600.0);
            while at < watches_s && at < crowd.film_s * 2.0 {
                // Half are pauses of a minute in the mean. Half are jumps of five minutes in the
                // mean, seven of ten forwards.
                let act = match rng.unit() {
                    x if x < 0.5 => Act::Pause(exponential(&mut rng, 60.0)),
                    _ if crowd.jumps == Jumps::Scenes => Act::To(scene(&mut rng, crowd.film_s)),
                    x => Act::By(exponential(&mut rng, 300.0) * if x < 0.85 { 1.0 } else { -1.0 }),
                };
                acts.push((at, act));
                at += exponential(&mut rng, 600.0);
            }
            Drawn {
                arrives,
                begins_at: if begins { scene(&mut rng, crowd.film_s) } else { 0.0 },
                down,
                up,
                reachable: !rng.chance(crowd.unreachable),
                clock_off_s: if wrong { by } else { rng.between(-0.5, 0.5) },
                watches_s,
                acts,
            }
        })
        .collect();
    viewers.sort_by(|a, b| a.arrives.total_cmp(&b.arrives));
    viewers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_the_measured_ones() {
        let mut rng = Rng::new(5);
        let ups: Vec<f64> = (0..20_000).map(|_| line(&mut rng).1 / 125.0).collect();
        let mean = ups.iter().sum::<f64>() / ups.len() as f64;
        assert!((1150.0..1210.0).contains(&mean), "{mean} kbit/s");
    }

    #[test]
    fn a_flash_crowd_comes_in_five_minutes_and_the_same_seed_draws_the_same() {
        let (crowd, _) = crowds().into_iter().find(|(c, _)| c.name == "flash").expect("it is in the list");
        let viewers = draw(&crowd, 3);
        let within = viewers.iter().filter(|v| (1800.0..2100.0).contains(&v.arrives)).count();
        assert!((4900..5700).contains(&within), "{within}");
        assert_eq!(viewers.len(), 10_000);
        assert!(viewers.iter().zip(draw(&crowd, 3)).all(|(a, b)| a.arrives == b.arrives && a.acts == b.acts));
    }
}
