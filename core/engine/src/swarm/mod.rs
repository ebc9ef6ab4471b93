//! Connections to peers, and what is said over them.

pub(crate) mod background;
