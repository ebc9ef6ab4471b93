//! Which pieces to give back when the bound on disk use is reached.
