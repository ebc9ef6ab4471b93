//! Splits elementary streams of video into access units: all that belongs to one picture.

/// A codec whose pictures can be told apart by start codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    H264,
    Hevc,
    Vvc,
    Mpeg2,
    Mpeg4,
    Vc1,
}

/// What a unit after a start code means for the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The beginning of a picture, or a part of one.
    Picture { first: bool },
    /// Belongs to the next picture.
    Before,
    /// Belongs to the picture before it, if there is one.
    Inside,
}

/// Bytes after a start code by which a unit is judged.
const JUDGED: usize = 4;

impl Syntax {
    fn of(codec: &str) -> Option<Syntax> {
        Some(match codec {
            "h264" => Syntax::H264,
            "hevc" => Syntax::Hevc,
            "vvc" => Syntax::Vvc,
            "mpeg1video" | "mpeg2video" => Syntax::Mpeg2,
            "mpeg4" => Syntax::Mpeg4,
            "vc1" => Syntax::Vc1,
            _ => return None,
        })
    }

    /// Whether the zero byte that may precede a start code belongs to the unit after it. As in
    /// FFmpeg, it ends the picture before in streams other than H.264.
    fn takes_zero_byte(self) -> bool {
        matches!(self, Syntax::H264 | Syntax::Vvc)
    }

    /// Judges a unit by its first bytes.
    fn part(self, unit: [u8; JUDGED]) -> Part {
        let first = |byte: u8| Part::Picture { first: byte & 0x80 != 0 };
        match self {
            // ITU-T H.264, 7.4.1.2.3: the first macroblock of a picture has number 0.
            Syntax::H264 => match unit[0] & 0x1f {
                1 | 2 | 5 => first(unit[1]),
                6..=9 | 14..=18 => Part::Before,
                _ => Part::Inside,
            },
            // ITU-T H.265, 7.4.2.4.4: a flag of the slice header.
            Syntax::Hevc => match unit[0] >> 1 & 0x3f {
                0..=31 => first(unit[2]),
                32..=35 | 39 | 41..=44 | 48..=55 => Part::Before,
                _ => Part::Inside,
            },
            // ITU-T H.266, 7.4.2.4.3: a picture header, alone or in the only slice.
            Syntax::Vvc => match unit[1] >> 3 {
                0..=11 => first(unit[2]),
                13..=17 | 19 | 20 | 23 => Part::Before,
                _ => Part::Inside,
            },
            Syntax::Mpeg2 => match unit[0] {
                0x00 => Part::Picture { first: true },
                0xb3 | 0xb8 => Part::Before,
                _ => Part::Inside,
            },
            Syntax::Mpeg4 => match unit[0] {
                0xb6 => Part::Picture { first: true },
                0x00..=0x2f | 0xb0 | 0xb3 | 0xb5 => Part::Before,
                _ => Part::Inside,
            },
            Syntax::Vc1 => match unit[0] {
                0x0d => Part::Picture { first: true },
                0x0e | 0x0f => Part::Before,
                _ => Part::Inside,
            },
        }
    }
}

/// A search for the boundaries between access units in a growing buffer.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    syntax: Syntax,
    /// Position up to which the buffer was searched.
    at: usize,
    /// Whether the unit at the start of the buffer has a picture.
    picture: bool,
    /// Whether the next picture is the second field of this one (MPEG-2).
    field: bool,
}

impl Splitter {
    /// Returns the splitter for a codec, if its pictures can be told apart.
    pub(crate) fn new(codec: &str) -> Option<Splitter> {
        Some(Splitter { syntax: Syntax::of(codec)?, at: 0, picture: false, field: false })
    }

    /// Starts with an empty buffer.
    pub(crate) fn reset(&mut self) {
        (self.at, self.picture, self.field) = (0, false, false);
    }

    /// Returns the length of the access unit at the start of the buffer, if the next one has begun.
    /// The caller removes it from the buffer.
    pub(crate) fn next(&mut self, buffer: &[u8]) -> Option<usize> {
        while let Some((zeros, code)) = start_code(buffer, self.at, self.syntax.takes_zero_byte()) {
            let Some(&unit) = buffer.get(code..).and_then(<[u8]>::first_chunk::<JUDGED>) else {
                self.at = zeros;
                return None;
            };
            let part = self.part(unit);
            let begins = part == Part::Before || part == (Part::Picture { first: true });
            if self.picture && begins && zeros > 0 {
                self.picture = part != Part::Before;
                self.at = code - zeros;
                return Some(zeros);
            }
            self.picture |= matches!(part, Part::Picture { .. });
            self.at = code;
        }
        // A start code may have begun in the last bytes.
        self.at = self.at.max(buffer.len().saturating_sub(3));
        None
    }

    fn part(&mut self, unit: [u8; JUDGED]) -> Part {
        /// The picture coding extension, by its start code and identifier.
        const EXTENSION: (u8, u8) = (0xb5, 8);
        const FRAME: u8 = 3;
        if self.syntax == Syntax::Mpeg2 {
            if (unit[0], unit[1] >> 4) == EXTENSION {
                self.field = unit[3] & 3 != FRAME && !self.field;
            } else if self.field && unit[0] == 0 && self.picture {
                return Part::Inside;
            }
        }
        self.syntax.part(unit)
    }
}

/// Returns the next start code at or after a position: where its zeros begin and where the unit
/// begins.
fn start_code(buffer: &[u8], from: usize, with_zero_byte: bool) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        // Ones are rarer than zeros.
        at += buffer.get(at..)?.iter().position(|byte| *byte == 1)?;
        if at >= from + 2 && buffer[at - 2..at] == [0, 0] {
            let zeros = at - 2;
            let before = with_zero_byte && zeros > from && buffer[zeros - 1] == 0;
            return Some((if before { zeros - 1 } else { zeros }, at + 1));
        }
        at += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The lengths of the units in a stream that comes in pieces of a size, the last one's included.
    fn split(codec: &str, stream: &[u8], piece: usize) -> Vec<usize> {
        let (mut splitter, mut buffer, mut lengths) = (Splitter::new(codec).unwrap(), Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(length) = splitter.next(&buffer) {
                buffer.drain(..length);
                lengths.push(length);
            }
        }
        lengths.push(buffer.len());
        lengths
    }

    fn units(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit, &[9, 9, 9]].concat()).collect()
    }

    #[test]
    fn pictures_of_several_slices_are_kept_together() {
        let slice = |first: u8| [0x41, first];
        let stream = units(&[
            &[0x67, 0x64],
            &[0x68, 0xee],
            &[0x65, 0x88],
            &[0x65, 0x08],
            &slice(0x9a),
            &slice(0x1a),
            &[0x06, 0x05],
            &slice(0x9a),
        ]);
        for piece in 1..stream.len() {
            assert_eq!(split("h264", &stream, piece), [36, 18, 18], "in pieces of {piece}");
        }
    }

    #[test]
    fn two_fields_are_one_picture_of_mpeg2() {
        let extension = |structure: u8| [0xb5, 0x8f, 0xff, 0xf0 | structure];
        let field = [&[0x00, 0x00, 0x0f][..], &extension(1), &[0x01], &[0x00, 0x00, 0x57], &extension(2), &[0x01]];
        let frame = [&[0x00, 0x00, 0x0f][..], &extension(3), &[0x01]];
        let sequence: &[u8] = &[0xb3, 0x14];
        let stream = units(&[&[sequence][..], &field, &field, &frame, &frame].concat());
        let (one, whole) = (3 * 7 + 3 + 4 + 1, 9 + 2 * (3 * 7 + 3 + 4 + 1));
        // A zero byte before a start code ends the picture before.
        assert_eq!(split("mpeg2video", &stream, 5), [whole + 1, 2 * one, one, one - 1]);
    }
}
