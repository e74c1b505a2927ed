//! Ctrl-C, time limits.
#![cfg(unix)]

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
