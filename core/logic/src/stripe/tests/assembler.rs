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
    // Then those that it had: the player begins there.
    node.whole(20..30);
    assert_eq!(node.said(), "20 21 22 23 24 25 26 27 28 29 30 31");
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
    node.passes(500);
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
