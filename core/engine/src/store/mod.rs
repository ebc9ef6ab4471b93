//! Pieces on disk and in memory.
