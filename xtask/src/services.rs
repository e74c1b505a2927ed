//! The servers of the tests: own folder, free loopback ports, gone when this process is gone.
//!
//! Each server is started by a small shell guard that holds a pipe to this process. However this process ends
//! (return, panic, Ctrl-C, kill), the pipe closes, and the guard stops its server by id and removes its folder.
//! Must never know what the tests do.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::{output, run};
use crate::setup::Tools;

const FOLDER_PREFIX: &str = "owlet-services-";
const START_LIMIT: Duration = Duration::from_secs(90);

/// Arguments: signal, folder; then the server's command. Standard input is the pipe to the owner.
const GUARD: &str = r#"
signal=$1; folder=$2; shift 2
"$@" </dev/null >"$folder/log" 2>&1 &
server=$!
echo "$server" >"$folder/pid"
while read -r _; do :; done
kill -"$signal" "$server" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
cd /
rm -rf "$folder"
parent=$(dirname "$folder")
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  rmdir "$parent" 2>/dev/null
  [ -e "$parent" ] || break
  sleep 0.1
done
exit 0
"#;

/// Running servers. Dropping it stops them.
pub struct Services {
    folder: PathBuf,
    guards: Vec<Guard>,
    /// For the tests' temporary files: removed with everything that tests leave in it.
    pub temporary_files: PathBuf,
    /// Environment variables for the tests.
    pub environment: Vec<(String, String)>,
}

struct Guard {
    process: Child,
    owner: Option<ChildStdin>,
}

/// A program to run as a server.
struct Server<'a> {
    name: &'a str,
    command: Vec<String>,
    signal: &'a str,
    user: Option<&'a str>,
    port: u16,
    environment: &'a [(&'a str, &'a str)],
}

impl Services {
    /// Starts all servers and waits until each answers.
    pub fn start(tools: &Tools) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("{FOLDER_PREFIX}{}", std::process::id()));
        // Shared like the temporary folder itself: the guards run as several users and remove their own part.
        create_folder(&folder, 0o1777)?;
        let temporary_files = folder.join("tmp");
        create_folder(&temporary_files, 0o1777)?;
        let mut services = Self {
            folder,
            guards: Vec::new(),
            temporary_files,
            environment: Vec::new(),
        };
        let postgres = services.start_postgres(tools)?;
        let mysql = services.start_mariadb(tools)?;
        let dynamodb = services.start_dynamodb_local(tools)?;
        let dynalite = services.start_dynalite(tools)?;
        let moto = services.start_moto(tools)?;
        let set = |name: &str, value: String| (name.to_owned(), value);
        services.environment = vec![
            set(
                "OWLET_TEST_POSTGRES_URL",
                format!("postgres://owlet:owlet@127.0.0.1:{postgres}/postgres"),
            ),
            set(
                "OWLET_TEST_POSTGRES_BIN",
                tools.postgres_bin.display().to_string(),
            ),
            set(
                "OWLET_TEST_MYSQL_URL",
                format!("mysql://owlet:owlet@127.0.0.1:{mysql}"),
            ),
            set(
                "OWLET_TEST_DYNAMODB_ENDPOINT",
                format!("http://127.0.0.1:{dynamodb}"),
            ),
            set(
                "OWLET_TEST_DYNALITE_ENDPOINT",
                format!("http://127.0.0.1:{dynalite}"),
            ),
            set("OWLET_TEST_S3_ENDPOINT", format!("http://127.0.0.1:{moto}")),
            set("OWLET_TEST_PYTHON", tools.python.display().to_string()),
            // The emulators take any key; real ones of this machine must never be used by a test.
            set("AWS_ACCESS_KEY_ID", "test".to_owned()),
            set("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            set("AWS_REGION", "us-east-1".to_owned()),
            set("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            set("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            set("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ];
        if let Some(user) = &tools.postgres_user {
            services
                .environment
                .push(set("OWLET_TEST_POSTGRES_USER", user.clone()));
        }
        Ok(services)
    }

    fn start_postgres(&mut self, tools: &Tools) -> Result<u16> {
        let user = tools.postgres_user.as_deref();
        let folder = self.service_folder("postgres", user)?;
        let data = folder.join("data");
        let password = folder.join("password");
        fs::write(&password, "owlet\n")
            .map_err(|error| format!("cannot write {}: {error}", password.display()))?;
        let mut initdb = Command::new(tools.postgres_bin.join("initdb"));
        initdb
            .args([
                "--username=owlet",
                "--auth=scram-sha-256",
                "--locale=C.UTF-8",
                "--encoding=UTF8",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .current_dir(&folder)
            .stdout(Stdio::null());
        set_user(&mut initdb, user)?;
        run(&mut initdb)?;
        let port = free_port()?;
        let mut command = vec![tools.postgres_bin.join("postgres").display().to_string()];
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.display()),
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "wal_level=minimal".to_owned(),
            "max_wal_senders=0".to_owned(),
            "max_wal_size=4GB".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=256MB".to_owned(),
        ];
        command.extend(["-D".to_owned(), data.display().to_string()]);
        command.extend(
            settings
                .into_iter()
                .flat_map(|setting| ["-c".to_owned(), setting]),
        );
        // SIGINT is PostgreSQL's fast shutdown.
        self.start_server(
            Server {
                name: "postgres",
                command,
                signal: "INT",
                user,
                port,
                environment: &[],
            },
            postgres_answers,
        )?;
        Ok(port)
    }

    fn start_mariadb(&mut self, tools: &Tools) -> Result<u16> {
        let user = tools.postgres_user.as_deref();
        let folder = self.service_folder("mariadb", user)?;
        let data = folder.join("data");
        let users = folder.join("users.sql");
        fs::write(
            &users,
            "CREATE USER IF NOT EXISTS owlet IDENTIFIED BY 'owlet';\nGRANT ALL PRIVILEGES ON *.* TO owlet WITH GRANT OPTION;\n",
        )
        .map_err(|error| format!("cannot write {}: {error}", users.display()))?;
        let mut install = Command::new("mariadb-install-db");
        install
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", folder.display()))
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        set_user(&mut install, user)?;
        run(&mut install)?;
        let port = free_port()?;
        let command = [
            "mariadbd".to_owned(),
            "--no-defaults".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--tmpdir={}", folder.display()),
            format!("--socket={}", folder.join("socket").display()),
            format!("--pid-file={}", folder.join("server.pid").display()),
            format!("--init-file={}", users.display()),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--character-set-server=utf8mb4".to_owned(),
            "--collation-server=utf8mb4_general_ci".to_owned(),
            "--max-connections=300".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-buffer-pool-size=256M".to_owned(),
            // Snapshots prove that they are equal by the commits the binary log counts.
            "--server-id=1".to_owned(),
            "--log-bin=binlog".to_owned(),
            "--sync-binlog=0".to_owned(),
            "--max-binlog-size=64M".to_owned(),
            "--binlog-expire-logs-seconds=600".to_owned(),
        ];
        self.start_server(
            Server {
                name: "mariadb",
                command: command.to_vec(),
                signal: "TERM",
                user,
                port,
                environment: &[],
            },
            mariadb_answers,
        )?;
        Ok(port)
    }

    fn start_dynamodb_local(&mut self, tools: &Tools) -> Result<u16> {
        self.service_folder("dynamodb-local", None)?;
        let port = free_port()?;
        let home = tools.dynamodb_local.display();
        let command = vec![
            "java".to_owned(),
            "-Xmx1g".to_owned(),
            format!("-Djava.library.path={home}/DynamoDBLocal_lib"),
            "-DDDB_LOCAL_TELEMETRY=0".to_owned(),
            "-jar".to_owned(),
            format!("{home}/DynamoDBLocal.jar"),
            "-inMemory".to_owned(),
            "-sharedDb".to_owned(),
            "-disableTelemetry".to_owned(),
            "-port".to_owned(),
            port.to_string(),
        ];
        self.start_server(
            Server {
                name: "dynamodb-local",
                command,
                signal: "TERM",
                user: None,
                port,
                environment: &[],
            },
            http_answers,
        )?;
        Ok(port)
    }

    fn start_dynalite(&mut self, tools: &Tools) -> Result<u16> {
        self.service_folder("dynalite", None)?;
        let port = free_port()?;
        let command = vec![
            "node".to_owned(),
            tools.dynalite.display().to_string(),
            "--host".to_owned(),
            "127.0.0.1".to_owned(),
            "--port".to_owned(),
            port.to_string(),
            "--createTableMs".to_owned(),
            "0".to_owned(),
            "--deleteTableMs".to_owned(),
            "0".to_owned(),
        ];
        self.start_server(
            Server {
                name: "dynalite",
                command,
                signal: "TERM",
                user: None,
                port,
                environment: &[],
            },
            http_answers,
        )?;
        Ok(port)
    }

    fn start_moto(&mut self, tools: &Tools) -> Result<u16> {
        self.service_folder("moto", None)?;
        let port = free_port()?;
        let command = vec![
            tools.python.display().to_string(),
            "-c".to_owned(),
            "import sys; from moto.server import main; main(sys.argv[1:])".to_owned(),
            "-H".to_owned(),
            "127.0.0.1".to_owned(),
            "-p".to_owned(),
            port.to_string(),
        ];
        self.start_server(
            Server {
                name: "moto",
                command,
                signal: "TERM",
                user: None,
                port,
                environment: &[("PYTHONUNBUFFERED", "1")],
            },
            http_answers,
        )?;
        Ok(port)
    }

    fn service_folder(&self, name: &str, user: Option<&str>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        create_folder(&folder, 0o755)?;
        if let Some(user) = user {
            run(Command::new("chown").arg(user).arg(&folder))?;
        }
        Ok(folder)
    }

    fn start_server(&mut self, server: Server<'_>, answers: fn(u16) -> bool) -> Result {
        let folder = self.folder.join(server.name);
        let mut guard = Command::new("sh");
        guard
            .args(["-c", GUARD, "guard", server.signal])
            .arg(&folder)
            .args(&server.command)
            .current_dir(&folder)
            .envs(server.environment.iter().copied())
            .stdin(Stdio::piped())
            // Out of the terminal's group: Ctrl-C reaches this process, and its end reaches the guard.
            .process_group(0);
        set_user(&mut guard, server.user)?;
        let mut process = guard
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", server.name))?;
        let owner = process.stdin.take();
        self.guards.push(Guard { process, owner });
        let deadline = Instant::now() + START_LIMIT;
        while !answers(server.port) {
            if Instant::now() > deadline || has_ended(&folder) {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!(
                    "{} does not answer on port {}; its log:\n{log}",
                    server.name, server.port
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for guard in &mut self.guards {
            guard.owner.take();
        }
        for guard in &mut self.guards {
            if let Err(error) = guard.process.wait() {
                eprintln!("xtask: a service guard could not be waited for: {error}");
            }
        }
        if self.folder.exists()
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            eprintln!("xtask: cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Stops servers whose owner is gone (only possible when their guard was killed too).
pub fn clean() -> Result {
    let folders = fs::read_dir(std::env::temp_dir())
        .map_err(|error| format!("cannot list temporary files: {error}"))?;
    for entry in folders.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(FOLDER_PREFIX) else {
            continue;
        };
        if is_alive(owner) {
            eprintln!("xtask: {name} is in use by process {owner}");
            continue;
        }
        let services =
            fs::read_dir(entry.path()).map_err(|error| format!("cannot list {name}: {error}"))?;
        for service in services.flatten() {
            stop_left_over(&service.path());
        }
        fs::remove_dir_all(entry.path())
            .map_err(|error| format!("cannot remove {name}: {error}"))?;
        eprintln!("xtask: removed {name}");
    }
    Ok(())
}

fn stop_left_over(folder: &Path) {
    let Ok(server) = fs::read_to_string(folder.join("pid")) else {
        return;
    };
    let server = server.trim();
    // Process ids are used again: only a process that works in this folder is ours.
    let works_here =
        fs::read_link(format!("/proc/{server}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    if works_here && output("kill", &["-TERM", server]).is_some() {
        eprintln!("xtask: stopped process {server}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn has_ended(folder: &Path) -> bool {
    fs::read_to_string(folder.join("pid"))
        .is_ok_and(|server| !server.trim().is_empty() && !is_alive(server.trim()))
}

fn is_alive(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

fn create_folder(folder: &Path, mode: u32) -> Result {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode)))
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

fn set_user(command: &mut Command, user: Option<&str>) -> Result {
    let Some(user) = user else { return Ok(()) };
    let number =
        |flag: &str| output("id", &[flag, user]).and_then(|text| text.trim().parse::<u32>().ok());
    match (number("-u"), number("-g")) {
        (Some(user), Some(group)) => {
            command.uid(user).gid(group);
            Ok(())
        }
        _ => Err(format!("user {user} does not exist")),
    }
}

fn free_port() -> Result<u16> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// A start-up packet asking for TLS is answered by one byte once the server accepts connections.
fn postgres_answers(port: u16) -> bool {
    let mut answer = [0_u8; 1];
    exchange(port, &[0, 0, 0, 8, 4, 210, 22, 47], &mut answer) && matches!(answer[0], b'S' | b'N')
}

/// The greeting of protocol version 10 comes unasked, after the init file has run.
fn mariadb_answers(port: u16) -> bool {
    let mut greeting = [0_u8; 5];
    exchange(port, &[], &mut greeting) && greeting[4] == 10
}

fn http_answers(port: u16) -> bool {
    let mut answer = [0_u8; 4];
    exchange(
        port,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        &mut answer,
    ) && &answer == b"HTTP"
}

fn exchange(port: u16, question: &[u8], answer: &mut [u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .is_ok()
        && stream.write_all(question).is_ok()
        && stream.read_exact(answer).is_ok()
}
