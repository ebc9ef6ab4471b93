//! Doors for fuzz targets (`fuzz/`) into parsers of foreign bytes; each function is one target and panics on a fault.
//! Not part of the API.

/// A `Range` header of any bytes for a file of any size (the first eight bytes).
pub fn http_range(data: &[u8]) {
    if let Some((size, header)) = data.split_first_chunk::<8>() {
        crate::front::range::check_invariants(header, u64::from_le_bytes(*size));
    }
}
