//! Tiers of trackers that answer, fail, are silent or refuse.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn at(seconds: f64) -> Time {
    Time::from_secs_f64(seconds)
}
fn drain(trackers: &mut Trackers, seconds: f64) -> Vec<(usize, Event)> {
    trackers.handle(at(seconds), Input::Timeout);
    std::iter::from_fn(|| trackers.poll()).map(|Output::Announce { tracker, event }| (tracker, event)).collect()
}
fn asked(trackers: &mut Trackers, seconds: f64) -> Vec<usize> {
    drain(trackers, seconds).into_iter().map(|(tracker, _)| tracker).collect()
}
fn answers(trackers: &mut Trackers, seconds: f64, tracker: usize, peers: usize) {
    let interval = Some(Duration::from_secs(1800));
    trackers.handle(at(seconds), Input::Answered { tracker, interval, min_interval: None, peers });
}
fn fails(trackers: &mut Trackers, seconds: f64, tracker: usize) {
    trackers.handle(at(seconds), Input::Failed { tracker, retry: Retry::Usual });
}

#[test]
fn all_tiers_are_asked_at_once_and_one_tracker_of_each() {
    let mut trackers = Trackers::new(&[0, 1, 1, 1, 2], false, 7);
    let first = drain(&mut trackers, 0.0);
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|(_, event)| *event == Event::Started));
    assert_eq!((first[0].0, first[2].0), (0, 4));
    assert!((1..=3).contains(&first[1].0));
    assert_eq!(drain(&mut trackers, 1.9), []);
}

#[test]
fn trackers_of_a_tier_are_asked_in_another_order_by_everybody() {
    let firsts = |seed| asked(&mut Trackers::new(&[0; 10], false, seed), 0.0);
    assert_eq!(firsts(1), firsts(1));
    assert!((0..10).map(firsts).collect::<BTreeSet<_>>().len() > 3);
}

#[test]
fn a_dead_tracker_costs_two_seconds_and_a_failing_one_nothing() {
    let mut trackers = Trackers::new(&[0, 0, 0], false, 1);
    let first = asked(&mut trackers, 0.0)[0];
    assert_eq!(trackers.next_timeout(), at(2.0));
    let second = asked(&mut trackers, 2.0)[0];
    assert_ne!(first, second);
    fails(&mut trackers, 2.1, second);
    // The first is still silent, and has passed the limit.
    let third = asked(&mut trackers, 2.1)[0];
    assert_eq!(BTreeSet::from([first, second, third]).len(), 3);
    answers(&mut trackers, 2.5, third, 10);
    fails(&mut trackers, 15.0, first);
    assert_eq!(asked(&mut trackers, 1000.0), [], "the tier has what it needs");
    assert_eq!(trackers.state(first), State::Failed);
    assert_eq!(asked(&mut trackers, 2.5 + 1800.0), [third], "the one that answered is asked first from now on");
}

#[test]
fn a_tracker_without_peers_is_no_reason_to_ask_no_other() {
    let mut trackers = Trackers::new(&[0, 0], false, 1);
    let first = asked(&mut trackers, 0.0)[0];
    answers(&mut trackers, 0.1, first, 0);
    let second = asked(&mut trackers, 0.1)[0];
    assert_ne!(first, second);
    answers(&mut trackers, 0.2, second, 0);
    assert_eq!(asked(&mut trackers, 1700.0), []);
    assert_eq!(asked(&mut trackers, 1801.0).len(), 1);
}

#[test]
fn a_tier_whose_trackers_all_fail_is_asked_again_later_and_later() {
    let mut trackers = Trackers::new(&[0], false, 1);
    let mut gaps = Vec::new();
    let mut now = 0.0;
    for _ in 0..10 {
        assert_eq!(asked(&mut trackers, now), [0]);
        fails(&mut trackers, now, 0);
        let next = trackers.next_timeout().as_secs_f64() + 1e-6;
        gaps.push(next - now);
        now = next;
    }
    assert!(gaps.windows(2).all(|pair| pair[1] >= pair[0] * 0.99 && pair[1] <= pair[0] * 2.01), "{gaps:?}");
    assert!((5.0..=6.25).contains(&gaps[0]) && (600.0..=750.0).contains(&gaps[9]), "{gaps:?}");
}

#[test]
fn intervals_are_kept_within_bounds_and_a_short_supply_asks_the_next_of_the_tier() {
    let mut trackers = Trackers::new(&[0, 0], false, 1);
    let first = asked(&mut trackers, 0.0)[0];
    let zero = Some(Duration::ZERO);
    trackers.handle(at(0.0), Input::Answered { tracker: first, interval: zero, min_interval: zero, peers: 1 });
    assert_eq!(trackers.next_announce(first), Some(at(30.0)));
    trackers.handle(at(1.0), Input::Hurry);
    let second = asked(&mut trackers, 1.0)[0];
    assert_ne!(first, second);
    answers(&mut trackers, 1.0, second, 5);
    trackers.handle(at(2.0), Input::Hurry);
    assert_eq!(asked(&mut trackers, 3.0), [], "each of them was asked just now");
    trackers.handle(at(61.0), Input::Hurry);
    assert_eq!(asked(&mut trackers, 61.0).len(), 1);
    let long = Some(Duration::from_secs(1 << 40));
    let mut trackers = Trackers::new(&[0], false, 1);
    asked(&mut trackers, 0.0);
    trackers.handle(at(0.0), Input::Answered { tracker: 0, interval: long, min_interval: long, peers: 1 });
    assert_eq!(trackers.next_announce(0), Some(at(3600.0)));
    trackers.handle(at(1.0), Input::Hurry);
    assert_eq!(trackers.next_timeout(), at(3600.0), "it forbids to be asked sooner");
}

#[test]
fn a_tracker_says_when_to_come_back_or_never_to() {
    let mut trackers = Trackers::new(&[0], false, 1);
    asked(&mut trackers, 0.0);
    trackers.handle(at(0.0), Input::Failed { tracker: 0, retry: Retry::In(Duration::from_secs(300)) });
    trackers.handle(at(1.0), Input::Hurry);
    assert_eq!(trackers.next_timeout(), at(300.0));
    assert_eq!(asked(&mut trackers, 300.0), [0]);
    trackers.handle(at(300.0), Input::Failed { tracker: 0, retry: Retry::Never });
    trackers.handle(at(301.0), Input::Hurry);
    assert_eq!((trackers.next_timeout(), trackers.next_announce(0)), (Time::NEVER, None));
    assert_eq!(asked(&mut trackers, 1e6), []);
}

#[test]
fn completion_is_announced_once_to_known_trackers_and_again_after_a_failure() {
    let mut trackers = Trackers::new(&[0, 1, 2], false, 1);
    asked(&mut trackers, 0.0);
    answers(&mut trackers, 0.0, 0, 1);
    answers(&mut trackers, 0.0, 1, 1);
    fails(&mut trackers, 0.0, 2);
    trackers.handle(at(1.0), Input::Completed);
    assert_eq!(drain(&mut trackers, 1.0), [(0, Event::Completed), (1, Event::Completed)]);
    answers(&mut trackers, 1.0, 0, 1);
    fails(&mut trackers, 1.0, 1);
    let later = drain(&mut trackers, 20.0);
    assert!(later.contains(&(1, Event::Completed)) && !later.contains(&(0, Event::Completed)), "{later:?}");
    assert_eq!(trackers.welcome().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_private_torrent_announces_to_one_tracker_at_a_time() {
    let mut trackers = Trackers::new(&[0, 1, 2], true, 1);
    assert_eq!(asked(&mut trackers, 0.0), [0]);
    assert_eq!(asked(&mut trackers, 60.0), [], "however long it is silent");
    fails(&mut trackers, 60.0, 0);
    assert_eq!(asked(&mut trackers, 60.0), [1]);
    answers(&mut trackers, 60.0, 1, 0);
    assert_eq!(asked(&mut trackers, 100.0), [], "an answer is an answer");
    assert_eq!(asked(&mut trackers, 60.0 + 1800.0), [1]);
    fails(&mut trackers, 1860.0, 1);
    assert_eq!(asked(&mut trackers, 1860.0), [0]);
    answers(&mut trackers, 1860.0, 0, 9);
    assert_eq!(drain(&mut trackers, 1860.0), [(1, Event::Stopped)]);
}

#[test]
fn a_magnet_that_turns_out_private_leaves_all_trackers_but_one() {
    let mut trackers = Trackers::new(&[0, 1, 2, 3], false, 1);
    asked(&mut trackers, 0.0);
    for tracker in [1, 2] {
        answers(&mut trackers, 0.0, tracker, 1);
    }
    fails(&mut trackers, 0.0, 0);
    trackers.handle(at(1.0), Input::Private);
    assert_eq!(drain(&mut trackers, 1.0), [(2, Event::Stopped)]);
    // One announce was still outstanding.
    answers(&mut trackers, 1.5, 3, 1);
    assert_eq!(drain(&mut trackers, 1.5), [(1, Event::Stopped)]);
    assert_eq!(trackers.welcome().collect::<Vec<_>>(), [3]);
    assert_eq!(asked(&mut trackers, 30.0), []);
}

proptest! {
    #[test]
    fn no_tracker_is_asked_twice_at_once_or_without_pause(
        tiers in proptest::collection::vec(0u32..4, 1..8),
        private in any::<bool>(),
        steps in proptest::collection::vec((0u8..6, any::<prop::sample::Index>(), 0u64..100_000), 0..120),
    ) {
        let mut tiers = tiers;
        tiers.sort_unstable();
        let mut trackers = Trackers::new(&tiers, private, 3);
        let (mut now, mut open, mut last) = (Time::ZERO, BTreeSet::new(), vec![None::<Time>; tiers.len()]);
        for (kind, which, ms) in steps {
            trackers.handle(now, Input::Timeout);
            while let Some(Output::Announce { tracker, event }) = trackers.poll() {
                if event == Event::Stopped {
                    continue;
                }
                prop_assert!(open.insert(tracker), "{} is being asked", tracker);
                prop_assert!(!private || open.len() == 1);
                if event != Event::Completed && let Some(last) = last[tracker] {
                    prop_assert!(now.since(last) >= FIRST_RETRY, "{} was asked {:?} ago", tracker, now.since(last));
                }
            }
            prop_assert!(trackers.next_timeout() > now);
            let some = open.iter().copied().nth(if open.is_empty() { 0 } else { which.index(open.len()) });
            match (kind, some) {
                (0, Some(tracker)) => {
                    open.remove(&tracker);
                    last[tracker] = Some(now);
                    let peers = which.index(3);
                    trackers.handle(now, Input::Answered { tracker, interval: None, min_interval: None, peers });
                }
                (1, Some(tracker)) => {
                    open.remove(&tracker);
                    last[tracker] = Some(now);
                    trackers.handle(now, Input::Failed { tracker, retry: Retry::Usual });
                }
                (2, _) => trackers.handle(now, Input::Hurry),
                (3, _) => trackers.handle(now, Input::Completed),
                _ => now = now + Duration::from_millis(ms),
            }
        }
    }
}

#[test]
fn trackers_that_become_known_later_are_announced_to_as_tiers_of_their_own() {
    let mut trackers = Trackers::new(&[], false, 1);
    assert_eq!(asked(&mut trackers, 0.0), []);
    trackers.extend(&[0]);
    assert_eq!(asked(&mut trackers, 1.0), [0]);
    trackers.extend(&[1, 2]);
    assert_eq!(asked(&mut trackers, 1.0), [1, 2]);
    // A private torrent has one list (BEP 27).
    let mut private = Trackers::new(&[0], true, 1);
    assert_eq!(asked(&mut private, 0.0), [0]);
    private.extend(&[1]);
    assert_eq!(asked(&mut private, 0.5), []);
    private.handle(Time::from_secs_f64(1.0), Input::Failed { tracker: 0, retry: Retry::Usual });
    assert_eq!(asked(&mut private, 1.0), [1]);
}
