//! Detects the content of a file by its extension and by its first bytes: one table for the whole
//! project.

use crate::container::Container;
use Container::{Aiff, Asf, Avi, Dv, Flac, Flv, Matroska, Mp3, Mp4, MpegPs, MpegTs, Ogg, Other, RealMedia, Wav};
use Content::{Audio, Document, Packed, Picture, Subtitle, Video};

/// The purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// Moving pictures; a player opens it.
    Video,
    /// Audio; a player opens it.
    Audio,
    /// Subtitles of a film.
    Subtitle,
    /// A still picture.
    Picture,
    /// An archive or a disc image, whose content no player opens.
    Packed,
    /// Text, checksums, links: anything else known not to be media.
    Document,
}

impl Content {
    /// Whether a player opens such a file directly.
    pub fn is_playable(self) -> bool {
        matches!(self, Video | Audio)
    }
}

/// The format that a file's extension indicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Format {
    /// The purpose of the file.
    pub content: Content,
    /// Its media type (RFC 6838).
    pub media_type: &'static str,
    /// The expected container.
    pub container: Container,
    /// The name of the format: FFmpeg's for subtitles, the common name for archives.
    pub name: &'static str,
}

/// Lower-case extensions, separated by spaces, and the formats they indicate. Extensions that are
/// also used for other files (`bin`, `dat`, `mod`) are omitted; there the first bytes decide.
const TABLE: &[(&str, Content, &str, Container, &str)] = &[
    ("mp4 m4v mp4v f4v ismv mpeg4", Video, "video/mp4", Mp4, ""),
    ("mov qt", Video, "video/quicktime", Mp4, ""),
    ("3gp 3gpp 3g2", Video, "video/3gpp", Mp4, ""),
    ("mj2", Video, "video/mj2", Mp4, ""),
    ("mkv mk3d", Video, "video/x-matroska", Matroska, ""),
    ("webm", Video, "video/webm", Matroska, ""),
    ("ts m2ts mts m2t tp trp tts rec", Video, "video/mp2t", MpegTs, ""),
    ("avi divx xvid", Video, "video/x-msvideo", Avi, ""),
    ("mpg mpeg mpe m1v m2v m2p mp2v mpv mpv2 vob evo vro vdr pva", Video, "video/mpeg", MpegPs, ""),
    ("flv", Video, "video/x-flv", Flv, ""),
    ("wmv", Video, "video/x-ms-wmv", Asf, ""),
    ("asf wm dvr-ms", Video, "video/x-ms-asf", Asf, ""),
    ("ogv ogm ogx", Video, "video/ogg", Ogg, ""),
    ("rm rv", Video, "application/vnd.rn-realmedia", RealMedia, ""),
    ("rmvb", Video, "application/vnd.rn-realmedia-vbr", RealMedia, ""),
    ("dv dif", Video, "video/dv", Dv, ""),
    ("mxf", Video, "application/mxf", Other, ""),
    ("wtv nut nsv y4m ivf obu gxf amv bik roq viv tod mjpg mjpeg", Video, "application/octet-stream", Other, ""),
    ("h264 264 avc h265 265 hevc", Video, "application/octet-stream", Other, ""),
    ("mp3 mp2 mp1 mpa", Audio, "audio/mpeg", Mp3, ""),
    ("m4a m4b m4r", Audio, "audio/mp4", Mp4, ""),
    ("mka", Audio, "audio/x-matroska", Matroska, ""),
    ("weba", Audio, "audio/webm", Matroska, ""),
    ("flac", Audio, "audio/flac", Flac, ""),
    ("ogg oga opus spx", Audio, "audio/ogg", Ogg, ""),
    ("wav wave w64 rf64", Audio, "audio/wav", Wav, ""),
    ("aif aiff aifc", Audio, "audio/aiff", Aiff, ""),
    ("wma", Audio, "audio/x-ms-wma", Asf, ""),
    ("ra ram", Audio, "audio/vnd.rn-realaudio", RealMedia, ""),
    ("aac adts", Audio, "audio/aac", Other, ""),
    ("ac3 eac3 ec3", Audio, "audio/ac3", Other, ""),
    (
        "dts dtshd thd truehd mlp ape wv tta mpc tak ofr shn dsf dff amr au caf voc",
        Audio,
        "application/octet-stream",
        Other,
        "",
    ),
    ("srt", Subtitle, "application/x-subrip", Other, "srt"),
    ("vtt", Subtitle, "text/vtt", Other, "webvtt"),
    ("ass ssa", Subtitle, "text/x-ssa", Other, "ass"),
    ("sub", Subtitle, "text/x-microdvd", Other, "sub"),
    ("smi sami", Subtitle, "application/x-sami", Other, "sami"),
    // Half of a pair (VobSub), or pictures: distinguished from films, but not passed to players.
    ("idx sup mks ttml dfxp usf", Subtitle, "application/octet-stream", Other, ""),
    ("jpg jpeg jpe", Picture, "image/jpeg", Other, ""),
    ("png", Picture, "image/png", Other, ""),
    ("gif", Picture, "image/gif", Other, ""),
    ("webp", Picture, "image/webp", Other, ""),
    ("bmp tif tiff heic avif psd tbn", Picture, "application/octet-stream", Other, ""),
    ("rar rev", Packed, "application/vnd.rar", Other, "RAR archive"),
    ("zip zipx", Packed, "application/zip", Other, "ZIP archive"),
    ("7z", Packed, "application/x-7z-compressed", Other, "7-Zip archive"),
    (
        "tar tgz tbz tbz2 txz gz bz2 xz zst lz lzma lzh lha arj ace cab z",
        Packed,
        "application/octet-stream",
        Other,
        "archive",
    ),
    (
        "iso img nrg mdf mds ccd cue dmg daa uif udf cdi b5i b6t toast vhd vhdx vmdk",
        Packed,
        "application/octet-stream",
        Other,
        "disc image",
    ),
    ("pdf", Document, "application/pdf", Other, ""),
    ("txt", Document, "text/plain; charset=utf-8", Other, ""),
    ("nfo", Document, "text/plain", Other, ""),
    ("m3u8 m3u", Document, "application/vnd.apple.mpegurl", Other, ""),
    (
        "url lnk htm html xml json md sfv md5 sha1 sha256 par2 par torrent log diz ini db rtf doc docx epub",
        Document,
        "application/octet-stream",
        Other,
        "",
    ),
    (
        "exe msi bat cmd scr apk jar dll js vbs ps1 sh py ifo bup pls cdg srr srs",
        Document,
        "application/octet-stream",
        Other,
        "",
    ),
];

impl Format {
    /// Returns the format that the extension indicates; `None` if it is unknown.
    pub fn by_name(name: &str) -> Option<Format> {
        let base = name.rsplit('/').next().unwrap_or(name);
        let (_, ending) = base.rsplit_once('.')?;
        let is = |endings: &str| endings.split(' ').any(|e| e.eq_ignore_ascii_case(ending));
        let row = TABLE.iter().find(|(endings, ..)| is(endings));
        row.map(|&(_, content, media_type, container, name)| Format { content, media_type, container, name })
            .or_else(|| volume(ending))
    }

    /// Returns the format that the first bytes indicate; `None` if they are unknown. Needs at least
    /// [`Container::SNIFF_BYTES`] of them or the whole file.
    pub fn by_content(head: &[u8]) -> Option<Format> {
        let container = Container::sniff(head);
        let found = |content, name| Format { content, media_type: "application/octet-stream", container, name };
        match container {
            Other => {
                let magic = MAGIC.iter().find(|(at, magic, ..)| head.get(*at..).is_some_and(|h| h.starts_with(magic)));
                magic.map(|(_, _, content, name)| found(*content, name))
            }
            Mp3 | Flac | Wav | Aiff => Some(found(Audio, "")),
            _ => Some(found(Video, "")),
        }
    }
}

/// Recognises a volume of a split archive: `r00` to `r99` and on to `y99`, `z01`, `c00`, and the
/// numbers of a split file (`001`).
fn volume(ending: &str) -> Option<Format> {
    let [letter, tens, ones] = *ending.as_bytes() else { return None };
    let name = match letter {
        _ if !(tens.is_ascii_digit() && ones.is_ascii_digit()) => return None,
        b'z' | b'Z' => "ZIP archive",
        b'r'..=b'y' | b'R'..=b'Y' => "RAR archive",
        b'a' | b'c' | b'A' | b'C' => "archive",
        b'0' => "part of a file that was cut",
        _ => return None,
    };
    let media_type = "application/octet-stream";
    Some(Format { content: Packed, media_type, container: Other, name })
}

/// Signatures of files that are not supported containers: offset, bytes, purpose.
const MAGIC: &[(usize, &[u8], Content, &str)] = &[
    (0, b"Rar!\x1a\x07", Packed, "RAR archive"),
    (0, b"PK\x03\x04", Packed, "ZIP archive"),
    (0, b"PK\x05\x06", Packed, "ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", Packed, "7-Zip archive"),
    (0, b"\x1f\x8b\x08", Packed, "archive"),
    (0, b"BZh", Packed, "archive"),
    (0, b"\xfd7zXZ\0", Packed, "archive"),
    (0, b"\x28\xb5\x2f\xfd", Packed, "archive"),
    (257, b"ustar", Packed, "archive"),
    // Raw CD sectors, with their sync pattern.
    (0, b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", Packed, "disc image"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", Video, ""),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", Video, ""),
    (0, b"nut/multimedia", Video, ""),
    (0, b"YUV4MPEG2", Video, ""),
    (0, b"DKIF", Video, ""),
    (0, b"NSVf", Video, ""),
    (0, b"\0\0\x01\xb3", Video, ""),
    (0, b"\0\0\0\x01\x67", Video, ""),
    (0, b"\0\0\0\x01\x09", Video, ""),
    (0, b"\0\0\0\x01\x40\x01", Video, ""),
    (0, b"MAC ", Audio, ""),
    (0, b"wvpk", Audio, ""),
    (0, b"TTA1", Audio, ""),
    (0, b"MPCK", Audio, ""),
    (0, b"MP+", Audio, ""),
    (0, b"DSD ", Audio, ""),
    (0, b"FRM8", Audio, ""),
    (0, b"caff", Audio, ""),
    (0, b".snd", Audio, ""),
    (0, b"#!AMR", Audio, ""),
    (0, b"\x0b\x77", Audio, ""),
    (0, b"\x7f\xfe\x80\x01", Audio, ""),
    (0, b"\xff\xf1", Audio, ""),
    (0, b"\xff\xf9", Audio, ""),
    (0, b"\xff\xd8\xff", Picture, ""),
    (0, b"\x89PNG", Picture, ""),
    (0, b"GIF8", Picture, ""),
    (0, b"%PDF", Document, ""),
    (0, b"MZ", Document, ""),
    (0, b"\x7fELF", Document, ""),
    (0, b"<", Document, ""),
];

/// Endings of the containers that a live stream may have.
pub const LIVE_ENDINGS: [&str; 9] = ["ts", "webm", "mkv", "flv", "mp4", "mp3", "aac", "ogg", "flac"];

/// Returns the ending of a live stream's container by its media type; `None` if no such stream has it.
pub fn live_ending(media_type: &str) -> Option<&'static str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_of = |ending: &&str| Format::by_name(&format!("live.{ending}")).is_some_and(|f| f.media_type == essence);
    match essence.as_str() {
        "video/ogg" | "application/ogg" => Some("ogg"),
        "audio/mp4" => Some("mp4"),
        _ => LIVE_ENDINGS.into_iter().find(is_of),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn content(name: &str) -> Option<Content> {
        Format::by_name(name).map(|f| f.content)
    }

    #[test]
    fn every_ending_stands_in_the_table_once_and_in_lower_case() {
        let mut seen = std::collections::BTreeSet::new();
        for ending in TABLE.iter().flat_map(|(endings, ..)| endings.split(' ')) {
            assert!(seen.insert(ending), "{ending}");
            assert!(!ending.is_empty() && ending == ending.to_lowercase(), "{ending}");
        }
    }

    #[test]
    fn endings_give_the_format_of_a_file_in_any_case() {
        for name in ["a.M2T", "a.tp", "a.dv", "a.b.MKV", "x/a.rmvb", "a.evo"] {
            assert_eq!(content(name), Some(Video), "{name}");
        }
        for name in
            ["a.rar", "a.r00", "a.R47", "a.s01", "a.z01", "a.7z.001", "a.iso", "a.nrg", "a.part01.rar", "a.tar.gz"]
        {
            assert_eq!(content(name), Some(Packed), "{name}");
        }
        for name in ["film", "mkv", "a.xyz", "a.bin", "a.dat", "v1.0", "a.mkv/film", "a.264x", "a.1080", "a."] {
            assert_eq!(content(name), None, "{name}");
        }
        assert_eq!(content("a.srt"), Some(Subtitle));
        assert_eq!(content("a.html"), Some(Document));
    }

    #[test]
    fn first_bytes_tell_films_from_archives() {
        let of = |head: &[u8]| Format::by_content(head).map(|f| f.content);
        assert_eq!(of(b"\x1a\x45\xdf\xa3"), Some(Video));
        assert_eq!(of(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), Some(Video));
        assert_eq!(of(b"\0\0\x01\xba\x44"), Some(Video));
        assert_eq!(of(b"fLaC"), Some(Audio));
        assert_eq!(of(b"Rar!\x1a\x07\x01\0"), Some(Packed));
        assert_eq!(of(b"<html>"), Some(Document));
        assert_eq!(of(b"plain text"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn a_live_stream_ends_as_its_container_does() {
        for (media_type, ending) in [
            ("video/mp2t", Some("ts")),
            ("Video/WebM; codecs=\"vp8\"", Some("webm")),
            ("video/x-matroska", Some("mkv")),
            ("video/x-flv", Some("flv")),
            ("video/mp4", Some("mp4")),
            ("audio/mpeg", Some("mp3")),
            ("audio/aac", Some("aac")),
            ("audio/ogg", Some("ogg")),
            ("audio/flac", Some("flac")),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(live_ending(media_type), ending, "{media_type}");
        }
    }
}
