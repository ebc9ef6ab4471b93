//! The silent first frame in which encoders describe the file: Xing or Info (with LAME's extension)
//! and VBRI.

use super::frame::{HEADER_BYTES, Header};

/// The content of an info frame. It is not yet checked against the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// Whether the encoder declares a constant bitrate.
    pub(crate) constant: bool,
    /// Number of frames after this one.
    pub(crate) frames: Option<u64>,
    /// Bytes of this frame and all later ones.
    pub(crate) bytes: Option<u64>,
    /// Share of `bytes`, in 1/65536, that precedes each step of time. May decrease.
    pub(crate) shares: Vec<u32>,
    /// Frames per step; `None` if the steps divide the whole evenly.
    pub(crate) step_frames: Option<u64>,
    /// Samples of silence that the encoder added at the start and at the end, if declared.
    pub(crate) silence: Option<(u64, u64)>,
}

/// Parses the frame with the given header. Returns `None` if it is an ordinary audio frame.
pub(crate) fn parse(frame: &[u8], header: &Header) -> Option<Info> {
    let checksum = if header.checksum { 2 } else { 0 };
    let side = HEADER_BYTES + header.side_bytes();
    // Some encoders forget that a checksum shifts the data after it.
    [side, side + checksum].iter().find_map(|at| xing(frame.get(*at..)?)).or_else(|| vbri(frame.get(36..)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn xing(tag: &[u8]) -> Option<Info> {
    const TOC_BYTES: usize = 100;
    const QUALITY_BYTES: usize = 4;
    // Offset within LAME's extension: after its name, method, lowpass, gains, flags and bitrate.
    const SILENCE_AT: usize = 21;
    let constant = match tag.first_chunk()? {
        b"Xing" => false,
        b"Info" => true,
        _ => return None,
    };
    let mut info = Info { constant, ..Info::default() };
    let flags = u32_at(tag, 4)?;
    let mut at = 8;
    if flags & 1 != 0 {
        info.frames = u32_at(tag, at).filter(|frames| *frames > 0);
        at += 4;
    }
    if flags & 2 != 0 {
        info.bytes = u32_at(tag, at).filter(|bytes| *bytes > 0);
        at += 4;
    }
    if flags & 4 != 0 {
        info.shares = tag.get(at..at + TOC_BYTES)?.iter().map(|share| u32::from(*share) << 8).collect();
        at += TOC_BYTES;
    }
    if flags & 8 != 0 {
        at += QUALITY_BYTES;
    }
    if let Some(&[a, b, c]) = tag.get(at + SILENCE_AT..).and_then(<[u8]>::first_chunk)
        && tag.get(at..at + 3).is_some_and(|name| matches!(name, b"LAM" | b"Lav" | b"L3."))
    {
        // Twelve bits each.
        info.silence = Some((u64::from(a) << 4 | u64::from(b) >> 4, u64::from(b & 15) << 8 | u64::from(c)));
    }
    Some(info)
}

fn vbri(tag: &[u8]) -> Option<Info> {
    /// Length of the fields: magic, version, delay, quality, bytes, frames, entries, scale, bytes
    /// per entry, frames per entry.
    const HEADER: usize = 26;
    if !tag.starts_with(b"VBRI") {
        return None;
    }
    let (bytes, frames) = (u32_at(tag, 10)?, u32_at(tag, 14)?);
    let (entries, scale, width) = (u16_at(tag, 18)?, u16_at(tag, 20)?, u16_at(tag, 22)? as usize);
    let step = u16_at(tag, 24)?;
    let mut shares = Vec::new();
    if (1..=4).contains(&width) && bytes > 0 {
        // The entries lie within the frame, which bounds their number.
        let table = tag.get(HEADER..HEADER + entries as usize * width).unwrap_or_default();
        let mut sum = 0u64;
        shares.push(0);
        for entry in table.chunks_exact(width) {
            let size = entry.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            sum += size * scale;
            shares.push((u128::from(sum) << 16).div_euclid(u128::from(bytes)).min(1 << 16) as u32);
        }
        // The last entry is the end, which is already known.
        shares.pop();
    }
    let some = |value: u64| (value > 0).then_some(value);
    Some(Info { frames: some(frames), bytes: some(bytes), shares, step_frames: some(step), ..Info::default() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(at: usize, tag: &[u8]) -> (Vec<u8>, Header) {
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        frame[at..at + tag.len()].copy_from_slice(tag);
        let header = Header::parse(&frame).unwrap();
        (frame, header)
    }

    #[test]
    fn an_info_frame_with_lames_part_tells_frames_bytes_and_silence() {
        let mut tag = b"Info\0\0\0\x0b\0\0\x01\x02\0\x03\0\0\0\0\0\x50LAME3.100".to_vec();
        tag.extend_from_slice(&[0; 12]);
        tag.extend_from_slice(&[0x24, 0x04, 0xc8]);
        let (bytes, header) = frame(36, &tag);
        let info = parse(&bytes, &header).unwrap();
        assert!(info.constant);
        assert_eq!((info.frames, info.bytes, info.silence), (Some(258), Some(0x30000), Some((576, 0x4c8))));
    }

    #[test]
    fn a_vbri_table_becomes_shares_of_the_bytes() {
        let mut tag = b"VBRI\0\x01\0\0\0\0".to_vec();
        tag.extend_from_slice(&4000u32.to_be_bytes());
        tag.extend_from_slice(&400u32.to_be_bytes());
        for field in [4u16, 10, 2, 100] {
            tag.extend_from_slice(&field.to_be_bytes());
        }
        for entry in [100u16, 150, 50, 100] {
            tag.extend_from_slice(&entry.to_be_bytes());
        }
        let (bytes, header) = frame(36, &tag);
        let info = parse(&bytes, &header).unwrap();
        assert_eq!((info.frames, info.bytes), (Some(400), Some(4000)));
        assert_eq!(info.shares, [0, 1 << 14, (1 << 16) * 5 / 8, (1 << 16) * 3 / 4]);
    }

    #[test]
    fn a_vbri_table_that_reaches_past_its_frame_is_left_out() {
        let mut tag = b"VBRI\0\x01\0\0\0\0\0\0\x10\0\0\0\x01\0\xff\xff\xff\xff\0\x04\0\x01".to_vec();
        tag.extend_from_slice(&[0xff; 40]);
        let (bytes, header) = frame(36, &tag);
        assert_eq!(parse(&bytes, &header).unwrap().shares, [0u32; 0]);
    }

    #[test]
    fn a_frame_of_sound_is_none() {
        let (bytes, header) = frame(36, b"Xinh");
        assert_eq!(parse(&bytes, &header), None);
        assert_eq!(parse(&bytes[..20], &header), None);
    }
}
