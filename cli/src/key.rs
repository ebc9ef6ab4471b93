//! `playswarm key`: the file with a channel's secret key.

use crate::ExitCode;
use crate::log;
use crate::source::small_file;
use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use playswarm::live::{ChannelLink, channel_key, new_seed};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Write a new secret key to a file that does not exist yet, and print the channel's link
    New {
        /// File for the key
        file: PathBuf,
    },
    /// Print the link of the channel that a secret key leads to
    Show {
        /// File with the key
        file: PathBuf,
    },
}

pub(crate) fn key(command: &KeyCommand) -> Result<ExitCode> {
    let seed = match command {
        KeyCommand::New { file } => made(file)?,
        KeyCommand::Show { file } => read(file)?,
    };
    // The seed is not printed: its owner can cast to the channel.
    log::out(&format!("link: {}", ChannelLink::new(channel_key(&seed))));
    Ok(ExitCode::SUCCESS)
}

/// Returns the seed in a key file, which is made if there is none.
pub(crate) fn of(path: &Path) -> Result<[u8; 32]> {
    if path.exists() { read(path) } else { made(path) }
}

fn read(path: &Path) -> Result<[u8; 32]> {
    let text = small_file(path)?;
    from_hex(&text).ok_or_else(|| anyhow!("{} is no key of a channel, which has 64 hexadecimal digits", path.display()))
}

/// Makes a key file for its owner alone. An existing file is not changed.
fn made(path: &Path) -> Result<[u8; 32]> {
    let seed = new_seed()?;
    let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path).and_then(|mut file| writeln!(file, "{text}")) {
        Ok(()) => Ok(seed),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already and was not changed; choose another name for the key", path.display())
        }
        Err(e) => bail!("cannot write the key to {}: {e}", path.display()),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("channel.key");
        let seed = of(&path).unwrap();
        assert_eq!(of(&path).unwrap(), seed);
        assert!(made(&path).unwrap_err().to_string().contains("was not changed"));
        assert_eq!(of(&path).unwrap(), seed);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "no key").unwrap();
        assert!(of(&path).unwrap_err().to_string().contains("is no key of a channel"));
        assert!(from_hex(&"é0".repeat(32)).is_none());
    }
}
