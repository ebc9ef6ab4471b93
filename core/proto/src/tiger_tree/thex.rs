//! Trees as servers send them: breadth first from the root on, alone or in the records of DIME
//! (Nielsen and Sanders, "Direct Internet Message Encapsulation", draft 02; version 1).
//!
//! The description in XML that comes with a tree is not read: some servers cut it, and others count
//! its depth in another way. The file's length says how many nodes each level has, and each level
//! is checked against the one above it.

use super::level::{BadTree, Level, MAX_NODES, height, nodes_at, parents};
use super::{DIGEST_BYTES, Digest, LEAF_BYTES};
use bytes::Bytes;
use data_encoding::HEXLOWER;

/// Longest transfer, bytes: all levels down to the finest one that is kept, and the records around
/// them. What is longer need not be read to its end.
pub const MAX_THEX_BYTES: usize = 2 * MAX_NODES as usize * DIGEST_BYTES + (16 << 10);
/// Type of the record that has the nodes.
const NODES_TYPE: &[u8] = b"http://open-content.net/spec/thex/breadthfirst";
/// Most records of a transfer. Servers send two.
const MAX_RECORDS: usize = 8;

/// Version of DIME, in the upper five bits.
const VERSION: u8 = 1 << 3;
/// Mark of the first record, and of the last.
const FIRST: u8 = 4;
const LAST: u8 = 2;
/// The type of a record is a media type, or a URI.
const MEDIA_TYPE: u8 = 1 << 4;
const URI_TYPE: u8 = 2 << 4;

/// How a tree is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// In the records of DIME (`application/dime`).
    Dime,
    /// Alone (`application/tigertree-breadthfirst`).
    Raw,
}

impl Transfer {
    /// Returns how the media type of an answer transfers a tree; `None` for others.
    pub fn of_media_type(media_type: &str) -> Option<Transfer> {
        match media_type {
            "application/dime" => Some(Transfer::Dime),
            "application/tigertree-breadthfirst" => Some(Transfer::Raw),
            _ => None,
        }
    }
}

/// Reads the tree of a file of this length with this root. Returns the finest level that came whole
/// and is kept. A cut transfer still has its upper levels.
///
/// # Errors
/// The reason why the tree cannot be used.
pub fn read(transfer: Transfer, bytes: &Bytes, file_bytes: u64, root: &Digest) -> Result<Level, BadTree> {
    let nodes = match transfer {
        Transfer::Dime => nodes_of(bytes)?,
        Transfer::Raw => bytes.clone(),
    };
    let mut rest = nodes;
    let mut finest: Option<(u32, Bytes)> = None;
    for level in (0..=height(file_bytes)).rev() {
        let count = nodes_at(file_bytes, level);
        if count > MAX_NODES || (rest.len() as u64) < count * DIGEST_BYTES as u64 {
            break;
        }
        let nodes = rest.split_to(count as usize * DIGEST_BYTES);
        let (digests, _) = nodes.as_chunks::<DIGEST_BYTES>();
        match &finest {
            None if digests[0] != *root => return Err(BadTree::OtherRoot),
            Some((_, above)) if parents(digests).as_flattened() != &above[..] => {
                return Err(BadTree::Contradiction(height(file_bytes) - level));
            }
            _ => finest = Some((level, nodes)),
        }
    }
    let (level, nodes) = finest.ok_or(BadTree::Short)?;
    Level::new(file_bytes, level, nodes, root)
}

/// Returns the root that a transfer claims; `None` if it has none.
pub fn claimed_root(transfer: Transfer, bytes: &Bytes) -> Option<Digest> {
    let nodes = match transfer {
        Transfer::Dime => nodes_of(bytes).ok()?,
        Transfer::Raw => bytes.clone(),
    };
    nodes.first_chunk().copied()
}

/// Returns the data of the record that has the nodes. The last record may be cut.
fn nodes_of(bytes: &Bytes) -> Result<Bytes, BadTree> {
    let mut rest = bytes.clone();
    for _ in 0..MAX_RECORDS {
        let Some((head, _)) = rest.split_first_chunk::<12>() else { break };
        let [flags, _, o0, o1, i0, i1, t0, t1, d0, d1, d2, d3] = *head;
        // Five bits of version, then first, last and chunked record. Chunks have never been seen.
        if flags >> 3 != 1 || flags & 1 != 0 {
            break;
        }
        let short = |high: u8, low: u8| u64::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
        let data = u64::from(u32::from_be_bytes([d0, d1, d2, d3]));
        let type_at = 12 + short(o0, o1) + short(i0, i1);
        let type_end = type_at + u64::from(u16::from_be_bytes([t0, t1]));
        let data_at = type_at + short(t0, t1);
        // Three fields of at most 64 KiB and one of 4 GiB: no sum overflows.
        let cut = |from: u64, to: u64| {
            let (from, to) = (from.min(rest.len() as u64) as usize, to.min(rest.len() as u64) as usize);
            rest.slice(from..to)
        };
        if cut(type_at, type_end).eq_ignore_ascii_case(NODES_TYPE) {
            return Ok(cut(data_at, data_at + data));
        }
        let is_last = flags & 2 != 0;
        let next = data_at + data.next_multiple_of(4);
        if is_last || next >= rest.len() as u64 {
            break;
        }
        rest = rest.split_off(next as usize);
    }
    Err(BadTree::NotDime)
}

/// Returns the transfer of a tree in the records of DIME, with the description that servents expect.
pub fn to_dime(level: &Level) -> Vec<u8> {
    let file_bytes = level.file_bytes();
    let slice_log2 = (level.slice_bytes() / LEAF_BYTES).ilog2();
    let depth = height(file_bytes).saturating_sub(slice_log2);
    let hex = HEXLOWER.encode(&level.root()[..16]);
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let id = format!("uuid:{uuid}");
    let nodes_type = String::from_utf8_lossy(NODES_TYPE);
    let description = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <!DOCTYPE hashtree SYSTEM \"http://open-content.net/spec/thex/thex.dtd\">\r\n<hashtree>\r\n\
         <file size=\"{file_bytes}\" segmentsize=\"{LEAF_BYTES}\"/>\r\n\
         <digest algorithm=\"http://open-content.net/spec/digest/tiger\" outputsize=\"{DIGEST_BYTES}\"/>\r\n\
         <serializedtree depth=\"{depth}\" type=\"{nodes_type}\" uri=\"{id}\"/>\r\n</hashtree>\r\n"
    );
    let mut out = Vec::new();
    put_record(&mut out, [FIRST, MEDIA_TYPE], b"", b"text/xml", description.as_bytes());
    put_record(&mut out, [LAST, URI_TYPE], id.as_bytes(), NODES_TYPE, &level.to_breadth_first());
    out
}

/// Appends a record of DIME: its lengths, then its fields, each filled up to four bytes.
fn put_record(out: &mut Vec<u8>, [mark, of_type]: [u8; 2], id: &[u8], name: &[u8], data: &[u8]) {
    out.extend([VERSION | mark, of_type, 0, 0]);
    // The names are short, and a tree that is kept has less than 400 KiB.
    out.extend((id.len() as u16).to_be_bytes());
    out.extend((name.len() as u16).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    for field in [id, name, data] {
        out.extend_from_slice(field);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}
