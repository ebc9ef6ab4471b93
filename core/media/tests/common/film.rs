//! Films made by FFmpeg. Each is made once and kept in the target folder under a name derived from
//! its recipe.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A film and the FFmpeg recipe that makes it.
#[derive(Clone, Debug)]
pub struct Film {
    pub name: String,
    recipe: String,
    source: Option<Box<Film>>,
    alter: Option<fn(Vec<u8>) -> Vec<u8>>,
    content: Option<Arc<Vec<u8>>>,
}

impl Film {
    /// Creates a film by a recipe: the arguments between `ffmpeg` and the output file, separated by
    /// spaces.
    pub fn new(name: &str, recipe: &str) -> Film {
        Film { name: name.into(), recipe: recipe.into(), source: None, alter: None, content: None }
    }

    /// Creates a film from another film, whose path replaces `{}` in the recipe.
    pub fn of(source: &Film, name: &str, recipe: &str) -> Film {
        Film {
            name: name.into(),
            recipe: recipe.into(),
            source: Some(Box::new(source.clone())),
            alter: None,
            content: None,
        }
    }

    /// Creates a film by changing the bytes of another one, as damage and other muxers do.
    pub fn altered(source: &Film, name: &str, alter: fn(Vec<u8>) -> Vec<u8>) -> Film {
        Film { alter: Some(alter), ..Film::of(source, name, "altered") }
    }

    /// Creates a film of these bytes, which a test built.
    pub fn built(name: &str, content: Vec<u8>) -> Film {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let recipe = format!("built {:016x}", hasher.finish());
        Film { name: name.into(), recipe, source: None, alter: None, content: Some(Arc::new(content)) }
    }

    /// Returns its path, and makes the file if it does not exist.
    pub fn path(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.line().hash(&mut hasher);
        let path = folder().join(format!("{:016x}", hasher.finish())).join(&self.name);
        // The recipe does not contain the function that alters it, so such films are made anew.
        if let (Some(alter), Some(source)) = (self.alter, &self.source) {
            let scratch = path.with_file_name(format!("altering-{}-{}", std::process::id(), thread_number()));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&scratch, alter(source.bytes())).unwrap();
            std::fs::rename(&scratch, &path).unwrap();
        } else if !path.exists() {
            self.make(&path);
        }
        path
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    /// Returns a text of all that determines the content.
    fn line(&self) -> String {
        let source = self.source.as_ref().map(|s| s.line()).unwrap_or_default();
        format!("{source}\n{} {}", self.recipe, self.name)
    }

    /// Makes the film under a temporary name first, because tests run in parallel and may be
    /// interrupted.
    fn make(&self, path: &Path) {
        let scratch = path.with_file_name(format!("making-{}-{}", std::process::id(), thread_number()));
        std::fs::create_dir_all(&scratch).unwrap();
        let made = scratch.join(&self.name);
        if let Some(content) = &self.content {
            std::fs::write(&made, content.as_slice()).unwrap();
            std::fs::rename(&made, path).unwrap();
            return std::fs::remove_dir_all(&scratch).unwrap();
        }
        let source = self.source.as_ref().map(|s| s.path().display().to_string()).unwrap_or_default();
        // Bit-exact muxing leaves out FFmpeg's version and random numbers, so the film is the same
        // everywhere.
        let output = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
            .args(self.recipe.split_whitespace().map(|part| part.replace("{}", &source)))
            .args(["-fflags", "+bitexact"])
            .arg(&made)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ffmpeg cannot make {}: {printed}", self.name);
        std::fs::rename(&made, path).unwrap();
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}

fn thread_number() -> String {
    format!("{:?}", std::thread::current().id()).chars().filter(char::is_ascii_digit).collect()
}

/// Returns `target/tmp/films`. Cargo passes this path to tests, but not to examples, which are at
/// `target/*/examples`.
fn folder() -> PathBuf {
    let tmp = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from).unwrap_or_else(|| {
        let program = std::env::current_exe().unwrap();
        program.ancestors().nth(3).unwrap().join("tmp")
    });
    tmp.join("films")
}

/// Whether FFmpeg is installed. If not, the test reports it and is skipped; under
/// `PLAYSWARM_TEST_REQUIRE=1`, as in CI, that is a failure.
#[track_caller]
pub fn ffmpeg() -> bool {
    programs(&[("ffmpeg", "-version"), ("ffprobe", "-version")])
}

/// The same for any programs, each with the option that prints its version.
#[track_caller]
pub fn programs(needed: &[(&str, &str)]) -> bool {
    let missing = |(program, option): &&(&str, &str)| {
        let run = Command::new(program).arg(option).stdout(Stdio::null()).stderr(Stdio::null()).status();
        !run.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = needed.iter().filter(missing).map(|program| program.0).collect();
    if missing.is_empty() {
        return true;
    }
    let why = format!("these programs are not installed: {}", missing.join(", "));
    assert!(
        std::env::var_os("PLAYSWARM_TEST_REQUIRE").is_none_or(|v| v.is_empty() || v == "0"),
        "this test must not be skipped here, but {why}"
    );
    if let Some(path) = std::env::var_os("PLAYSWARM_TEST_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(file, "{test}: {why}");
    }
    eprintln!("skipped: {why}; `bash scripts/setup.sh --test` prepares a machine for all tests");
    false
}
