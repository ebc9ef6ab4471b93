//! Reasons why bytes of a servent cannot be read, or a message cannot be written.

/// The reason, as a sentence with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A message longer than its type allows.
    #[error(
        "a message of type {kind:#04x} has {bytes} bytes, and at most {most} are allowed; the stream is out of step: close the connection"
    )]
    LongMessage {
        /// Type of the message.
        kind: u8,
        /// Length of its payload, bytes.
        bytes: u32,
        /// Longest payload of this type, bytes.
        most: u32,
    },
    /// Compressed data that is not zlib's, or has no end.
    #[error("the compressed data is broken; close the connection, or ignore the message that has it")]
    Compression,
    /// Compressed data that becomes longer than its field may be.
    #[error("the compressed data becomes longer than {0} bytes; ignore the message that has it")]
    Bomb(usize),
    /// A message without all of its fields.
    #[error("the {0} ends before its last field; ignore it")]
    Short(&'static str),
    /// A field with a value that it cannot have.
    #[error("the {0} has a field that is out of range; ignore it")]
    Value(&'static str),
    /// A datagram whose length differs from that in its header.
    #[error("a datagram has not the length that its header says; ignore it")]
    Datagram,
    /// Extensions that are not GGEP.
    #[error("the extensions are not in the format GGEP; ignore the message that has them")]
    Ggep,
    /// A table that is not complete, or has gaps.
    #[error("a part of the routing table does not follow the part before it; end the connection with code 413")]
    Table,
    /// A head that is longer than is read.
    #[error("the head of the connection is longer than {0} bytes or has too many fields; close the connection")]
    LongHead(usize),
    /// A head that is not one of a handshake.
    #[error("the head of the connection is not one of the handshake of Gnutella 0.6; close the connection")]
    Head,
    /// A message of ours that would be longer than servents accept.
    #[error("the {what} would have {bytes} bytes, and servents accept {most}; shorten it")]
    TooLong {
        /// Kind of the message.
        what: &'static str,
        /// Its length, bytes.
        bytes: usize,
        /// Longest one, bytes.
        most: usize,
    },
}
