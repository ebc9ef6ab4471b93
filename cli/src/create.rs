//! `playswarm create`: makes a torrent from a file or folder.

use crate::ExitCode;
use crate::args::CreateArgs;
use crate::stop::Stop;
use crate::{log, view};
use anyhow::{Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use playswarm::{CreateOptions, Created, create_torrent};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Most omitted files and folders that are named. Further ones are counted.
const LISTED: usize = 20;

pub(crate) async fn create(args: &CreateArgs, view: view::Options) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let output = match &args.output {
        Some(path) => path.clone(),
        None => default_output(&args.path)?,
    };
    // Before the hashing, since a large folder takes minutes.
    if output.exists() && !args.force {
        bail!("{} already exists; choose another file with --output, or overwrite it with --force", output.display());
    }
    if is_shared(&output, &args.path) {
        bail!("{} is one of the shared files; choose another file with --output", output.display());
    }
    let piece_bytes = match args.piece_size {
        None => None,
        Some(n) => Some(u32::try_from(n).map_err(|_| anyhow!("--piece-size is at most 64MiB"))?),
    };
    let mut options = CreateOptions::default();
    options.piece_bytes = piece_bytes;
    options.trackers.clone_from(&args.tracker);
    options.private = args.private;
    let bar = progress_bar("checking", view.quiet);
    let made = stop.unless(create_torrent(&args.path, options, advance(&bar))).await;
    bar.finish_and_clear();
    let Some(made) = made else { bail!("stopped; nothing was written") };
    let made = made?;
    if !view.quiet {
        report_omitted(&made, &args.path);
    }
    write(&output, &made.bytes, args.force)?;
    log::print(&format!("torrent: {}\nmagnet: {}", output.display(), made.torrent.link().unwrap_or_default()))?;
    Ok(ExitCode::SUCCESS)
}

/// Lists the content of the folder that is not in the torrent, with the reasons.
fn report_omitted(made: &Created, folder: &Path) {
    let all = made.left_out.len() + made.left_out_more;
    if all == 0 {
        return;
    }
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    log::line(&format!("not in the torrent ({all}):"));
    for left_out in made.left_out.iter().take(LISTED) {
        let path = left_out.path.strip_prefix(&root).unwrap_or(&left_out.path);
        log::line(&format!("  {}: {}", path.display().to_string().replace(char::is_control, "\u{fffd}"), left_out.why));
    }
    if all > LISTED {
        log::line(&format!("  and {} more", all - LISTED));
    }
}

/// Returns a callback that moves a progress bar: bytes done, bytes in total.
pub(crate) fn advance(bar: &ProgressBar) -> impl Fn(u64, u64) + Send + Sync + 'static {
    let bar = bar.clone();
    move |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    }
}

/// Returns a progress bar with bytes, rate and the remaining time.
pub(crate) fn progress_bar(doing: &'static str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = "{msg} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    log::screen().add(ProgressBar::new(0).with_style(style.progress_chars("#+.")).with_message(doing))
}

fn default_output(path: &Path) -> Result<PathBuf> {
    // `.` and `..` have a name only once they are resolved.
    let whole = path.canonicalize().map_err(|e| anyhow!("cannot read {}: {e}", path.display()))?;
    let Some(name) = path.file_name().or(whole.file_name()) else {
        bail!("{} has no name; choose one with --output", path.display())
    };
    let mut name = name.to_owned();
    name.push(".torrent");
    Ok(name.into())
}

/// Whether an existing file is part of the torrent's content.
fn is_shared(output: &Path, path: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(output).zip(whole(path)).is_some_and(|(output, path)| output.starts_with(path))
}

fn write(output: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
    let written = match output.metadata() {
        // Replaces the old file as a whole. Its content stays unchanged under its other hard links.
        Ok(old) if force && old.is_file() => {
            let mut beside = output.as_os_str().to_owned();
            beside.push(".new");
            let beside = Path::new(&beside);
            let replaced = new(beside).and_then(|mut file| {
                let written = file.write_all(bytes).and_then(|()| std::fs::rename(beside, output));
                // The old file is still there.
                written.inspect_err(|_| drop(std::fs::remove_file(beside)))
            });
            replaced.map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => std::io::Error::other(format!("{} is not a plain file", beside.display())),
                _ => e,
            })
        }
        // A pipe or a device.
        Ok(_) if force => OpenOptions::new().write(true).open(output).and_then(|mut file| file.write_all(bytes)),
        _ => new(output).and_then(|mut file| file.write_all(bytes)),
    };
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => anyhow!("{} already exists; overwrite it with --force", output.display()),
        _ => anyhow!("cannot write {}: {e}; choose another file with --output", output.display()),
    })
}
