//! The program `playswarm`, run by `python -m playswarm`: the very same code.

use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the program with its arguments, the program's name first; gives its exit code.
#[pyfunction]
pub(crate) fn run_program(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| playswarm_cli::main_from(args))
}
