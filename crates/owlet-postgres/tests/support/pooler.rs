//! PgBouncer in front of the test server, in transaction mode.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{free_port, shell};
use super::server_url;

/// A running pooler; stopped when dropped, also if this process is killed.
pub struct Pooler {
    folder: tempfile::TempDir,
    port: u16,
    guard: Child,
}

impl Pooler {
    /// A pooler with this many server connections for each database.
    pub fn start(connections: usize) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
            .expect("permissions");
        let server: tokio_postgres::Config = server_url().parse().expect("a URL");
        let port = free_port();
        let tokio_postgres::config::Host::Tcp(host) = &server.get_hosts()[0] else {
            panic!("the test server is reached by TCP");
        };
        let password = String::from_utf8_lossy(server.get_password().expect("a password"));
        let settings = format!(
            "[databases]\n* = host={host} port={} user={} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n",
            server.get_ports()[0],
            server.get_user().expect("a user"),
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).expect("written");
        let guard = shell(
            folder.path(),
            &format!(
                "{} pgbouncer.ini > pooler.log 2>&1 < /dev/null & pooler=$!; cat > /dev/null; \
                 kill -INT $pooler 2> /dev/null; wait $pooler",
                program().display()
            ),
        )
        .stdin(Stdio::piped())
        .spawn()
        .expect("guard started");
        let pooler = Self {
            folder,
            port,
            guard,
        };
        pooler.wait();
        pooler
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://owlet@127.0.0.1:{}/{database}", self.port)
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the pooler does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.guard.stdin.take();
        let _ = self.guard.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("pooler.log"));
            eprintln!("{}", log.unwrap_or_default());
        }
    }
}

/// Debian keeps it where only administrators look.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
        .expect("pgbouncer is not installed: run me through `cargo xtask test`")
}
