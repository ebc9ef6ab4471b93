//! The metainfo of a torrent, and its creation.

use crate::errors;
use crate::job::{Job, Progress};
use playswarm::metainfo::{content_type, is_playable};
use playswarm::{ChooseFile, CreateOptions, Error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::Arc;

/// A validated torrent.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Metainfo {
    pub(crate) torrent: Arc<playswarm::Metainfo>,
}

/// Path, name, length, offset, padding, media type, playable.
type File = (PathBuf, String, u64, u64, bool, &'static str, bool);

#[pymethods]
impl Metainfo {
    /// Parses the content of a `.torrent` file.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Metainfo> {
        let torrent = playswarm::Metainfo::from_bytes(data).map_err(|e| errors::to_python(py, &e.into()))?;
        Ok(Metainfo { torrent: Arc::new(torrent) })
    }

    #[getter]
    fn info_hash(&self) -> String {
        self.torrent.info_hash.to_string()
    }

    #[getter]
    fn name(&self) -> &str {
        &self.torrent.name
    }

    #[getter]
    fn total_bytes(&self) -> u64 {
        self.torrent.total_bytes()
    }

    #[getter]
    fn piece_bytes(&self) -> u32 {
        self.torrent.piece_bytes()
    }

    #[getter]
    fn pieces(&self) -> u32 {
        self.torrent.pieces()
    }

    #[getter]
    fn private(&self) -> bool {
        self.torrent.private
    }

    #[getter]
    fn trackers(&self) -> Vec<String> {
        self.torrent.trackers.urls().map(str::to_owned).collect()
    }

    /// Returns the files: path, name, length, offset, padding, media type, playable.
    fn files(&self) -> Vec<File> {
        let files = self.torrent.files.iter();
        files
            .map(|f| {
                let playable = !f.padding && is_playable(&f.name);
                (f.path.clone(), f.name.clone(), f.length, f.offset, f.padding, content_type(&f.name), playable)
            })
            .collect()
    }

    fn default_file(&self, py: Python<'_>) -> PyResult<usize> {
        self.torrent.default_file().map_err(|e| errors::to_python(py, &e))
    }

    fn find_file(&self, py: Python<'_>, wanted: &str) -> PyResult<usize> {
        self.torrent.find_file(wanted).map_err(|e| errors::to_python(py, &e))
    }

    fn magnet(&self) -> String {
        self.torrent.link().unwrap_or_default()
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.torrent.to_torrent_bytes().ok_or_else(|| {
            let why = "a file that a hash names has no torrent file; share its link (the property magnet)";
            errors::to_python(py, &Error::BadArgument(why.to_owned()))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }
}

/// Hashes a file or folder. Returns the torrent, the bytes of its `.torrent` file, and the omitted
/// files with reasons.
#[pyfunction]
#[pyo3(signature = (path, *, piece_bytes=None, trackers=Vec::new(), private=false, comment=None, name=None))]
pub(crate) fn create_torrent(
    path: PathBuf,
    piece_bytes: Option<u32>,
    trackers: Vec<String>,
    private: bool,
    comment: Option<String>,
    name: Option<String>,
) -> Job {
    let progress = Arc::new(Progress::default());
    let told = progress.clone();
    let mut options = CreateOptions::default();
    (options.piece_bytes, options.trackers, options.private) = (piece_bytes, trackers, private);
    (options.comment, options.name) = (comment, name);
    let work = async move { playswarm::create_torrent(path, options, move |done, total| told.tell(done, total)).await };
    Job::with_progress("hashing", progress, work, |py, made| {
        let torrent = Bound::new(py, Metainfo { torrent: Arc::new(made.torrent) })?;
        let left_out: Vec<(PathBuf, String)> = made.left_out.into_iter().map(|l| (l.path, l.why)).collect();
        Ok((torrent, PyBytes::new(py, &made.bytes), left_out).into_pyobject(py)?.into_any().unbind())
    })
}
