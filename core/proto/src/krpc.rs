//! The messages of the DHT over IPv6 (BEP 5 with BEP 32), for a read-only client (BEP 43).

use crate::bencode::{Malformed, Reader, put_string_at};
use crate::compact;
use std::net::SocketAddr;

/// A node's id, a key, or the distance between two of them.
pub type Id = [u8; 20];

/// Most nodes used from one answer; BEP 5 has 8.
pub const MAX_NODES: usize = 16;
/// Most peers read from one answer.
pub const MAX_PEERS: usize = 200;

/// The content of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Id of the answering node.
    pub id: Id,
    /// Token to return in an announce.
    pub token: Option<Vec<u8>>,
    /// Nodes known to it that are nearer to the key.
    pub nodes: Vec<(Id, SocketAddr)>,
    /// Peers stored under the key.
    pub peers: Vec<SocketAddr>,
}

/// Returns a get_peers query for nodes and peers of IPv6.
pub fn get_peers(transaction: u16, id: &Id, key: &Id) -> Vec<u8> {
    query(transaction, "get_peers", |out| {
        put_string_at(out, "id", id);
        put_string_at(out, "info_hash", key);
        out.extend(b"4:wantl2:n6e");
    })
}

/// Returns an announce_peer query.
pub fn announce_peer(transaction: u16, id: &Id, key: &Id, port: u16, token: &[u8]) -> Vec<u8> {
    query(transaction, "announce_peer", |out| {
        put_string_at(out, "id", id);
        put_string_at(out, "info_hash", key);
        out.extend(format!("4:porti{port}e").as_bytes());
        put_string_at(out, "token", token);
    })
}

fn query(transaction: u16, method: &str, arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"d1:ad".to_vec();
    arguments(&mut out);
    out.push(b'e');
    put_string_at(&mut out, "q", method.as_bytes());
    out.extend(b"2:roi1e");
    put_string_at(&mut out, "t", &transaction.to_be_bytes());
    out.extend(b"1:y1:qe");
    out
}

/// Parses an answer to one of our queries. Returns its transaction and its content, which is `None`
/// for an error message. Returns `None` for any other message.
pub fn read(bytes: &[u8]) -> Option<(u16, Option<Answer>)> {
    let (mut transaction, mut kind, mut answer) = (None, None, None);
    let mut reader = Reader::of_peer(bytes);
    reader
        .dict(|key, value| {
            match key {
                b"t" => transaction = value.string_if_any()?,
                b"y" => kind = value.string_if_any()?,
                b"r" => answer = read_answer(value)?,
                _ => {}
            }
            Ok(())
        })
        .ok()?;
    let transaction = u16::from_be_bytes(transaction?.try_into().ok()?);
    match kind? {
        b"r" => Some((transaction, Some(answer?))),
        b"e" => Some((transaction, None)),
        _ => None,
    }
}

fn read_answer(value: &mut Reader<'_>) -> Result<Option<Answer>, Malformed> {
    let (mut id, mut answer) = (None, Answer::default());
    value.dict_if_any(|key, value| {
        match key {
            b"id" => id = value.string_if_any()?.and_then(|id| Id::try_from(id).ok()),
            // No known implementation has tokens longer than 20 bytes; we accept 64.
            b"token" => answer.token = value.string_if_any()?.filter(|token| token.len() <= 64).map(<[u8]>::to_vec),
            b"nodes6" => {
                let (nodes, _) = value.string_if_any()?.unwrap_or_default().as_chunks::<38>();
                answer.nodes = nodes.iter().take(MAX_NODES).filter_map(node).collect();
            }
            b"values" if value.peek()? == b'l' => value.list(|item| {
                let peer = item.string_if_any()?.and_then(|peer| Some(compact::one_v6(peer.try_into().ok()?)));
                if answer.peers.len() < MAX_PEERS {
                    answer.peers.extend(peer);
                }
                Ok::<_, Malformed>(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(id.map(|id| Answer { id, ..answer }))
}

fn node(bytes: &[u8; 38]) -> Option<(Id, SocketAddr)> {
    let (id, addr) = bytes.split_first_chunk::<20>()?;
    Some((*id, compact::one_v6(addr.try_into().ok()?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bencode::put_string;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    /// Returns an answer with every field.
    fn full() -> Vec<u8> {
        let mut out = b"d1:rd2:id20:abcdefghij01234567896:nodes638:".to_vec();
        out.extend([7; 20]);
        out.extend(Ipv6Addr::LOCALHOST.octets());
        out.extend([0x1a, 0xe1]);
        out.extend(b"5:token4:tokn6:valuesl18:");
        out.extend("2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
        out.extend([0, 80]);
        put_string(&mut out, b"short");
        out.extend(b"ee1:t2:\x01\x021:y1:re");
        out
    }

    #[test]
    fn an_answer_has_its_sender_nodes_a_token_and_peers() {
        let answer = Answer {
            id: *b"abcdefghij0123456789",
            token: Some(b"tokn".to_vec()),
            nodes: vec![([7; 20], "[::1]:6881".parse().unwrap())],
            peers: vec!["[2001:db8::5]:80".parse().unwrap()],
        };
        assert_eq!(read(&full()), Some((0x0102, Some(answer))));
        assert_eq!(read(b"d1:eli203e3:Bade1:t2:\x01\x021:y1:ee"), Some((0x0102, None)));
    }

    #[test]
    fn queries_are_as_bep_5_has_them() {
        let (id, key) = (b"abcdefghij0123456789", b"mnopqrstuvwxyz123456");
        assert_eq!(
            get_peers(0x6161, id, key),
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:wantl2:n6ee1:q9:get_peers2:roi1e1:t2:aa1:y1:qe"
        );
        assert_eq!(
            announce_peer(0x6161, id, key, 6881, b"aoeusnth"),
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer2:roi1e1:t2:aa1:y1:qe"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_take_too_much(at in 0usize..200, with in proptest::collection::vec(any::<u8>(), 0..40), cut in 0usize..200) {
            let mut bytes = full();
            bytes.splice(at.min(bytes.len()).., with);
            bytes.truncate(bytes.len().saturating_sub(cut % 7));
            if let Some((_, Some(answer))) = read(&bytes) {
                prop_assert!(answer.nodes.len() <= MAX_NODES && answer.peers.len() <= MAX_PEERS);
            }
        }
    }
}
