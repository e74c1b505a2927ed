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

    /// Runs a query over the view with the binary, and gives what is left running at the server.
    fn left_by(&self, sql: &str, options: &[&str]) -> (String, String) {
        let place = Place::empty();
        place.write(
            "owlet.toml",
            &format!(
                "[catalog.pg]\nconnector = \"postgres\"\nurl = \"{}\"\napplication_name = \"{}\"\n",
                self.url, self.name
            ),
        );
        let sql = sql.replace("VIEW", &format!("pg.public.{}", self.name));
        let answer = place.run(&[&["query", &sql], options].concat());
        // The request has been sent; the server hears it between two calls of pg_sleep. Left alone, it would work for
        // half a minute.
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.run(&format!(
                "SELECT query FROM pg_stat_activity WHERE application_name = '{}' AND state = 'active'",
                self.name
            ));
            if left.is_empty() || Instant::now() > deadline {
                return (answer, left);
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
