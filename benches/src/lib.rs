//! This library is empty; the benchmarks are in `benches/`.
