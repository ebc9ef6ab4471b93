//! Players: detection, command lines for opening a URL, and waiting for their end.

use crate::ExitCode;
use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The content that a player should play.
#[derive(Clone, Debug, Default)]
pub(crate) struct Show {
    pub(crate) url: String,
    /// Start time.
    pub(crate) at: Option<Duration>,
    /// URLs of its subtitles, which are answered at once.
    pub(crate) subtitles: Vec<String>,
    /// A script for mpv that adds the same subtitles during playback.
    pub(crate) subtitle_script: Option<PathBuf>,
}

/// A program that opens a URL.
pub(crate) struct Player {
    program: String,
    args: Vec<String>,
    /// Whether the process ends with the player. A desktop's opener passes the URL on and ends at
    /// once.
    ends_with_player: bool,
}

/// Known players, best first: program, its arguments, whether it ends when the player ends.
const KNOWN: &[(&str, &[&str], bool)] = &[
    ("mpv", &["--msg-level=all=error"], true),
    ("vlc", &["--play-and-exit", "--quiet"], true),
    ("cvlc", &["--play-and-exit", "--quiet"], true),
    #[cfg(target_os = "macos")]
    ("open", &[], false),
    #[cfg(not(target_os = "macos"))]
    ("xdg-open", &[], false),
];

/// Returns the first installed player.
pub(crate) fn find() -> Option<Player> {
    KNOWN.iter().find(|(program, ..)| is_installed(program)).map(|&(program, args, ends_with_player)| Player {
        program: program.into(),
        args: args.iter().map(|a| (*a).into()).collect(),
        ends_with_player,
    })
}

/// Returns the player that the user names, else the first installed one.
pub(crate) fn chosen(command: Option<&str>) -> Result<Player> {
    match command {
        Some(command) => Player::from_command(command),
        None => find().ok_or_else(|| {
            anyhow!("no player was found; install mpv or VLC, choose one with --player, or use `playswarm stream`")
        }),
    }
}

/// Whether a command can be started, by its path or by the shell's search path.
fn is_installed(program: &str) -> bool {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return is_program(path);
    }
    std::env::var_os("PATH").is_some_and(|dirs| std::env::split_paths(&dirs).any(|dir| is_program(&dir.join(path))))
}

fn is_program(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.with_extension("exe").is_file()
}

impl Player {
    /// Parses a command such as `mpv --fs` or `myplayer --open {url} --loud`. Spaces separate
    /// words; quotes keep words together.
    pub(crate) fn from_command(command: &str) -> Result<Player> {
        let player = Player::parse(command)?;
        if !is_installed(&player.program) {
            bail!("the player {} was not found; install it, or choose another with --player", player.program);
        }
        Ok(player)
    }

    fn parse(command: &str) -> Result<Player> {
        let mut words = split(command)?.into_iter();
        let Some(program) = words.next() else { bail!("--player is empty; write the command of a player") };
        Ok(Player { program, args: words.collect(), ends_with_player: true })
    }

    /// Whether it accepts a start time.
    pub(crate) fn takes_time(&self) -> bool {
        self.names_time() || !matches!(self.kind(), Kind::Other)
    }

    fn names_time(&self) -> bool {
        self.args.iter().any(|a| a.contains("{time}"))
    }

    /// Returns the player whose options it understands, by its name.
    fn kind(&self) -> Kind {
        match Path::new(&self.program).file_stem().and_then(|name| name.to_str()) {
            Some("mpv") => Kind::Mpv,
            Some("vlc" | "cvlc") => Kind::Vlc,
            _ => Kind::Other,
        }
    }

    /// Returns its command line for the given content.
    fn arguments(&self, show: &Show) -> Vec<String> {
        let seconds = format!("{:.3}", show.at.unwrap_or_default().as_secs_f64());
        let mut args = Vec::new();
        let at = show.at.filter(|_| !self.names_time());
        match self.kind() {
            Kind::Mpv => {
                args.extend(at.map(|_| format!("--start={seconds}")));
                args.extend(show.subtitle_script.iter().map(|script| format!("--script={}", script.display())));
            }
            Kind::Vlc => {
                args.extend(at.map(|_| format!("--start-time={seconds}")));
                // VLC's --sub-file takes local files only; slaves are URLs with '#' between them.
                if !show.subtitles.is_empty() {
                    args.push(format!("--input-slave={}", show.subtitles.join("#")));
                }
            }
            Kind::Other => {}
        }
        // Before the user's own arguments, which take precedence.
        args.extend(self.args.iter().map(|a| a.replace("{url}", &show.url).replace("{time}", &seconds)));
        if !self.args.iter().any(|a| a.contains("{url}")) {
            args.push(show.url.clone());
        }
        args
    }

    /// Starts it.
    pub(crate) fn open(self, show: &Show) -> Result<Running> {
        let child = Command::new(&self.program)
            .args(self.arguments(show))
            // Our standard output carries one line for scripts; a player's output is for people.
            .stdout(Stdio::from(std::io::stderr()))
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| anyhow!("cannot start the player {}: {e}; choose another with --player", self.program))?;
        Ok(Running { child, name: self.program, ends_with_player: self.ends_with_player })
    }
}

/// Players whose options are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mpv,
    Vlc,
    Other,
}

/// A player that was started.
pub(crate) struct Running {
    child: Child,
    name: String,
    ends_with_player: bool,
}

impl Running {
    /// Waits for its end. Returns its exit code, or 128 and the signal's number if it was killed.
    pub(crate) async fn ended(&mut self) -> Result<ExitCode> {
        let status = self.child.wait().await.map_err(|e| anyhow!("cannot wait for the player {}: {e}", self.name))?;
        if !self.ends_with_player && status.success() {
            // The player runs in another process, and its end cannot be detected.
            return std::future::pending().await;
        }
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)));
        }
        Ok(ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)))
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        if let Err(e) = self.child.start_kill() {
            tracing::debug!(error = %e, "the player had already ended");
        }
    }
}

fn split(command: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("--player has an unclosed quote");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn show(url: &str) -> Show {
        Show { url: url.into(), ..Show::default() }
    }

    #[test]
    fn each_player_gets_the_time_and_the_subtitles_by_its_own_options() {
        let subtitles = vec!["http://x/1.srt".to_owned(), "http://x/2.srt".to_owned()];
        let script = Some(PathBuf::from("/t/s.lua"));
        let at = Some(Duration::from_millis(83_500));
        let show = Show { url: "http://x/f".into(), at, subtitles, subtitle_script: script };
        let arguments = |command: &str| Player::parse(command).unwrap().arguments(&show);
        assert_eq!(arguments("/usr/bin/mpv --fs"), ["--start=83.500", "--script=/t/s.lua", "--fs", "http://x/f"]);
        assert_eq!(
            arguments("cvlc"),
            ["--start-time=83.500", "--input-slave=http://x/1.srt#http://x/2.srt", "http://x/f"]
        );
        assert_eq!(arguments("ffplay -ss {time} {url} -an"), ["-ss", "83.500", "http://x/f", "-an"]);
        assert_eq!(arguments("mpv --start={time}")[1..], ["--start=83.500", "http://x/f"]);
        assert!(!Player::parse("ffplay").unwrap().takes_time());
        assert!(Player::parse("ffplay -ss {time}").unwrap().takes_time());
        let plain = Show { at: None, subtitles: Vec::new(), subtitle_script: None, ..show.clone() };
        assert_eq!(Player::parse("mpv").unwrap().arguments(&plain), ["http://x/f"]);
        assert_eq!(Player::parse("x {time}").unwrap().arguments(&plain), ["0.000", "http://x/f"]);
    }

    #[test]
    fn a_command_is_split_into_words_as_in_a_shell() {
        assert_eq!(split("mpv --fs").unwrap(), ["mpv", "--fs"]);
        assert_eq!(split("  '/my player/x'  --title=\"a b\" '' ").unwrap(), ["/my player/x", "--title=a b", ""]);
        assert!(split("mpv 'x").is_err());
        assert!(Player::parse(" ").is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_players_exit_code_is_handed_on_and_the_url_put_in_its_place() {
        let player = Player::parse("sh -c 'test \"$0\" = \"--at=http://x/\" && exit 7' --at={url}").unwrap();
        let code = player.open(&show("http://x/")).unwrap().ended().await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(7)));
        let player = Player::parse("sh -c 'test \"$0\" = http://x/ && kill -9 $$'").unwrap();
        let code = player.open(&show("http://x/")).unwrap().ended().await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(137)));
    }

    #[test]
    fn a_player_that_is_not_there_is_a_sentence_before_anything_is_opened() {
        for command in ["/no/such/player", "no-such-player --fs {url}", "/etc", "/etc/passwd", "."] {
            let error = Player::from_command(command).err().unwrap();
            assert!(error.to_string().contains("was not found"), "{error}");
        }
        assert!(Player::from_command("sh").is_ok() && Player::from_command("/bin/sh -c true").is_ok());
    }
}
