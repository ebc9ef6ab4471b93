//! Converts the library's errors for the program: the library names settings, the program its
//! options.

use playswarm::Error;

/// Options that correspond to settings.
const OPTIONS: &[(&str, &str)] = &[
    ("dir", "--dir"),
    ("disk_limit_bytes", "--disk-limit"),
    ("memory_limit_bytes", "--memory-limit"),
    ("seed_in_background", "--keep"),
    ("listen", "--listen"),
    ("interface", "--interface"),
    ("proxy", "--proxy"),
    ("blocklist", "--blocklist"),
    ("peers", "--peer"),
    ("dht", "--no-dht"),
    ("slot_index", "--no-slots"),
    ("accept_tree", "--accept-tree"),
    ("dht_bootstrap", "--dht-bootstrap"),
    ("max_peers", "--max-peers"),
    ("download_bytes_per_s", "--down-limit"),
    ("upload_bytes_per_s", "--up-limit"),
    ("http.listen", "--http"),
    ("token", "--token or --token-file"),
    ("allow_hosts", "--allow-host"),
    ("allow_origins", "--allow-origin"),
];

/// Returns an error as one sentence with its remedy.
pub(crate) fn of(e: &anyhow::Error) -> String {
    let Some(error) = e.downcast_ref::<Error>() else { return e.to_string() };
    match error {
        Error::BadConfig { name, why } => match option(name) {
            Some(option) => format!("{option} (setting {name}) cannot be used: {why}"),
            None => error.to_string(),
        },
        Error::Listen { addr, setting, source } => {
            let option = option(setting).unwrap_or(setting);
            format!("cannot listen on {addr}: {source}; choose another address with {option}")
        }
        Error::Storage { doing, .. } if doing.ends_with("the folder") => {
            format!("{error}; choose another folder with --dir")
        }
        Error::NoMetadata { .. } => format!("{error} with --peer"),
        Error::NothingPlayable => format!("{error} with --file"),
        Error::NoSuchFile { .. } => format!("{error}; `playswarm info` lists them"),
        _ => error.to_string(),
    }
}

fn option(setting: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(name, _)| *name == setting).map(|(_, option)| *option)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;
    use playswarm::Config;

    #[test]
    fn settings_are_named_by_their_options() {
        let mut config = Config::default();
        config.memory_limit_bytes = 1;
        let error = config.check().unwrap_err();
        assert!(!error.to_string().contains("--"), "{error}");
        let said = of(&error.into());
        assert!(said.starts_with("--memory-limit (setting memory_limit_bytes) cannot be used"), "{said}");
        let busy = std::io::ErrorKind::AddrInUse.into();
        let error = Error::Listen { addr: "127.0.0.1:80".parse().unwrap(), setting: "http.listen", source: busy };
        assert!(of(&error.into()).ends_with("choose another address with --http"));
    }

    #[test]
    fn every_option_that_is_named_is_one() {
        let help = Cli::command().find_subcommand_mut("stream").unwrap().render_long_help().to_string();
        for (_, options) in OPTIONS {
            for option in options.split(" or ") {
                assert!(help.contains(option), "{option}");
            }
        }
    }
}
