//! The HTTP tracker protocol (BEP 3): the request and its route. `answer` parses the response.

use super::answer::{Answer, Failure, Parsed, parse};
use super::{Announce, Event, words};
use crate::discovery::web::{Got, NotGot, Terms, Web};
use crate::peer_address::PeerAddress;
use playswarm_logic::trackers::Retry;
use playswarm_proto::AddressClass;
use std::fmt::Write;
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
    let (status, retry_after, body, from) = match web.get(with_query(url, announce), terms).await {
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
        Err(why) if status.is_success() => Err(why),
        _ => {
            let said = if body.contains(&b'<') { String::new() } else { words(&body) };
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let retry = retry_after.map_or(Retry::Usual, Retry::In);
            Err(Failure { why: format!("it answered {status}{said}"), retry })
        }
    }
}

/// Returns the announce URL with its own query (a passkey, for example) and our fields.
fn with_query(url: &Url, announce: &Announce) -> Url {
    let mut query = url.query().filter(|own| !own.is_empty()).map(|own| format!("{own}&")).unwrap_or_default();
    let escape = |query: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    };
    query.push_str("info_hash=");
    escape(&mut query, &announce.info_hash);
    query.push_str("&peer_id=");
    escape(&mut query, &announce.peer_id);
    let _ = write!(
        query,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&numwant={}&key={:08X}",
        announce.port, announce.uploaded, announce.downloaded, announce.left, announce.wanted, announce.key
    );
    query.push_str(match announce.event {
        Event::None => "",
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
    });
    if let Some(id) = &announce.tracker_id {
        query.push_str("&trackerid=");
        escape(&mut query, id);
    }
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_in_the_url_stays_there() {
        let mut announce = Announce {
            info_hash: [0xff; 20],
            peer_id: *b"-PS0100-abcdefghijkl",
            port: 5,
            downloaded: 1,
            uploaded: 2,
            left: 3,
            event: Event::Started,
            key: 7,
            wanted: 9,
            tracker_id: None,
        };
        let url = with_query(&"http://t.example/a?passkey=x%20y".parse().unwrap(), &announce);
        assert!(url.as_str().starts_with("http://t.example/a?passkey=x%20y&info_hash=%FF%FF"), "{url}");
        assert!(
            url.as_str().ends_with(
                "&port=5&uploaded=2&downloaded=1&left=3&compact=1&no_peer_id=1&numwant=9&key=00000007&event=started"
            ),
            "{url}"
        );
        announce.tracker_id = Some(b"a&\0".to_vec());
        let url = with_query(&"http://t.example/a?".parse().unwrap(), &announce);
        assert!(url.as_str().starts_with("http://t.example/a?info_hash="), "{url}");
        assert!(url.as_str().ends_with("&event=started&trackerid=%61%26%00"), "{url}");
    }
}
