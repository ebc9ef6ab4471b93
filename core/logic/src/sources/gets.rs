//! The requests of one connection to a source. Blocks are requested by the torrent and come in the
//! order of the requests; consecutive ones make one request of HTTP for each file.

use super::Site;
use super::site::Place;
use bytes::{Bytes, BytesMut};
use playswarm_proto::http_range::{Request, RequestId};
use playswarm_proto::wire::{Message, Span};
use std::collections::VecDeque;
use std::ops::Range;

/// A block that was requested by the torrent.
#[derive(Clone, Copy, Debug)]
struct Block {
    span: Span,
    /// Its first byte in the torrent.
    start: u64,
    /// Whether the torrent withdrew it after it was requested here.
    is_withdrawn: bool,
    /// What becomes of it once its place in the answers has passed, if bytes of it are missing there.
    lost: Option<Lost>,
}

/// What becomes of a block that does not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is requested again over this connection.
    Again,
    /// It is rejected.
    Reject,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + u64::from(self.span.length)
    }
}

/// A range whose bytes come next, or after others.
#[derive(Debug)]
struct Part {
    place: Place,
    /// Number of the request, once it was sent.
    id: Option<RequestId>,
    /// Whether the answer has more bytes than were requested.
    is_longer: bool,
}

/// What an answer's end means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More may come.
    More,
    /// The rest of this answer was not requested: a new connection costs less than its bytes.
    Unwanted,
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub struct Gets {
    /// Blocks for which nothing was sent.
    waiting: VecDeque<Block>,
    /// Blocks that come, in order.
    coming: VecDeque<Block>,
    /// The bytes of the first block that came already.
    begun: BytesMut,
    /// The bytes of all blocks that come, in order.
    parts: VecDeque<Part>,
}

impl Gets {
    /// Adds a block that the torrent requests.
    pub fn request(&mut self, site: &Site, span: Span) {
        let start = site.start_of(span.piece) + u64::from(span.begin);
        self.waiting.push_back(Block { span, start, is_withdrawn: false, lost: None });
    }

    /// Withdraws a block. Returns the answer if it was not requested yet; otherwise it comes.
    pub fn cancel(&mut self, span: Span) -> Option<Message> {
        if let Some(at) = self.waiting.iter().position(|block| block.span == span) {
            if at == 0 && self.coming.is_empty() {
                self.begun.clear();
            }
            self.waiting.remove(at);
            return Some(Message::Reject(span));
        }
        self.coming.iter_mut().filter(|block| block.span == span).for_each(|block| block.is_withdrawn = true);
        None
    }

    /// Whether nothing is requested.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.coming.is_empty()
    }

    /// Whether bytes are awaited from the server.
    pub fn is_waiting(&self) -> bool {
        self.parts.iter().any(|part| part.id.is_some())
    }

    /// Returns the next request to be sent, and the class of the address that named its URL. If all
    /// were sent, the next consecutive blocks are taken, at most `most_bytes` together. Blocks of
    /// zeros are returned in `out` at once.
    pub fn next(&mut self, site: &Site, most_bytes: u64, out: &mut Vec<Message>) -> Option<Place> {
        loop {
            if let Some(part) = self.parts.iter().find(|part| part.id.is_none() && part.place.request.is_some()) {
                return Some(part.place.clone());
            }
            self.reject_lacking(site, out);
            let run = self.take_run(most_bytes)?;
            let parts = site.places(run).into_iter();
            self.parts.extend(parts.map(|place| Part { place, id: None, is_longer: false }));
            self.fill_zeros(out);
        }
    }

    /// Rejects the next blocks as long as the source lacks them.
    fn reject_lacking(&mut self, site: &Site, out: &mut Vec<Message>) {
        while let Some(block) = self.waiting.front().copied().filter(|b| !site.has_all(b.start..b.end())) {
            self.waiting.pop_front();
            if self.coming.is_empty() {
                self.begun.clear();
            }
            out.push(Message::Reject(block.span));
        }
    }

    /// Moves the next consecutive blocks to those that come. Returns the bytes that are missing of
    /// them.
    fn take_run(&mut self, most_bytes: u64) -> Option<Range<u64>> {
        let first = self.waiting.pop_front()?;
        let start = if self.coming.is_empty() { first.start + self.begun.len() as u64 } else { first.start };
        let mut end = first.end();
        self.coming.push_back(first);
        while let Some(next) = self.waiting.front().copied()
            && next.start == end
            && next.end() - start <= most_bytes
        {
            end = next.end();
            self.coming.push_back(next);
            self.waiting.pop_front();
        }
        Some(start..end)
    }

    /// Notes that the request of [`Gets::next`] was sent.
    pub fn sent(&mut self, id: RequestId) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.id.is_none() && part.place.request.is_some()) {
            part.id = Some(id);
        }
    }

    /// Returns the file of a request.
    pub fn file_of(&self, id: RequestId) -> Option<usize> {
        self.parts.iter().find(|part| part.id == Some(id)).map(|part| part.place.file)
    }

    /// Notes which bytes of the file an answer has. A server that has only parts of a file may begin
    /// within the requested range: the blocks before are rejected.
    pub fn accepted(&mut self, id: RequestId, sent: &Range<u64>, out: &mut Vec<Message>) {
        let Some(part) = self.parts.front_mut().filter(|part| part.id == Some(id)) else { return };
        let asked = part.place.request.as_ref().map_or(0..0, Request::range);
        part.is_longer = sent.end > asked.end;
        let before = sent.start.saturating_sub(asked.start);
        part.place.bytes.start += before;
        self.lose(before, Lost::Reject, out);
    }

    /// Takes bytes of an answer, in order. Whole blocks are added to `out`.
    pub fn data(&mut self, id: RequestId, mut bytes: Bytes, out: &mut Vec<Message>) -> Rest {
        let Some(part) = self.parts.front_mut().filter(|part| part.id == Some(id)) else { return Rest::Unwanted };
        let missing = part.place.bytes.end - part.place.bytes.start;
        bytes.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        part.place.bytes.start += bytes.len() as u64;
        let (is_done, is_longer) = (part.place.bytes.is_empty(), part.is_longer);
        self.put(bytes, out);
        if is_done && is_longer {
            self.parts.pop_front();
            self.fill_zeros(out);
            return Rest::Unwanted;
        }
        Rest::More
    }

    /// Notes that an answer is over, and what becomes of the blocks that it did not bring. Returns
    /// whether it brought all.
    pub fn ended(&mut self, id: RequestId, lost: Lost, out: &mut Vec<Message>) -> bool {
        if self.parts.front().is_none_or(|part| part.id != Some(id)) {
            return true;
        }
        let missing = self.parts.pop_front().map_or(0, |part| part.place.bytes.end - part.place.bytes.start);
        self.lose(missing, lost, out);
        self.fill_zeros(out);
        missing == 0
    }

    /// Notes that a request was refused while the connection goes on: its blocks are rejected.
    pub fn refused(&mut self, id: RequestId, out: &mut Vec<Message>) {
        self.ended(id, Lost::Reject, out);
    }

    /// Passes over bytes that do not come.
    fn lose(&mut self, mut length: u64, lost: Lost, out: &mut Vec<Message>) {
        while let Some(block) = self.coming.front_mut().filter(|_| length > 0) {
            let begun = self.begun.len();
            let some = length.min(u64::from(block.span.length) - begun as u64);
            if block.lost != Some(Lost::Reject) {
                block.lost = Some(lost);
            }
            length -= some;
            // Others count the bytes of the block.
            self.begun.resize(begun + some as usize, 0);
            if self.begun.len() == block.span.length as usize {
                let data = self.begun.split().freeze();
                self.pass_block(data, out);
            }
        }
    }

    /// Takes the first block off those that come.
    fn pass_block(&mut self, data: Bytes, out: &mut Vec<Message>) {
        let Some(block) = self.coming.pop_front() else { return };
        let span = block.span;
        match block.lost {
            None => out.push(Message::Piece { piece: span.piece, begin: span.begin, data }),
            Some(Lost::Again) if !block.is_withdrawn => self.waiting.push_back(Block { lost: None, ..block }),
            Some(_) => out.push(Message::Reject(span)),
        }
    }

    /// Rejects the blocks for which nothing was sent.
    pub fn reject_waiting(&mut self, out: &mut Vec<Message>) {
        if self.coming.is_empty() {
            self.begun.clear();
        }
        out.extend(self.waiting.drain(..).map(|block| Message::Reject(block.span)));
    }

    /// Appends bytes to the blocks that come.
    fn put(&mut self, mut bytes: Bytes, out: &mut Vec<Message>) {
        while let Some(block) = self.coming.front().filter(|_| !bytes.is_empty()) {
            let length = block.span.length as usize;
            let data = if self.begun.is_empty() && bytes.len() >= length {
                bytes.split_to(length)
            } else {
                let some = bytes.split_to(bytes.len().min(length - self.begun.len()));
                self.begun.extend_from_slice(&some);
                if self.begun.len() < length {
                    return;
                }
                self.begun.split().freeze()
            };
            self.pass_block(data, out);
        }
    }

    fn fill_zeros(&mut self, out: &mut Vec<Message>) {
        /// Zeros that are appended at once, bytes.
        static ZEROS: [u8; 16 << 10] = [0; 16 << 10];
        while let Some(part) = self.parts.front_mut().filter(|part| part.place.request.is_none()) {
            let bytes = &mut part.place.bytes;
            let some = (bytes.end - bytes.start).min(ZEROS.len() as u64);
            bytes.start += some;
            if bytes.is_empty() {
                self.parts.pop_front();
            }
            self.put(Bytes::from_static(&ZEROS[..some as usize]), out);
        }
    }

    /// Begins anew after the connection ended: all blocks wait again, except those that were
    /// withdrawn, and those that the source lacks. They are rejected. What came of the first block
    /// is kept.
    pub fn reset(&mut self, site: &Site, out: &mut Vec<Message>) {
        self.parts.clear();
        self.coming.append(&mut self.waiting);
        let first = self.coming.front().map(|block| block.span);
        let is_whole = self.coming.front().is_some_and(|block| block.lost.is_none());
        for block in self.coming.drain(..) {
            if block.is_withdrawn || !site.has_all(block.start..block.end()) {
                out.push(Message::Reject(block.span));
            } else {
                self.waiting.push_back(Block { lost: None, ..block });
            }
        }
        if !is_whole || self.waiting.front().map(|block| block.span) != first {
            self.begun.clear();
        }
    }
}
