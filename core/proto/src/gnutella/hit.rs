//! Query hits: the results of a servent.

use super::area::Area;
use super::fields::{ADDRESS_BYTES, Fields, addresses, put_short_number, short_number, text};
use super::ggep::{Budget, MAGIC, Place};
use super::ping::{VendorCode, put_port_first};
use super::{Fault, Ggep, Guid};
use crate::FileHashes;
use bytes::{BufMut, Bytes};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// Most results of a hit: their number is a byte.
pub const MAX_RECORDS: usize = 255;
/// Most other sources that are taken from a result.
pub const MAX_ALTERNATES: usize = 10;
/// Most push proxies that are taken from a hit.
pub const MAX_PUSH_PROXIES: usize = 8;
/// Longest name of a file that is kept, bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Length of the servent's identifier at the end, bytes.
const GUID_BYTES: usize = 16;
/// Size in a result that means: see the extension `LF`.
const LARGE: u32 = u32::MAX;
/// Address of a servent without one of IPv4: it has one of IPv6 (extension `6`), or does not listen.
const NO_IPV4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);
/// Most places at which a block of extensions is looked for in the vendor's area.
const MAX_ATTEMPTS: usize = 4;

/// One file of a servent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the file. It changes when the servent reads its folders again.
    pub index: u32,
    /// Length of the file, bytes.
    pub size: u64,
    /// Name of the file, as the servent says.
    pub name: String,
    /// Hashes and other extensions.
    pub area: Area,
}

impl Record {
    /// Returns the hashes of the file.
    pub fn hashes(&self) -> FileHashes {
        self.area.hashes()
    }

    /// Returns other sources of the file (`ALT`), at most [`MAX_ALTERNATES`].
    pub fn alternates(&self) -> Vec<SocketAddrV4> {
        self.area.ggep.get("ALT").map(|bytes| addresses(bytes, MAX_ALTERNATES)).unwrap_or_default()
    }

    /// Returns the number of other sources that the servent claims to know. Honest ones name at
    /// most 16.
    pub fn claimed_alternates(&self) -> usize {
        self.area.ggep.get("ALT").map_or(0, |bytes| bytes.len() / ADDRESS_BYTES)
    }

    /// Returns when the servent created the file, seconds since 1970 (`CT`).
    pub fn created(&self) -> Option<u64> {
        short_number(self.area.ggep.get("CT")?)
    }

    /// Whether the servent has only a part of the file (`PR0` to `PR4`, `PRU`).
    pub fn is_partial(&self) -> bool {
        let names = ["PR0", "PR1", "PR2", "PR3", "PR4", "PRU"];
        names.iter().any(|name| self.area.ggep.has(name))
    }

    fn decode(fields: &mut Fields, budget: &mut Budget) -> Result<Record, Fault> {
        let (index, short) = (fields.u32_le()?, fields.u32_le()?);
        let name = fields.until_nul();
        if !fields.has_nul() {
            return Err(Fault::Short("query hit"));
        }
        let mut area = Area::decode(&fields.until_nul(), budget);
        let long = area.ggep.take("LF").and_then(|bytes| short_number(&bytes));
        let size = long.filter(|_| short == LARGE).unwrap_or(short.into());
        Ok(Record { index, size, name: text(&name, MAX_NAME_BYTES), area })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.index);
        out.put_u32_le(u32::try_from(self.size).unwrap_or(LARGE));
        out.extend(self.name.bytes().filter(|b| *b != 0));
        out.push(0);
        let mut area = self.area.clone();
        if self.size > LARGE.into() {
            area.ggep.push_first("LF", put_short_number(self.size));
        }
        area.encode(out);
        out.push(0);
    }
}

/// Flags about the servent. Each says whether it is known, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServentFlag {
    /// It cannot be reached from outside: only a push makes it connect.
    Push,
    /// It has no free upload slot.
    Busy,
    /// It has uploaded a file before.
    HasUploaded,
    /// The speed is measured, not set by its user.
    MeasuredSpeed,
    /// The vendor's area has extensions of GGEP.
    Extensions,
}

impl ServentFlag {
    fn bit(self) -> u8 {
        match self {
            ServentFlag::Push => 1 << 0,
            ServentFlag::Busy => 1 << 2,
            ServentFlag::HasUploaded => 1 << 3,
            ServentFlag::MeasuredSpeed => 1 << 4,
            ServentFlag::Extensions => 1 << 5,
        }
    }
}

/// What a servent says about itself, after its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Name of the program.
    pub vendor: VendorCode,
    /// Two bytes of flags, see [`ServentFlag`].
    flags: [u8; 2],
    /// Its extensions.
    pub ggep: Ggep,
}

impl Trailer {
    /// Creates a trailer with these flags. Others are not known.
    pub fn new(vendor: VendorCode, flags: &[(ServentFlag, bool)], ggep: Ggep) -> Trailer {
        let mut trailer = Trailer { vendor, flags: [0; 2], ggep };
        flags.iter().for_each(|(flag, value)| trailer.set(*flag, *value));
        if !trailer.ggep.is_empty() {
            trailer.set(ServentFlag::Extensions, true);
        }
        trailer
    }

    fn set(&mut self, flag: ServentFlag, value: bool) {
        let (known, values) = self.known_and_values(flag);
        self.flags[known] |= flag.bit();
        if value {
            self.flags[values] |= flag.bit();
        }
    }

    /// Returns which byte says that a flag is known, and which has its value. For the first flag it
    /// is the other way round.
    fn known_and_values(&self, flag: ServentFlag) -> (usize, usize) {
        if flag == ServentFlag::Push { (1, 0) } else { (0, 1) }
    }

    /// Returns a flag; `None` if the servent does not say it.
    pub fn flag(&self, flag: ServentFlag) -> Option<bool> {
        let (known, values) = self.known_and_values(flag);
        (self.flags[known] & flag.bit() != 0).then_some(self.flags[values] & flag.bit() != 0)
    }

    /// Returns servents that pass a push on (`PUSH`), at most [`MAX_PUSH_PROXIES`].
    pub fn push_proxies(&self) -> Vec<SocketAddrV4> {
        self.ggep.get("PUSH").map(|bytes| addresses(bytes, MAX_PUSH_PROXIES)).unwrap_or_default()
    }

    /// Returns the token of a hit that was claimed by UDP (`SO`).
    pub fn token(&self) -> Option<&Bytes> {
        self.ggep.get("SO")
    }

    /// Whether the servent shows all of its files (`BH`).
    pub fn can_browse(&self) -> bool {
        self.ggep.has("BH")
    }

    /// Reads what stands between the results and the servent's identifier.
    fn decode(bytes: &Bytes) -> Option<Trailer> {
        let mut fields = Fields::new("query hit", bytes);
        let vendor = fields.array().ok()?;
        let length = fields.u8().ok()?;
        let open = fields.bytes(length.into()).ok()?;
        let flags = open.first_chunk().copied().unwrap_or_default();
        Some(Trailer { vendor, flags, ggep: extensions(&fields.rest()) })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.vendor);
        out.push(self.flags.len() as u8);
        out.put_slice(&self.flags);
        self.ggep.encode(Place::Free, out);
    }
}

/// Finds the extensions in a vendor's area. LimeWire has a byte before them, and XML follows.
fn extensions(area: &Bytes) -> Ggep {
    let starts = (0..area.len()).filter(|at| area[*at] == MAGIC).take(MAX_ATTEMPTS);
    let mut budget = Budget::default();
    let mut found = starts.filter_map(|at| Ggep::decode(&area.slice(at..), &mut budget).ok());
    found.next().map(|(ggep, _)| ggep).unwrap_or_default()
}

/// Results of a servent for one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryHit {
    /// Address as the header says. See [`QueryHit::listens_at`].
    pub address: SocketAddrV4,
    /// Upload rate of the servent, kbit/s.
    pub speed: u32,
    /// The files.
    pub records: Vec<Record>,
    /// What the servent says about itself; old ones say nothing.
    pub trailer: Option<Trailer>,
    /// Identifier of the servent, to which pushes go.
    pub servent: Guid,
}

impl QueryHit {
    /// Returns the address at which the servent listens; `None` if it does not. It is what the
    /// servent says, and may be that of anybody.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        let port = self.address.port();
        let ipv6 = || {
            let bytes = self.trailer.as_ref()?.ggep.get("6")?;
            Some(SocketAddr::from((Ipv6Addr::from(*bytes.first_chunk::<16>()?), port)))
        };
        match *self.address.ip() {
            _ if port == 0 => None,
            NO_IPV4 => ipv6(),
            _ => Some(self.address.into()),
        }
    }

    /// Whether only a push makes the servent connect.
    pub fn needs_push(&self) -> bool {
        let says_so = self.trailer.as_ref().and_then(|trailer| trailer.flag(ServentFlag::Push));
        says_so == Some(true) || self.listens_at().is_none()
    }

    pub(super) fn decode(payload: &Bytes) -> Result<QueryHit, Fault> {
        let mut fields = Fields::new("query hit", payload);
        let count = fields.u8()?;
        let port = fields.u16_le()?;
        let address = SocketAddrV4::new(fields.ip()?, port);
        let speed = fields.u32_le()?;
        let mut budget = Budget::default();
        let records = (0..count).map(|_| Record::decode(&mut fields, &mut budget)).collect::<Result<_, _>>()?;
        let between = fields.len().checked_sub(GUID_BYTES).ok_or(Fault::Short("query hit"))?;
        let trailer = Trailer::decode(&fields.bytes(between)?);
        Ok(QueryHit { address, speed, records, trailer, servent: fields.guid()? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let count = self.records.len();
        let too_many = |_| Fault::TooLong { what: "list of results", bytes: count, most: MAX_RECORDS };
        out.push(u8::try_from(count).map_err(too_many)?);
        put_port_first(out, self.address);
        out.put_u32_le(self.speed);
        self.records.iter().for_each(|record| record.encode(out));
        if let Some(trailer) = &self.trailer {
            trailer.encode(out);
        }
        out.put_slice(&self.servent.0);
        Ok(())
    }
}
