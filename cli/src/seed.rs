//! `playswarm seed`: serves local files.

use crate::ExitCode;
use crate::args::SeedArgs;
use crate::create::{advance, progress_bar};
use crate::info;
use crate::log;
use crate::source;
use crate::stop::{self, Stop};
use crate::view::{self, View};
use anyhow::{Result, anyhow, bail};
use playswarm::{Metainfo, Session, Source, TorrentHandle};
use std::path::{Path, PathBuf};

pub(crate) async fn seed(args: &SeedArgs, view: view::Options) -> Result<ExitCode> {
    let mut config = args.network.config()?;
    let mut stop = Stop::new()?;
    // These are the user's own files.
    (config.read_only, config.seed_in_background) = (true, false);
    let Some(source) = source::given(&args.torrent, &mut stop).await? else { return Ok(ExitCode::SUCCESS) };
    let Some(source) = info::resolved(source, &config, None, view, &mut stop).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    // The folder is known only once the torrent is, and a session has one folder. A separate
    // session therefore fetches the metadata.
    let asking = Session::new(info::asking(&source, &config)).await?;
    let finding = View::opening(asking.clone(), &source, view);
    let described = stop.unless(asking.describe(source)).await;
    finding.stop().await;
    stop::close(&asking).await;
    let Some(torrent) = described else { return Ok(ExitCode::SUCCESS) };
    let torrent = torrent?;
    config.dir = folder_of(&args.path, &torrent)?;
    let session = Session::new(config).await?;
    let done = match stop.unless(check(&session, &torrent, view)).await {
        None => Ok(ExitCode::SUCCESS),
        Some(Err(e)) => Err(e),
        Some(Ok(media)) => {
            let at = session.listen_addr().map(|a| format!(" at {a}")).unwrap_or_default();
            log::out(&format!("seeding: {} {}{at}", torrent.info_hash, torrent.name));
            // Held here: without a view, nothing else keeps it open.
            let shown = View::start(media.clone(), view);
            stop.asked().await;
            shown.stop().await;
            drop(media);
            Ok(ExitCode::SUCCESS)
        }
    };
    stop::close(&session).await;
    done
}

async fn check(session: &Session, torrent: &Metainfo, view: view::Options) -> Result<TorrentHandle> {
    let media = session.open(Source::from(torrent)).await?;
    // Missing data is not fetched: these are the user's own files.
    media.fetch_all(false);
    let bar = progress_bar("checking", view.quiet);
    let verified = media.recheck(advance(&bar)).await;
    bar.finish_and_clear();
    let (verified, all) = (verified?, torrent.total_bytes());
    if verified == 0 {
        bail!("no piece of these files has the right hash; they belong to another torrent");
    }
    if verified < all && !view.quiet {
        log::line(&format!("{verified} of {all} bytes are verified; only those are seeded"));
    }
    Ok(media)
}

/// Returns the folder that contains the torrent's files: the path's parent, or the path itself.
fn folder_of(path: &Path, torrent: &Metainfo) -> Result<PathBuf> {
    // A torrent is named like the user's link, or like the target of the link.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = path.canonicalize().map_err(|e| anyhow!("cannot read {}: {e}", path.display()))?;
    let Some(file) = torrent.files.iter().find(|f| !f.padding && f.length > 0) else {
        bail!("this torrent has only empty files");
    };
    let around = |path: &Path| path.parent().map(Path::to_owned).into_iter().chain([path.to_owned()]);
    let found = around(&path).chain(around(&absolute)).find(|dir| dir.join(&file.path).is_file());
    found.ok_or_else(|| {
        anyhow!("{} does not contain the files of this torrent: {} was not found", path.display(), file.path.display())
    })
}
