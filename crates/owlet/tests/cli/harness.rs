//! A folder of its own for each test, and the binary run in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

/// A temporary folder to run commands in.
pub struct Place {
    folder: TempDir,
}

/// The demo's folder, built once for all tests.
static DEMO: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::empty();
    let output = place
        .command(&["demo", "--once", "--dir", "."])
        .output()
        .expect("the binary runs");
    place.write("demo.out", &String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    place
});

impl Place {
    /// An empty folder.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A folder with a small SQLite database and its configuration.
    pub fn with_shop() -> Self {
        let place = Self::empty();
        let connection = rusqlite::Connection::open(place.path("shop.sqlite")).expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total DECIMAL(10,2), at TIMESTAMP);
                 INSERT INTO orders VALUES
                   (1, 'Mia', '12.50', '2026-01-31 08:15:00'), (2, 'Zoë, \"Z\"', '0.05', NULL),
                   (3, '', '100.00', '2026-02-01 00:00:00.250'), (4, NULL, NULL, '2026-02-02 23:59:59');
                 CREATE VIEW big_orders AS SELECT * FROM orders WHERE id > 2;",
            )
            .expect("tables");
        place.write(
            "owlet.toml",
            "[catalog.shop]\nconnector = \"sqlite\"\npath = \"shop.sqlite\"\n",
        );
        place
    }

    /// The folder `owlet demo --once` has left.
    pub fn demo() -> &'static Self {
        &DEMO
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }

    /// Names of the files.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("listed")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// The binary with these arguments, in this folder, without the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_owlet"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            // Where processes see each other; the home folder is looked at by tests.
            .env(
                "OWLET_RUNTIME_DIR",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime"),
            )
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary; the answer is ready for a snapshot.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_with_input(arguments, "")
    }

    /// Runs the binary with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> String {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(input.as_bytes())
            .expect("written");
        let output = child.wait_with_output().expect("it ends");
        let code = output
            .status
            .code()
            .map_or("none".to_owned(), |code| code.to_string());
        let text = format!(
            "exit code: {code}\n----- stdout -----\n{}----- stderr -----\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        filtered(&text, self.folder.path())
    }

    /// Runs the binary and gives its exit code.
    pub fn exit_code(&self, arguments: &[&str]) -> i32 {
        self.command(arguments)
            .output()
            .expect("the binary runs")
            .status
            .code()
            .expect("not killed")
    }
}

/// Replaces what differs from run to run: the folder, times, versions.
fn filtered(text: &str, folder: &Path) -> String {
    let real = folder.canonicalize().expect("the folder exists");
    let text = text
        .replace(&*real.to_string_lossy(), "[FOLDER]")
        .replace(&*folder.to_string_lossy(), "[FOLDER]");
    let words: Vec<String> = text.lines().map(filtered_line).collect();
    words.join("\n")
}

/// `12 ms` and `1.25 s` become `[TIME]`.
fn filtered_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut result: Vec<String> = Vec::new();
    for word in words {
        let unit: String = word
            .chars()
            .take_while(|character| character.is_ascii_alphabetic())
            .collect();
        let is_time = matches!(unit.as_str(), "ms" | "s")
            && result
                .last()
                .is_some_and(|number| number.parse::<f64>().is_ok());
        if is_time {
            result.pop();
            result.push(format!("[TIME]{}", &word[unit.len()..]));
        } else {
            result.push(word.to_owned());
        }
    }
    result.join(" ")
}
