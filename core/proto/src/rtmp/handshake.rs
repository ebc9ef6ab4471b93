//! The handshake without digests (RTMP, section 5.2). A version of zero in S1 says that the server
//! has no digests, and encoders then ask for none.

use super::Fault;
use bytes::{Buf, BufMut, BytesMut};

/// Version of the protocol.
const VERSION: u8 = 3;
/// Length of C1, C2, S1 and S2, bytes.
const PACKET_BYTES: usize = 1536;

/// The position in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// Before C0 and C1.
    First,
    /// Before C2.
    Second,
    Done,
}

impl Handshake {
    /// Takes the client's part from its bytes and writes ours. Returns whether the handshake is
    /// done.
    pub(super) fn take(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, Fault> {
        if *self == Handshake::First {
            match input.first() {
                None => return Ok(false),
                Some(&VERSION) => {}
                Some(6 | 8) => return Err(Fault("the client wants encryption (RTMPE), which is not offered here")),
                Some(_) => return Err(Fault("this is not RTMP, or not its version 3")),
            }
            if input.len() <= PACKET_BYTES {
                return Ok(false);
            }
            input.advance(1);
            let theirs = input.split_to(PACKET_BYTES);
            output.put_u8(VERSION);
            // Time, version and padding. Random bytes would only tell a server's own connections
            // apart.
            output.put_bytes(0, PACKET_BYTES);
            output.extend_from_slice(&theirs);
            *self = Handshake::Second;
        }
        if *self == Handshake::Second {
            // C2 should repeat S1, which some clients do not do.
            if input.len() < PACKET_BYTES {
                return Ok(false);
            }
            input.advance(PACKET_BYTES);
            *self = Handshake::Done;
        }
        Ok(true)
    }
}
