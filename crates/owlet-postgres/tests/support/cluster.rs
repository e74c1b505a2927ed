//! A PostgreSQL cluster of a test's own, for tests that stop the server or need its certificates.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; stopped and removed when dropped, also if this process is killed.
pub struct Cluster {
    folder: tempfile::TempDir,
    pub port: u16,
    guard: Child,
}

impl Cluster {
    /// A cluster whose server is started with these settings. `prepare` is shell text that runs in the cluster's
    /// folder, as the server's user, before the start.
    pub fn start(settings: &[&str], prepare: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
            .expect("permissions");
        let programs = super::server_programs();
        let programs = programs.display();
        run(
            folder.path(),
            &format!(
                "echo owlet > password && {programs}/initdb --username=owlet --auth=scram-sha-256 --no-sync \
                 --pwfile=password --locale=C.UTF-8 --encoding=UTF8 --pgdata=data > initdb.log 2>&1"
            ),
        );
        if !prepare.is_empty() {
            run(folder.path(), prepare);
        }
        let port = free_port();
        let guard = start_server(folder.path(), port, settings);
        let cluster = Self {
            folder,
            port,
            guard,
        };
        cluster.wait();
        cluster
    }

    /// A hot standby that streams from a primary.
    pub fn replica(primary: &Self, programs: &Path) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
            .expect("permissions");
        run(
            folder.path(),
            &format!(
                "{}/pg_basebackup --pgdata=data --write-recovery-conf --checkpoint=fast --no-sync \
                 --dbname='host=127.0.0.1 port={} user=owlet password=owlet' > basebackup.log 2>&1",
                programs.display(),
                primary.port
            ),
        );
        let port = free_port();
        let guard = start_server(folder.path(), port, &["hot_standby=on"]);
        let cluster = Self {
            folder,
            port,
            guard,
        };
        cluster.wait();
        cluster
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("postgres://owlet:owlet@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills the server without any goodbye.
    pub fn stop_immediately(&self) {
        let programs = super::server_programs();
        run(
            self.folder.path(),
            &format!(
                "{}/pg_ctl --pgdata=data --mode=immediate --wait stop > stop.log 2>&1",
                programs.display()
            ),
        );
    }

    /// Starts a stopped server on the same port.
    pub fn restart(&mut self, settings: &[&str]) {
        self.guard.stdin.take();
        self.guard.wait().expect("guard ended");
        self.guard = start_server(self.folder.path(), self.port, settings);
        self.wait();
    }

    fn wait(&self) {
        let programs: PathBuf = super::server_programs();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = Command::new(programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .expect("pg_isready");
            if answer.success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the cluster does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard waits for the end of its input, then stops the server.
        self.guard.stdin.take();
        let _ = self.guard.wait();
    }
}

fn start_server(folder: &Path, port: u16, settings: &[&str]) -> Child {
    let programs = super::server_programs();
    let mut options = format!(
        "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c fsync=off",
        folder.display()
    );
    for setting in settings {
        options.push_str(&format!(" -c {setting}"));
    }
    shell(
        folder,
        &format!(
            "{}/postgres -D data {options} > server.log 2>&1 < /dev/null & server=$!; cat > /dev/null; \
             kill -QUIT $server 2> /dev/null; wait $server",
            programs.display()
        ),
    )
    .stdin(Stdio::piped())
    .spawn()
    .expect("guard started")
}

pub fn run(folder: &Path, script: &str) {
    let output = shell(folder, script)
        .stdin(Stdio::null())
        .output()
        .expect("shell");
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
        panic!("{script} failed: {}", output.status);
    }
}

/// The server refuses to run as root, so tests that do are told another user.
pub fn shell(folder: &Path, script: &str) -> Command {
    let script = format!("cd '{}' && {{ {script}; }}", folder.display());
    match std::env::var("OWLET_TEST_POSTGRES_USER") {
        Ok(user) => {
            let mut command = Command::new("su");
            command.args([&user, "-s", "/bin/sh", "-c", &script]);
            command
        }
        Err(_) => {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script]);
            command
        }
    }
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
