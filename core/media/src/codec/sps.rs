//! Sequence parameter sets of H.264 and HEVC, no further than needed.

use super::bits::Bits;

/// Most bytes read of a parameter set. Scaling lists are the longest data before the size.
const MAX_SET_BYTES: usize = 512;
/// Most pictures that may be reordered, by either standard.
const MAX_REORDER: u32 = 16;

/// What a sequence parameter set says of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    /// Visible width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Most pictures that precede another in decoding order and follow it in output order; `None`
    /// if not stated.
    pub(crate) reorder: Option<u32>,
}

/// Reads a sequence parameter set of H.264 (ITU-T H.264, 7.3.2.1).
pub(crate) fn h264(unit: &[u8]) -> Option<Sps> {
    let (header, set) = unit.split_first()?;
    if header & 0x1f != 7 {
        return None;
    }
    let mut bits = Bits::of_unit(set, MAX_SET_BYTES);
    let profile = bits.number(8)?;
    bits.skip(16);
    let _id = bits.golomb()?;
    let (mut chroma, mut planes) = (1, false);
    if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
        chroma = bits.golomb()?;
        planes = chroma == 3 && bits.bit()?;
        let _depths = (bits.golomb()?, bits.golomb()?);
        let _transform_bypass = bits.bit()?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let _frame_number = bits.golomb()?;
    let order = bits.golomb()?;
    match order {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.skip(1);
            let _offsets = (bits.golomb()?, bits.golomb()?);
            // The standard has at most 255 of them; a larger count ends with the bits.
            for _ in 0..bits.golomb()? {
                bits.golomb()?;
            }
        }
        2 => {}
        _ => return None,
    }
    let _references = bits.golomb()?;
    bits.skip(1);
    let (across, down) = (bits.golomb()?, bits.golomb()?);
    // If pictures may be fields, the height counts one field.
    let fields = if bits.bit()? { 1 } else { 2 };
    bits.skip(if fields == 2 { 2 } else { 1 });
    let units = if planes { (1, 1) } else { chroma_units(chroma)? };
    let pixels = |blocks: u32, size: u32| blocks.checked_add(1)?.checked_mul(size);
    let size = cropped(&mut bits, (pixels(across, 16)?, pixels(down, 16 * fields)?), (units.0, units.1 * fields))?;
    const BASELINE: u32 = 66;
    let reorder = if profile == BASELINE || order == 2 { Some(0) } else { h264_reorder(&mut bits) };
    Some(Sps { size, reorder })
}

/// Reads the usability information of H.264 (ITU-T H.264, E.1.1). Returns how many pictures precede
/// another in decoding order and follow it in output order, if it says so.
fn h264_reorder(bits: &mut Bits) -> Option<u32> {
    if !bits.bit()? {
        return None;
    }
    const EXTENDED_RATIO: u32 = 255;
    if bits.bit()? && bits.number(8)? == EXTENDED_RATIO {
        bits.skip(32);
    }
    if bits.bit()? {
        bits.skip(1);
    }
    if bits.bit()? {
        bits.skip(4);
        if bits.bit()? {
            bits.skip(24);
        }
    }
    if bits.bit()? {
        let _locations = (bits.golomb()?, bits.golomb()?);
    }
    if bits.bit()? {
        bits.skip(32 + 32 + 1);
    }
    let mut buffered = false;
    for _ in 0..2 {
        if bits.bit()? {
            buffered = true;
            skip_buffering(bits)?;
        }
    }
    bits.skip(usize::from(buffered) + 1);
    if !bits.bit()? {
        return None;
    }
    bits.skip(1);
    for _ in 0..4 {
        bits.golomb()?;
    }
    bits.golomb().filter(|reorder| *reorder <= MAX_REORDER)
}

/// Skips the parameters of a reference decoder's buffer (ITU-T H.264, E.1.2).
fn skip_buffering(bits: &mut Bits) -> Option<()> {
    let count = bits.golomb()?;
    bits.skip(8);
    // The standard has at most 32 of them; a larger count ends with the bits.
    for _ in 0..=count {
        let _rate = (bits.golomb()?, bits.golomb()?, bits.bit()?);
    }
    bits.skip(20);
    Some(())
}

/// Skips a scaling list, whose length depends on its content (ITU-T H.264, 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits, size: u32) -> Option<()> {
    let mut last = 8;
    for _ in 0..size {
        match (last + bits.signed_golomb()?).rem_euclid(256) {
            // All others equal the last.
            0 => break,
            next => last = next,
        }
    }
    Some(())
}

/// Reads a sequence parameter set of HEVC (ITU-T H.265, 7.3.2.2).
pub(crate) fn hevc(unit: &[u8]) -> Option<Sps> {
    let (&[first, second], set) = unit.split_first_chunk()?;
    let (kind, layer) = (first >> 1 & 0x3f, (first & 1) << 5 | second >> 3);
    // Other layers use another syntax.
    if (kind, layer) != (33, 0) {
        return None;
    }
    const PROFILE_BITS: usize = 88;
    const LEVEL_BITS: usize = 8;
    let mut bits = Bits::of_unit(set, MAX_SET_BYTES);
    bits.skip(4);
    let layers = bits.number(3)?;
    bits.skip(1 + PROFILE_BITS + LEVEL_BITS);
    // Two flags per lower temporal layer, padded to eight pairs if there are any.
    let mut skipped = 0;
    for _ in 0..layers {
        let (profile, level) = (bits.bit()?, bits.bit()?);
        skipped += if profile { PROFILE_BITS } else { 0 } + if level { LEVEL_BITS } else { 0 };
    }
    bits.skip(if layers > 0 { 2 * (8 - layers as usize) + skipped } else { 0 });
    let _id = bits.golomb()?;
    let chroma = bits.golomb()?;
    bits.skip(usize::from(chroma == 3));
    let size = (bits.golomb()?, bits.golomb()?);
    let size = cropped(&mut bits, size, chroma_units(chroma)?)?;
    Some(Sps { size, reorder: hevc_reorder(&mut bits, layers) })
}

/// Reads how many pictures precede another in decoding order and follow it in output order, of the
/// highest temporal layer.
fn hevc_reorder(bits: &mut Bits, layers: u32) -> Option<u32> {
    let _depths_and_order = (bits.golomb()?, bits.golomb()?, bits.golomb()?);
    let each = bits.bit()?;
    let mut reorder = 0;
    for _ in 0..if each { layers + 1 } else { 1 } {
        reorder = (bits.golomb()?, bits.golomb()?, bits.golomb()?).1;
    }
    Some(reorder).filter(|reorder| *reorder <= MAX_REORDER)
}

/// Returns the number of luma pixels per chroma pixel, horizontally and vertically, by chroma
/// format number.
fn chroma_units(chroma: u32) -> Option<(u32, u32)> {
    match chroma {
        0 | 3 => Some((1, 1)),
        1 => Some((2, 2)),
        2 => Some((2, 1)),
        _ => None,
    }
}

/// Returns the visible size of a picture. A flag states whether offsets for left, right, top and
/// bottom follow that are cropped, in multiples of `unit`.
fn cropped(bits: &mut Bits, (width, height): (u32, u32), unit: (u32, u32)) -> Option<(u32, u32)> {
    if !bits.bit()? {
        return Some((width, height));
    }
    let (across, down) = (bits.golomb()?.checked_add(bits.golomb()?)?, bits.golomb()?.checked_add(bits.golomb()?)?);
    let width = width.checked_sub(across.checked_mul(unit.0)?)?;
    Some((width, height.checked_sub(down.checked_mul(unit.1)?)?))
}
