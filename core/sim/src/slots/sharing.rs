//! Shares a viewer's upload among those that ask for more than there is: most to those with a low
//! buffer, or evenly for comparison.

/// A viewer that wants data from us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanting {
    /// Buffer, seconds of film.
    pub(super) ahead_s: f64,
    /// Highest rate that it can receive, bytes per second.
    pub(super) most_bytes_per_s: f64,
}

/// Buffer that halves a viewer's weight, seconds. 5: a viewer with ten seconds gets a third of the
/// share of one that waits, and with a minute a thirteenth. No viewer is starved.
const HALF_S: f64 = 5.0;

/// Returns the weight of a viewer with this buffer: 1 for one that waits, falling towards 0.
fn urgency(ahead_s: f64) -> f64 {
    if ahead_s.is_nan() {
        return 0.0;
    }
    1.0 / (1.0 + ahead_s.max(0.0) / HALF_S)
}

/// Shares `bytes_per_s` among viewers by urgency. No viewer gets more than it can receive, and
/// nothing is left over while one wants more. The shares are in the order of the viewers.
pub(super) fn share(bytes_per_s: f64, wanting: &[Wanting]) -> Vec<f64> {
    share_weighted(bytes_per_s, &wanting.iter().map(|w| (urgency(w.ahead_s), w.most_bytes_per_s)).collect::<Vec<_>>())
}

/// Shares evenly instead, for comparison: every viewer has the same weight.
pub(super) fn share_evenly(bytes_per_s: f64, wanting: &[Wanting]) -> Vec<f64> {
    share_weighted(bytes_per_s, &wanting.iter().map(|w| (1.0, w.most_bytes_per_s)).collect::<Vec<_>>())
}

/// Distributes a rate by water-filling. Each claim is a weight and a cap.
fn share_weighted(bytes_per_s: f64, claims: &[(f64, f64)]) -> Vec<f64> {
    let mut shares = vec![0.0; claims.len()];
    let finite = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
    let mut left = finite(bytes_per_s);
    // Sorted by the level at which they are full, so that one pass is enough.
    let level = |(weight, cap): (f64, f64)| if weight > 0.0 { finite(cap) / weight } else { f64::INFINITY };
    let mut order: Vec<usize> = (0..claims.len()).filter(|&i| claims[i].0 > 0.0 && finite(claims[i].1) > 0.0).collect();
    order.sort_unstable_by(|&a, &b| level(claims[a]).total_cmp(&level(claims[b])).then(a.cmp(&b)));
    let mut weights: f64 = order.iter().map(|&i| claims[i].0).sum();
    for i in order {
        let (weight, cap) = (claims[i].0, finite(claims[i].1));
        let share = if weights > 0.0 { (left * (weight / weights)).min(cap).min(left) } else { 0.0 };
        shares[i] = share;
        left = (left - share).max(0.0);
        weights -= weight;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn viewer(ahead_s: f64) -> Wanting {
        Wanting { ahead_s, most_bytes_per_s: 1e6 }
    }

    #[test]
    fn the_neediest_viewer_gets_most_and_none_gets_nothing() {
        let shares = share(100.0, &[viewer(0.0), viewer(10.0), viewer(60.0)]);
        assert!(shares[0] > 2.9 * shares[1] && shares[1] > 4.0 * shares[2] && shares[2] > 5.0, "{shares:?}");
    }

    #[test]
    fn what_one_does_not_take_goes_to_the_others() {
        let small = Wanting { ahead_s: 0.0, most_bytes_per_s: 10.0 };
        assert_eq!(share(100.0, &[small, viewer(30.0)]), [10.0, 90.0]);
    }

    proptest! {
        #[test]
        fn shares_are_within_the_supply_and_the_demand(
            rate in 0.0f64..1e7, wants in proptest::collection::vec((0.0f64..300.0, 0.0f64..1e6), 0..40),
        ) {
            let wanting: Vec<Wanting> =
                wants.iter().map(|(ahead_s, most)| Wanting { ahead_s: *ahead_s, most_bytes_per_s: *most }).collect();
            for shares in [share(rate, &wanting), share_evenly(rate, &wanting)] {
                let (sum, most): (f64, f64) = (shares.iter().sum(), wanting.iter().map(|w| w.most_bytes_per_s).sum());
                prop_assert!(shares.iter().zip(&wanting).all(|(s, w)| *s >= 0.0 && *s <= w.most_bytes_per_s));
                prop_assert!((sum - rate.min(most)).abs() <= 1e-6 * rate.max(1.0), "{} of {}", sum, rate.min(most));
            }
        }

        #[test]
        fn wild_numbers_share_nothing_out_of_nothing(rate: f64, ahead_s: f64, most: f64) {
            let shares = share(rate, &[Wanting { ahead_s, most_bytes_per_s: most }]);
            prop_assert!(shares[0].is_finite() && shares[0] >= 0.0 && (shares[0] <= rate.max(0.0) || !rate.is_finite()));
        }
    }
}
