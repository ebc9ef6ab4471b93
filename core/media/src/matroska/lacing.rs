//! Frames within a block (RFC 9559, 10.3): one, or several by lacing.

use super::ebml::vint;
use std::ops::Range;

/// Returns the ranges of the frames in a block's data after its flags; `None` if it is damaged.
pub(crate) fn frames(data: &[u8], flags: u8) -> Option<Vec<Range<usize>>> {
    const XIPH: u8 = 1;
    const FIXED: u8 = 2;
    let lacing = flags >> 1 & 3;
    if lacing == 0 {
        return Some(std::iter::once(0..data.len()).collect());
    }
    let count = usize::from(*data.first()?) + 1;
    let mut at = 1;
    let mut sizes: Vec<usize> = Vec::with_capacity(count);
    match lacing {
        XIPH => {
            for _ in 1..count {
                let mut size = 0;
                loop {
                    let byte = *data.get(at)?;
                    at += 1;
                    size += usize::from(byte);
                    if byte < 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
        FIXED => {
            let rest = data.len().checked_sub(at)?;
            sizes = vec![rest / count; count - 1];
            if !rest.is_multiple_of(count) {
                return None;
            }
        }
        _ => {
            // The first size, then differences with an offset that makes them positive.
            for n in 1..count {
                let (value, length) = vint(data.get(at..)?)?;
                at += length;
                let value = i64::try_from(value).ok()?;
                let size = match n {
                    1 => value,
                    _ => i64::try_from(*sizes.last()?).ok()? + value - ((1 << (7 * length - 1)) - 1),
                };
                sizes.push(usize::try_from(size).ok()?);
            }
        }
    }
    let mut ranges = Vec::with_capacity(count);
    for size in sizes {
        let end = at.checked_add(size).filter(|end| *end <= data.len())?;
        ranges.push(at..end);
        at = end;
    }
    ranges.push(at..data.len());
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_lacing_is_split() {
        let none = frames(&[1, 2, 3], 0);
        assert_eq!(none, Some(std::iter::once(0..3).collect()));
        // Sizes 260, 3 and the rest.
        let xiph = [&[2, 255, 5, 3][..], &[0; 270]].concat();
        assert_eq!(frames(&xiph, 2), Some(vec![4..264, 264..267, 267..274]));
        let fixed = [&[2][..], &[0; 9]].concat();
        assert_eq!(frames(&fixed, 4), Some(vec![1..4, 4..7, 7..10]));
        // Sizes 8, 8 - 3 and the rest.
        let ebml = [&[2, 0x88, 0xbc][..], &[0; 20]].concat();
        assert_eq!(frames(&ebml, 6), Some(vec![3..11, 11..16, 16..23]));
    }

    #[test]
    fn damaged_lacing_has_no_frames() {
        assert_eq!(frames(&[], 2), None);
        assert_eq!(frames(&[1, 255], 2), None);
        assert_eq!(frames(&[1, 9, 0], 2), None);
        assert_eq!(frames(&[1, 0, 0, 0], 4), None);
        assert_eq!(frames(&[2, 0x81, 0x80, 0, 0], 6), None, "a size below zero");
    }
}
