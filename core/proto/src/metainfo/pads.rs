//! Pad files (BEP 47), which align the next file with a piece: the blocks that need not be fetched.

use super::{FileEntry, Metainfo};
use crate::{BLOCK_BYTES, PieceIndex};
use std::collections::BTreeMap;

impl Metainfo {
    /// Returns the pieces that end with pad files, with the first of their blocks that lies
    /// completely in these. Pieces that consist only of pad files are not included. These blocks
    /// are zeros and need not be fetched. If the piece's hash does not match, the pad files contain
    /// data after all.
    pub fn padded_tails(&self) -> BTreeMap<PieceIndex, u32> {
        let block = |bytes: u64| u32::try_from(bytes.div_ceil(u64::from(BLOCK_BYTES))).unwrap_or(u32::MAX);
        let tails = self.padded().into_iter().map(|(piece, from)| (piece, block(from)));
        tails.filter(|(piece, from)| (1..self.layout.blocks_of(*piece)).contains(from)).collect()
    }

    /// Returns the pieces that lie completely in pad files.
    pub fn pad_pieces(&self) -> Vec<PieceIndex> {
        self.padded().into_iter().filter(|(_, from)| *from == 0).map(|(piece, _)| piece).collect()
    }

    /// Returns the pieces that end with pad files, with the first byte of these in the piece.
    fn padded(&self) -> Vec<(PieceIndex, u64)> {
        let files: Vec<&FileEntry> = self.files.iter().filter(|f| f.length > 0).collect();
        let mut padded = Vec::new();
        for run in files.chunk_by(|a, b| a.padding && b.padding).filter(|run| run[0].padding) {
            let start = run[0].offset;
            let end = start + run.iter().map(|f| f.length).sum::<u64>();
            for piece in self.layout.pieces_of(start..end) {
                let begin = self.layout.start_of(piece);
                if begin + u64::from(self.layout.bytes_of(piece)) <= end {
                    padded.push((piece, start.saturating_sub(begin)));
                }
            }
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo::FileEntry;
    use crate::{InfoHash, Layout};

    fn torrent(files: &[(bool, u64)], piece: u32) -> Metainfo {
        let mut offset = 0;
        let entries = files.iter().map(|(padding, length)| {
            offset += length;
            FileEntry {
                path: "x".into(),
                name: String::new(),
                length: *length,
                offset: offset - length,
                padding: *padding,
            }
        });
        let files: Vec<_> = entries.collect();
        Metainfo {
            info_hash: InfoHash([0; 20]),
            name: String::new(),
            layout: Layout::new(offset, piece).unwrap(),
            proof: crate::proof::Proof::of_torrent(Vec::new().into()),
            named: None,
            files,
            private: false,
            trackers: Default::default(),
            web_seeds: Default::default(),
            encoding: None,
            selected: Vec::new(),
            info: Vec::new().into(),
        }
    }

    #[test]
    fn blocks_that_are_all_padding_are_known() {
        const KIB: u64 = 1024;
        let tails = |files: &[(bool, u64)]| {
            let torrent = torrent(files, 64 << 10);
            let tails: Vec<_> = torrent.padded_tails().into_iter().map(|(piece, block)| (piece.0, block)).collect();
            (tails, torrent.pad_pieces().into_iter().map(|piece| piece.0).collect::<Vec<_>>())
        };
        assert_eq!(tails(&[(false, 20 * KIB), (true, 44 * KIB), (false, 64 * KIB)]), (vec![(0, 2)], vec![]));
        // Less than a block, none, and pad files that do not reach the end of the piece.
        assert_eq!(tails(&[(false, 60 * KIB), (true, 4 * KIB), (false, 64 * KIB)]), (vec![], vec![]));
        assert_eq!(tails(&[(false, 20 * KIB), (true, 40 * KIB), (false, 64 * KIB)]), (vec![], vec![]));
        // Two in a row, over several pieces.
        assert_eq!(
            tails(&[(false, KIB), (true, 50 * KIB), (false, 0), (true, 141 * KIB), (false, KIB)]),
            (vec![(0, 1)], vec![1, 2])
        );
        assert_eq!(tails(&[(true, 64 * KIB), (false, KIB)]), (vec![], vec![0]));
    }
}
