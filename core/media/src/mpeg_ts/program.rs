//! The streams of a transport stream: PAT and PMT (ISO/IEC 13818-1, 2.4.4), with the descriptors of
//! DVB, ATSC and Blu-ray.

use super::packet::Packet;
use crate::crc::crc32;
use crate::timeline::{Track, TrackKind};

/// An elementary stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elementary {
    pub(crate) pid: u16,
    pub(crate) track: Track,
}

/// The streams of the first program that has video or audio.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) streams: Vec<Elementary>,
}

/// Longest section of these tables in bytes.
const MAX_SECTION: usize = 1024;
/// Most programs that are followed. A whole satellite transponder has about thirty.
const MAX_PROGRAMS: usize = 64;
/// Most streams of a program.
const MAX_STREAMS: usize = 64;

impl Program {
    /// Returns the first video stream, else the first audio stream.
    pub(crate) fn main(&self) -> Option<&Elementary> {
        let first = |kind| self.streams.iter().find(|stream| stream.track.kind == kind);
        first(TrackKind::Video).or_else(|| first(TrackKind::Audio))
    }

    /// Whether a packet's stream is video or audio.
    pub(crate) fn timed(&self, pid: u16) -> bool {
        let timed = |kind| matches!(kind, TrackKind::Video | TrackKind::Audio);
        self.streams.iter().any(|stream| stream.pid == pid && timed(stream.track.kind))
    }
}

/// A packet-by-packet reader of the tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// PIDs of the programs' PMTs, from the PAT, and the sections received so far.
    maps: Vec<(u16, Section)>,
    pat: Section,
    program: Option<Program>,
}

/// A section that is being assembled.
#[derive(Debug, Default)]
pub(crate) struct Section {
    bytes: Vec<u8>,
    begun: bool,
}

impl Section {
    /// Takes a packet's payload. Returns the section's content once complete, if the table has this
    /// id: the bytes after its header of 8 bytes, without the checksum.
    pub(crate) fn take(&mut self, packet: &Packet<'_>, id: u8) -> Option<&[u8]> {
        let mut payload = packet.payload;
        if packet.start {
            let pointer = usize::from(*payload.first()?);
            payload = payload.get(1 + pointer..)?;
            self.bytes.clear();
            self.begun = true;
        }
        if !self.begun {
            return None;
        }
        let room = MAX_SECTION.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&payload[..payload.len().min(room)]);
        let &[table, high, low, ..] = self.bytes.as_slice() else { return None };
        let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
        if self.bytes.len() < length {
            return None;
        }
        self.begun = false;
        self.bytes.get(8..length.checked_sub(4)?).filter(|_| table == id)
    }

    /// Whether the checksum of the section that was completed last is right.
    pub(crate) fn verified(&self) -> bool {
        let &[_, high, low, ..] = self.bytes.as_slice() else { return false };
        let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
        self.bytes.get(..length).is_some_and(|section| crc32(u32::MAX, section) == 0)
    }
}

impl Tables {
    /// Takes a packet. Returns the program once it is known.
    pub(crate) fn take(&mut self, packet: &Packet<'_>) -> Option<&Program> {
        if self.program.is_none() {
            if packet.pid == 0
                && let Some(entries) = self.pat.take(packet, 0)
            {
                for pid in map_pids(entries) {
                    if self.maps.len() < MAX_PROGRAMS && self.maps.iter().all(|(known, _)| *known != pid) {
                        self.maps.push((pid, Section::default()));
                    }
                }
            } else if let Some((_, section)) = self.maps.iter_mut().find(|(pid, _)| *pid == packet.pid)
                && let Some(content) = section.take(packet, 2)
            {
                let program = Program { streams: streams(content).unwrap_or_default() };
                self.program = program.main().is_some().then_some(program);
            }
        }
        self.program.as_ref()
    }
}

/// Iterates over the PIDs of the programs' PMTs in a PAT's content.
pub(crate) fn map_pids(entries: &[u8]) -> impl Iterator<Item = u16> {
    // Program 0 is the network's own table.
    let programs = entries.chunks_exact(4).filter(|entry| entry[..2] != [0, 0]).take(MAX_PROGRAMS);
    programs.map(|entry| u16::from_be_bytes([entry[2], entry[3]]) & 0x1fff)
}

/// Parses the streams of a PMT's content.
pub(crate) fn streams(content: &[u8]) -> Option<Vec<Elementary>> {
    let length = |high: u8, low: u8| usize::from(high & 0x0f) << 8 | usize::from(low);
    let &[_, _, high, low, ref rest @ ..] = content else { return None };
    let (program, mut rest) = rest.split_at_checked(length(high, low))?;
    let blu_ray = descriptors(program).any(|(tag, content)| tag == REGISTRATION && content.starts_with(b"HDMV"));
    let mut streams = Vec::new();
    while let &[kind, pid_high, pid_low, high, low, ref more @ ..] = rest {
        let Some((own, more)) = more.split_at_checked(length(high, low)) else { break };
        if streams.len() < MAX_STREAMS {
            let pid = u16::from(pid_high & 0x1f) << 8 | u16::from(pid_low);
            streams.push(Elementary { pid, track: track(kind, own, blu_ray) });
        }
        rest = more;
    }
    Some(streams)
}

const REGISTRATION: u8 = 0x05;
const LANGUAGE: u8 = 0x0a;

/// Iterates over the descriptors in a descriptor loop: tag and content.
fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let &[tag, length, ref rest @ ..] = bytes else { return None };
        let (content, rest) = rest.split_at_checked(usize::from(length))?;
        bytes = rest;
        Some((tag, content))
    })
}

fn track(stream_type: u8, own: &[u8], blu_ray: bool) -> Track {
    use TrackKind::{Audio, Other, Subtitle, Video};
    let registered = descriptors(own).find(|(tag, _)| *tag == REGISTRATION).and_then(|(_, c)| c.first_chunk::<4>());
    let by_descriptor = || {
        descriptors(own).find_map(|(tag, content)| match tag {
            0x6a => Some((Audio, "ac3")),
            0x7a => Some((Audio, "eac3")),
            0x7b => Some((Audio, "dts")),
            0x7c => Some((Audio, "aac")),
            0x56 => Some((Subtitle, "dvb_teletext")),
            0x59 => Some((Subtitle, "dvb_subtitle")),
            REGISTRATION => match content.first_chunk::<4>()? {
                b"AC-3" => Some((Audio, "ac3")),
                b"EAC3" => Some((Audio, "eac3")),
                b"DTS1" | b"DTS2" | b"DTS3" => Some((Audio, "dts")),
                b"Opus" => Some((Audio, "opus")),
                b"BSSD" => Some((Audio, "s302m")),
                b"HEVC" => Some((Video, "hevc")),
                b"VVC " => Some((Video, "vvc")),
                b"AV01" => Some((Video, "av1")),
                b"VC-1" => Some((Video, "vc1")),
                b"KLVA" => Some((Other, "klv")),
                _ => None,
            },
            _ => None,
        })
    };
    let (kind, codec) = match stream_type {
        0x01 => (Video, "mpeg1video"),
        0x02 => (Video, "mpeg2video"),
        0x03 | 0x04 => (Audio, "mp3"),
        0x0f => (Audio, "aac"),
        0x10 => (Video, "mpeg4"),
        0x11 => (Audio, "aac_latm"),
        0x1b | 0x20 => (Video, "h264"),
        0x21 => (Video, "jpeg2000"),
        0x24 => (Video, "hevc"),
        0x33 => (Video, "vvc"),
        0x42 => (Video, "cavs"),
        0xd1 => (Video, "dirac"),
        0xea => (Video, "vc1"),
        0x80 if blu_ray => (Audio, "pcm_bluray"),
        0x81 => (Audio, "ac3"),
        0x82 if blu_ray || registered.is_some_and(|r| r.starts_with(b"DTS")) => (Audio, "dts"),
        0x83 if blu_ray => (Audio, "truehd"),
        0x84 | 0x87 => (Audio, "eac3"),
        0x85 | 0x86 if blu_ray => (Audio, "dts"),
        0x90 if blu_ray => (Subtitle, "hdmv_pgs_subtitle"),
        0x92 if blu_ray => (Subtitle, "hdmv_text_subtitle"),
        _ => by_descriptor().unwrap_or((Other, "")),
    };
    let language = descriptors(own).filter(|(tag, _)| matches!(*tag, LANGUAGE | 0x56 | 0x59));
    let language = language.filter_map(|(_, content)| content.first_chunk::<3>()).next();
    let language = language.filter(|said| said.iter().all(u8::is_ascii_alphabetic));
    Track {
        kind,
        codec: if codec.is_empty() { format!("0x{stream_type:02x}") } else { codec.to_owned() },
        language: language.map(|said| String::from_utf8_lossy(said).to_lowercase()).filter(|said| said != "und"),
        ..Track::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn packet(pid: u16, start: bool, payload: &[u8]) -> Packet<'_> {
        Packet { pid, start, random: false, discontinuity: false, counter: 0, payload }
    }

    /// Returns a section of a table with its header and a checksum that is not verified.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len() + 9;
        [&[0, id, 0xb0 | (length >> 8) as u8, length as u8, 0, 1, 0xc1, 0, 0], content, &[0; 4]].concat()
    }

    #[test]
    fn the_program_is_put_together_from_sections_cut_anywhere() {
        let pat = section(0, &[0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0x00]);
        let language = [0x0a, 4, b'g', b'e', b'r', 0];
        let map = [
            &[0xe1, 0x00, 0xf0, 0x00, 0x1b, 0xe1, 0x00, 0xf0, 0x00, 0x0f, 0xe1, 0x01, 0xf0, 6][..],
            &language,
            &[0x06, 0xe1, 0x02, 0xf0, 6, 0x05, 4, b'A', b'C', b'-', b'3'],
        ]
        .concat();
        let pmt = section(2, &map);
        let mut tables = Tables::default();
        assert!(tables.take(&packet(0x1000, true, &pmt)).is_none());
        assert!(tables.take(&packet(0, true, &pat)).is_none());
        assert!(tables.take(&packet(0x1000, false, &pmt[10..])).is_none(), "its start is missing");
        assert!(tables.take(&packet(0x1000, true, &pmt[..10])).is_none());
        let program = tables.take(&packet(0x1000, false, &pmt[10..])).unwrap();
        let codecs: Vec<_> = program.streams.iter().map(|s| (s.pid, s.track.codec.as_str())).collect();
        assert_eq!(codecs, [(0x100, "h264"), (0x101, "aac"), (0x102, "ac3")]);
        assert_eq!(program.streams[1].track.language.as_deref(), Some("ger"));
        assert_eq!(program.main().unwrap().pid, 0x100);
    }

    #[test]
    fn tables_that_lie_about_their_lengths_are_left() {
        for content in [&[][..], &[0xe1, 0, 0xff, 0xff], &[0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xff, 0xff, 1]] {
            assert_eq!(streams(content).unwrap_or_default(), []);
        }
        let mut tables = Tables::default();
        for payload in [&[][..], &[255], &[0, 0, 0xbf, 0xff], &[0; 184]] {
            assert!(tables.take(&packet(0, true, payload)).is_none());
            assert!(tables.take(&packet(0, false, payload)).is_none());
        }
    }
}
