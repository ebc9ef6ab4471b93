//! nginx as a reverse proxy with TLS in front of the program under test, as users run it.

use crate::process::Process;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running nginx.
pub struct Nginx {
    /// `https://localhost:PORT`
    pub origin: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it with its own certificate and these `location` blocks. `UPSTREAM` in them is
    /// replaced by `upstream`.
    #[track_caller]
    pub fn start(upstream: SocketAddr, locations: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        certificate(at);
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
        let locations = locations.replace("UPSTREAM", &format!("http://{upstream}"));
        let here = at.display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {here}/{of};\n"));
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log stderr warn;\n\
             events {{ worker_connections 128; }}\n\
             http {{ access_log off;\n{}server {{ listen {addr} ssl; server_name localhost;\n\
             ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;\n{locations}\n}} }}\n",
            temporary.concat()
        );
        let path = at.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(at).arg("-c").arg(&path);
        let process = Process::start("nginx", command);
        crate::wait_for("nginx", Duration::from_secs(20), || TcpStream::connect(addr).ok());
        Nginx { origin: format!("https://localhost:{}", addr.port()), _process: process, _folder: folder }
    }
}

fn certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl made no certificate: {}", String::from_utf8_lossy(&output.stderr));
}
