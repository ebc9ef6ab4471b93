//! Network coordinates: each node's position, such that distances predict round trips.
//!
//! Vivaldi (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System",
//! SIGCOMM 2004) with two dimensions and a height. P2PMoD places its viewers by such coordinates.

use playswarm_proto::live::message::Coordinate;

/// Share of an error by which a position moves at most (the paper's c_c).
const GAIN: f64 = 0.25;
/// Weight of a new sample in the error (the paper's c_e).
const ERROR_GAIN: f64 = 0.25;
/// Least height, seconds: no line is without delay.
const MIN_HEIGHT_S: f64 = 0.0001;

/// A position, in seconds of round trip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    x: f64,
    y: f64,
    height: f64,
    error: f64,
}

impl Default for Position {
    fn default() -> Position {
        Position { x: 0.0, y: 0.0, height: MIN_HEIGHT_S, error: 1.0 }
    }
}

impl Position {
    /// Returns the predicted round trip to another position, seconds.
    pub fn distance_s(&self, other: &Position) -> f64 {
        (self.x - other.x).hypot(self.y - other.y) + self.height + other.height
    }

    /// Moves this position after a round trip of `rtt_s` to a node at `other` was measured.
    /// `angle`, in radians, is the direction if both are at the same place.
    pub(super) fn update(&mut self, other: &Position, rtt_s: f64, angle: f64) {
        if !(rtt_s.is_finite() && (0.0..10.0).contains(&rtt_s)) {
            return;
        }
        let rtt_s = rtt_s.max(0.0001);
        let distance = self.distance_s(other);
        let weight = self.error / (self.error + other.error).max(1e-6);
        let sample_error = (distance - rtt_s).abs() / rtt_s;
        let share = ERROR_GAIN * weight;
        self.error = (sample_error * share + self.error * (1.0 - share)).clamp(0.001, 1.0);
        let step = GAIN * weight * (rtt_s - distance);
        let plane = (self.x - other.x).hypot(self.y - other.y);
        let (dx, dy) = match plane > 1e-9 {
            true => ((self.x - other.x) / plane, (self.y - other.y) / plane),
            false => (angle.cos(), angle.sin()),
        };
        // Unlike in the paper, the step in the plane is not shortened by the part along the
        // heights: all nodes begin at one place, and would stay there.
        let heights = self.height + other.height;
        self.x = (self.x + step * dx).clamp(-3.0, 3.0);
        self.y = (self.y + step * dy).clamp(-3.0, 3.0);
        self.height = (self.height + step * heights / (plane + heights)).clamp(MIN_HEIGHT_S, 3.0);
    }

    pub(super) fn encode(&self) -> Coordinate {
        let tenths = |s: f64| (s * 10_000.0).round();
        Coordinate {
            x: tenths(self.x) as i16,
            y: tenths(self.y) as i16,
            height: tenths(self.height) as u16,
            error: (self.error * 1000.0).round() as u16,
        }
    }

    pub(super) fn decode(at: Coordinate) -> Position {
        Position {
            x: f64::from(at.x) / 10_000.0,
            y: f64::from(at.y) / 10_000.0,
            height: (f64::from(at.height) / 10_000.0).max(MIN_HEIGHT_S),
            error: (f64::from(at.error) / 1000.0).clamp(0.001, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// 30 nodes in a plane of 100 ms with lines of 5 to 15 ms, each measuring 200 times.
    #[test]
    fn distances_predict_round_trips() {
        let mut rng = Rng::new(3);
        let places: Vec<(f64, f64, f64)> =
            (0..30).map(|_| (rng.unit() * 0.1, rng.unit() * 0.1, 0.005 + rng.unit() * 0.01)).collect();
        let rtt = |a: usize, b: usize| {
            let (a, b) = (places[a], places[b]);
            (a.0 - b.0).hypot(a.1 - b.1) + a.2 + b.2
        };
        let mut nodes = vec![Position::default(); 30];
        for _ in 0..200 {
            for node in 0..30 {
                let other = rng.below(30) as usize;
                if other != node {
                    // As others see it: rounded to its form in messages.
                    let theirs = Position::decode(nodes[other].encode());
                    let angle = rng.unit() * std::f64::consts::TAU;
                    nodes[node].update(&theirs, rtt(node, other), angle);
                }
            }
        }
        let mut errors: Vec<f64> = (0..30)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| (nodes[a].distance_s(&nodes[b]) - rtt(a, b)).abs() / rtt(a, b))
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors[errors.len() / 2] < 0.1, "the median error is {}", errors[errors.len() / 2]);
    }

    #[test]
    fn nonsense_does_not_move_a_position() {
        let mut position = Position::default();
        for rtt in [f64::NAN, f64::INFINITY, -1.0, 11.0] {
            position.update(&Position::default(), rtt, 0.0);
        }
        assert_eq!(position, Position::default());
    }
}
