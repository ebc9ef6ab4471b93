//! What proves the bytes of a torrent, or of a file that a hash names.
//!
//! The unit of proof is a piece of the [`Layout`](crate::Layout). A piece that has a hash may be
//! shown once it has that hash. Pieces without hashes may be shown once the whole file is proven,
//! because only its last byte decides. This is the one rule for torrents, Metalinks, tiger trees
//! and bare hashes.

use crate::tiger_tree::{self, DIGEST_BYTES, Level, TreeHasher};
use crate::{FileHashes, metalink, sha1};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

pub use crate::metalink::{HashKind, Sha256};

/// The hashes of a whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholeHashes {
    /// Its SHA-1.
    pub sha1: Option<sha1::Digest>,
    /// Its SHA-256.
    pub sha256: Option<Sha256>,
    /// Root of its tiger tree.
    pub tiger: Option<tiger_tree::Digest>,
}

impl WholeHashes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == WholeHashes::default()
    }
}

impl From<FileHashes> for WholeHashes {
    fn from(hashes: FileHashes) -> WholeHashes {
        WholeHashes { sha1: hashes.sha1, sha256: None, tiger: hashes.tiger }
    }
}

/// The hashes of the pieces.
#[derive(Clone, Debug)]
enum Pieces {
    /// SHA-1 or SHA-256 of each piece, one after the other.
    Flat(HashKind, Bytes),
    /// The level of a tiger tree whose slices are the pieces.
    Tree(Level),
    /// There are none.
    Unknown,
}

/// How far the hashes of the pieces can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// What the user named covers them.
    Named,
    /// A server claims them, and the user accepts that until the whole file is proven.
    Accepted,
}

/// What the bytes of a torrent, or of a file that a hash names, are checked against.
#[derive(Clone, Debug)]
pub struct Proof {
    pieces: Pieces,
    trust: Trust,
    whole: WholeHashes,
}

/// The reason why a whole file is not the one that was named, as a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {0} is not the named one")]
pub struct Mismatch(pub &'static str);

impl Proof {
    /// Returns the proof of a torrent: a SHA-1 for each piece.
    pub fn of_torrent(hashes: Bytes) -> Proof {
        Proof::flat(HashKind::Sha1, hashes, WholeHashes::default())
    }

    /// Returns the proof of a file with hashes of its pieces, named together with the whole ones.
    pub fn of_pieces(pieces: &metalink::Pieces, whole: WholeHashes) -> Proof {
        Proof::flat(pieces.kind, pieces.hashes.clone(), whole)
    }

    fn flat(kind: HashKind, hashes: Bytes, whole: WholeHashes) -> Proof {
        Proof { pieces: Pieces::Flat(kind, hashes), trust: Trust::Named, whole }
    }

    /// Returns the proof of a file by a level of its tiger tree, whose root is a named hash or was
    /// proven with the whole file.
    pub fn of_tree(level: Level, whole: WholeHashes) -> Proof {
        Proof { pieces: Pieces::Tree(level), trust: Trust::Named, whole }
    }

    /// Returns the proof of a file by a tree that a server claims to belong to the named hash.
    pub fn of_accepted_tree(level: Level, whole: WholeHashes) -> Proof {
        Proof { trust: Trust::Accepted, ..Proof::of_tree(level, whole) }
    }

    /// Returns the proof of a file of which only hashes of the whole are known.
    pub fn of_whole(whole: WholeHashes) -> Proof {
        Proof { pieces: Pieces::Unknown, trust: Trust::Named, whole }
    }

    /// Whether a piece may be shown as soon as it has its hash. Otherwise none may be shown before
    /// the whole file is proven.
    pub fn is_by_piece(&self) -> bool {
        !matches!(self.pieces, Pieces::Unknown)
    }

    /// Whether a file that differs from the hashes of the whole is not the named file. Otherwise its
    /// pieces are what was named, and these hashes contradict them.
    pub fn is_settled_by_whole(&self) -> bool {
        !self.is_by_piece() || self.trust == Trust::Accepted
    }

    /// Returns the name of this kind of proof, for display.
    pub fn kind(&self) -> &'static str {
        match (&self.pieces, self.trust) {
            (Pieces::Flat(..), _) => "pieces",
            (Pieces::Tree(_), Trust::Named) => "tree",
            (Pieces::Tree(_), Trust::Accepted) => "accepted tree",
            (Pieces::Unknown, _) => "whole file",
        }
    }

    /// Returns the hashes of the whole file.
    pub fn whole(&self) -> &WholeHashes {
        &self.whole
    }

    /// Returns the level of a tiger tree, if that is the proof.
    pub fn tree(&self) -> Option<&Level> {
        match &self.pieces {
            Pieces::Tree(level) => Some(level),
            _ => None,
        }
    }

    /// Returns the SHA-1 or SHA-256 that a piece must have; `None` if it has none.
    pub fn flat_hash_of(&self, piece: u32) -> Option<&[u8]> {
        let Pieces::Flat(kind, hashes) = &self.pieces else { return None };
        let at = (piece as usize).checked_mul(kind.bytes())?;
        hashes.get(at..at.checked_add(kind.bytes())?)
    }

    /// Returns the number of hashes of pieces.
    pub fn hashes(&self) -> u64 {
        match &self.pieces {
            Pieces::Flat(kind, hashes) => (hashes.len() / kind.bytes()) as u64,
            Pieces::Tree(level) => level.slices(),
            Pieces::Unknown => 0,
        }
    }

    /// Whether nothing speaks against these being the bytes of a piece. Without hashes of pieces
    /// nothing can.
    pub fn accepts(&self, piece: u32, bytes: &[u8]) -> bool {
        let mut check = self.check();
        check.update(bytes);
        self.confirms(piece, check)
    }

    /// Begins to hash a piece, whose bytes are added in any cuts.
    pub fn check(&self) -> Check {
        Check(match &self.pieces {
            Pieces::Flat(HashKind::Sha1, _) => State::Sha1(sha1::Sha1::new()),
            Pieces::Flat(HashKind::Sha256, _) => State::Sha256(Context::new(&SHA256)),
            Pieces::Tree(_) => State::Tree(TreeHasher::new()),
            Pieces::Unknown => State::Nothing,
        })
    }

    /// Whether the hashed bytes may be those of a piece; see [`accepts`](Proof::accepts).
    pub fn confirms(&self, piece: u32, check: Check) -> bool {
        match (check.0, &self.pieces) {
            (State::Sha1(hash), _) => self.flat_hash_of(piece) == Some(&hash.finish()[..]),
            (State::Sha256(hash), _) => self.flat_hash_of(piece) == Some(hash.finish().as_ref()),
            (State::Tree(hash), Pieces::Tree(level)) => level.node(piece.into()) == Some(&hash.finish()),
            (State::Nothing, Pieces::Unknown) => true,
            _ => false,
        }
    }

    /// Begins to hash the whole file, whose pieces are added in order. `None` if no hash of the whole
    /// is left to prove.
    pub fn check_whole(&self, file_bytes: u64) -> Option<WholeCheck> {
        // Its pieces prove the root of a tree.
        let tiger = self.whole.tiger.filter(|_| !self.is_by_piece());
        let whole = WholeHashes { tiger, ..self.whole };
        if whole.is_empty() {
            return None;
        }
        Some(WholeCheck {
            whole,
            file_bytes,
            sha1: whole.sha1.map(|_| sha1::Sha1::new()),
            sha256: whole.sha256.map(|_| Context::new(&SHA256)),
            nodes: (!self.is_by_piece()).then(Vec::new),
        })
    }
}

/// A piece that is being hashed.
#[derive(Clone)]
pub struct Check(State);

#[derive(Clone)]
enum State {
    Sha1(sha1::Sha1),
    Sha256(Context),
    Tree(TreeHasher),
    Nothing,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

impl Check {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha1(hash) => hash.update(bytes),
            State::Sha256(hash) => hash.update(bytes),
            State::Tree(hash) => hash.update(bytes),
            State::Nothing => {}
        }
    }
}

/// A whole file that is being hashed.
pub struct WholeCheck {
    whole: WholeHashes,
    file_bytes: u64,
    sha1: Option<sha1::Sha1>,
    sha256: Option<Context>,
    /// Roots of the pieces' tiger trees, for a file whose tree is not known.
    nodes: Option<Vec<u8>>,
}

impl std::fmt::Debug for WholeCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeCheck").field("whole", &self.whole).finish_non_exhaustive()
    }
}

impl WholeCheck {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        if let Some(hash) = &mut self.sha1 {
            hash.update(piece);
        }
        if let Some(hash) = &mut self.sha256 {
            hash.update(piece);
        }
        if let Some(nodes) = &mut self.nodes {
            nodes.extend_from_slice(&tiger_tree::root_of(piece));
        }
    }

    /// Checks the whole. Returns the tree that it proved, for a file whose tree was not known.
    ///
    /// # Errors
    /// The hash that differs.
    pub fn finish(self) -> Result<Option<Level>, Mismatch> {
        if self.sha1.map(sha1::Sha1::finish) != self.whole.sha1 {
            return Err(Mismatch("SHA-1"));
        }
        let sha256 = self.sha256.map(Context::finish);
        if sha256.as_ref().map(AsRef::as_ref) != self.whole.sha256.as_ref().map(|hash| &hash[..]) {
            return Err(Mismatch("SHA-256"));
        }
        let Some(nodes) = self.nodes else { return Ok(None) };
        debug_assert!(nodes.len().is_multiple_of(DIGEST_BYTES));
        let level = Level::of_nodes(self.file_bytes, nodes.into());
        match (level, self.whole.tiger) {
            (level, Some(root)) if level.as_ref().is_none_or(|level| level.root() != root) => {
                Err(Mismatch("tiger tree"))
            }
            (level, _) => Ok(level),
        }
    }
}

#[cfg(test)]
mod tests;
