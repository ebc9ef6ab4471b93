//! The code of a group: parity from its bytes, and its bytes from any K packets.
//!
//! Each code is linear, so a group needs two small matrices: from data to parity, and from the
//! packets that are here to the data packets that are not. The crate `reed-solomon-novelpoly`
//! supplies them, one column for each unit vector. This keeps its limits away from foreign lengths,
//! keeps data packets contiguous, and makes a decoder for a set of losses once, not for each group.

use bytes::Bytes;
use playswarm_proto::live::{CodeId, Shape};
use reed_solomon_novelpoly::f2e16::{
    Additive, FIELD_SIZE, Multiplier, encode_low, eval_error_polynomial, reconstruct_sub,
};
use std::collections::BTreeMap;

/// An element of GF(2^16). Two bytes of a packet are one, big-endian.
type Symbol = u16;
/// A row of factors, one for each input packet, that gives one output packet.
type Row = Vec<Symbol>;

/// Encodes and decodes groups of one shape.
#[derive(Clone, Debug)]
pub struct Code {
    shape: Shape,
    /// A row for each parity packet over the data packets.
    encoder: Vec<Row>,
    /// By the packets used, a row for each missing data packet over them. Bounded: 18 packets with
    /// 16 of data have 153 such sets.
    decoders: BTreeMap<u32, Vec<Row>>,
}

impl Code {
    /// Creates the code for a shape.
    pub fn new(shape: Shape) -> Code {
        let encoder = match shape.code() {
            CodeId::None => Vec::new(),
            CodeId::Xor => vec![vec![1; shape.data()]],
            CodeId::ReedSolomon => reed_solomon_encoder(shape),
        };
        Code { shape, encoder, decoders: BTreeMap::new() }
    }

    /// Returns the shape of the groups.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns all packets of a group with these bytes: parts of the bytes, then parity.
    pub fn packets(&self, payload: &Bytes) -> Vec<Bytes> {
        let length = payload.len();
        let data: Vec<Bytes> =
            (0..self.shape.data()).map(|index| payload.slice(self.shape.range(length, index))).collect();
        let shard = self.shape.shard_bytes(length);
        let parity: Vec<Bytes> = self.encoder.iter().map(|row| combine(row, &data, shard).into()).collect();
        data.into_iter().chain(parity).collect()
    }

    /// Returns the bytes of a group, `length` in number, from any K of its packets; `None` if there
    /// are fewer. Each packet has the length that the shape prescribes.
    pub fn restore(&mut self, length: usize, packets: &[Option<Bytes>]) -> Option<Bytes> {
        let (shape, shard) = (self.shape, self.shape.shard_bytes(length));
        let used: Vec<usize> = (0..packets.len()).filter(|n| packets[*n].is_some()).take(shape.data()).collect();
        if used.len() < shape.data() {
            return None;
        }
        let inputs: Vec<Bytes> = used.iter().filter_map(|n| packets[*n].clone()).collect();
        let mut rows = self.decoder(&used).iter();
        let mut payload = Vec::with_capacity(shape.data() * shard);
        for index in 0..shape.data() {
            match (packets.get(index), rows.as_slice()) {
                (Some(Some(data)), _) => payload.extend_from_slice(data),
                (_, [row, ..]) => {
                    rows.next();
                    payload.extend_from_slice(&combine(row, &inputs, shard)[..shape.packet_bytes(length, index)]);
                }
                _ => return None,
            }
        }
        Some(payload.into())
    }

    fn decoder(&mut self, used: &[usize]) -> &[Row] {
        let shape = self.shape;
        let set = used.iter().fold(0, |set, n| set | 1 << n);
        self.decoders.entry(set).or_insert_with(|| {
            let missing = (0..shape.data()).filter(|n| !used.contains(n));
            match shape.code() {
                CodeId::None => Vec::new(),
                CodeId::Xor => missing.map(|_| vec![1; shape.data()]).collect(),
                CodeId::ReedSolomon => reed_solomon_decoder(shape, used, &missing.collect::<Vec<_>>()),
            }
        })
    }
}

/// Returns the length of a code word: a power of two of which at most half is data.
fn word(shape: Shape) -> usize {
    shape.packets().next_power_of_two().max(2 * shape.data())
}

/// Returns the rows of the parity packets. The crate encodes each unit vector.
fn reed_solomon_encoder(shape: Shape) -> Vec<Row> {
    let (k, n) = (shape.data(), word(shape));
    let mut rows = vec![Vec::with_capacity(k); shape.parity()];
    for input in 0..k {
        let mut data = vec![Additive(0); n];
        data[input] = Additive(1);
        let mut coded = vec![Additive(0); n];
        encode_low(&data, k, &mut coded, n);
        rows.iter_mut().zip(&coded[k..]).for_each(|(row, symbol)| row.push(symbol.0));
    }
    rows
}

/// Returns the rows of the missing data packets over exactly K packets. The crate decodes each unit
/// vector.
fn reed_solomon_decoder(shape: Shape, used: &[usize], missing: &[usize]) -> Vec<Row> {
    let (k, n) = (shape.data(), word(shape));
    let mut rows = vec![Vec::with_capacity(k); missing.len()];
    if missing.is_empty() {
        return rows;
    }
    let erased: Vec<bool> = (0..n).map(|n| !used.contains(&n)).collect();
    // 128 KiB, on the heap: a thread of a C or Python program may have a small stack.
    let mut locator: Box<[Multiplier; FIELD_SIZE]> =
        vec![Multiplier(0); FIELD_SIZE].try_into().expect("the vector has the length of the array");
    eval_error_polynomial(&erased, &mut locator[..], FIELD_SIZE);
    for input in used {
        let unit = |at: usize| Additive(Symbol::from(at == *input));
        let received: Vec<Option<Additive>> = (0..n).map(|at| (!erased[at]).then(|| unit(at))).collect();
        let data = reconstruct_sub(&received, &erased, n, k, &locator).expect("the parameters are those of a shape");
        for (row, at) in rows.iter_mut().zip(missing) {
            row.push(Symbol::from_be_bytes([data[2 * at], data[2 * at + 1]]));
        }
    }
    rows
}

/// Returns the sum of the inputs, each times its factor. Inputs are filled up with zeros.
fn combine(row: &[Symbol], inputs: &[Bytes], shard: usize) -> Vec<u8> {
    let mut sum = vec![0; shard];
    for (factor, input) in row.iter().zip(inputs) {
        match factor {
            0 => {}
            1 => sum.iter_mut().zip(input).for_each(|(sum, byte)| *sum ^= byte),
            _ => Products::new(*factor).add(&mut sum, input),
        }
    }
    sum
}

/// The products of a factor with all low and with all high bytes, 1 KiB. They stay in the
/// processor's first cache, which the logarithms of all symbols (256 KiB) do not.
struct Products {
    high: [Symbol; 256],
    low: [Symbol; 256],
}

impl Products {
    fn new(factor: Symbol) -> Products {
        let factor = Additive(factor).to_multiplier();
        let products = |shift: u32| {
            let mut table = [0; 256];
            for bit in 0..8 {
                let product = Additive(1 << (shift + bit)).mul(factor).0;
                let size = 1 << bit;
                for n in 0..size {
                    table[size + n] = table[n] ^ product;
                }
            }
            table
        };
        Products { high: products(8), low: products(0) }
    }

    fn add(&self, sum: &mut [u8], input: &[u8]) {
        let mut symbols = input.chunks_exact(2);
        let mut sums = sum.chunks_exact_mut(2);
        let add = |high: u8, low: u8, sum: &mut [u8]| {
            let product = self.high[usize::from(high)] ^ self.low[usize::from(low)];
            let [high, low] = product.to_be_bytes();
            sum[0] ^= high;
            sum[1] ^= low;
        };
        symbols.by_ref().zip(sums.by_ref()).for_each(|(symbol, sum)| add(symbol[0], symbol[1], sum));
        if let ([last], Some(sum)) = (symbols.remainder(), sums.next()) {
            add(*last, 0, sum);
        }
    }
}
