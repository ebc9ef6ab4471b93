//! The least time in which a byte can be shown: two round trips and its whole piece from everybody who holds it.

use crate::peer::Peer;
use playswarm_logic::{PieceIndex, Time};

/// Seconds from `now`: twice the least round trip among the holders (with the mean of its jitter, which
/// comes twice), then `bytes` at the sum of their rates, or at the
/// viewer's where that is less. Peers that are still to join or to unchoke count from then on. `None` where no
/// honest peer that is alive holds the piece.
pub(crate) fn limit_s(peers: &[Peer], now: Time, piece: PieceIndex, bytes: f64, down_rate: f64) -> Option<f64> {
    let mut holders: Vec<(f64, f64)> = Vec::new();
    let mut rtt = f64::INFINITY;
    for peer in peers {
        let honest = peer.group.answers && peer.group.lies < 0.5;
        if peer.gone || peer.cut || !honest || !peer.have.get(piece.0) {
            continue;
        }
        rtt = rtt.min(peer.rtt() + peer.group.jitter_s);
        let from = if peer.join_at > now || peer.group.unchoke_after_s > 0.0 {
            peer.join_at.plus_secs(peer.group.unchoke_after_s).since(now).as_secs_f64()
        } else {
            0.0
        };
        holders.push((from, peer.capacity()));
    }
    holders.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut at, mut rate, mut left) = (holders.first()?.0, 0.0f64, bytes);
    for (from, capacity) in holders {
        let most = rate.min(down_rate);
        if most * (from - at) >= left {
            break;
        }
        left -= most * (from - at);
        at = from;
        rate += capacity;
    }
    Some(at + left / rate.min(down_rate) + 2.0 * rtt)
}
