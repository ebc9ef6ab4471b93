//! MPEG-TS: the packets of the tables are the init bytes, and each packet is a unit. A player
//! begins with the packet in which a keyframe begins, by the random access indicator. If the
//! encoder never sets it, the first bytes of each picture tell.

use super::Unsplittable;
use super::syntax::{Role, Step, Syntax};
use crate::mpeg_ts::keys;
use crate::mpeg_ts::packet::{IN_A_ROW, Layout, Packet, Pes, SYNC};
use crate::mpeg_ts::program::{Program, Section, map_pids, streams};
use crate::timeline::TrackKind;

/// Bytes of a picture that tell whether it is a keyframe. Its parameter sets and messages may come
/// first.
const JUDGED: usize = 1024;

/// Most bytes of all streams over which those of a picture are collected.
const MAX_SPREAD: usize = 64 << 10;

/// Most bytes of the packets of one table, whose sections have up to 1 KiB.
const MAX_TABLE_BYTES: usize = 16 * 192;

/// A transport stream.
#[derive(Debug, Default)]
pub(super) struct MpegTs {
    /// `None` while packets are searched for.
    layout: Option<Layout>,
    pat: Table,
    maps: Vec<(u16, Table)>,
    main: Option<Main>,
    /// Whether the random access indicator was ever set in the main stream.
    indicated: bool,
    init: Vec<u8>,
}

/// The stream whose keyframes are used.
#[derive(Debug)]
struct Main {
    pid: u16,
    codec: String,
    video: bool,
}

/// A table: its content, and the packets that carry it.
#[derive(Debug, Default)]
struct Table {
    section: Section,
    /// The packets of the section that is being read.
    open: Vec<u8>,
    packets: Vec<u8>,
    content: Vec<u8>,
}

impl Table {
    /// Takes a packet. Returns whether the content changed.
    fn take(&mut self, packet: &Packet<'_>, raw: &[u8], id: u8) -> bool {
        if packet.start {
            self.open.clear();
        }
        if self.open.len() + raw.len() <= MAX_TABLE_BYTES {
            self.open.extend_from_slice(raw);
        }
        let Some(content) = self.section.take(packet, id) else { return false };
        let content = content.to_vec();
        if !self.section.verified() || content == self.content {
            return false;
        }
        (self.content, self.packets) = (content, std::mem::take(&mut self.open));
        true
    }
}

impl MpegTs {
    /// Takes a packet of the tables, if it is one.
    fn tables(&mut self, packet: &Packet<'_>, raw: &[u8]) {
        let changed = if packet.pid == 0 {
            let changed = self.pat.take(packet, raw, 0);
            if changed {
                let mut known = std::mem::take(&mut self.maps);
                for pid in map_pids(&self.pat.content) {
                    let at = known.iter().position(|(known, _)| *known == pid);
                    self.maps.push(at.map_or_else(|| (pid, Table::default()), |at| known.swap_remove(at)));
                }
            }
            changed
        } else {
            let map = self.maps.iter_mut().find(|(pid, _)| *pid == packet.pid);
            map.is_some_and(|(_, table)| table.take(packet, raw, 2))
        };
        if changed {
            let programs =
                self.maps.iter().map(|(_, map)| Program { streams: streams(&map.content).unwrap_or_default() });
            self.main = programs.into_iter().find_map(|program| {
                let main = program.main()?;
                let (pid, codec) = (main.pid, main.track.codec.clone());
                Some(Main { pid, codec, video: main.track.kind == TrackKind::Video })
            });
            let packets = self.maps.iter().map(|(_, map)| map.packets.as_slice());
            self.init = std::iter::once(self.pat.packets.as_slice()).chain(packets).collect::<Vec<_>>().concat();
        }
    }

    /// Judges the packet in front: whether a player can begin with it.
    fn judge(&mut self, packet: &Packet<'_>, layout: Layout, bytes: &[u8], ended: bool) -> Result<Role, usize> {
        let Some(main) = self.main.as_ref().filter(|main| packet.start && main.pid == packet.pid) else {
            return Ok(Role::Unit);
        };
        let pes = Pes::parse(packet.payload);
        let us = pes.and_then(|pes| pes.pts).map(|ticks| (ticks * 100 / 9) as i64);
        self.indicated |= packet.random;
        let key = packet.random || !main.video || (!self.indicated && starts_with_key(main, layout, bytes, ended)?);
        Ok(if key { Role::Restart(us) } else { Role::Unit })
    }
}

/// Whether the PES packet that begins in front has a keyframe, by its first bytes. Returns the
/// number of bytes that are needed if there are too few.
fn starts_with_key(main: &Main, layout: Layout, bytes: &[u8], ended: bool) -> Result<bool, usize> {
    let stride = layout.stride as usize;
    let mut body = Vec::new();
    let mut at = 0;
    while at < MAX_SPREAD && body.len() < JUDGED {
        let Some(raw) = bytes.get(at..at + stride) else {
            return if ended { Ok(false) } else { Err(at + stride) };
        };
        if raw[layout.lead as usize] != SYNC {
            break;
        }
        if let Some(packet) = Packet::parse(&raw[layout.lead as usize..]).filter(|packet| packet.pid == main.pid) {
            match (at, packet.start) {
                (0, _) => body.extend_from_slice(Pes::parse(packet.payload).map_or(&[][..], |pes| pes.body)),
                (_, false) => body.extend_from_slice(packet.payload),
                (_, true) => break,
            }
            if keys::starts(&main.codec, &body) {
                return Ok(true);
            }
        }
        at += stride;
    }
    Ok(false)
}

/// Searches for packets. Returns the layout if they begin in front, else the step over what is
/// none.
fn search(bytes: &[u8], ended: bool) -> Result<Layout, Step> {
    /// Bytes that confirm a packet.
    const SURE: usize = IN_A_ROW as usize * 192;
    if bytes.len() < SURE && !ended {
        return Err(Step::Need(SURE));
    }
    let starts = if ended { bytes.len() } else { bytes.len() - SURE + 1 };
    match Layout::find(bytes, starts, ended) {
        Some((0, layout)) => Ok(layout),
        found => Err(Step::Take(found.map_or(starts, |(at, _)| at) as u64, Role::Damage)),
    }
}

impl Syntax for MpegTs {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        let layout = match self.layout {
            Some(layout) => layout,
            None => match search(bytes, ended) {
                Ok(layout) => *self.layout.insert(layout),
                Err(step) => return Ok(step),
            },
        };
        let (stride, lead) = (layout.stride as usize, layout.lead as usize);
        let Some(raw) = bytes.get(..stride) else { return Ok(Step::Need(stride)) };
        if raw[lead] != SYNC {
            self.layout = None;
            return self.next(bytes, ended);
        }
        let Some(packet) = Packet::parse(&raw[lead..]) else { return Ok(Step::Take(layout.stride, Role::Unit)) };
        let role = match self.judge(&packet, layout, bytes, ended) {
            Ok(role) => role,
            Err(needed) => return Ok(Step::Need(needed)),
        };
        self.tables(&packet, raw);
        Ok(Step::Take(layout.stride, role))
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        Some("ts")
    }
}
