//! Situations of a fetch, and a swarm of honest, slow, rejecting and lying peers that it must
//! survive.

use super::*;
use proptest::prelude::*;

fn at(s: f64) -> Time {
    Time::from_secs_f64(s)
}

const A: PeerKey = PeerKey(1);
const B: PeerKey = PeerKey(2);
const C: PeerKey = PeerKey(3);
/// Three parts, the last of 5 bytes.
const SIZE: u32 = 2 * BLOCK_BYTES + 5;

fn info(size: u32) -> Vec<u8> {
    (0..size).map(|i| (i / 7) as u8).collect()
}

fn part(peer: PeerKey, part: u32, byte_off: u8) -> Input {
    let start = (part * BLOCK_BYTES) as usize;
    let data = info(SIZE)[start..start + part_bytes(SIZE, part)].iter().map(|b| b.wrapping_add(byte_off)).collect();
    Input::Part { peer, part, total: Some(SIZE), data }
}

fn drain(f: &mut Fetch) -> Vec<Output> {
    std::iter::from_fn(|| f.poll()).collect()
}

fn fetch(peers: &[PeerKey]) -> (Fetch, Vec<Output>) {
    let mut f = Fetch::default();
    (f.duplicates, f.slow_s) = (1, 2.0);
    peers.iter().for_each(|p| f.handle(Time::ZERO, Input::Offered(*p, SIZE)));
    let out = drain(&mut f);
    (f, out)
}

#[test]
fn one_peer_gives_all_of_it() {
    let (mut f, out) = fetch(&[A]);
    assert_eq!(out, [Output::Request(A, 0), Output::Request(A, 1)]);
    f.handle(at(0.1), part(A, 0, 0));
    assert_eq!(drain(&mut f), [Output::Request(A, 2)]);
    f.handle(at(0.2), part(A, 2, 0));
    f.handle(at(0.2), part(A, 1, 0));
    assert_eq!(drain(&mut f), [Output::Assembled { attempt: 0, info: info(SIZE) }]);
    f.handle(at(0.3), Input::Verdict { attempt: 0, right: true });
    assert!(f.done && f.next_timeout() == Time::NEVER);
}

#[test]
fn the_parts_are_spread_over_the_peers() {
    let (_, out) = fetch(&[A, B, C]);
    let mut parts: Vec<_> =
        out.iter().map(|o| if let Output::Request(p, n) = o { (p.0, *n) } else { panic!() }).collect();
    parts.sort_unstable_by_key(|(_, n)| *n);
    assert_eq!(parts, [(1, 0), (1, 1), (2, 2)]);
}

#[test]
fn a_silent_peers_parts_are_asked_of_another_and_welcome_late() {
    let (mut f, _) = fetch(&[A]);
    f.handle(at(0.5), Input::Offered(B, SIZE));
    assert_eq!(drain(&mut f), [Output::Request(B, 2)]);
    f.handle(at(0.6), part(B, 2, 0));
    assert_eq!(f.next_timeout(), at(2.0));
    f.handle(at(2.0), Input::Timeout);
    assert_eq!(drain(&mut f), [Output::Request(B, 0), Output::Request(B, 1)]);
    f.handle(at(2.1), part(A, 0, 0));
    f.handle(at(2.2), part(B, 1, 0));
    assert_eq!(drain(&mut f), [Output::Assembled { attempt: 0, info: info(SIZE) }]);
}

#[test]
fn a_peer_that_rejects_rests_and_is_asked_again() {
    let (mut f, _) = fetch(&[A]);
    f.handle(at(0.1), Input::Rejected(A, 0));
    f.handle(at(0.1), Input::Rejected(A, 1));
    assert_eq!(drain(&mut f), []);
    let later = f.next_timeout();
    assert!(later > at(3.0) && later < at(7.0), "{later:?}");
    f.handle(later, Input::Timeout);
    assert_eq!(drain(&mut f), [Output::Request(A, 0), Output::Request(A, 1)]);
}

#[test]
fn a_liar_that_gave_all_of_it_is_banned_and_the_next_peer_asked() {
    let (mut f, _) = fetch(&[A]);
    (0..3).for_each(|n| f.handle(at(0.1), part(A, n, 1)));
    drain(&mut f);
    f.handle(at(0.2), Input::Offered(B, SIZE));
    assert_eq!(drain(&mut f), []);
    f.handle(at(0.3), Input::Verdict { attempt: 0, right: false });
    let out = drain(&mut f);
    assert_eq!(out, [Output::Ban(A), Output::Request(B, 0), Output::Request(B, 1)]);
    f.handle(at(0.4), Input::Offered(A, SIZE));
    assert_eq!(drain(&mut f), []);
}

#[test]
fn of_several_givers_of_a_wrong_whole_each_gives_it_alone_and_the_liar_is_found() {
    let (mut f, _) = fetch(&[A, B]);
    f.handle(at(0.1), part(A, 0, 0));
    f.handle(at(0.1), part(A, 1, 0));
    f.handle(at(0.1), part(B, 2, 9));
    drain(&mut f);
    f.handle(at(0.2), Input::Verdict { attempt: 0, right: false });
    let asked = drain(&mut f);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|o| matches!(o, Output::Request(..))), "nobody is banned on suspicion");
    for n in 0..3 {
        f.handle(at(0.3), part(B, n, 9));
    }
    let out = drain(&mut f);
    let Some(Output::Assembled { attempt, .. }) = out.last() else { panic!("{out:?}") };
    f.handle(at(0.4), Input::Verdict { attempt: *attempt, right: false });
    assert_eq!(drain(&mut f), [Output::Ban(B)]);
    for n in 0..3 {
        f.handle(at(0.5), part(A, n, 0));
    }
    assert!(matches!(drain(&mut f).last(), Some(Output::Assembled { info: i, .. }) if *i == info(SIZE)));
}

#[test]
fn a_size_that_only_liars_claim_does_not_stop_the_honest_one() {
    let mut f = Fetch::default();
    for liar in 10..15 {
        f.handle(Time::ZERO, Input::Offered(PeerKey(liar), 16 << 20));
    }
    f.handle(Time::ZERO, Input::Offered(A, SIZE));
    assert!(drain(&mut f).contains(&Output::Request(A, 0)));
    (0..3).for_each(|n| f.handle(at(0.1), part(A, n, 0)));
    assert!(drain(&mut f).contains(&Output::Assembled { attempt: 0, info: info(SIZE) }));
}

#[test]
fn absurd_sizes_and_unrequested_parts_are_ignored() {
    let mut f = Fetch::default();
    f.handle(Time::ZERO, Input::Offered(A, 0));
    f.handle(Time::ZERO, Input::Offered(B, u32::MAX));
    f.handle(Time::ZERO, part(C, 0, 0));
    assert_eq!((drain(&mut f), f.next_timeout()), (vec![], Time::NEVER));
    let (mut f, _) = fetch(&[A]);
    f.handle(Time::ZERO, part(A, 2, 0));
    f.handle(Time::ZERO, Input::Part { peer: A, part: u32::MAX, total: Some(SIZE), data: vec![] });
    f.handle(Time::ZERO, Input::Rejected(A, u32::MAX));
    // Part 2 was not requested yet: it does not count.
    f.handle(Time::ZERO, part(A, 0, 0));
    assert_eq!(drain(&mut f), [Output::Request(A, 2)]);
}

#[test]
fn parts_of_the_wrong_length_end_in_silence_towards_that_peer() {
    let (mut f, _) = fetch(&[A]);
    let mut now = 0.0;
    for _ in 0..MAX_STRIKES {
        f.handle(at(now), Input::Part { peer: A, part: 0, total: Some(SIZE), data: vec![0; 3] });
        now += 100.0;
        f.handle(at(now), Input::Timeout);
        f.handle(at(now), Input::Timeout);
        now += 100.0;
        f.handle(at(now), Input::Timeout);
    }
    drain(&mut f);
    f.handle(at(now + 1000.0), Input::Timeout);
    assert_eq!((drain(&mut f), f.next_timeout()), (vec![], Time::NEVER));
}

/// Lets honest peers answer at once until nothing is outstanding. Returns the time at which the
/// metadata was right.
fn run(f: &mut Fetch, honest: &[PeerKey], size: u32, until: f64) -> Option<f64> {
    let (whole, mut now) = (info(size), Time::ZERO);
    while now <= at(until) {
        while let Some(output) = f.poll() {
            match output {
                Output::Request(peer, n) if honest.contains(&peer) => {
                    let start = (n * BLOCK_BYTES) as usize;
                    let data = whole[start..start + part_bytes(size, n)].to_vec();
                    f.handle(now, Input::Part { peer, part: n, total: Some(size), data });
                }
                Output::Assembled { attempt, info: got } => {
                    f.handle(now, Input::Verdict { attempt, right: got == whole });
                }
                _ => {}
            }
        }
        if f.done {
            return Some(now.as_secs_f64());
        }
        now = f.next_timeout();
        f.handle(now, Input::Timeout);
    }
    None
}

#[test]
fn silent_peers_with_other_sizes_do_not_starve_the_honest_one() {
    for silent in [6, 60] {
        let mut f = Fetch::default();
        (0..silent).for_each(|n| f.handle(Time::ZERO, Input::Offered(PeerKey(10 + n), SIZE + n / 2 + 1)));
        f.handle(Time::ZERO, Input::Offered(A, SIZE));
        let done = run(&mut f, &[A], SIZE, 10.0);
        assert!(done.is_some_and(|s| s < 1.0), "{silent} silent peers: {done:?}");
    }
}

#[test]
fn metadata_of_a_huge_torrent_comes_although_a_silent_peer_claims_a_small_one() {
    for size in [17 << 20, 32 << 20] {
        let mut f = Fetch::default();
        f.handle(Time::ZERO, Input::Offered(B, 100));
        f.handle(Time::ZERO, Input::Offered(A, size));
        let done = run(&mut f, &[A], size, 10.0);
        assert!(done.is_some_and(|s| s < 1.0), "{size} bytes: {done:?}");
    }
    let mut f = Fetch::default();
    f.handle(Time::ZERO, Input::Offered(A, (32 << 20) + 1));
    assert_eq!(drain(&mut f), [], "memory is bounded");
}

#[test]
fn silent_peers_that_claim_the_right_size_cost_a_moment() {
    for size in [100, SIZE, 40 * BLOCK_BYTES] {
        let mut f = Fetch::default();
        (0..6).for_each(|n| f.handle(Time::ZERO, Input::Offered(PeerKey(10 + n), size)));
        f.handle(Time::ZERO, Input::Offered(PeerKey(100), size));
        let done = run(&mut f, &[PeerKey(100)], size, 60.0);
        assert!(done.is_some_and(|s| s <= 2.0), "{size} bytes: {done:?}");
    }
}

#[test]
fn peers_that_dribble_another_size_do_not_hold_up_the_honest_one() {
    let mut f = Fetch::default();
    let liars: Vec<PeerKey> = (10..40).map(PeerKey).collect();
    let lie = |liar: PeerKey| (600 + liar.0) * BLOCK_BYTES;
    liars.iter().for_each(|liar| f.handle(Time::ZERO, Input::Offered(*liar, lie(*liar))));
    f.handle(Time::ZERO, Input::Offered(A, 20 * BLOCK_BYTES));
    // Each of them sends a part each second; the honest one answers within a tenth.
    let mut asked: Vec<(PeerKey, u32)> = Vec::new();
    for tenth in 1..=40 {
        let now = at(f64::from(tenth) / 10.0);
        asked.extend(drain(&mut f).into_iter().filter_map(|o| match o {
            Output::Request(peer, part) => Some((peer, part)),
            Output::Assembled { .. } => Some((A, u32::MAX)),
            Output::Ban(_) => None,
        }));
        if asked.contains(&(A, u32::MAX)) {
            return;
        }
        let due = |peer: PeerKey| peer == A || tenth % 10 == 0;
        for (peer, part) in asked.extract_if(.., |(peer, _)| due(*peer)).collect::<Vec<_>>() {
            let size = if peer == A { 20 * BLOCK_BYTES } else { lie(peer) };
            let data = vec![7; part_bytes(size, part)];
            f.handle(now, Input::Part { peer, part, total: Some(size), data });
        }
        f.handle(now, Input::Timeout);
    }
    panic!("the honest peer's metadata did not come");
}

#[test]
fn all_parts_in_one_message_are_taken_and_so_is_a_part_that_names_no_total() {
    let (mut f, _) = fetch(&[A]);
    f.handle(at(0.1), Input::Part { peer: A, part: 0, total: None, data: info(SIZE) });
    assert_eq!(drain(&mut f), [Output::Assembled { attempt: 0, info: info(SIZE) }]);
    let (mut f, _) = fetch(&[A]);
    f.handle(at(0.1), Input::Part { peer: A, part: 0, total: None, data: [info(SIZE), vec![0; 9]].concat() });
    assert_eq!(drain(&mut f), [], "more than all is no answer: it rests");
}

#[test]
fn after_an_answer_that_makes_no_sense_another_is_asked_at_once() {
    let (mut f, _) = fetch(&[A]);
    f.handle(at(0.1), Input::Offered(B, SIZE));
    assert_eq!(drain(&mut f), [Output::Request(B, 2)]);
    f.handle(at(0.2), Input::Odd(A));
    assert_eq!(drain(&mut f), [Output::Request(B, 0)]);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Honest,
    Silent,
    Rejects,
    Lies,
    LiesOfSize,
    SilentOfSize,
    Leaves,
    AllAtOnce,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Honest),
        Just(Kind::Silent),
        Just(Kind::Rejects),
        Just(Kind::Lies),
        Just(Kind::LiesOfSize),
        Just(Kind::SilentOfSize),
        Just(Kind::Leaves),
        Just(Kind::AllAtOnce)
    ]
}

proptest! {
    #[test]
    fn one_honest_peer_is_enough_whatever_the_others_do(
        mut kinds in proptest::collection::vec(kind(), 0..6), parts in 1u32..6, delay_ms in 10u64..1500,
    ) {
        kinds.push(Kind::Honest);
        let size = parts * BLOCK_BYTES - 7;
        let right = info(size);
        let mut f = Fetch::default();
        let mut now = Time::ZERO;
        for (i, kind) in kinds.iter().enumerate() {
            let size = match *kind {
                Kind::LiesOfSize => size + BLOCK_BYTES,
                Kind::SilentOfSize => size + i as u32 + 1,
                _ => size,
            };
            f.handle(now, Input::Offered(PeerKey(i as u32), size));
        }
        let mut events: BTreeMap<(Time, u32), Input> = BTreeMap::new();
        for n in 0u32.. {
            prop_assert!(n < 10_000, "it never ends");
            while let Some(output) = f.poll() {
                let due = now + std::time::Duration::from_millis(delay_ms);
                let seq = events.len() as u32 + n * 100;
                match output {
                    Output::Request(peer, part) => {
                        if kinds[peer.0 as usize] == Kind::SilentOfSize {
                            continue;
                        }
                        let of = if kinds[peer.0 as usize] == Kind::LiesOfSize { size + BLOCK_BYTES } else { size };
                        let mut data = info(of)[(part * BLOCK_BYTES) as usize..][..part_bytes(of, part)].to_vec();
                        let answer = |data| Input::Part { peer, part, total: Some(of), data };
                        let event = match kinds[peer.0 as usize] {
                            Kind::Honest => answer(data),
                            Kind::Silent | Kind::SilentOfSize => continue,
                            Kind::AllAtOnce if part == 0 => answer(right.clone()),
                            Kind::AllAtOnce => continue,
                            Kind::Rejects => Input::Rejected(peer, part),
                            Kind::Lies | Kind::LiesOfSize => { data[0] ^= 1; answer(data) }
                            Kind::Leaves => Input::Left(peer),
                        };
                        events.insert((due, seq), event);
                    }
                    Output::Assembled { attempt, info } => {
                        events.insert((now, seq), Input::Verdict { attempt, right: info == right });
                    }
                    Output::Ban(peer) => {
                        prop_assert!(matches!(kinds[peer.0 as usize], Kind::Lies | Kind::LiesOfSize));
                    }
                }
            }
            if f.done {
                return Ok(());
            }
            let timeout = f.next_timeout();
            match events.first_entry() {
                Some(event) if event.key().0 <= timeout => {
                    now = now.max(event.key().0);
                    let input = event.remove();
                    f.handle(now, input);
                }
                _ => {
                    prop_assert!(timeout != Time::NEVER, "nothing is under way");
                    now = now.max(timeout);
                    f.handle(now, Input::Timeout);
                }
            }
        }
    }
}
