//! Used buffers of pieces, kept for the next pieces.

use bytes::BytesMut;

/// A pool of used buffers. A fresh buffer would cost a page fault for each of its pages.
pub(super) struct BufferPool {
    buffers: Vec<BytesMut>,
    length: usize,
    most: usize,
}

impl BufferPool {
    /// Creates a pool for pieces of `length` bytes, with at most `limit` bytes and eight buffers.
    pub(super) fn new(length: u32, limit: u64) -> BufferPool {
        let most = (limit / u64::from(length)).min(8) as usize;
        BufferPool { buffers: Vec::new(), length: length as usize, most }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.buffers.len() * self.length) as u64
    }

    /// Takes a buffer with unspecified contents, if there is one.
    pub(super) fn take(&mut self, length: usize) -> Option<BytesMut> {
        if length == self.length { self.buffers.pop() } else { None }
    }

    /// Keeps the buffer, or returns it to be freed outside of the lock.
    pub(super) fn keep(&mut self, buffer: BytesMut) -> Option<BytesMut> {
        if buffer.len() == self.length && self.buffers.len() < self.most {
            self.buffers.push(buffer);
            return None;
        }
        Some(buffer)
    }
}
