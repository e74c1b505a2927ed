//! Queries that need more memory than they may use: they spill, say what is missing, and leave no files behind.

use std::fs;
use std::process::Command;

use crate::harness::Place;

/// The table's rows; each has some 600 bytes, so that all have 18 MB.
const ROWS: usize = 30_000;

/// A table of the test PostgreSQL server, which tells how wide its rows are, and a folder whose configuration allows
/// 24 MB; dropped with this.
struct WideTable {
    url: String,
    name: String,
    place: Place,
}

impl WideTable {
    fn create(name: &str) -> Self {
        let url = std::env::var("OWLET_TEST_POSTGRES_URL")
            .expect("OWLET_TEST_POSTGRES_URL is set: run me through `cargo xtask test`");
        let name = format!("wide_{name}_{}", std::process::id());
        let place = Place::empty();
        place.write(
            "owlet.toml",
            &format!(
                "[engine]\nmemory_limit = \"24MB\"\nspill_dir = \"spill\"\ntarget_partitions = 2\n\
                 [catalog.pg]\nconnector = \"postgres\"\nurl = \"{url}\"\n"
            ),
        );
        let table = Self { url, name, place };
        table.psql(&format!(
            "CREATE TABLE public.{0} AS SELECT i AS id, lpad(((i * 7919) % 40009)::text, 8, '0') AS name, \
             repeat(md5(i::text), 19) AS w FROM generate_series(1, {ROWS}) i; ANALYZE public.{0}",
            table.name
        ));
        table
    }

    fn psql(&self, sql: &str) {
        let status = Command::new("psql")
            .args(["-Xq", &self.url, "-c", sql])
            .status()
            .expect("psql runs");
        assert!(status.success());
    }

    /// The exit code, standard output and standard error of a statement over `WIDE`, computed here.
    fn answer(&self, sql: &str) -> (i32, String, String) {
        let sql = sql.replace("WIDE", &format!("pg.public.{}", self.name));
        let output = self
            .place
            .command(&["query", "--no-pushdown", "-o", "csv", &sql])
            .output()
            .expect("the binary runs");
        (
            output.status.code().expect("it ends by itself"),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    fn spill_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path("spill")).expect("the folder was made");
        let names = entries.map(|entry| entry.expect("readable").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for WideTable {
    fn drop(&mut self) {
        self.psql(&format!("DROP TABLE public.{}", self.name));
    }
}

#[test]
fn sorts_windows_groups_and_joins_spill() {
    let table = WideTable::create("spills");
    let (code, sorted, error) = table.answer("SELECT name, w FROM WIDE ORDER BY reverse(name)");
    assert_eq!(code, 0, "{error}");
    let names: Vec<String> = sorted
        .lines()
        .skip(1)
        .map(|line| line[..8].chars().rev().collect())
        .collect();
    assert_eq!(names.len(), ROWS);
    assert!(names.is_sorted());

    for (sql, expected) in [
        (
            "SELECT sum(n) FROM (SELECT row_number() OVER (PARTITION BY id % 10 ORDER BY name, w) AS n FROM WIDE)",
            ROWS * (ROWS / 10 + 1) / 2,
        ),
        (
            "SELECT count(*) FROM (SELECT name, w FROM WIDE GROUP BY name, w)",
            ROWS,
        ),
        (
            "SELECT count(*) FROM (SELECT a.w, b.w AS v FROM WIDE a JOIN WIDE b ON a.name = b.name) WHERE w = v",
            ROWS,
        ),
        (
            "SELECT count(*) FROM WIDE a FULL JOIN WIDE b ON a.name = b.w",
            2 * ROWS,
        ),
        (
            "SELECT count(*) FROM (SELECT w FROM WIDE INTERSECT SELECT w FROM WIDE)",
            ROWS,
        ),
        (
            "SELECT count(*) FROM WIDE a WHERE EXISTS (SELECT 1 FROM WIDE b WHERE a.w = b.w AND a.id <> b.id)",
            0,
        ),
    ] {
        let (code, output, error) = table.answer(sql);
        assert_eq!(code, 0, "{sql}: {error}");
        assert_eq!(
            output.lines().nth(1),
            Some(expected.to_string().as_str()),
            "{sql}"
        );
    }
    assert_eq!(table.spill_files(), Vec::<String>::new());
}

#[test]
fn what_cannot_spill_is_told_in_words_of_sql() {
    let table = WideTable::create("fails");
    let (code, _, error) =
        table.answer("SELECT length(array_join(array_agg(w ORDER BY name), ',')) FROM WIDE");
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("needs more memory than queries may use")
            && error.contains("raise [engine] memory_limit"),
        "{error}"
    );
    assert_eq!(table.spill_files(), Vec::<String>::new());
}
