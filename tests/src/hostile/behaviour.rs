//! The behaviour of a hostile peer on one connection.

use super::wire::{Wire, block_of, id};
use super::{Malice, Shared};
use crate::bencode::{Ben, dict};
use crate::content::mix;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The message number under which we receive ut_metadata messages.
const OUR_METADATA: i64 = 3;
/// Length of a metadata piece in bytes (BEP 9).
const METADATA_PIECE: usize = 16_384;

/// Serves one connection until the other side closes it or the peer is stopped.
pub(super) fn run(shared: &Shared, stream: TcpStream, number: u64) -> io::Result<()> {
    let lie = (shared.malice == Malice::WrongInfoHash).then_some([0x5a; 20]);
    let wire = Wire::accept(stream, u64::from(number as u32) ^ mix(shared.malice as u64), lie)?;
    if wire.info_hash != shared.info_hash {
        return Ok(());
    }
    if wire.extended {
        let size = match shared.malice {
            Malice::AbsurdMetadata => i64::from(u32::MAX),
            _ => shared.info.encode().len() as i64,
        };
        let names = dict([("ut_metadata", Ben::Int(OUR_METADATA)), ("ut_pex", Ben::Int(1))]);
        wire.send_extended(0, &dict([("m", names), ("metadata_size", Ben::Int(size)), ("v", "Hostile".into())]), &[])?;
    }
    wire.send(id::BITFIELD, &bitfield(shared.pieces))?;
    match shared.malice {
        Malice::Oversized => oversized(shared, &wire),
        Malice::Malformed => malformed(shared, &wire, number),
        Malice::AbsurdRequests => absurd_requests(shared, &wire),
        Malice::Flood => flood(shared, &wire),
        Malice::NeverReads => never_reads(shared, &wire),
        Malice::PexFlood | Malice::PexPorts => pex_flood(shared, &wire),
        _ => answer(shared, &wire),
    }
}

fn stopped(shared: &Shared) -> bool {
    shared.stop.load(Ordering::Relaxed)
}

/// Returns the bitfield of all pieces, with cleared spare bits.
fn bitfield(pieces: u32) -> Vec<u8> {
    let mut bits = vec![0xff; pieces.div_ceil(8) as usize];
    if !pieces.is_multiple_of(8)
        && let Some(last) = bits.last_mut()
    {
        *last = 0xff << (8 - pieces % 8);
    }
    bits
}

/// Runs the behaviours that wait for requests and mishandle them.
fn answer(shared: &Shared, wire: &Wire) -> io::Result<()> {
    wire.send(id::UNCHOKE, &[])?;
    let mut asked = 0u64;
    let mut their_metadata = None;
    loop {
        let Some((number, payload)) = wire.receive()? else { continue };
        if stopped(shared) {
            return Ok(());
        }
        if number == id::EXTENDED {
            extended(shared, wire, &payload, &mut their_metadata)?;
        }
        if number != id::REQUEST {
            continue;
        }
        shared.requests.fetch_add(1, Ordering::Relaxed);
        asked += 1;
        let Some((piece, begin, length)) = block_of(&payload) else { continue };
        let Some(mut bytes) = shared.block(piece, begin, length) else { continue };
        let header = [piece, begin].map(u32::to_be_bytes).concat();
        match shared.malice {
            Malice::WrongData => {
                bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                wire.send(id::PIECE, &[header, bytes].concat())?;
            }
            Malice::OneWrongBlock => {
                if begin == 0 {
                    bytes[0] ^= 1;
                }
                wire.send(id::PIECE, &[header, bytes].concat())?;
            }
            Malice::RejectAll if wire.fast => wire.send_block(id::REJECT, piece, begin, length)?,
            Malice::ChokeFlapping if asked.is_multiple_of(2) => {
                wire.send(id::CHOKE, &[])?;
                std::thread::sleep(Duration::from_millis(200));
                wire.send(id::UNCHOKE, &[])?;
            }
            Malice::OneByteASecond => {
                let message = [&(length + 9).to_be_bytes()[..], &[id::PIECE], &header, &bytes].concat();
                for byte in message {
                    (&wire.stream).write_all(&[byte])?;
                    std::thread::sleep(Duration::from_secs(1));
                    if stopped(shared) {
                        return Ok(());
                    }
                }
            }
            _ => {} // silence
        }
    }
}

/// Answers ut_metadata requests (BEP 9): correctly, unless wrong metadata is the behaviour under
/// test.
fn extended(shared: &Shared, wire: &Wire, payload: &[u8], theirs: &mut Option<i64>) -> io::Result<()> {
    let Some((&number, rest)) = payload.split_first() else { return Ok(()) };
    let Some((header, _)) = Ben::decode(rest) else { return Ok(()) };
    if number == 0 {
        *theirs = header.get("m").and_then(|names| names.get("ut_metadata")).and_then(Ben::int);
        return Ok(());
    }
    let (Some(theirs), Some(0)) = (*theirs, header.get("msg_type").and_then(Ben::int)) else { return Ok(()) };
    if i64::from(number) != OUR_METADATA {
        return Ok(());
    }
    let piece = header.get("piece").and_then(Ben::int).unwrap_or(0);
    let info = shared.info.encode();
    let mut data = info.chunks(METADATA_PIECE).nth(piece as usize).unwrap_or(&[0; METADATA_PIECE]).to_vec();
    if shared.malice == Malice::WrongMetadata {
        data.iter_mut().for_each(|byte| *byte ^= 0x20);
    }
    let head =
        dict([("msg_type", Ben::Int(1)), ("piece", Ben::Int(piece)), ("total_size", Ben::Int(info.len() as i64))]);
    wire.send_extended(theirs as u8, &head, &data)
}

fn oversized(shared: &Shared, wire: &Wire) -> io::Result<()> {
    (&wire.stream).write_all(&[&0x7fff_ffffu32.to_be_bytes()[..], &[id::PIECE]].concat())?;
    while !stopped(shared) {
        (&wire.stream).write_all(&[0xaa; 1 << 16])?;
    }
    Ok(())
}

/// Sends one broken message per connection, a different one each time across all peers of the test.
fn malformed(shared: &Shared, wire: &Wire, number: u64) -> io::Result<()> {
    wire.send(id::UNCHOKE, &[])?;
    match number % 9 {
        0 => wire.send(id::HAVE, &[1]),
        1 => wire.send(id::HAVE, &u32::MAX.to_be_bytes()),
        2 => wire.send(id::REQUEST, &[0; 5]),
        3 => wire.send(id::PIECE, &[0; 3]),
        4 => wire.send(id::BITFIELD, &vec![0xff; shared.pieces as usize + 9]),
        5 => wire.send(id::EXTENDED, &[&[0][..], &b"d1:md99999999999:x"[..]].concat()),
        6 => wire.send(id::EXTENDED, &[&[0][..], "l".repeat(100_000).as_bytes()].concat()),
        7 => wire.send(id::EXTENDED, &[]),
        _ => (&wire.stream).write_all(&(0..4096u64).flat_map(|i| mix(i).to_le_bytes()).collect::<Vec<u8>>()),
    }?;
    wire.send(77, b"an unknown message number")?;
    while !stopped(shared) {
        wire.receive()?;
    }
    Ok(())
}

fn absurd_requests(shared: &Shared, wire: &Wire) -> io::Result<()> {
    wire.send(id::UNCHOKE, &[])?;
    wire.send(id::INTERESTED, &[])?;
    let blocks = [
        (u32::MAX, 0, 16_384),
        (shared.pieces, 0, 16_384),
        (0, u32::MAX, 16_384),
        (0, shared.piece_length as u32, 16_384),
        (0, 0, u32::MAX),
        (0, 0, 1 << 30),
        (0, 0, 0),
        (shared.pieces - 1, 0, 16_384),
    ];
    while !stopped(shared) {
        for (piece, begin, length) in blocks {
            wire.send_block(id::REQUEST, piece, begin, length)?;
            wire.send_block(id::CANCEL, piece, begin, length)?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn flood(shared: &Shared, wire: &Wire) -> io::Result<()> {
    wire.send(id::UNCHOKE, &[])?;
    for i in 0.. {
        if stopped(shared) {
            break;
        }
        let piece = (mix(i) % u64::from(shared.pieces)) as u32;
        let bytes = shared.block(piece, 0, 16_384.min(shared.piece_size(piece) as u32)).unwrap_or_default();
        wire.send(id::PIECE, &[&piece.to_be_bytes()[..], &[0; 4], &bytes].concat())?;
    }
    Ok(())
}

fn never_reads(shared: &Shared, wire: &Wire) -> io::Result<()> {
    wire.send(id::INTERESTED, &[])?;
    while !stopped(shared) {
        for piece in 0..shared.pieces {
            for begin in (0..shared.piece_size(piece) as u32).step_by(16_384) {
                let length = 16_384.min(shared.piece_size(piece) as u32 - begin);
                wire.send_block(id::REQUEST, piece, begin, length)?;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn pex_flood(shared: &Shared, wire: &Wire) -> io::Result<()> {
    wire.send(id::UNCHOKE, &[])?;
    let mut theirs = None;
    let mut round = 0u64;
    wire.stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    while !stopped(shared) {
        if let Ok(Some((id::EXTENDED, payload))) = wire.receive()
            && payload.first() == Some(&0)
            && let Some((header, _)) = Ben::decode(&payload[1..])
        {
            theirs = header.get("m").and_then(|names| names.get("ut_pex")).and_then(Ben::int);
        }
        let Some(number) = theirs else { continue };
        let added = (0..100u64).flat_map(|i| {
            if shared.malice == Malice::PexPorts {
                let [high, low] = if i < 50 { i as u16 + 10 } else { i as u16 + 6881 }.to_be_bytes();
                return [127, 77, 0, 1, high, low];
            }
            // 240.0.0.0/4 is unassigned.
            let host = mix(round * 100 + i).to_be_bytes();
            [240 | host[0] & 7, host[1], host[2], host[3], 0x1a, 0xe1]
        });
        let added = added.collect::<Vec<u8>>();
        wire.send_extended(number as u8, &dict([("added", added.into()), ("added.f", vec![0u8; 100].into())]), &[])?;
        round += 1;
        std::thread::sleep(Duration::from_millis(1000));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitfield_claims_every_piece_and_no_more() {
        assert_eq!(bitfield(8), [0xff]);
        assert_eq!(bitfield(10), [0xff, 0xc0]);
    }
}
