//! A film without pictures that every program can index: the head of an MP4 file (ISO/IEC 14496-12)
//! whose frames all have one size, followed by any bytes. Viewers can therefore derive the film's
//! rate as from a real one, and each byte can still be checked.

/// Frames per second. A keyframe comes every two seconds.
const FRAMES_PER_S: u64 = 25;
const KEYFRAME_EVERY: u64 = 50;
/// Units per second of its clocks.
const TIMESCALE: u32 = 25_000;

fn full(name: &[u8; 4], flags: u32, fields: &[u32]) -> Vec<u8> {
    let content: Vec<u8> = [flags].iter().chain(fields).flat_map(|field| field.to_be_bytes()).collect();
    boxed(name, &[&content])
}

fn boxed(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, &content].concat()
}

/// Returns the head of a film of `length` bytes in total, at `rate` bytes per second. The frames
/// follow it.
pub fn head(rate: u64, length: u64) -> Vec<u8> {
    let frame = (rate / FRAMES_PER_S).max(1);
    // The index names as many frames as fit beside it. With all of them it has the same length.
    let most = (length / frame) as u32;
    let longest = with_frames(frame as u32, most, 0).len() as u64;
    let frames = (length.saturating_sub(longest) / frame).max(1) as u32;
    let index = with_frames(frame as u32, frames, 0).len() as u32;
    let mut head = with_frames(frame as u32, frames, index + 8);
    head.extend((length as u32 - index).to_be_bytes());
    head.extend(b"mdat");
    head
}

/// Returns `ftyp` and `moov`, with the first frame at `at`.
fn with_frames(frame: u32, frames: u32, at: u32) -> Vec<u8> {
    let duration = (u64::from(frames) * u64::from(TIMESCALE) / FRAMES_PER_S) as u32;
    let keys: Vec<u32> = (1..=frames).step_by(KEYFRAME_EVERY as usize).collect();
    const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
    // 16 pixels square, as there is no picture.
    let mut sample = vec![0u8; 6];
    sample.extend([0, 1]);
    sample.extend([0; 16]);
    sample.extend([0, 16, 0, 16, 0, 72, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0, 1]);
    sample.extend([0; 32]);
    sample.extend([0, 24, 0xff, 0xff]);
    let avcc = boxed(b"avcC", &[&[1, 66, 0, 10, 0xff, 0xe0, 0]]);
    let entry = boxed(b"avc1", &[&sample, &avcc]);
    let stsd = boxed(b"stsd", &[&[0; 4], &1u32.to_be_bytes(), &entry]);
    let stss = [&[keys.len() as u32][..], &keys].concat();
    let stbl = boxed(
        b"stbl",
        &[
            &stsd,
            &full(b"stts", 0, &[1, frames, TIMESCALE / FRAMES_PER_S as u32]),
            &full(b"stss", 0, &stss),
            &full(b"stsc", 0, &[1, 1, frames, 1]),
            &full(b"stsz", 0, &[frame, frames]),
            &full(b"stco", 0, &[1, at]),
        ],
    );
    let dref = boxed(b"dref", &[&[0; 4], &1u32.to_be_bytes(), &full(b"url ", 1, &[])]);
    let minf = boxed(b"minf", &[&full(b"vmhd", 1, &[0, 0]), &boxed(b"dinf", &[&dref]), &stbl]);
    // "und" as three letters of five bits.
    let mdhd = full(b"mdhd", 0, &[0, 0, TIMESCALE, duration, 0x55c4_0000]);
    let hdlr = boxed(b"hdlr", &[&[0; 8], b"vide", &[0; 12], b"noise\0"]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &minf]);
    let shown = [&[0, 0, 1, 0, duration, 0, 0, 0, 0][..], &UNITY, &[16 << 16, 16 << 16]].concat();
    let trak = boxed(b"trak", &[&full(b"tkhd", 7, &shown), &mdia]);
    let times = [&[0, 0, TIMESCALE, duration, 0x1_0000, 0x100_0000, 0, 0][..], &UNITY, &[0, 0, 0, 0, 0, 0, 2]].concat();
    let moov = boxed(b"moov", &[&full(b"mvhd", 0, &times), &trak]);
    [boxed(b"ftyp", &[b"isom", &512u32.to_be_bytes(), b"isomavc1"]), moov].concat()
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn the_last_box_reaches_the_end_and_the_first_frame_is_its_first_byte() {
        let length = 24_000_000u64;
        let head = head(40_000, length);
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!(&head[head.len() - 4..], b"mdat");
        assert_eq!(head.len() as u64 - 8 + u64::from(number(head.len() - 8)), length);
        let stco = head.windows(4).position(|w| w == b"stco").unwrap();
        assert_eq!(number(stco + 12) as usize, head.len());
        let stsz = head.windows(4).position(|w| w == b"stsz").unwrap();
        let frames = u64::from(number(stsz + 12));
        assert!(head.len() as u64 + frames * u64::from(number(stsz + 8)) <= length);
        assert!(frames > 599 * 25, "{frames}");
    }
}
