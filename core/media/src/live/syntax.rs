//! The contract between the splitter and the containers.

use super::Unsplittable;
use std::fmt::Debug;

/// Most bytes that are looked at before what is in front is judged: init bytes, the header of a
/// fragment, the sound before a picture.
pub(super) const MAX_LOOK: usize = super::MAX_INIT_BYTES;

/// Longest element. A fragment of ten seconds at 50 Mbit/s is as long. A longer one is damage: what
/// follows would be without restart points.
pub(super) const MAX_ELEMENT: u64 = 64 << 20;

/// A judgement of the bytes in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes in front are needed for a judgement.
    Need(usize),
    /// What so many bytes are. They need not be there yet.
    Take(u64, Role),
}

/// What bytes of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// In the init bytes, and not passed on.
    Init,
    /// Passed on.
    Unit,
    /// Passed on, and a player can begin with them. Has their time in microseconds if it is known.
    Restart(Option<i64>),
    /// Of no use to players.
    Damage,
}

impl Role {
    /// Whether players get the bytes as a unit.
    pub(super) fn is_passed_on(self) -> bool {
        matches!(self, Role::Unit | Role::Restart(_))
    }
}

/// A container's reader.
pub(super) trait Syntax: Debug + Send {
    /// Judges the bytes in front, of which there is at least one. At the end of the stream
    /// (`ended`), those that cannot be judged are left out.
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable>;

    /// Returns the init bytes.
    fn init(&self) -> &[u8];

    /// Returns the usual file extension, if there is one.
    fn extension(&self) -> Option<&'static str>;

    /// Declares that a player can begin with the bytes that come next.
    fn mark_restart(&mut self) {}
}

/// A stream of an unknown container.
#[derive(Debug)]
pub(super) struct Opaque {
    restart: bool,
}

impl Opaque {
    /// A player can begin at the beginning.
    pub(super) fn new() -> Opaque {
        Opaque { restart: true }
    }
}

impl Syntax for Opaque {
    fn next(&mut self, bytes: &[u8], _ended: bool) -> Result<Step, Unsplittable> {
        let role = if std::mem::take(&mut self.restart) { Role::Restart(None) } else { Role::Unit };
        Ok(Step::Take(bytes.len() as u64, role))
    }

    fn init(&self) -> &[u8] {
        &[]
    }

    fn extension(&self) -> Option<&'static str> {
        None
    }

    fn mark_restart(&mut self) {
        self.restart = true;
    }
}
