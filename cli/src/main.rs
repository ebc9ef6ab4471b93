//! The program `playswarm`. All its code is in the library beside this file, which `python -m
//! playswarm` runs as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(playswarm_cli::main_from(std::env::args_os()))
}
