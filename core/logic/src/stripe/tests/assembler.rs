use super::super::assembler::{Assembler, Facts, Input, Output};
use super::*;
use crate::Time;
use proptest::prelude::*;

/// Groups of two packets, either of which a third replaces. They begin each 100 ms, and a player
/// can begin at each tenth.
struct Node {
    machine: Assembler,
    now: Time,
    /// Outputs in short: `5` ready, `5?` wanted, `5>10` skipped, `end`.
    said: Vec<String>,
}

impl Node {
    fn new() -> Node {
        Node::with(Config { margin_s: 0.0, ..Config::default() })
    }

    fn with(config: Config) -> Node {
        Node { machine: Assembler::new(config), now: Time::ZERO, said: Vec::new() }
    }

    fn tell(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            self.said.push(match output {
                Output::Ready { group } => group.to_string(),
                Output::Want { group, have, lacks } => match lacks {
                    Some(lacks) => format!("{group}?{have:b}-{lacks}"),
                    None => format!("{group}?"),
                },
                Output::Skip { from, to } => format!("{from}>{to}"),
                Output::Unneeded { below } => format!("<{below}"),
                Output::Ended => "end".to_owned(),
            });
        }
    }

    fn arrives(&mut self, group: u64, index: u8) {
        self.tell(arrived(group, index));
    }

    /// Both data packets of these groups arrive.
    fn whole(&mut self, groups: std::ops::Range<u64>) {
        groups.for_each(|group| (0..2).for_each(|index| self.arrives(group, index)));
    }

    fn passes(&mut self, millis: u64) {
        let until = Time(self.now.0 + millis * 1000);
        while self.machine.next_timeout() <= until {
            self.now = self.machine.next_timeout().max(self.now);
            let before = self.machine.next_timeout();
            self.tell(Input::Timeout);
            assert!(self.machine.next_timeout() > before, "a timeout must lead to a later one");
        }
        self.now = until;
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.said).join(" ")
    }

    /// What was said but for wanted packets.
    fn played(&mut self) -> String {
        self.said.retain(|said| !said.contains('?'));
        self.said()
    }
}

fn facts(group: u64) -> Facts {
    Facts { needed: 2, born_ms: group.saturating_mul(100), restart: group.is_multiple_of(10), end: false }
}

fn arrived(group: u64, index: u8) -> Input {
    Input::Arrived { group, index, facts: facts(group) }
}

#[test]
fn groups_are_given_out_in_order_from_the_first_at_which_a_player_can_begin() {
    let mut node = Node::new();
    node.whole(8..10);
    node.arrives(11, 2);
    node.arrives(11, 0);
    assert_eq!(node.said(), "");
    node.arrives(10, 1);
    node.arrives(10, 1);
    assert_eq!(node.said(), "");
    node.arrives(10, 2);
    assert_eq!(node.said(), "10 11");
    node.arrives(10, 0);
    node.whole(12..14);
    assert_eq!(node.said(), "12 13");
}

#[test]
fn the_first_group_is_a_margin_older_than_the_newest() {
    let mut node = Node::with(Config::default());
    // The newest come first, as from a parent that passes on what it gets.
    node.whole(30..32);
    assert_eq!(node.said(), "");
    // Then those that it had: the player begins there. What it lacks at that is asked for.
    node.whole(20..30);
    assert_eq!(node.said(), "21? 22? 23? 24? 25? 26? 27? 28? 29? 20 21 22 23 24 25 26 27 28 29 30 31");
}

#[test]
fn if_the_source_pauses_the_first_group_is_given_out_after_a_margin() {
    let mut node = Node::with(Config::default());
    node.whole(30..32);
    assert_eq!(node.said(), "");
    node.passes(999);
    assert_eq!(node.said(), "");
    assert_eq!(node.machine.next_timeout(), node.now.plus_secs(0.001));
    node.passes(1);
    assert_eq!(node.said(), "30 31");
}

#[test]
fn packets_are_wanted_after_half_a_margin_and_then_again() {
    let mut node = Node::new();
    node.whole(10..11);
    node.arrives(12, 1);
    node.said();
    node.passes(499);
    assert_eq!(node.said(), "");
    node.passes(1);
    assert_eq!(node.said(), "11? 12?10-1");
    node.arrives(11, 0);
    node.passes(500);
    assert_eq!(node.said(), "11?1-1 12?10-1");
    node.arrives(11, 2);
    node.arrives(12, 0);
    assert_eq!(node.said(), "11 12");
    assert_eq!(node.machine.next_timeout(), Time::NEVER);
}

#[test]
fn a_group_is_wanted_soon_after_a_later_one_is_complete() {
    let mut node = Node::new();
    node.whole(10..12);
    node.arrives(12, 0);
    node.passes(100);
    node.said();
    node.whole(13..14);
    node.passes(149);
    assert_eq!(node.said(), "");
    node.passes(1);
    assert_eq!(node.said(), "12?1-1");
    node.passes(250);
    assert_eq!(node.said(), "12?1-1", "and again");
    // What was sent before the node came does not come by itself, and is asked for at once.
    let mut node = Node::with(Config { margin_s: 1.0, ..Config::default() });
    node.arrives(20, 0);
    node.whole(10..12);
    node.arrives(20, 1);
    let said = node.said();
    assert!((12..20).all(|group| said.matches(&format!("{group}?")).count() == 1), "{said}");
    node.passes(100);
    assert_eq!(node.said(), "");
}

#[test]
fn a_newcomer_begins_with_the_newest_restart_group_that_is_a_margin_old_whatever_a_parent_names() {
    // A parent that is behind names group 10, when 58 is new.
    let mut node = Node::with(Config { margin_s: 1.0, ..Config::default() });
    node.whole(10..11);
    node.arrives(58, 0);
    let said = node.said();
    assert!((11..58).all(|group| said.contains(&format!("{group}?"))), "nothing better is known: {said}");
    // Another names 40, and a third 50, which is not old enough yet.
    node.arrives(40, 0);
    node.arrives(50, 0);
    assert_eq!(node.said(), "<40", "the past before is not needed");
    node.passes(250);
    let asked: Vec<String> = node.said().split(' ').map(|said| said.split('?').next().unwrap().to_owned()).collect();
    assert_eq!(asked, (40..58).map(|group| group.to_string()).collect::<Vec<_>>());
    node.whole(40..58);
    assert!(node.said().starts_with("40 41 42"));
}

#[test]
fn a_player_begins_once_the_rest_of_the_past_comes_before_it_is_played() {
    // The past of a second comes group by group, each after so many milliseconds of the 100 that it
    // lasts.
    let began = |each_ms: u64| {
        let mut node = Node::with(Config::default());
        node.arrives(22, 0);
        for group in 10..22 {
            node.passes(each_ms);
            node.whole(group..group + 1);
            if !node.played().is_empty() {
                return group;
            }
        }
        99
    };
    // At five times the pace of the player, little is awaited; at two thirds of it, half.
    assert_eq!([20, 100, 150].map(began), [11, 13, 16]);
    // If it is too slow, the player begins with the next restart group, which needs none of it.
    let mut node = Node::with(Config::default());
    node.arrives(22, 0);
    node.whole(10..11);
    for group in 23..41 {
        node.passes(100);
        node.whole(group..group + 1);
    }
    assert!(node.played().starts_with("30 31"));
    // Without one, its time is over at last.
    let mut node = Node::with(Config::default());
    node.arrives(40, 0);
    node.whole(10..11);
    node.passes(3999);
    assert_eq!(node.played(), "");
    node.passes(1);
    assert!(node.played().starts_with("10"));
}

#[test]
fn a_group_that_is_lost_is_given_up_for_the_newest_restart_that_is_a_margin_old() {
    let mut node = Node::with(Config::default());
    node.whole(10..12);
    node.whole(13..55);
    node.said();
    node.passes(1999);
    assert!(!node.said().contains('>'));
    node.passes(1);
    // 54 is the newest: 50 is 0.4 s behind it, and 40 is 1.4 s.
    let said = node.said();
    assert!(said.starts_with("12>40 40 41") && said.ends_with("53 54"), "{said}");
    node.whole(12..13);
    node.whole(55..56);
    assert_eq!(node.said(), "55");
}

/// Returns a node that was without its line for eight seconds, after group 99. Then a new group comes each
/// 100 ms, and one of the past each `past_ms`, until none is missing or one was given up.
fn after_an_interruption(past_ms: u64) -> (Node, u64) {
    let mut node = Node::with(Config::default());
    node.whole(80..100);
    node.passes(8000);
    node.said();
    let (mut past, mut took_ms) = (100_u64, 0_u64);
    while past < 180 + took_ms / 100 && took_ms < 60_000 {
        if took_ms.is_multiple_of(100) {
            node.whole(180 + took_ms / 100..181 + took_ms / 100);
        }
        if took_ms.is_multiple_of(past_ms) {
            node.whole(past..past + 1);
            past += 1;
        }
        if node.said.iter().any(|said| said.contains('>')) {
            break;
        }
        node.passes(10);
        took_ms += 10;
    }
    (node, took_ms)
}

#[test]
fn after_an_interruption_nothing_is_lost_if_the_past_comes_as_fast_as_it_is_played() {
    for past_ms in [10, 50, 90] {
        let (mut node, took_ms) = after_an_interruption(past_ms);
        let played = node.played();
        assert!(!played.contains('>'), "{played}");
        let newest = 180 + (took_ms - 1) / 100;
        assert_eq!(played.split(' ').count() as u64, newest - 99, "all since the interruption, to the newest");
        assert!(took_ms > 8 * past_ms);
    }
}

#[test]
fn a_past_that_comes_slower_than_it_is_played_is_given_up_once_the_player_has_waited_for_long() {
    // It plays half of the time, and waits the other half, which is to be no more than two seconds.
    let (mut node, took_ms) = after_an_interruption(200);
    assert!((3800..=4200).contains(&took_ms), "{took_ms} ms");
    let (played, newest) = (node.played(), 180 + took_ms / 100);
    let (_, to) = played.split_once('>').unwrap();
    let to: u64 = to.split(' ').next().unwrap().parse().unwrap();
    assert!((newest - 20..=newest - 10).contains(&to), "{to} of {newest}");
    // The reserve is gone: what is lost next is given up as soon as ever.
    node.whole(newest + 1..newest + 2);
    node.whole(newest + 3..newest + 40);
    node.said();
    node.passes(1990);
    assert!(!node.played().contains('>'));
    node.passes(20);
    assert!(node.played().contains('>'));
}

#[test]
fn without_a_place_to_go_on_the_player_waits_for_one() {
    let mut node = Node::new();
    node.whole(10..12);
    node.whole(13..19);
    node.passes(3000);
    assert!(!node.said().contains('>'));
    node.whole(19..21);
    assert_eq!(node.said(), "12>20 20");
    // A group that comes late but before such a place is used.
    node.whole(22..29);
    node.passes(3000);
    node.said();
    node.whole(21..22);
    assert_eq!(node.said(), "21 22 23 24 25 26 27 28");
}

#[test]
fn a_receiver_resumes_by_number_and_awaits_what_it_lacks() {
    let mut node = Node::new();
    node.tell(Input::Resume(13));
    node.whole(15..17);
    node.passes(300);
    assert_eq!(node.said(), "13? 14?");
    node.whole(13..15);
    assert_eq!(node.said(), "13 14 15 16");
    // Packets of older groups are not given out.
    node.whole(10..12);
    assert_eq!(node.said(), "");
}

#[test]
fn packets_beyond_the_window_move_it_and_older_ones_are_late() {
    let mut node = Node::with(Config { max_groups: 20, margin_s: 0.0, ..Config::default() });
    node.whole(10..12);
    node.said();
    node.arrives(1_000_000, 0);
    assert_eq!((node.machine.oldest(), node.machine.arrival(999_980, 0)), (999_981, Arrival::Late));
    node.arrives(999_980, 1);
    node.whole(999_990..999_992);
    assert_eq!(node.said(), "12>999990 999990 999991");
    node.arrives(u64::MAX, 0);
    assert_eq!(node.machine.newest(), Some(u64::MAX));
}

#[test]
fn groups_that_were_dropped_are_lost() {
    let mut node = Node::new();
    node.whole(10..11);
    node.whole(12..15);
    node.whole(19..22);
    node.said();
    node.tell(Input::Dropped(16));
    assert_eq!(node.said(), "11>20 20 21");
}

#[test]
fn packets_that_cannot_be_used_complete_nothing() {
    let mut node = Node::new();
    node.whole(10..11);
    node.arrives(11, 2);
    node.tell(Input::Unusable { group: 11, packets: 0b100 });
    node.arrives(11, 0);
    assert_eq!(node.said(), "10");
    node.arrives(11, 1);
    assert_eq!(node.said(), "11");
}

#[test]
fn the_end_is_reported_once_and_last() {
    let mut node = Node::new();
    node.whole(10..11);
    let end = Facts { end: true, ..facts(11) };
    (0..3).for_each(|index| node.tell(Input::Arrived { group: 11, index, facts: end }));
    node.whole(12..14);
    node.passes(10_000);
    assert_eq!(node.said(), "10 11 end");
}

proptest! {
    #[test]
    fn order_is_never_broken_whatever_arrives(
        arrivals in prop::collection::vec((0u64..60, 0u8..3, 0u64..300), 0..400),
        max_groups in 1u64..40,
        resume in prop::option::of(0u64..60),
    ) {
        let mut node = Node::with(Config { max_groups, ..Config::default() });
        resume.into_iter().for_each(|from| node.tell(Input::Resume(from)));
        let mut arrivals_of = std::collections::BTreeMap::<u64, u32>::new();
        let (mut next, mut is_first) = (resume, resume.is_none());
        for (group, index, pause) in arrivals {
            *arrivals_of.entry(group).or_default() |= 1 << index;
            node.arrives(group, index);
            node.passes(pause);
            for said in std::mem::take(&mut node.said) {
                if let Some((from, to)) = said.split_once('>') {
                    prop_assert_eq!(next, Some(from.parse().unwrap()));
                    let to: u64 = to.parse().unwrap();
                    prop_assert!(to.is_multiple_of(10) && Some(to) > next);
                    next = Some(to);
                } else if let Ok(ready) = said.parse::<u64>() {
                    prop_assert!(if is_first { ready.is_multiple_of(10) } else { next == Some(ready) }, "{} after {:?}", ready, next);
                    prop_assert!(arrivals_of[&ready].count_ones() >= 2, "{} is not complete", ready);
                    (next, is_first) = (Some(ready + 1), false);
                }
            }
            let newest = node.machine.newest().unwrap_or(0);
            prop_assert!(node.machine.oldest() + max_groups > newest, "the window is bounded");
            prop_assert!(node.machine.next_timeout() > node.now);
        }
    }
}
