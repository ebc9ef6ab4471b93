//! Values of commands and metadata (Action Message Format, AMF 0), with bounds on depth and number.

use super::Fault;
use crate::printable;
use bytes::{BufMut, BytesMut};

/// Deepest nesting of objects and arrays. Commands use two levels.
const MAX_DEPTH: usize = 8;
/// Most values in one message, which bounds the memory for many small ones.
const MAX_VALUES: usize = 4096;

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;
const UNSUPPORTED: u8 = 13;
const XML: u8 = 15;
const TYPED_OBJECT: u8 = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    /// An object, an associative array or a typed object, which is read as an object.
    Object(Vec<(String, Value)>),
    Array(Vec<Value>),
    /// A date as milliseconds since 1970.
    Date(f64),
    Null,
    Undefined,
}

impl Value {
    /// Returns the text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a property of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(properties) => properties.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Decodes all values of a message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Value>, Fault> {
    let mut reader = Reader { rest: bytes, values: 0 };
    let mut found = Vec::new();
    while !reader.rest.is_empty() {
        found.push(reader.value(0)?);
    }
    Ok(found)
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Values read so far.
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault("a value of AMF is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut found = [0; N];
        found.copy_from_slice(self.take(N)?);
        Ok(found)
    }

    fn number(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_be_bytes)
    }

    fn short_string(&mut self) -> Result<String, Fault> {
        let length = u16::from_be_bytes(self.array()?);
        Ok(String::from_utf8_lossy(self.take(usize::from(length))?).into_owned())
    }

    fn long_string(&mut self) -> Result<String, Fault> {
        let length = u32::from_be_bytes(self.array()?);
        Ok(String::from_utf8_lossy(self.take(length as usize)?).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(Fault("a message has too many values of AMF, or too deep ones"));
        }
        let [kind] = self.array()?;
        Ok(match kind {
            NUMBER => Value::Number(self.number()?),
            BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            STRING => Value::String(self.short_string()?),
            LONG_STRING | XML => Value::String(self.long_string()?),
            OBJECT => Value::Object(self.properties(depth)?),
            TYPED_OBJECT => {
                self.short_string()?;
                Value::Object(self.properties(depth)?)
            }
            ECMA_ARRAY => {
                // Encoders state a wrong number of properties, or none.
                self.take(4)?;
                Value::Object(self.properties(depth)?)
            }
            STRICT_ARRAY => {
                let length = u32::from_be_bytes(self.array()?);
                let mut found = Vec::new();
                for _ in 0..length {
                    found.push(self.value(depth + 1)?);
                }
                Value::Array(found)
            }
            DATE => {
                let date = self.number()?;
                // A time zone, which is reserved.
                self.take(2)?;
                Value::Date(date)
            }
            NULL => Value::Null,
            UNDEFINED | UNSUPPORTED => Value::Undefined,
            _ => return Err(Fault("a value of AMF has a type that is not understood here")),
        })
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Fault> {
        let mut found = Vec::new();
        loop {
            let name = self.short_string()?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                self.take(1)?;
                return Ok(found);
            }
            found.push((name, self.value(depth + 1)?));
        }
    }
}

/// Encodes values.
pub(crate) fn encode(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| put(&mut out, value));
    out
}

fn put(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Number(number) => {
            out.put_u8(NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(is_true) => out.extend_from_slice(&[BOOLEAN, u8::from(*is_true)]),
        Value::String(text) if text.len() > usize::from(u16::MAX) => {
            out.put_u8(LONG_STRING);
            // No text is longer than a message.
            out.put_u32(text.len() as u32);
            out.extend_from_slice(text.as_bytes());
        }
        Value::String(text) => {
            out.put_u8(STRING);
            put_name(out, text);
        }
        Value::Object(properties) => {
            out.put_u8(OBJECT);
            for (name, value) in properties {
                put_name(out, name);
                put(out, value);
            }
            out.extend_from_slice(&[0, 0, OBJECT_END]);
        }
        Value::Array(values) => {
            out.put_u8(STRICT_ARRAY);
            out.put_u32(values.len() as u32);
            values.iter().for_each(|value| put(out, value));
        }
        Value::Date(date) => {
            out.put_u8(DATE);
            out.put_f64(*date);
            out.put_u16(0);
        }
        Value::Null => out.put_u8(NULL),
        Value::Undefined => out.put_u8(UNDEFINED),
    }
}

/// Writes a text with its length; a longer one than can be stated is cut.
fn put_name(out: &mut BytesMut, text: &str) {
    let text = printable::prefix(text, usize::from(u16::MAX));
    out.put_u16(text.len() as u16);
    out.extend_from_slice(text.as_bytes());
}
