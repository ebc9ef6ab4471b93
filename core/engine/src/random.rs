//! Random bytes from the operating system.

/// Fills `bytes` with random ones. The system's source fails only where the system itself is broken; the time of day
/// then stands in, as ids that repeat are better than none.
pub(crate) fn fill(bytes: &mut [u8]) {
    if getrandom::fill(bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let digest = playswarm_proto::sha1::sha1(&now.as_nanos().to_be_bytes());
        bytes.iter_mut().zip(digest.iter().cycle()).for_each(|(byte, random)| *byte = *random);
    }
}

/// Returns a random number.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
