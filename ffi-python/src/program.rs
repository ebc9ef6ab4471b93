//! The program `playswarm`, run by `python -m playswarm` with the same code.

use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the program with its arguments; the first is the program's name. Returns its exit code.
#[pyfunction]
pub(crate) fn run_program(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| playswarm_cli::main_from(args))
}
