//! The bytes of the messages: big-endian numbers, lists and options with a byte in front.

use super::{
    Accept, BadMessage, Beat, Call, Coordinate, Down, From, Hello, Join, MAX_LIVE_BYTES, MAX_NODES, MAX_PART_BYTES,
    MAX_PATH, MAX_ROUTE, MAX_TARGETS, MAX_WANTED, Message, NodeId, Redirect, Stripes, Target, Up, Wanted, Why,
};
use crate::compact;
use crate::live::minute::MINUTE_BYTES;
use crate::live::{MAX_MINUTES, MAX_PACKETS, Packet, SignedMinute, SignedTitle};
use bytes::{Buf, BufMut, Bytes};
use std::net::SocketAddr;

const WHYS: [Why; 7] = [Why::Full, Why::Leaving, Why::Replaced, Why::Slow, Why::Spread, Why::Dry, Why::Loop];

pub(super) const SHORT: BadMessage = BadMessage("it ends too early");
pub(super) const LONG: BadMessage = BadMessage("it is longer than any can be");
pub(super) const LIST: BadMessage = BadMessage("a list is too long");
pub(super) const FIELD: BadMessage = BadMessage("a field is out of range");

impl Message {
    /// Returns the payload of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Message::Hello(hello) => {
                out.put_slice(&[1, hello.version]);
                out.put_u64(hello.node.0);
                out.put_u8(hello.source.into());
                out.put_u16(hello.port);
                put_coordinate(&mut out, hello.coordinate);
            }
            Message::Head { part, parts, bytes } => {
                out.put_slice(&[2, *part, *parts]);
                out.put_slice(bytes);
            }
            Message::Join(join) => put_join(&mut out, join),
            Message::Accept(accept) => {
                out.put_slice(&[4, accept.stripe]);
                out.put_u32(accept.homes.0);
                put_option(&mut out, accept.adopts, |out, node| out.put_u64(node.0));
                put_list(&mut out, &accept.path, |out, node| out.put_u64(node.0));
            }
            Message::Redirect(redirect) => put_redirect(&mut out, redirect),
            Message::Leave(stripes) => {
                out.put_u8(6);
                out.put_u32(stripes.0);
            }
            Message::Beat(beat) => put_beat(&mut out, beat),
            Message::Packet(packet) => {
                out.put_u8(8);
                out.extend(packet.encode());
            }
            Message::Want(wanted) => {
                out.put_u8(9);
                put_list(&mut out, wanted, |out, wanted| {
                    out.put_u64(wanted.group);
                    out.put_u32(wanted.packets.0);
                });
            }
            Message::NeedHead => out.put_u8(10),
            Message::Call(call) => {
                out.put_u8(11);
                out.put_u64(call.node.0);
                put_option(&mut out, call.caller, put_address);
            }
            Message::Minutes(minutes) => {
                out.put_u8(12);
                put_list(&mut out, minutes, |out, minute| minute.put(out));
            }
            Message::Title(title) => {
                out.put_u8(13);
                title.put(&mut out);
            }
        }
        out
    }

    /// Parses a payload; `None` if this version does not know the type.
    ///
    /// # Errors
    ///
    /// Returns an error if the message is malformed. An honest node sends none.
    pub fn decode(mut bytes: Bytes) -> Result<Option<Message>, BadMessage> {
        if bytes.len() > MAX_LIVE_BYTES {
            return Err(LONG);
        }
        let kind = u8_of(&mut bytes)?;
        let message = match kind {
            1 => Message::Hello(Hello {
                version: u8_of(&mut bytes)?,
                node: NodeId(u64_of(&mut bytes)?),
                source: flag_of(&mut bytes)?,
                port: u16_of(&mut bytes)?,
                coordinate: coordinate_of(&mut bytes)?,
            }),
            2 => {
                let (part, parts) = (u8_of(&mut bytes)?, u8_of(&mut bytes)?);
                if part >= parts || bytes.is_empty() || bytes.len() > MAX_PART_BYTES {
                    return Err(FIELD);
                }
                return Ok(Some(Message::Head { part, parts, bytes }));
            }
            3 => Message::Join(join_of(&mut bytes)?),
            4 => Message::Accept(Accept {
                stripe: stripe_of(&mut bytes)?,
                homes: stripes_of(&mut bytes)?,
                adopts: option_of(&mut bytes, node_of)?,
                path: list_of(&mut bytes, MAX_PATH, node_of)?,
            }),
            5 => Message::Redirect(redirect_of(&mut bytes)?),
            6 => Message::Leave(stripes_of(&mut bytes)?),
            7 => Message::Beat(beat_of(&mut bytes)?),
            8 => {
                let packet = Packet::decode(bytes).map_err(|_| BadMessage("its packet is malformed"))?;
                return Ok(Some(Message::Packet(packet)));
            }
            9 => Message::Want(list_of(&mut bytes, MAX_WANTED, |bytes| {
                Ok(Wanted { group: u64_of(bytes)?, packets: stripes_of(bytes)? })
            })?),
            10 => Message::NeedHead,
            11 => Message::Call(Call { node: node_of(&mut bytes)?, caller: option_of(&mut bytes, address_of)? }),
            12 => Message::Minutes(list_of(&mut bytes, MAX_MINUTES, minute)?),
            13 => Message::Title(SignedTitle::read(&mut bytes).ok_or(SHORT)?.ok_or(FIELD)?),
            _ => return Ok(None),
        };
        // A later version of a message may be longer.
        Ok(Some(message))
    }
}

fn put_join(out: &mut Vec<u8>, join: &Join) {
    out.put_u8(3);
    out.put_u32(join.stripes.0);
    let from = match join.from {
        From::Start => None,
        From::Group(group) => Some(group),
    };
    put_option(out, from, |out, group| out.put_u64(group));
    out.put_u32(join.upload);
    out.put_u32(join.homes.0);
    out.put_u8(join.tries);
    put_option(out, join.instead_of, |out, node| out.put_u64(node.0));
    put_list(out, &join.asked, |out, node| out.put_u64(node.0));
    put_list(out, &join.ancestors, |out, node| out.put_u64(node.0));
    put_list(out, &join.route, |out, router| out.put_u32(*router));
}

fn join_of(bytes: &mut Bytes) -> Result<Join, BadMessage> {
    Ok(Join {
        stripes: stripes_of(bytes)?,
        from: option_of(bytes, u64_of)?.map_or(From::Start, From::Group),
        upload: u32_of(bytes)?,
        homes: stripes_of(bytes)?,
        tries: u8_of(bytes)?,
        instead_of: option_of(bytes, node_of)?,
        asked: list_of(bytes, MAX_NODES, node_of)?,
        ancestors: list_of(bytes, MAX_NODES, node_of)?,
        route: list_of(bytes, MAX_ROUTE, u32_of)?,
    })
}

fn put_redirect(out: &mut Vec<u8>, redirect: &Redirect) {
    out.put_u8(5);
    out.put_u32(redirect.stripes.0);
    out.put_u8(WHYS.iter().position(|why| *why == redirect.why).unwrap_or(0) as u8);
    out.put_u8(u8::from(redirect.all) | u8::from(redirect.keep) << 1);
    out.put_u8(redirect.retry_s);
    out.put_u32(redirect.homes.0);
    put_option(out, redirect.instead_of, |out, node| out.put_u64(node.0));
    put_list(out, &redirect.targets, put_target);
}

fn redirect_of(bytes: &mut Bytes) -> Result<Redirect, BadMessage> {
    let (stripes, why, flags) = (stripes_of(bytes)?, u8_of(bytes)?, u8_of(bytes)?);
    Ok(Redirect {
        stripes,
        why: WHYS.get(usize::from(why)).copied().unwrap_or_default(),
        all: flags & 1 != 0,
        keep: flags & 2 != 0,
        retry_s: u8_of(bytes)?,
        homes: stripes_of(bytes)?,
        instead_of: option_of(bytes, node_of)?,
        targets: list_of(bytes, MAX_TARGETS, target_of)?,
    })
}

fn put_beat(out: &mut Vec<u8>, beat: &Beat) {
    out.put_u8(7);
    out.put_u16(beat.sequence);
    out.put_u16(beat.echo);
    out.put_u16(beat.held_ms);
    put_coordinate(out, beat.coordinate);
    out.put_u64(beat.newest);
    out.put_u32(beat.offers.0);
    put_list(out, &beat.spare, |out, spare| out.put_u16(*spare));
    put_list(out, &beat.up, |out, up| {
        out.put_u8(up.stripe);
        out.put_u16(up.subtree);
        out.put_u16(up.spare);
        out.put_u16(up.places);
        put_option(out, up.best.as_ref(), put_target);
        put_option(out, up.step.as_ref(), put_target);
    });
    put_list(out, &beat.down, |out, down| {
        out.put_u8(down.stripe);
        put_list(out, &down.path, |out, node| out.put_u64(node.0));
        put_list(out, &down.kin, put_target);
    });
}

fn beat_of(bytes: &mut Bytes) -> Result<Beat, BadMessage> {
    Ok(Beat {
        sequence: u16_of(bytes)?,
        echo: u16_of(bytes)?,
        held_ms: u16_of(bytes)?,
        coordinate: coordinate_of(bytes)?,
        newest: u64_of(bytes)?,
        offers: stripes_of(bytes)?,
        spare: list_of(bytes, MAX_PACKETS, u16_of)?,
        up: list_of(bytes, MAX_PACKETS, |bytes| {
            Ok(Up {
                stripe: stripe_of(bytes)?,
                subtree: u16_of(bytes)?,
                spare: u16_of(bytes)?,
                places: u16_of(bytes)?,
                best: option_of(bytes, target_of)?,
                step: option_of(bytes, target_of)?,
            })
        })?,
        down: list_of(bytes, MAX_PACKETS, |bytes| {
            Ok(Down {
                stripe: stripe_of(bytes)?,
                path: list_of(bytes, MAX_PATH, node_of)?,
                kin: list_of(bytes, MAX_TARGETS, target_of)?,
            })
        })?,
    })
}

fn put_coordinate(out: &mut Vec<u8>, at: Coordinate) {
    out.put_i16(at.x);
    out.put_i16(at.y);
    out.put_u16(at.height);
    out.put_u16(at.error);
}

fn put_target(out: &mut Vec<u8>, target: &Target) {
    out.put_u64(target.node.0);
    out.put_u8(target.depth);
    out.put_u16(target.free);
    put_address(out, target.addr);
}

fn put_address(out: &mut Vec<u8>, addr: SocketAddr) {
    let mut compact = Vec::with_capacity(compact::V6_BYTES);
    compact::put(&mut compact, addr);
    out.put_u8(compact.len() as u8);
    out.put_slice(&compact);
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.put_u8(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

/// Writes a list with its length. Callers keep lists below their bounds.
fn put_list<T>(out: &mut Vec<u8>, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.put_u8(list.len() as u8);
    list.iter().for_each(|item| put(out, item));
}

fn minute(bytes: &mut Bytes) -> Result<SignedMinute, BadMessage> {
    if bytes.len() < MINUTE_BYTES { Err(SHORT) } else { SignedMinute::read(bytes).ok_or(FIELD) }
}

fn u8_of(bytes: &mut Bytes) -> Result<u8, BadMessage> {
    bytes.try_get_u8().map_err(|_| SHORT)
}

fn u16_of(bytes: &mut Bytes) -> Result<u16, BadMessage> {
    bytes.try_get_u16().map_err(|_| SHORT)
}

fn u32_of(bytes: &mut Bytes) -> Result<u32, BadMessage> {
    bytes.try_get_u32().map_err(|_| SHORT)
}

fn u64_of(bytes: &mut Bytes) -> Result<u64, BadMessage> {
    bytes.try_get_u64().map_err(|_| SHORT)
}

fn node_of(bytes: &mut Bytes) -> Result<NodeId, BadMessage> {
    u64_of(bytes).map(NodeId)
}

fn flag_of(bytes: &mut Bytes) -> Result<bool, BadMessage> {
    match u8_of(bytes)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FIELD),
    }
}

fn stripe_of(bytes: &mut Bytes) -> Result<u8, BadMessage> {
    let stripe = u8_of(bytes)?;
    if usize::from(stripe) < MAX_PACKETS { Ok(stripe) } else { Err(FIELD) }
}

/// Reads a set of stripes. Those that no channel can have are left out.
fn stripes_of(bytes: &mut Bytes) -> Result<Stripes, BadMessage> {
    u32_of(bytes).map(|stripes| Stripes(stripes).and(Stripes::ALL))
}

fn coordinate_of(bytes: &mut Bytes) -> Result<Coordinate, BadMessage> {
    Ok(Coordinate { x: u16_of(bytes)? as i16, y: u16_of(bytes)? as i16, height: u16_of(bytes)?, error: u16_of(bytes)? })
}

fn target_of(bytes: &mut Bytes) -> Result<Target, BadMessage> {
    let (node, depth, free) = (node_of(bytes)?, u8_of(bytes)?, u16_of(bytes)?);
    Ok(Target { node, addr: address_of(bytes)?, depth, free })
}

fn address_of(bytes: &mut Bytes) -> Result<SocketAddr, BadMessage> {
    let addr = match u8_of(bytes)? {
        6 => compact::v4(&take::<6>(bytes)?).next(),
        18 => Some(compact::one_v6(&take::<18>(bytes)?)),
        _ => None,
    };
    addr.ok_or(FIELD)
}

fn take<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], BadMessage> {
    let mut taken = [0; N];
    bytes.try_copy_to_slice(&mut taken).map_err(|_| SHORT)?;
    Ok(taken)
}

fn option_of<T>(
    bytes: &mut Bytes,
    read: impl FnOnce(&mut Bytes) -> Result<T, BadMessage>,
) -> Result<Option<T>, BadMessage> {
    Ok(if flag_of(bytes)? { Some(read(bytes)?) } else { None })
}

fn list_of<T>(
    bytes: &mut Bytes,
    most: usize,
    read: impl Fn(&mut Bytes) -> Result<T, BadMessage>,
) -> Result<Vec<T>, BadMessage> {
    let count = usize::from(u8_of(bytes)?);
    if count > most {
        return Err(LIST);
    }
    (0..count).map(|_| read(bytes)).collect()
}
