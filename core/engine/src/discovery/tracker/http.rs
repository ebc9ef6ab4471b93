//! The HTTP tracker protocol (BEP 3): the route of an announce and its answer.

use super::Failure;
use crate::discovery::web::{Got, NotGot, Terms, Web};
use playswarm_proto::tracker::http::{Parsed, announce_url, parse};
use playswarm_proto::tracker::{Announce, Answer, Retry, words};
use playswarm_proto::{AddressClass, PeerAddress};
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// Longest answer, bytes. 500 peers need 3 KB in compact form and 50 KB as dictionaries.
pub(super) const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Longest time for a tracker's answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// A function that takes the peers of a tracker: addresses, host names, and the class of the
/// tracker's own address.
pub(super) type Found<'a> = dyn Fn(&[SocketAddr], Vec<PeerAddress>, AddressClass) + Sync + 'a;

/// Announces. Returns `None` if the tracker has no address of the family that `terms` demand.
pub(super) async fn announce(
    url: &Url,
    web: &Web,
    terms: Terms,
    announce: &Announce,
    found: &Found<'_>,
) -> Result<Option<Answer>, Failure> {
    let (status, retry_after, body, from) = match web.get(announce_url(url, announce), terms).await {
        Ok(Got::Body { status, retry_after, body, from }) => (status, retry_after, body, from),
        Ok(Got::Elsewhere { .. }) => return Err("it redirects to a URL that is not a tracker".to_owned().into()),
        Err(NotGot::NoSuchFamily) => return Ok(None),
        Err(NotGot::Failed(why)) => return Err(why.into()),
    };
    match parse(&body) {
        // Some trackers explain the error in the body of a 400.
        Ok(Parsed { refusal: Some((why, retry)), .. }) => Err(Failure { why: format!("it says: {why}"), retry }),
        Ok(Parsed { answer, peers, names, .. }) if status.is_success() => {
            found(&peers, names, from);
            Ok(Some(answer))
        }
        Err(why) if status.is_success() => Err(why.0.into()),
        _ => {
            let said = if body.contains(&b'<') { String::new() } else { words(&body) };
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let retry = retry_after.map_or(Retry::Usual, Retry::In);
            Err(Failure { why: format!("it answered {status}{said}"), retry })
        }
    }
}
