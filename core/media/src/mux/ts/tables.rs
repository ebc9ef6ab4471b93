//! The tables of a transport stream: PAT and PMT (ISO/IEC 13818-1, 2.4.4), SDT (ETSI EN 300 468).

use crate::crc::crc32;

pub(super) const PAT_PID: u16 = 0;
pub(super) const SDT_PID: u16 = 0x11;
pub(super) const PMT_PID: u16 = 0x1000;

/// Number of the only program.
const PROGRAM: u16 = 1;

/// A stream as the tables describe it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
    pub(super) descriptors: Vec<u8>,
}

/// Returns the program association table.
pub(super) fn pat() -> Vec<u8> {
    section(0x00, 0xb0, &[&PROGRAM.to_be_bytes()[..], &(0xe000 | PMT_PID).to_be_bytes()].concat())
}

/// Returns the program map table.
pub(super) fn pmt(pcr_pid: u16, entries: &[Entry]) -> Vec<u8> {
    let mut content = [(0xe000 | pcr_pid).to_be_bytes(), [0xf0, 0]].concat();
    for entry in entries {
        content.push(entry.stream_type);
        content.extend_from_slice(&(0xe000 | entry.pid).to_be_bytes());
        content.extend_from_slice(&(0xf000 | entry.descriptors.len() as u16).to_be_bytes());
        content.extend_from_slice(&entry.descriptors);
    }
    section(0x02, 0xb0, &content)
}

/// Returns the service description table, without which some receivers list no program.
pub(super) fn sdt() -> Vec<u8> {
    const PROVIDER_AND_NAME: &[u8] = b"\x01\x09playswarm\x09playswarm";
    const SERVICE_DESCRIPTOR: u8 = 0x48;
    let descriptor = [&[SERVICE_DESCRIPTOR, PROVIDER_AND_NAME.len() as u8], PROVIDER_AND_NAME].concat();
    let content = [
        &[0xff, 0x01, 0xff][..],
        &PROGRAM.to_be_bytes(),
        &[0xfc],
        &(0x8000 | descriptor.len() as u16).to_be_bytes(),
        &descriptor,
    ];
    section(0x42, 0xf0, &content.concat())
}

/// Returns a section with the pointer before it and its checksum.
fn section(table: u8, flags: u8, content: &[u8]) -> Vec<u8> {
    const HEADER: usize = 5;
    const CHECKSUM: usize = 4;
    let length = HEADER + content.len() + CHECKSUM;
    let head = [0, table, flags | (length >> 8) as u8, length as u8, 0, 1, 0xc1, 0, 0];
    let mut section = [&head[..], content].concat();
    let checksum = crc32(u32::MAX, &section[1..]);
    section.extend_from_slice(&checksum.to_be_bytes());
    section
}

/// Returns a descriptor.
pub(super) fn descriptor(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, content.len() as u8], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_with_its_checksum_has_a_remainder_of_zero() {
        let entry = Entry { pid: 0x100, stream_type: 0x1b, descriptors: descriptor(0x0a, b"eng\0") };
        for section in [pat(), pmt(0x100, &[entry]), sdt()] {
            assert_eq!(crc32(u32::MAX, &section[1..]), 0);
            let length = (usize::from(section[2]) & 0x0f) << 8 | usize::from(section[3]);
            assert_eq!(length, section.len() - 4);
        }
    }
}
