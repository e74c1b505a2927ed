//! Ctrl-C, time limits.
#![cfg(unix)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Place;

/// Runs for minutes unless it is stopped.
const LONG: &str = "SELECT count(*) FROM 'a.csv' a CROSS JOIN 'a.csv' b CROSS JOIN 'a.csv' c WHERE a.n + b.n + c.n = -1";

fn place() -> Place {
    let place = Place::empty();
    let lines: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    place.write("a.csv", &format!("n\n{lines}"));
    place
}

#[test]
fn ctrl_c_ends_the_query_with_130_and_leaves_no_file() {
    let place = place();
    let child = place
        .command(&["query", LONG, "--to", "out.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    std::thread::sleep(Duration::from_secs(2));
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "interrupted\n");
    assert_eq!(place.files(), ["a.csv"]);
}

#[test]
fn the_time_limit_is_kept() {
    let place = place();
    let started = Instant::now();
    let answer = place.run(&["query", LONG, "--timeout", "500ms"]);
    assert!(answer.starts_with("exit code: 1\n"), "{answer}");
    assert!(
        answer.contains("error: the query did not finish within"),
        "{answer}"
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A view of the test PostgreSQL server that takes 40 s to read; dropped with this.
struct SlowView {
    url: String,
    name: String,
}

impl SlowView {
    fn create(name: &str) -> Self {
        let url = std::env::var("OWLET_TEST_POSTGRES_URL")
            .expect("OWLET_TEST_POSTGRES_URL is set: run me through `cargo xtask test`");
        let name = format!("{name}_{}", std::process::id());
        let view = Self { url, name };
        view.run(&format!(
            "CREATE OR REPLACE VIEW public.{} AS \
             SELECT i AS id, pg_sleep(0.002)::text AS s FROM generate_series(1, 20000) i",
            view.name
        ));
        view
    }

    /// Runs a statement by the server's own client.
    fn run(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-XAtq", &self.url, "-c", sql])
            .output()
            .expect("psql runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A folder with the server as catalog `pg`.
    fn place(&self) -> Place {
        let place = Place::empty();
        place.write(
            "owlet.toml",
            &format!(
                "[catalog.pg]\nconnector = \"postgres\"\nurl = \"{}\"\napplication_name = \"{}\"\n",
                self.url, self.name
            ),
        );
        place
    }

    /// Text with the view's name for `VIEW`.
    fn named(&self, sql: &str) -> String {
        sql.replace("VIEW", &format!("pg.public.{}", self.name))
    }

    /// What the binary has running at the server.
    fn running(&self) -> String {
        self.run(&format!(
            "SELECT query FROM pg_stat_activity WHERE application_name = '{}' AND state = 'active'",
            self.name
        ))
    }

    /// Runs a query over the view with the binary, and gives what is left running at the server.
    fn left_by(&self, sql: &str, options: &[&str]) -> (String, String) {
        let sql = self.named(sql);
        let answer = self.place().run(&[&["query", &sql], options].concat());
        (answer, self.left())
    }

    /// What is left running at the server.
    fn left(&self) -> String {
        // The request has been sent; the server hears it between two calls of pg_sleep. Left alone, it would work for
        // half a minute.
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.running();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for SlowView {
    fn drop(&mut self) {
        self.run(&format!("DROP VIEW public.{}", self.name));
    }
}

#[test]
fn the_time_limit_leaves_nothing_at_the_server() {
    let view = SlowView::create("slow_timeout");
    let (answer, left) = view.left_by(
        "SELECT count(s) FROM VIEW",
        &["--timeout", "700ms", "--no-pushdown"],
    );
    assert!(answer.starts_with("exit code: 1\n"), "{answer}");
    assert!(answer.contains("did not finish within"), "{answer}");
    assert_eq!(left, "");
    let (answer, left) = view.left_by("SELECT count(s) FROM VIEW", &["--timeout", "700ms"]);
    assert!(answer.contains("did not finish within"), "{answer}");
    assert_eq!(left, "");
}

#[test]
fn a_limit_leaves_nothing_at_the_server() {
    let view = SlowView::create("slow_limit");
    let (answer, left) = view.left_by(
        "SELECT id FROM VIEW WHERE s IS NOT NULL LIMIT 3",
        &["--no-pushdown"],
    );
    assert!(answer.starts_with("exit code: 0\n"), "{answer}");
    assert_eq!(left, "");
}

fn send(signal: &str, process: u32) {
    let killed = Command::new("kill")
        .args([signal, &process.to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
}

/// A terminal that is closed says so by SIGHUP, and its shell a second time.
#[test]
fn a_closed_terminal_leaves_nothing_at_the_server() {
    let view = SlowView::create("slow_hangup");
    let place = view.place();
    let sql = view.named("SELECT count(s) FROM VIEW");
    let input = format!("{sql};\nSELECT 'never' AS a;\n");
    for (arguments, input) in [
        (&["query", &sql][..], ""),
        (&["shell", "-o", "csv"], &input),
    ] {
        let mut child = place
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        let deadline = Instant::now() + Duration::from_secs(30);
        while view.running().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        send("-HUP", child.id());
        std::thread::sleep(Duration::from_millis(20));
        // It may have ended already.
        let _ = Command::new("kill")
            .args(["-HUP", &child.id().to_string()])
            .stderr(Stdio::null())
            .status();
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "interrupted\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert_eq!(view.left(), "");
    }
}

/// `nohup` starts processes that ignore SIGHUP, and they must go on doing so.
#[test]
fn a_query_may_outlive_its_terminal() {
    let place = place();
    let binary = env!("CARGO_BIN_EXE_owlet");
    let mut child = Command::new("nohup")
        .args([binary, "query", LONG, "--timeout", "4s"])
        .current_dir(place.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nohup runs");
    std::thread::sleep(Duration::from_secs(2));
    send("-HUP", child.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().expect("asked").is_none());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("did not finish within"), "{text}");
}

#[test]
fn an_error_leaves_nothing_at_the_server() {
    let view = SlowView::create("slow_error");
    let (answer, left) = view.left_by("SELECT 1 / (id - 1), s FROM VIEW", &["--no-pushdown"]);
    assert!(answer.starts_with("exit code: 1\n"), "{answer}");
    assert_eq!(left, "");
}

/// The source accepts connections and says nothing.
#[test]
fn ctrl_c_gives_up_a_backslash_command_and_keeps_the_shell() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!(
            "[catalog.pg]\nconnector = \"postgres\"\nconnect_timeout = \"5m\"\n\
             url = \"postgres://u:p@127.0.0.1:{port}/d\"\n"
        ),
    );
    for command in [
        r"\d pg.public.t",
        r"\dt",
        r"\dn pg",
        r"\explain SELECT * FROM pg.public.t",
    ] {
        let mut child = place
            .command(&["shell", "-o", "csv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let input = format!("{command}\nSELECT 'still here' AS a;\n");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        // The source is being asked.
        let _connection = silent.accept().expect("a connection");
        let killed = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success());
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("still here"), "{command}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text, "interrupted\n", "{command}");
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
}

#[test]
fn the_time_limit_covers_connecting() {
    // Accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!(
            "[catalog.pg]\nconnector = \"postgres\"\nurl = \"postgres://u:p@127.0.0.1:{port}/d\"\n"
        ),
    );
    let started = Instant::now();
    let answer = place.run(&["query", "SELECT * FROM pg.public.t", "--timeout", "500ms"]);
    assert!(answer.starts_with("exit code: 1\n"), "{answer}");
    assert!(
        answer.contains("error: the query did not finish within [TIME]"),
        "{answer}"
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{answer}");
}
