//! A virtual clock and network that drive playswarm's picker.
//!
//! A [`Scenario`] is a swarm, a viewer and the viewer's actions. [`run`] plays it from event to
//! event with any [`Machine`]: the real [`playswarm_logic::picker::Picker`], or a test's own. It
//! returns a [`Report`] with the delays as ratios to the computed limit. Nothing sleeps, and all
//! randomness comes from the seed, so the same seed gives the same trace. docs/SIM.md says what is
//! modelled and what is not.
#![forbid(unsafe_code)]

mod bench;
mod catalogue;
pub mod clients;
mod events;
mod limit;
mod link;
pub mod live;
mod machine;
mod measure;
mod peer;
mod plot;
mod policy;
mod random;
mod reader;
mod rng;
pub mod slots;
mod sources;
mod spec;
mod stats;
mod store;
mod svg;
mod table;
mod world;

pub use bench::{Cell, bench};
pub use catalogue::{catalogue, scenario};
pub use machine::Machine;
pub use measure::{PeerLoad, Report, Share, Wait, WaitKind};
pub use policy::Policy;
pub use random::random_scenario;
pub use rng::Rng;
pub use spec::{Change, ChokeCycle, Disturbance, Drift, Holds, Http, PeerGroup, Scenario, Script, Step, kbit};
pub use stats::{gini, median};
pub use svg::svg;
pub use table::{markdown, splice, text};
pub use world::{Options, describe, run, run_policy};
