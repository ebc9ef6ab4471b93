//! The faces that speak a network protocol to players.
