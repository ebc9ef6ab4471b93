//! The stream that a node holds, in parts at which a player can begin.

use super::Channel;
use bytes::Bytes;
use playswarm_logic::channel;
use std::ops::Range;

/// A run of the stream from one place at which a player can begin to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Its groups.
    pub groups: Range<u64>,
    /// When its first byte reached the source, and that of the next part, in milliseconds since 1970
    /// by the source's clock. Their difference is about its duration.
    pub times_ms: Range<u64>,
    /// What a player needs before it. Parts with the same init bytes share them.
    pub init: Bytes,
    /// Whether nothing is missing between the part before and this one.
    pub follows: bool,
}

impl Channel {
    /// Returns the complete parts that are held, the oldest first. The newest one is still growing and
    /// left out.
    pub fn parts(&self) -> Vec<Part> {
        self.open.node.look(|channel, _| parts(channel)).unwrap_or_default()
    }

    /// Returns the bytes of these groups, without init bytes. `None` if they are not all held.
    pub fn bytes(&self, groups: Range<u64>) -> Option<Vec<Bytes>> {
        self.open.node.look(|channel, _| groups.map(|group| Some(channel.read(group)?.1.clone())).collect())?
    }
}

fn parts(channel: &channel::Channel) -> Vec<Part> {
    let (mut parts, mut open): (Vec<Part>, Option<Part>) = (Vec::new(), None);
    let Some((next, oldest)) = channel.next().zip(channel.oldest()) else { return parts };
    for number in oldest..next {
        let Some((group, _)) = channel.read(number) else {
            // What the part before lacks is lost.
            open = None;
            continue;
        };
        if !group.is_restart() {
            continue;
        }
        let follows = open.is_some();
        if let Some(mut part) = open.take() {
            (part.groups.end, part.times_ms.end) = (number, group.born_ms);
            parts.push(part);
        }
        let Some(init) = channel.head_of(group).map(|head| head.head().init.clone()) else { continue };
        open = Some(Part { groups: number..number, times_ms: group.born_ms..group.born_ms, init, follows });
    }
    parts
}
