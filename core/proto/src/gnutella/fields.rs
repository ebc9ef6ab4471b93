//! Reading the fields of a message, each checked against the bytes that are left.

use super::{Fault, Guid};
use crate::{charset, printable};
use bytes::{Buf, BufMut, Bytes};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Length of a packed IPv4 address with its port, bytes.
pub(super) const ADDRESS_BYTES: usize = 6;

/// The unread fields of a message.
pub(super) struct Fields {
    rest: Bytes,
    /// Name of the message, for faults.
    what: &'static str,
}

impl Fields {
    pub(super) fn new(what: &'static str, bytes: &Bytes) -> Fields {
        Fields { rest: bytes.clone(), what }
    }

    /// Returns the next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, Fault> {
        if length > self.rest.len() {
            return Err(Fault::Short(self.what));
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16_le(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u16_be(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32_le(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn guid(&mut self) -> Result<Guid, Fault> {
        Ok(Guid(self.array()?))
    }

    /// Returns an IPv4 address in network order.
    pub(super) fn ip(&mut self) -> Result<Ipv4Addr, Fault> {
        Ok(Ipv4Addr::from(self.array::<4>()?))
    }

    /// Returns the bytes before the next NUL, which is skipped. Without one, it is all that is left.
    pub(super) fn until_nul(&mut self) -> Bytes {
        let end = self.rest.iter().position(|b| *b == 0).unwrap_or(self.rest.len());
        let text = self.rest.split_to(end);
        self.rest.advance(self.rest.len().min(1));
        text
    }

    /// Whether the next NUL exists.
    pub(super) fn has_nul(&self) -> bool {
        self.rest.contains(&0)
    }

    pub(super) fn rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }
}

/// Returns foreign bytes as a text of at most `most` bytes. It is the same when it is read again.
pub(super) fn text(bytes: &[u8], most: usize) -> String {
    let text = charset::likely_text(bytes);
    printable::prefix(text.trim_start_matches('\u{feff}'), most).to_owned()
}

/// Returns the consecutive packed addresses in `bytes`, at most `most`. Ports are little-endian,
/// unlike those of compact addresses of BitTorrent.
pub(super) fn addresses(bytes: &[u8], most: usize) -> Vec<SocketAddrV4> {
    bytes.as_chunks::<ADDRESS_BYTES>().0.iter().take(most).map(address).collect()
}

/// Returns a packed address.
pub(super) fn address([a, b, c, d, low, high]: &[u8; ADDRESS_BYTES]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), u16::from_le_bytes([*low, *high]))
}

/// Appends a packed address.
pub(super) fn put_address(out: &mut impl BufMut, address: SocketAddrV4) {
    out.put_slice(&address.ip().octets());
    out.put_u16_le(address.port());
}

/// Returns packed addresses.
pub(super) fn pack(addresses: &[SocketAddrV4]) -> Bytes {
    let mut out = Vec::with_capacity(addresses.len() * ADDRESS_BYTES);
    addresses.iter().for_each(|address| put_address(&mut out, *address));
    out.into()
}

/// Returns a number of at most eight bytes, little-endian without its trailing zeros. An empty one
/// is 0.
pub(super) fn short_number(bytes: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(number))
}

/// Returns the bytes of a number, little-endian without its trailing zeros.
pub(super) fn put_short_number(number: u64) -> Bytes {
    let length = (u64::BITS - number.leading_zeros()).div_ceil(8) as usize;
    Bytes::copy_from_slice(&number.to_le_bytes()[..length])
}
