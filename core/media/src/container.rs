//! Detects the container of a file from its first bytes. Before these are available, the name gives
//! a first guess at the position of the index.

use crate::endings::Format;
use crate::mp3::frame::{HEADER_BYTES, Header};

/// A file format that carries an index or allows one to be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// MP4, MOV, M4A (ISO/IEC 14496-12, QuickTime), fragmented or not.
    Mp4,
    /// Matroska and WebM (RFC 9559).
    Matroska,
    /// MPEG transport stream (ISO/IEC 13818-1), packets of 188 or 192 bytes.
    MpegTs,
    /// MPEG audio (ISO/IEC 11172-3), with or without ID3 and Xing or VBRI headers.
    Mp3,
    /// FLAC (RFC 9639).
    Flac,
    /// Ogg (RFC 3533) with Vorbis, Opus, FLAC or Theora.
    Ogg,
    /// AVI (RIFF).
    Avi,
    /// ASF: WMV and WMA.
    Asf,
    /// Flash video.
    Flv,
    /// RealMedia.
    RealMedia,
    /// MPEG program stream (ISO/IEC 11172-1, 13818-1): MPG, VOB.
    MpegPs,
    /// WAV (RIFF, RF64).
    Wav,
    /// AIFF and AIFF-C.
    Aiff,
    /// Raw DV (IEC 61834).
    Dv,
    /// Anything else.
    Other,
}

impl Container {
    /// Returns the common name.
    pub fn name(self) -> &'static str {
        match self {
            Container::Mp4 => "MP4",
            Container::Matroska => "Matroska",
            Container::MpegTs => "MPEG-TS",
            Container::Mp3 => "MP3",
            Container::Flac => "FLAC",
            Container::Ogg => "Ogg",
            Container::Avi => "AVI",
            Container::Asf => "ASF",
            Container::Flv => "FLV",
            Container::RealMedia => "RealMedia",
            Container::MpegPs => "MPEG-PS",
            Container::Wav => "WAV",
            Container::Aiff => "AIFF",
            Container::Dv => "DV",
            Container::Other => "unknown",
        }
    }

    /// Guesses the container by the file's extension.
    pub fn by_name(name: &str) -> Container {
        Format::by_name(name).map_or(Container::Other, |format| format.container)
    }

    /// Detects the container from the first bytes: at least [`Container::SNIFF_BYTES`] of them, or
    /// the whole file.
    pub fn sniff(head: &[u8]) -> Container {
        let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
        let sync = |offset: usize, packet: usize| (0..3).all(|n| head.get(offset + n * packet) == Some(&0x47));
        const BOXES: [&[u8; 4]; 9] = [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx"];
        if BOXES.iter().any(|name| at(4, &name[..])) {
            Container::Mp4
        } else if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
            Container::Matroska
        } else if at(0, b"RIFF") && at(8, b"AVI ") {
            Container::Avi
        } else if at(0, b"fLaC") {
            Container::Flac
        } else if at(0, b"OggS") {
            Container::Ogg
        } else if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) {
            Container::Asf
        } else if at(0, b"FLV\x01") {
            Container::Flv
        } else if at(0, b".RMF") {
            Container::RealMedia
        } else if at(0, &[0, 0, 1, 0xba]) || (at(0, b"RIFF") && at(8, b"CDXA")) {
            Container::MpegPs
        } else if (at(0, b"RIFF") || at(0, b"RF64")) && at(8, b"WAVE") {
            Container::Wav
        } else if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
            Container::Aiff
        } else if at(0, &[0x1f, 0x07, 0x00]) && head.get(3).is_some_and(|b| b & 0x7f == 0x3f) {
            Container::Dv
        } else if sync(0, 188) || sync(4, 192) {
            Container::MpegTs
        } else if at(0, b"ID3") || mpeg_audio(head) {
            Container::Mp3
        } else {
            Container::Other
        }
    }

    /// Number of bytes that [`Container::sniff`] reads.
    pub const SNIFF_BYTES: usize = 1024;
}

/// Whether an MPEG audio frame begins here. A following frame, if in view, must be of the same
/// kind. Layer I needs a second frame, since any UTF-16 text may begin with its header.
fn mpeg_audio(head: &[u8]) -> bool {
    let Some(first) = Header::parse(head) else { return false };
    match head.get(first.frame_bytes() as usize..).filter(|rest| rest.len() >= HEADER_BYTES) {
        Some(rest) => Header::parse(rest).is_some_and(|next| next.fits(&first)),
        None => first.layer > 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_container() {
        assert_eq!(Container::sniff(b"\0\0\0\x20ftypisom"), Container::Mp4);
        assert_eq!(Container::sniff(&[0x1a, 0x45, 0xdf, 0xa3, 0x9f]), Container::Matroska);
        assert_eq!(Container::sniff(b"RIFF\0\0\0\0AVI LIST"), Container::Avi);
        assert_eq!(Container::sniff(b"fLaC\0"), Container::Flac);
        assert_eq!(Container::sniff(b"OggS\0"), Container::Ogg);
        assert_eq!(Container::sniff(b"ID3\x04"), Container::Mp3);
        assert_eq!(Container::sniff(&[0xff, 0xfb, 0x90, 0x64]), Container::Mp3);
        assert_eq!(Container::sniff(&[0xff, 0xfd, 0xa0, 0x04]), Container::Mp3);
        assert_eq!(Container::sniff(b"\xff\xfea\0b\0"), Container::Other);
        assert_eq!(Container::sniff(b"RIFF\0\0\0\0WAVE"), Container::Wav);
        assert_eq!(Container::sniff(b"RIFF\0\0\0\0WEBP"), Container::Other);
        assert_eq!(Container::sniff(b""), Container::Other);
    }

    #[test]
    fn transport_streams_are_recognised_by_three_sync_bytes_in_a_row() {
        let mut packets = vec![0; 600];
        for n in 0..3 {
            packets[n * 188] = 0x47;
        }
        assert_eq!(Container::sniff(&packets), Container::MpegTs);
        packets[188] = 0;
        assert_eq!(Container::sniff(&packets), Container::Other);
        let mut blu_ray = vec![0; 600];
        for n in 0..3 {
            blu_ray[4 + n * 192] = 0x47;
        }
        assert_eq!(Container::sniff(&blu_ray), Container::MpegTs);
    }
}
