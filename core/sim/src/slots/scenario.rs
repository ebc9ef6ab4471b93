//! Crowds of viewers of one film: who comes when, with which line, and what they do. Only descriptions, drawn by seed.

use crate::rng::Rng;
use playswarm_logic::slots::Kind;
use serde::{Deserialize, Serialize};

/// How viewers come over time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Arrivals {
    /// Poisson: each at any moment alike.
    Poisson,
    /// Half of them within five minutes of one moment, half an hour after the start; the others as above.
    Flash,
}

/// Where viewers jump to, and begin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Jumps {
    /// Some minutes on or back, exponentially distributed.
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

/// How a viewer shares its upload among those that ask for more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Everybody alike.
    Even,
    /// Those that are close to running dry first (`sharing.rs`).
    Urgent,
}

/// What is played in one run.
#[derive(Clone, Debug, Serialize)]
pub struct Crowd {
    /// The name in tables.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// How many come.
    pub viewers: u32,
    /// Over how long, seconds.
    pub arrive_s: f64,
    /// The run's end, seconds.
    pub end_s: f64,
    /// How they come.
    pub arrivals: Arrivals,
    /// Where they jump to.
    pub jumps: Jumps,
    /// The film's length, seconds.
    pub film_s: f64,
    /// Its rate, bytes per second.
    pub film_rate: f64,
    /// Length of a chunk, the unit of what is held and passed on, seconds of film: about a piece.
    pub chunk_s: f64,
    /// How much of the film around the playhead a viewer keeps, seconds either way; `None`: all it had.
    pub keeps_s: Option<f64>,
    /// The origin's upload, bytes per second.
    pub origin_rate: f64,
    /// Peers in one answer of the tracker.
    pub tracker_peers: usize,
    /// The share of viewers that nobody can dial (NAT without a mapped port).
    pub unreachable: f64,
    /// The share of viewers whose clocks are wrong, by an hour forwards or back.
    pub wrong_clocks: f64,
    /// Whether the machine is left to correct its clock by those of others.
    pub corrects_clocks: bool,
    /// Addresses that a Sybil announces in every slot, in so many networks of sixteen; they accept and give nothing.
    pub sybil_networks: u32,
    /// The share of lookups that answer with garbage: thousands of addresses where nobody is.
    pub garbage: f64,
    /// At this second one of ten viewers leaves without a word.
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

/// A crowd, and the ways to find and to share that are compared in it.
pub type Rows = (Crowd, Vec<(Index, Sharing)>);

/// The crowds of docs/SLOTS-SIM.md: three of ten thousand viewers, then smaller ones for what can go wrong.
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
        (Crowd { keeps_s: None, ..lesser("keep_all", "2,000 viewers that keep all they had") }, kinds.clone()),
        (Crowd { wrong_clocks: 0.2, ..lesser("wrong_clocks", about_clocks) }, kinds),
        (
            Crowd {
                wrong_clocks: 0.2,
                corrects_clocks: false,
                ..lesser("uncorrected", "the same, and nobody corrects its clock")
            },
            vec![by_virtual],
        ),
        (
            Crowd { sybil_networks: 64, ..lesser("sybil", "1,024 dead weights are announced in every slot") },
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

/// A line: down, up, bytes per second. Bharambe, Herley and Padmanabhan (INFOCOM 2006), table 1, from the measurements of
/// Saroiu, Gummadi and Gribble (MMCN 2002).
fn line(rng: &mut Rng) -> (f64, f64) {
    let kbit = |down: f64, up: f64| (down * 125.0, up * 125.0);
    match rng.unit() {
        x if x < 0.2 => kbit(784.0, 128.0),
        x if x < 0.6 => kbit(1500.0, 384.0),
        x if x < 0.85 => kbit(3000.0, 1000.0),
        _ => kbit(10_000.0, 5000.0),
    }
}

/// One thing that a viewer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Act {
    Pause(f64),
    /// By so many seconds.
    By(f64),
    /// To this second.
    To(f64),
}

/// One viewer as it is drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) arrives: f64,
    pub(super) begins_at: f64,
    pub(super) down: f64,
    pub(super) up: f64,
    pub(super) reachable: bool,
    pub(super) clock_off_s: f64,
    /// Leaves after so many seconds of watching.
    pub(super) watches_s: f64,
    /// Acts, by seconds of watching.
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
    // The popular ones are anywhere in the film: 7 and 20 have no common factor.
    film_s * 0.95 * f64::from(rank * 7 % 20) / 20.0
}

/// All viewers in the order in which they come.
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
                // Half pauses, of a minute in the mean; half jumps, seven of ten forwards, five minutes in the mean.
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
