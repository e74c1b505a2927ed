//! A MariaDB server of a test's own, for tests that kill the server or need its settings; and a proxy that cuts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A running server; stopped and removed when dropped, also if this process is killed.
pub struct Server {
    folder: tempfile::TempDir,
    pub port: u16,
    guard: Child,
}

impl Server {
    /// A server with these settings, e.g. `--max-connections=5`. Its user `owlet` may do everything.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_prepared(settings, "")
    }

    /// `prepare` is shell text that runs in the server's folder, as the server's user, before the start.
    pub fn start_prepared(settings: &[&str], prepare: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
            .expect("permissions");
        std::fs::write(
            folder.path().join("init.sql"),
            "CREATE USER IF NOT EXISTS owlet IDENTIFIED BY 'owlet';\nGRANT ALL PRIVILEGES ON *.* TO owlet WITH GRANT OPTION;\n",
        )
        .expect("written");
        run(
            folder.path(),
            "mariadb-install-db --no-defaults --datadir=$PWD/data --tmpdir=$PWD --auth-root-authentication-method=normal \
             --skip-test-db > install.log 2>&1",
        );
        if !prepare.is_empty() {
            run(folder.path(), prepare);
        }
        let port = free_port();
        let guard = start_server(folder.path(), port, settings);
        let server = Self {
            folder,
            port,
            guard,
        };
        server.wait();
        server
    }

    /// A server that replicates all of another, which was started with a binary log.
    pub fn replica(primary: &Self) -> Self {
        Self::replica_with(primary, &[])
    }

    /// A replica with further settings.
    pub fn replica_with(primary: &Self, settings: &[&str]) -> Self {
        let settings = [&["--server-id=2", "--read-only=1"], settings].concat();
        let replica = Self::start(&settings);
        replica.execute(&format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='owlet', MASTER_PASSWORD='owlet', \
             MASTER_USE_GTID=slave_pos; START SLAVE",
            primary.port
        ));
        replica
    }

    /// Runs statements by the server's own client; the answer's first line.
    pub fn execute(&self, sql: &str) -> String {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "-uowlet", "-powlet", "-N", "-B", "-e", sql])
            .arg(format!("--socket={}", self.socket().display()))
            .output()
            .expect("mariadb");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Waits until a query's answer is this.
    pub fn until(&self, sql: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.execute(sql) != wanted {
            assert!(Instant::now() < deadline, "{sql} does not become {wanted}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("socket")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("mysql://owlet:owlet@127.0.0.1:{}", self.port)
    }

    /// Kills the server without any goodbye.
    pub fn kill(&self) {
        run(self.folder.path(), "kill -9 $(cat server.pid)");
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // The init file has run when the user can log in; the greeting comes before.
            let answer = Command::new("mariadb")
                .args(["--no-defaults", "-uowlet", "-powlet", "-e", "DO 1"])
                .arg(format!("--socket={}", self.socket().display()))
                .stderr(Stdio::null())
                .status()
                .expect("mariadb");
            if answer.success() {
                return;
            }
            let log =
                std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "the server does not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard waits for the end of its input, then stops the server.
        self.guard.stdin.take();
        let _ = self.guard.wait();
    }
}

fn start_server(folder: &Path, port: u16, settings: &[&str]) -> Child {
    let script = format!(
        "mariadbd --no-defaults --datadir=$PWD/data --tmpdir=$PWD --port={port} --bind-address=127.0.0.1 --socket=$PWD/socket \
         --pid-file=$PWD/server.pid --init-file=$PWD/init.sql --innodb-flush-log-at-trx-commit=0 \
         --innodb-buffer-pool-size=64M {} > server.log 2>&1 </dev/null & server=$!; \
         while read -r _; do :; done; kill -9 $server 2>/dev/null; wait $server 2>/dev/null",
        settings.join(" ")
    );
    shell(folder, &script)
        .stdin(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Shell text that makes a certificate authority (`ca.crt`), another one (`other.crt`), a server certificate of the first
/// for the name `localhost` only (`server.crt`), and one that is its own authority (`self.crt`).
pub const CERTIFICATES: &str = "\
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test Authority' -keyout ca.key -out ca.crt \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' 2> openssl.log && \
openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr 2>> openssl.log && \
printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > server.ext && \
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext \
    -out server.crt 2>> openssl.log && \
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Other Authority' -keyout other.key -out other.crt \
    2>> openssl.log && \
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=localhost' -keyout self.key -out self.crt \
    -addext 'subjectAltName=DNS:localhost' -addext 'basicConstraints=critical,CA:FALSE' 2>> openssl.log && \
openssl rsa -in server.key -pubout -out server.pub 2>> openssl.log && \
chmod 644 *.crt *.key";

/// Those certificates in a folder of their own.
pub fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    let status = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(folder.path())
        .status()
        .expect("a shell");
    assert!(status.success());
    folder
}

fn run(folder: &Path, script: &str) {
    let status = shell(folder, script).status().expect("a shell");
    let log = std::fs::read_to_string(folder.join("install.log")).unwrap_or_default();
    assert!(status.success(), "{script}: {log}");
}

/// As the unprivileged user where tests run as root: servers refuse root.
fn shell(folder: &Path, script: &str) -> Command {
    let mut command = match std::env::var("OWLET_TEST_POSTGRES_USER") {
        Ok(user) => {
            let mut command = Command::new("su");
            command.args([&user, "-s", "/bin/sh", "-c", script]);
            command
        }
        Err(_) => {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }
    };
    command.current_dir(folder);
    command
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}

/// A proxy that forwards to a server and cuts every connection that has brought more than a number of bytes.
pub struct CuttingProxy {
    pub port: u16,
    limit: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl CuttingProxy {
    /// Forwards everything until [`CuttingProxy::cut_after`] is called.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let limit = Arc::new(AtomicUsize::new(usize::MAX));
        let closed = Arc::new(AtomicBool::new(false));
        let (shared_limit, shared_closed) = (Arc::clone(&limit), Arc::clone(&closed));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared_closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                let (up_client, up_server) = (
                    client.try_clone().expect("cloned"),
                    server.try_clone().expect("cloned"),
                );
                let unlimited = Arc::new(AtomicUsize::new(usize::MAX));
                std::thread::spawn(move || forward(up_client, up_server, &unlimited));
                let limit = Arc::clone(&shared_limit);
                std::thread::spawn(move || forward(server, client, &limit));
            }
        });
        Self {
            port,
            limit,
            closed,
        }
    }

    /// From now on a connection is cut once it has brought this many bytes.
    pub fn cut_after(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, limit: &AtomicUsize) {
    let mut buffer = [0_u8; 4096];
    let mut total = 0_usize;
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                total += length;
                if total > limit.load(Ordering::Relaxed) || to.write_all(&buffer[..length]).is_err()
                {
                    break;
                }
            }
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
