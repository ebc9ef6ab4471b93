//! The length of a message, without making its bytes: most of a run's messages are counted only.

use playswarm_proto::live::Message;
use playswarm_proto::live::message::{From, Target};

/// Returns the number of bytes of [`Message::encode`].
pub(super) fn bytes(message: &Message) -> usize {
    match message {
        Message::Join(join) => {
            let from = if join.from == From::Start { 0 } else { 8 };
            let instead = if join.instead_of.is_some() { 8 } else { 0 };
            19 + from + instead + (join.asked.len() + join.ancestors.len()) * 8 + join.route.len() * 4
        }
        Message::Beat(beat) => {
            let option = |place: &Option<Target>| 1 + place.as_ref().map_or(0, target);
            let up: usize = beat.up.iter().map(|up| 7 + option(&up.best) + option(&up.step)).sum();
            let down =
                beat.down.iter().map(|down| 3 + down.path.len() * 8 + down.kin.iter().map(target).sum::<usize>());
            30 + beat.spare.len() * 2 + up + down.sum::<usize>()
        }
        // The others are rare.
        _ => message.encode().len(),
    }
}

fn target(target: &Target) -> usize {
    if target.addr.is_ipv4() { 18 } else { 30 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use playswarm_proto::live::message::{Beat, Down, Join, Up};
    use playswarm_proto::live::{NodeId, Stripes};

    #[test]
    fn lengths_are_those_of_the_bytes() {
        let here = |addr: &str| Target { node: NodeId(1), addr: addr.parse().expect("an address"), depth: 1, free: 2 };
        let (four, six) = (here("1.2.3.4:5"), here("[2001:db8::1]:5"));
        let up = Up { stripe: 1, subtree: 1, spare: 1, places: 1, best: Some(four), step: None };
        let down = Down { stripe: 1, path: vec![NodeId(1); 3], kin: vec![four, six] };
        let beat =
            Beat { spare: vec![1; 9], up: vec![up, Up { step: Some(six), ..up }], down: vec![down], ..Beat::default() };
        let join = Join {
            stripes: Stripes::ALL,
            from: From::Group(7),
            upload: 1,
            homes: Stripes::NONE,
            tries: 1,
            instead_of: Some(NodeId(2)),
            asked: vec![NodeId(3)],
            ancestors: vec![NodeId(4); 2],
            route: vec![5; 3],
        };
        let plain = Join { from: From::Start, instead_of: None, ..join.clone() };
        for message in [Message::Beat(beat), Message::Beat(Beat::default()), Message::Join(join), Message::Join(plain)]
        {
            assert_eq!(bytes(&message), message.encode().len(), "{message:?}");
        }
    }
}
