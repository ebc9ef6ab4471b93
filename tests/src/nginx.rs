//! nginx: a reverse proxy with TLS in front of the program under test, as users run it, and a server of
//! files.

use crate::place::Place;
use crate::process::Process;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running nginx.
pub struct Nginx {
    /// `https://localhost:PORT` of a proxy, `http://127.0.0.1:PORT` of a server of files.
    pub origin: String,
    process: Process,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it with its own certificate and these `location` blocks. `UPSTREAM` in them is
    /// replaced by `upstream`.
    #[track_caller]
    pub fn start(upstream: SocketAddr, locations: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let locations = locations.replace("UPSTREAM", &format!("http://{upstream}"));
        let here = folder.path().display();
        let server = format!(
            "server_name localhost; ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;\n{locations}"
        );
        let (process, port) = launch(folder.path(), " ssl", &server);
        Nginx { origin: format!("https://localhost:{port}"), process, folder }
    }

    /// Serves the files below a folder over plain HTTP.
    #[track_caller]
    pub fn files(root: &Path) -> Nginx {
        Nginx::with(root, "")
    }

    /// Serves the files below a folder over plain HTTP, with further directives in the server's block.
    #[track_caller]
    pub fn with(root: &Path, directives: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let (log, root) = (folder.path().join("access"), root.display());
        let server = format!("access_log {} uri; root {root};\n{directives}", log.display());
        let (process, port) = launch(folder.path(), "", &server);
        Nginx { origin: format!("http://127.0.0.1:{port}"), process, folder }
    }

    /// Serves the files below a folder over plain HTTP at a place of a shaped network, with further
    /// directives in the server's block.
    #[track_caller]
    pub fn at(place: &Place, addr: SocketAddr, root: &Path, directives: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let process = launch_at(place, addr, folder.path(), "", &format!("root {};\n{directives}", root.display()));
        Nginx { origin: format!("http://{addr}"), process, folder }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill9();
    }

    /// Serves the files below a folder over HTTPS, with a certificate that no authority signed.
    #[track_caller]
    pub fn secure(root: &Path) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let here = folder.path().display();
        let server =
            format!("root {}; ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;", root.display());
        let (process, port) = launch(folder.path(), " ssl", &server);
        Nginx { origin: format!("https://localhost:{port}"), process, folder }
    }

    /// Returns the file of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Returns the paths that were requested of a server of files, as they were sent.
    pub fn requested(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("access")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// Starts nginx with one server on an address of its own. Returns it with the port.
#[track_caller]
fn launch(folder: &Path, listen: &str, server: &str) -> (Process, u16) {
    let addr = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
    (launch_at(&Place::Here, addr, folder, listen, server), addr.port())
}

/// Starts nginx with one server on this address.
#[track_caller]
fn launch_at(place: &Place, addr: SocketAddr, folder: &Path, listen: &str, server: &str) -> Process {
    let here = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {here}/{of};\n"));
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr warn;\n\
         events {{ worker_connections 128; }}\n\
         http {{ log_format uri '$request_uri'; access_log off;\n{}server {{ listen {addr}{listen};\n{server}\n}} }}\n",
        temporary.concat()
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = place.command("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(&path);
    let process = Process::start("nginx", command);
    crate::wait_for("nginx", Duration::from_secs(20), || place.connect(addr, Duration::from_secs(5)).ok());
    process
}

fn certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl made no certificate: {}", String::from_utf8_lossy(&output.stderr));
}
