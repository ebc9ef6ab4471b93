//! Apache and lighttpd as servers of files, beside [`crate::nginx`].

use crate::place::Place;
use crate::process::Process;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Apache's HTTP server 2.4.
    Apache,
    /// lighttpd 1.4.
    Lighttpd,
}

impl Program {
    /// Returns the name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Program::Apache => "apache2",
            Program::Lighttpd => "lighttpd",
        }
    }

    /// Returns its configuration for files below `root` at a port of this machine.
    fn config(self, root: &Path, here: &Path, port: u16) -> String {
        let (root, here) = (root.display(), here.display());
        match self {
            Program::Apache => format!(
                "ServerRoot {here}\nServerName localhost\nPidFile {here}/pid\nMutex file:{here}\n\
                 LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
                 LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
                 User www-data\nGroup www-data\nListen 127.0.0.1:{port}\nErrorLog /dev/stderr\n\
                 DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
            ),
            Program::Lighttpd => {
                format!("server.document-root = \"{root}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n")
            }
        }
    }
}

/// A running web server.
pub struct WebServer {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl WebServer {
    /// Serves the files of a folder. Apache reads them as another user, so it gets copies.
    #[track_caller]
    pub fn files(program: Program, files: &Path) -> WebServer {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("files");
        std::fs::create_dir(&root).unwrap();
        for entry in std::fs::read_dir(files).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), root.join(entry.file_name())).unwrap();
        }
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, program.config(&root, folder.path(), addr.port())).unwrap();
        let mut command = Place::Here.command(program.name());
        command.arg(if program == Program::Apache { "-X" } else { "-D" }).arg("-f").arg(&config);
        let process = Process::start(program.name(), command);
        crate::wait_for(program.name(), Duration::from_secs(20), || std::net::TcpStream::connect(addr).ok());
        WebServer { origin: format!("http://{addr}"), _process: process, _folder: folder }
    }
}
