//! The SHA-1 of each piece of consecutive files.

use super::gather::Input;
use super::storage;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use playswarm_proto::sha1::sha1;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Returns the SHA-1 of every piece. It uses as many threads as there are processors; each holds
/// one piece in memory.
pub(super) fn hash(
    inputs: &[Input],
    total: u64,
    piece_bytes: u32,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<Vec<u8>> {
    let pieces = total.div_ceil(u64::from(piece_bytes));
    let hashes = Mutex::new(vec![0; pieces as usize * 20]);
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(pieces as usize);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut reader = PieceReader { inputs, open: None };
                let mut buffer = vec![0; piece_bytes.min(u32::try_from(total).unwrap_or(u32::MAX)) as usize];
                while !stop.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= pieces {
                        break;
                    }
                    let start = piece * u64::from(piece_bytes);
                    let length = u64::from(piece_bytes).min(total - start) as usize;
                    if let Err(e) = reader.read(start, &mut buffer[..length]) {
                        stop.store(true, Ordering::Relaxed);
                        failed.lock().get_or_insert(e);
                        break;
                    }
                    let at = piece as usize * 20;
                    let digest = sha1(&buffer[..length]);
                    hashes.lock()[at..at + 20].copy_from_slice(&digest);
                    progress(done.fetch_add(length as u64, Ordering::Relaxed) + length as u64, total);
                }
            });
        }
    });
    if let Some(e) = failed.into_inner() {
        return Err(e);
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    Ok(hashes.into_inner())
}

/// A reader across the ends of files, which keeps the last one open.
struct PieceReader<'a> {
    inputs: &'a [Input],
    open: Option<(usize, File)>,
}

impl PieceReader<'_> {
    fn read(&mut self, mut at: u64, mut buffer: &mut [u8]) -> Result<()> {
        // The first file that ends after the position; empty files end before it.
        let mut n = self.inputs.partition_point(|input| input.offset + input.length <= at);
        while !buffer.is_empty() {
            let input = &self.inputs[n];
            let within = at - input.offset;
            let length = (input.length - within).min(buffer.len() as u64) as usize;
            let (part, rest) = buffer.split_at_mut(length);
            self.read_part(n, within, part).map_err(|e| {
                let changed = e.kind() == io::ErrorKind::UnexpectedEof;
                storage(
                    "read",
                    &input.path,
                    if changed { io::Error::other("it was shortened while it was read; try again") } else { e },
                )
            })?;
            buffer = rest;
            at += length as u64;
            n += 1;
        }
        Ok(())
    }

    fn read_part(&mut self, n: usize, within: u64, part: &mut [u8]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != n) {
            self.open = Some((n, File::open(&self.inputs[n].path)?));
        }
        let Some((_, file)) = &mut self.open else { return Ok(()) };
        file.seek(SeekFrom::Start(within))?;
        file.read_exact(part)
    }
}
