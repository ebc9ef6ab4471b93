//! Figures of the RTSP server with real players, on this machine:
//!
//!     cargo run --release -p playswarm-tests --bin rtsp_figures -- swarm
//!
//! `swarm` compares RTSP with HTTP in a shaped swarm, `local` with other RTSP servers that have the
//! file on disk. `udp` counts what a client misses, and `load` measures what a session costs.
//! `PLAYSWARM_BIN` names another build of the program.
#![allow(clippy::unwrap_used)]

mod client;
mod film;
mod load;
mod local;
mod mpv;
mod swarm;

use clap::Parser;

/// What to measure.
#[derive(Parser)]
enum Measure {
    /// First frame and jumps in mpv and FFmpeg in a swarm of ten peers of 4 Mbit/s, 40 ms away
    Swarm {
        /// Runs of each protocol, in turn
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Only this player: mpv or ffmpeg
        #[arg(long)]
        player: Option<String>,
    },
    /// Answers to PLAY and jumps in mpv with all bytes here, beside GStreamer's and VLC's servers
    Local {
        /// Jumps of a bare client
        #[arg(long, default_value_t = 200)]
        jumps: usize,
        /// Only this server: playswarm, gstreamer or vlc
        #[arg(long)]
        server: Option<String>,
    },
    /// Packets lost and out of order, and jitter over UDP
    Udp {
        /// Rate of the film in Mbit/s
        #[arg(long, default_value_t = 20)]
        mbit: u32,
        /// How long it plays
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
    /// Processor and memory of a session
    Load {
        /// Rate of the film in Mbit/s
        #[arg(long, default_value_t = 8)]
        mbit: u32,
        /// How long it plays
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Sessions at the same time
        #[arg(long, default_value_t = 4)]
        sessions: usize,
    },
}

fn main() {
    match Measure::parse() {
        Measure::Swarm { runs, player } => swarm::measure(runs, player.as_deref()),
        Measure::Local { jumps, server } => local::measure(jumps, server.as_deref()),
        Measure::Udp { mbit, seconds } => load::datagrams(mbit, seconds),
        Measure::Load { mbit, seconds, sessions } => {
            for udp in [false, true] {
                load::sessions(mbit, seconds, sessions, udp);
            }
        }
    }
}

/// Returns a share of the values, from 0 for the least to 1 for the largest.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
