//! Fragmented MP4: `ftyp` and `moov` are the init bytes, and a player begins with a `moof` whose
//! first picture is a keyframe. Fragments are passed on box by box.

use super::syntax::{MAX_ELEMENT, MAX_LOOK, Role, Step, Syntax};
use super::{MAX_INIT_BYTES, Unsplittable};
use crate::mp4::fragmented::{self, Fragmented, MAX_MOOF_BYTES};

/// Boxes at the top level of a live stream (ISO/IEC 14496-12, 23009-1). Others are damage.
const KNOWN: [&[u8; 4]; 16] = [
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"ssix", b"prft", b"emsg",
    b"uuid", b"meta", b"pdin", b"mfra",
];

/// Bytes that identify a fragment: the headers of the box and of its first child.
const FRAGMENT_HEAD: usize = 16;

/// A stream of fragments.
#[derive(Debug, Default)]
pub(super) struct Mp4 {
    /// The last `ftyp`.
    brand: Vec<u8>,
    movie: Option<Fragmented>,
    init: Vec<u8>,
    /// Whether a fragment was passed on, so that later init bytes are for some who already play.
    begun: bool,
    lost: bool,
}

/// The header of a box.
struct Header {
    kind: [u8; 4],
    header_bytes: usize,
    bytes: u64,
}

impl Header {
    /// Parses the header in front. Fails with the number of bytes that are needed.
    fn parse(bytes: &[u8]) -> Result<Option<Header>, usize> {
        let (Some(size), Some(kind)) = (bytes.first_chunk(), bytes.get(4..).and_then(<[u8]>::first_chunk)) else {
            return Err(8);
        };
        let (header_bytes, size) = match u32::from_be_bytes(*size) {
            1 => (16, u64::from_be_bytes(*bytes.get(8..).and_then(<[u8]>::first_chunk).ok_or(16_usize)?)),
            size => (8, u64::from(size)),
        };
        let header = Header { kind: *kind, header_bytes, bytes: size };
        let plausible = KNOWN.contains(&kind) && (header_bytes as u64..=MAX_ELEMENT).contains(&size);
        Ok(plausible.then_some(header))
    }
}

impl Mp4 {
    /// Returns the role of init bytes. Players that began already get later ones in the stream.
    fn init_role(&self) -> Role {
        if self.begun { Role::Unit } else { Role::Init }
    }

    /// Judges the box in front by its header. It is `None` if the box is damaged.
    fn judge(&mut self, header: &Header, bytes: &[u8]) -> Result<Option<Step>, Unsplittable> {
        let limit = match &header.kind {
            b"ftyp" | b"moov" => MAX_INIT_BYTES as u64,
            b"moof" => MAX_MOOF_BYTES,
            // The index of all samples is at the end.
            b"mdat" if self.movie.is_none() && !self.begun && !self.brand.is_empty() => {
                return Err(Unsplittable::WholeMp4);
            }
            _ => return Ok(Some(Step::Take(header.bytes, Role::Unit))),
        };
        if header.bytes > limit {
            let first = &header.kind == b"moov" && self.movie.is_none();
            return if first { Err(Unsplittable::LongInit) } else { Ok(None) };
        }
        let Some(whole) = bytes.get(..header.bytes as usize) else {
            return Ok(Some(Step::Need(header.bytes as usize)));
        };
        let role = match &header.kind {
            b"ftyp" => {
                self.brand = whole.to_vec();
                self.init_role()
            }
            b"moov" => {
                let Some(movie) = Fragmented::read(whole) else { return Ok(None) };
                self.movie = Some(movie.map_err(|_| Unsplittable::WholeMp4)?);
                self.init = [&self.brand, whole].concat();
                self.init_role()
            }
            _ => {
                self.begun = true;
                let fragment = self.movie.as_ref().map(|movie| movie.fragment(&whole[header.header_bytes..]));
                match fragment {
                    Some(fragment) if fragment.absolute => return Err(Unsplittable::AbsoluteMp4),
                    Some(fragment) if fragment.key => Role::Restart(fragment.us),
                    _ => Role::Unit,
                }
            }
        };
        Ok(Some(Step::Take(header.bytes, role)))
    }

    /// Searches for a fragment or for the beginning of another movie.
    fn search(&mut self, bytes: &[u8], ended: bool) -> Step {
        let movie = bytes.windows(8).position(|head| &head[4..] == b"ftyp");
        let found = [fragmented::find(bytes), movie].into_iter().flatten().min();
        match found {
            // What made it lost is in front.
            Some(at) => {
                self.lost = false;
                Step::Take(at as u64, Role::Damage)
            }
            None if ended || bytes.len() > MAX_LOOK => Step::Take(bytes.len() as u64, Role::Damage),
            None if bytes.len() < 2 * FRAGMENT_HEAD => Step::Need(2 * FRAGMENT_HEAD),
            None => Step::Take((bytes.len() - FRAGMENT_HEAD) as u64, Role::Damage),
        }
    }
}

impl Syntax for Mp4 {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        if self.lost {
            let step = self.search(bytes, ended);
            if step != Step::Take(0, Role::Damage) {
                return Ok(step);
            }
        }
        let step = match Header::parse(bytes) {
            Err(needed) => Some(Step::Need(needed)),
            Ok(None) => None,
            Ok(Some(header)) => self.judge(&header, bytes)?,
        };
        self.lost = step.is_none();
        // The search begins after the first byte, so it does not find the same again.
        Ok(step.unwrap_or(Step::Take(1, Role::Damage)))
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        Some(if self.movie.as_ref().is_none_or(|movie| movie.video) { "mp4" } else { "m4a" })
    }
}
