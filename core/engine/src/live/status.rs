//! What a channel's source says of it, and a node's place in it.

use playswarm_proto::live::Head;

/// The description of a channel's stream, which its source signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChannelHead {
    /// Name of the channel for people. May be empty.
    pub name: String,
    /// Media type of the stream, such as `video/mp2t`. Empty before the source has detected it.
    pub content_type: String,
    /// Rate of the stream in bytes per second, about.
    pub bytes_per_s: u32,
}

impl ChannelHead {
    pub(super) fn of(head: &Head) -> ChannelHead {
        let (name, content_type) = (head.name.clone(), head.content_type.clone());
        ChannelHead { name, content_type, bytes_per_s: head.bytes_per_s }
    }
}

/// A node's place in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// Whether the stream has ended. A source may begin a new one.
    pub ended: bool,
    /// Title of what is playing, if the source tells it. It is meant for people, and may have any
    /// characters.
    pub title: Option<String>,
    /// Time from the arrival of a group's first byte at the source until the whole group was here,
    /// milliseconds. It is that of the newest group, by the clocks of both machines.
    pub delay_ms: Option<u64>,
    /// Time from the joining of the channel until the first verified packet was here, milliseconds.
    pub first_packet_ms: Option<u64>,
    /// Stripes of the channel; 0 before its head is known.
    pub stripes: usize,
    /// Stripes for which this node has a parent.
    pub fed: usize,
    /// A character for each stripe: `#` if this node has a parent for it, `-` if not.
    pub stripe_map: String,
    /// Nodes from the source to this one, over the longest path.
    pub depth: usize,
    /// Nodes that feed this one.
    pub parents: usize,
    /// Nodes that are fed with a stripe here, counted for each stripe.
    pub children: usize,
    /// Open connections.
    pub connections: usize,
    /// Addresses of other nodes that are known.
    pub addresses: usize,
    /// Whether the source is on air, as it says on the DHT. `None` if nothing was found there.
    pub on_air: Option<bool>,
    /// Further viewers that the whole channel can feed, as far as the neighbours know.
    pub free_places: Option<u64>,
    /// Time until this node asks for a place again, seconds, if the channel is full: in each of the
    /// last two rounds of requests a node answered that all places are taken, and named no other node. `None` if
    /// it is not, or the stream arrives here.
    pub full_for_s: Option<u64>,
    /// Whether other nodes can dial this one. `None` if nothing has shown it yet.
    pub reachable: Option<bool>,
    /// Open streams of this session.
    pub readers: usize,
    /// Packets that were verified and new.
    pub packets: u64,
    /// Packets that did not verify. Their senders are banned.
    pub refused: u64,
    /// Groups that were restored from parity.
    pub restored: u64,
    /// Groups that were lost for good.
    pub lost: u64,
    /// Gaps in the stream: each is one or more lost groups.
    pub gaps: u64,
    /// Minutes of this cast's archive that the source has announced; at most the newest 120.
    pub minutes: usize,
    /// Minutes of this cast that are complete in this node's archive. `None` if it keeps none.
    pub archived: Option<usize>,
    /// The reason why this node's archive is incomplete.
    pub trouble: Option<String>,
}
