//! Reads a document, element by element.

use super::{
    BadMetalink, File, HashKind, LOWEST_PRIORITY, MAX_DEPTH, MAX_FILES, MAX_METALINK_BYTES, MAX_MIRRORS, Metalink,
    Mirror, Pieces, Result, bad,
};
use crate::http1::number;
use crate::metainfo::{PathMaker, parse_web_seed, shown_name};
use data_encoding::HEXLOWER_PERMISSIVE;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion, escape};

/// Namespace of the elements.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:metalink";
/// Shortest and longest piece, bytes. A piece is verified in memory.
const PIECE_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=64 << 20;

impl Metalink {
    /// Parses a document.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Metalink> {
        if bytes.len() > MAX_METALINK_BYTES {
            return bad(format!("it is larger than {} MiB", MAX_METALINK_BYTES >> 20));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BadMetalink("it is not text in UTF-8".into()))?;
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        reader.config_mut().expand_empty_elements = true;
        let mut document = Document::default();
        loop {
            match reader.read_event().map_err(|_| not_xml())? {
                Event::Start(start) => document.start(&start)?,
                Event::End(_) => document.end()?,
                Event::Text(text) => document.add(&text.xml10_content().map_err(|_| not_xml())?),
                Event::CData(text) => document.add(&text.xml10_content().map_err(|_| not_xml())?),
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|_| not_xml())?;
                    match reference.resolve_char_ref().map_err(|_| not_xml())? {
                        Some(c) => document.add(c.encode_utf8(&mut [0; 4])),
                        // The five that need no declaration.
                        None => document.add(escape::resolve_xml_entity(&name).ok_or_else(entity)?),
                    }
                }
                Event::DocType(_) => return Err(entity()),
                Event::Eof => return document.finish(),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }
}

fn not_xml() -> BadMetalink {
    BadMetalink("it is not well-formed XML".into())
}

fn entity() -> BadMetalink {
    BadMetalink("it declares entities or a document type, which a Metalink file does not need".into())
}

/// An element that means something here.
#[derive(Clone, Debug)]
enum Element {
    Metalink,
    File,
    Size,
    Hash(Option<HashKind>),
    Pieces,
    Piece,
    Url(Preference),
    TorrentUrl(Preference),
    /// Any other, and everything in it.
    Other,
}

/// How much a mirror is preferred.
#[derive(Clone, Copy, Debug)]
struct Preference {
    priority: u32,
    location: Option<[u8; 2]>,
}

/// The hashes of an element `pieces`.
struct RawPieces {
    kind: Option<HashKind>,
    piece_bytes: u64,
    hashes: Vec<u8>,
}

#[derive(Default)]
struct Document {
    /// The open elements, the outermost first.
    open: Vec<Element>,
    /// Text of the innermost one so far.
    text: String,
    has_root: bool,
    files: Vec<File>,
    paths: Option<PathMaker>,
    pieces: Option<RawPieces>,
}

impl Document {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return bad(format!("it has more than {MAX_DEPTH} elements within each other"));
        }
        self.text.clear();
        let local = start.local_name();
        let name: &[u8] = local.as_ref();
        let element = match (self.open.last(), name) {
            (None, _) => self.root(start, name)?,
            (Some(Element::Metalink), b"file") if self.files.len() < MAX_FILES => self.file(start)?,
            (Some(Element::File), b"size") => Element::Size,
            (Some(Element::File), b"hash") => Element::Hash(kind(start)?),
            (Some(Element::File), b"url") => Element::Url(preference(start)?),
            (Some(Element::File), b"metaurl") if attribute(start, "mediatype")?.as_deref() == Some("torrent") => {
                Element::TorrentUrl(preference(start)?)
            }
            (Some(Element::File), b"pieces") => {
                let length = attribute(start, "length")?;
                let piece_bytes = length.and_then(|text| number(&text)).filter(|bytes| PIECE_BYTES.contains(bytes));
                let Some(piece_bytes) = piece_bytes else {
                    return bad("it has pieces without a usable length");
                };
                self.pieces = Some(RawPieces { kind: kind(start)?, piece_bytes, hashes: Vec::new() });
                Element::Pieces
            }
            (Some(Element::Pieces), b"hash") => Element::Piece,
            _ => Element::Other,
        };
        self.open.push(element);
        Ok(())
    }

    fn root(&mut self, start: &BytesStart<'_>, name: &[u8]) -> Result<Element> {
        let namespace = start
            .name()
            .prefix()
            .map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{}", String::from_utf8_lossy(prefix.as_ref())));
        if name != b"metalink" || self.has_root {
            return bad("it is not a Metalink file");
        }
        self.has_root = true;
        match attribute(start, &namespace)?.as_deref() {
            Some(NAMESPACE) => Ok(Element::Metalink),
            _ => bad("it is of an old version of Metalink; find the file that ends with .meta4"),
        }
    }

    fn file(&mut self, start: &BytesStart<'_>) -> Result<Element> {
        let name = attribute(start, "name")?.unwrap_or_default();
        let components: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
        if components.is_empty() {
            return bad("it has a file without a name");
        }
        let path = self.paths.get_or_insert_with(PathMaker::new).path(&components);
        self.files.push(File { name: shown_name(&components), path, ..File::default() });
        Ok(Element::File)
    }

    /// Adds text to the innermost element.
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn end(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        // The reader checks that each end has its start, and the start that this is within a file.
        let (Some(element), Some(file)) = (self.open.pop(), self.files.last_mut()) else { return Ok(()) };
        match element {
            Element::Size => match number(text) {
                Some(length) => file.length = Some(length),
                None => return bad("it has a file whose size is no number"),
            },
            Element::Hash(Some(HashKind::Sha1)) => file.sha1 = Some(digest(text)?),
            Element::Hash(Some(HashKind::Sha256)) => file.sha256 = Some(digest(text)?),
            Element::Piece => {
                let pieces = self.pieces.as_mut();
                match pieces.as_ref().and_then(|pieces| pieces.kind) {
                    Some(HashKind::Sha1) => pieces.into_iter().try_for_each(|p| p.push(digest::<20>(text)?))?,
                    Some(HashKind::Sha256) => pieces.into_iter().try_for_each(|p| p.push(digest::<32>(text)?))?,
                    None => {}
                }
            }
            Element::Pieces => {
                let found = self.pieces.take().and_then(RawPieces::finish);
                if found.as_ref().map(|pieces| pieces.kind) > file.pieces.as_ref().map(|pieces| pieces.kind) {
                    file.pieces = found;
                }
            }
            Element::Url(preference) => push(&mut file.mirrors, text, preference),
            Element::TorrentUrl(preference) => push(&mut file.torrents, text, preference),
            Element::File => finish(file)?,
            Element::Metalink | Element::Hash(None) | Element::Other => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Metalink> {
        match (self.has_root, self.open.is_empty()) {
            (false, _) => bad("it is not a Metalink file"),
            (_, false) => Err(not_xml()),
            _ if self.files.is_empty() => bad("it has no files"),
            _ => Ok(Metalink { files: self.files }),
        }
    }
}

impl RawPieces {
    fn push<const N: usize>(&mut self, digest: [u8; N]) -> Result<()> {
        self.hashes.extend_from_slice(&digest);
        Ok(())
    }

    /// Returns the pieces if their hash function is known.
    fn finish(self) -> Option<Pieces> {
        Some(Pieces { kind: self.kind?, piece_bytes: self.piece_bytes, hashes: self.hashes.into() })
    }
}

/// Checks a file when all of it was read, and sorts its mirrors.
fn finish(file: &mut File) -> Result<()> {
    if let (Some(pieces), Some(length)) = (&file.pieces, file.length)
        && pieces.count() as u64 != length.div_ceil(pieces.piece_bytes)
    {
        return bad("it has a file with another number of pieces than its size needs");
    }
    // Those of one priority keep their order.
    file.mirrors.sort_by_key(|mirror| mirror.priority);
    file.torrents.sort_by_key(|mirror| mirror.priority);
    Ok(())
}

/// Adds a mirror. Those of other protocols are left out.
fn push(mirrors: &mut Vec<Mirror>, text: &str, preference: Preference) {
    if let Some(url) = parse_web_seed(text).filter(|_| mirrors.len() < MAX_MIRRORS) {
        let Preference { priority, location } = preference;
        mirrors.push(Mirror { url, priority, location });
    }
}

/// Returns the hash function of an element, if it is one that counts here.
fn kind(start: &BytesStart<'_>) -> Result<Option<HashKind>> {
    Ok(match attribute(start, "type")?.as_deref() {
        Some("sha-1") => Some(HashKind::Sha1),
        Some("sha-256") => Some(HashKind::Sha256),
        _ => None,
    })
}

fn preference(start: &BytesStart<'_>) -> Result<Preference> {
    let priority = attribute(start, "priority")?.and_then(|text| number(&text));
    let priority = priority.map_or(LOWEST_PRIORITY, |n| n.clamp(1, u64::from(LOWEST_PRIORITY)) as u32);
    let location = attribute(start, "location")?.and_then(|text| <[u8; 2]>::try_from(text.as_bytes()).ok());
    let location = location.filter(|two| two.iter().all(u8::is_ascii_alphabetic));
    Ok(Preference { priority, location: location.map(|two| two.map(|b| b.to_ascii_lowercase())) })
}

/// Returns the value of an attribute.
fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    let Some(attribute) = start.try_get_attribute(name).map_err(|_| not_xml())? else { return Ok(None) };
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| not_xml())?;
    Ok(Some(value.trim().to_owned()))
}

/// Returns a hash from its hexadecimal digits. A broken one makes the document useless: what is not
/// proven is not played.
fn digest<const N: usize>(text: &str) -> Result<[u8; N]> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| BadMetalink("it has a hash of the wrong length".into()))
}
