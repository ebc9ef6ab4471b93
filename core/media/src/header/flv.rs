//! FLV (Adobe, version 10.1): the content of its first script tag (`onMetaData`, AMF 0), else the
//! time of its last tag.

use super::{Short, Told, be16, be32, head};
use crate::held::Held;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes requested at the end. They include the head of the last tag, unless that tag is a large
/// picture.
pub(super) const TAIL: u64 = 64 << 10;
/// Length of a tag's head in bytes.
const TAG: u64 = 11;
/// Deepest nesting of values.
const MAX_DEPTH: u32 = 6;
/// Most numbers of a list: one keyframe per second for a day.
const MAX_NUMBERS: usize = 86_400;

pub(super) fn read(held: &Held) -> Result<Told, Short> {
    let start = be32(head(held, 9)?, 5).ok_or(Short::Nothing("is cut short"))?;
    let first = u64::from(start) + 4;
    let tag = head(held, first + TAG)?.get(first as usize..).unwrap_or_default();
    let mut told = Told::default();
    if tag.first() == Some(&18) {
        let bytes = u64::from(be32(tag, 0).unwrap_or(0) & 0x00ff_ffff);
        let script = head(held, first + TAG + bytes)?.get((first + TAG) as usize..).unwrap_or_default();
        let found = MetaData::read(script);
        told.duration_s = found.numbers.get("duration").and_then(|list| list.first()).copied().unwrap_or(0.0);
        if let (Some(times), Some(places)) = (found.numbers.get("times"), found.numbers.get("filepositions")) {
            let is_time = |(time, place): &(&f64, &f64)| (0.0..1e7).contains(*time) && (0.0..1e15).contains(*place);
            let points = times.iter().zip(places).filter(is_time);
            told.line = points.map(|(time, place)| (Duration::from_secs_f64(*time), *place as u64)).collect();
        }
    }
    if told.duration_s <= 0.0 {
        told.duration_s = last_time(held)?;
    }
    Ok(told)
}

/// Returns the time of the last tag, located by its length, which follows it.
fn last_time(held: &Held) -> Result<f64, Short> {
    let size = held.size();
    let end = size.saturating_sub(4);
    let length = held.get(end..size).ok_or(Short::Need(size.saturating_sub(TAIL)..size))?;
    let length = u64::from(be32(length, 0).unwrap_or(0));
    let tag = end.checked_sub(length).filter(|_| length > TAG).ok_or(Short::Nothing("has no end"))?;
    let tag = held.get(tag..tag + TAG).ok_or(Short::Need(tag..tag + TAG))?;
    let time = be32(tag, 4).map(|time| (time >> 8) | u32::from(tag[7]) << 24);
    match (tag.first(), time) {
        (Some(8 | 9 | 18), Some(time)) => Ok(f64::from(time) / 1e3),
        _ => Err(Short::Nothing("has no end")),
    }
}

/// Numbers and lists of numbers in a script tag by name, at any depth.
#[derive(Default)]
struct MetaData {
    numbers: BTreeMap<String, Vec<f64>>,
}

impl MetaData {
    fn read(script: &[u8]) -> MetaData {
        let mut found = MetaData::default();
        let mut rest = script;
        // The tag's name is a value as well.
        while let Some(after) = found.value("", rest, 0) {
            rest = after;
        }
        found
    }

    /// Reads a value. Returns the bytes after it.
    fn value<'a>(&mut self, name: &str, bytes: &'a [u8], depth: u32) -> Option<&'a [u8]> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => {
                let (number, rest) = rest.split_first_chunk()?;
                self.number(name, f64::from_be_bytes(*number));
                Some(rest)
            }
            1 => rest.get(1..),
            2 => rest.get(2 + usize::from(be16(rest, 0)?)..),
            3 => self.members(rest, depth),
            5 | 6 | 9 => Some(rest),
            8 => self.members(rest.get(4..)?, depth),
            10 => {
                let (count, mut rest) = (be32(rest, 0)?, rest.get(4..)?);
                for _ in 0..count {
                    rest = self.value(name, rest, depth.checked_add(1).filter(|d| *d <= MAX_DEPTH)?)?;
                }
                Some(rest)
            }
            11 => rest.get(10..),
            12 => rest.get(4 + be32(rest, 0)? as usize..),
            _ => None,
        }
    }

    fn members<'a>(&mut self, mut rest: &'a [u8], depth: u32) -> Option<&'a [u8]> {
        if depth >= MAX_DEPTH {
            return None;
        }
        loop {
            let length = usize::from(be16(rest, 0)?);
            let name = rest.get(2..2 + length)?;
            rest = rest.get(2 + length..)?;
            if length == 0 && rest.first() == Some(&9) {
                return rest.get(1..);
            }
            rest = self.value(&String::from_utf8_lossy(name), rest, depth + 1)?;
        }
    }

    fn number(&mut self, name: &str, number: f64) {
        if matches!(name, "duration" | "times" | "filepositions") {
            let list = self.numbers.entry(name.to_owned()).or_default();
            if list.len() < MAX_NUMBERS {
                list.push(number);
            }
        }
    }
}
