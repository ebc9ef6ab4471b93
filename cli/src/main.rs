//! The program `playswarm`. All of it is in the library beside this file, which `python -m playswarm` runs too.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(playswarm_cli::main_from(std::env::args_os()))
}
