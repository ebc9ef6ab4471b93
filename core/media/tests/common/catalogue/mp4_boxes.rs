//! MP4 films that FFmpeg does not write, put together from the boxes of those that it does.

use super::mp4;
use crate::common::Film;

/// What is put in front of the media of a film whose offsets are past 4 GiB.
pub const HOLE: u64 = 5 << 30;

/// The boxes that begin in these bytes, each with its header: kind and bytes.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut boxes = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk() {
        let (one, rest_of_file) = bytes.split_at(u32::from_be_bytes(*size) as usize);
        boxes.push((*rest.first_chunk().unwrap(), one));
        bytes = rest_of_file;
    }
    boxes
}

/// A box.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// Boxes with each `stco` in them made a `co64`, its offsets so much higher.
fn with_co64(bytes: &[u8], shift: u64) -> Vec<u8> {
    let altered = boxes(bytes).into_iter().map(|(kind, bytes)| match &kind {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" => boxed(&kind, &with_co64(&bytes[8..], shift)),
        b"stco" => {
            let (count, offsets) = bytes[8..].split_at(8);
            let offsets = offsets.chunks_exact(4).map(|offset| u32::from_be_bytes(offset.try_into().unwrap()));
            let offsets = offsets.flat_map(|offset| (u64::from(offset) + shift).to_be_bytes());
            boxed(b"co64", &[count, &offsets.collect::<Vec<u8>>()].concat())
        }
        _ => bytes.to_vec(),
    });
    altered.collect::<Vec<_>>().concat()
}

/// Offsets of 64 bits. The `moov` is at the end, and so none of them moves.
pub fn co64() -> Film {
    Film::altered(&mp4::moov_at_the_end(), "co64.mp4", |bytes| with_co64(&bytes, 0))
}

/// The same film with a box of [`HOLE`] bytes before its media: what comes before what is in that box, and what after.
pub fn past_four_gigabytes() -> (Vec<u8>, Vec<u8>) {
    let bytes = mp4::moov_at_the_end().bytes();
    let media = boxes(&bytes).iter().take_while(|(kind, _)| kind != b"mdat").map(|(_, bytes)| bytes.len()).sum();
    let free = [&1_u32.to_be_bytes()[..], b"free", &HOLE.to_be_bytes()].concat();
    let (before, after) = bytes.split_at(media);
    ([before, &free].concat(), with_co64(after, HOLE))
}
