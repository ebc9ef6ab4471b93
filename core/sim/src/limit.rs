//! The least time in which a byte can be shown, computed in two ways.
//!
//! The *limit* is two round trips and the whole piece at the sum of the rates. The *floor* models
//! the network in more detail: each peer counts from the time of its first possible byte, and only
//! whole blocks count. The time beyond the limit is partly due to the network. The time beyond the
//! floor is due to the picker or TCP.

use crate::peer::Peer;
use playswarm_logic::{BLOCK_BYTES, PieceIndex, Time};

/// A peer that can help: seconds until it is connected and unchoked, its mean round trip, its rate,
/// and the round trips until its first byte.
struct Holder {
    from_s: f64,
    rtt_s: f64,
    rate: f64,
    to_first_byte: f64,
}

fn holders(peers: &[Peer], now: Time, piece: PieceIndex) -> Vec<Holder> {
    let mut holders: Vec<Holder> = peers
        .iter()
        .filter(|p| {
            let honest = p.group.answers && p.group.lies < 0.5;
            !p.gone && !p.cut && honest && p.have.get(piece.0) && p.join_at != Time::NEVER
        })
        .map(|p| Holder {
            from_s: p.join_at.plus_secs(p.group.unchoke_after_s).since(now).as_secs_f64(),
            // The mean of the jitter, in both directions.
            rtt_s: p.rtt() + p.group.jitter_s,
            rate: p.capacity(),
            to_first_byte: 1.0 + if p.joined { 0.0 } else { p.group.round_trips_to_join() },
        })
        .collect();
    holders.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    holders
}

/// Returns the limit in seconds from `now`: twice the least round trip among the holders, then
/// `bytes` at the sum of their rates, or at the viewer's rate if that is less. Peers that have yet
/// to join or unchoke count from then on. `None` if no honest, connected peer has the piece.
pub(crate) fn limit_s(peers: &[Peer], now: Time, piece: PieceIndex, bytes: f64, down_rate: f64) -> Option<f64> {
    let holders = holders(peers, now, piece);
    let rtt = holders.iter().map(|h| h.rtt_s).fold(f64::INFINITY, f64::min);
    let (mut at, mut rate, mut left) = (holders.first()?.from_s, 0.0f64, bytes);
    for holder in holders {
        let most = rate.min(down_rate);
        if most * (holder.from_s - at) >= left {
            break;
        }
        left -= most * (holder.from_s - at);
        at = holder.from_s;
        rate += holder.rate;
    }
    Some(at + left / rate.min(down_rate) + 2.0 * rtt)
}

/// Returns the seconds from `now` until the holders can have delivered that many bytes in whole
/// blocks. Each begins one round trip from now, or three if it is yet to be dialled. `None` as in
/// [`limit_s`].
pub(crate) fn floor_s(peers: &[Peer], now: Time, piece: PieceIndex, bytes: f64, down_rate: f64) -> Option<f64> {
    let begins: Vec<(f64, f64)> = holders(peers, now, piece)
        .iter()
        .map(|h| (h.from_s + h.to_first_byte * h.rtt_s, h.rate / f64::from(BLOCK_BYTES)))
        .collect();
    let first = begins.iter().map(|b| b.0).reduce(f64::min)?;
    let blocks = (bytes / f64::from(BLOCK_BYTES)).ceil();
    let brought = |t: f64| begins.iter().map(|(from, rate)| ((t - from) * rate).max(0.0).floor()).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    while brought(high) < blocks && high < 1e6 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if brought(middle) < blocks { low = middle } else { high = middle }
    }
    Some(high.max(first + bytes / down_rate))
}
