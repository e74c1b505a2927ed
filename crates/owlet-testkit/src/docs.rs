//! Tables in `docs/connectors/*.md` that are made from code. A page marks the place of a table by two comments:
//! `<!-- begin NAME -->` and `<!-- end NAME -->`. Must never know what a table says.

use std::path::Path;

use owlet_remote_sql::DocTable;
use owlet_remote_sql::mysql::MysqlDialect;
use owlet_remote_sql::postgres::PostgresDialect;

use crate::Result;

/// What to do with a page that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Write it.
    Write,
    /// Fail.
    Check,
}

/// All tables: page, name of the marks, content.
fn tables() -> Vec<(&'static str, &'static str, String)> {
    vec![
        ("postgres.md", "postgres-types", postgres_types()),
        (
            "postgres.md",
            "postgres-pushdown",
            PostgresDialect::pushdown_table().to_markdown(),
        ),
        ("mysql.md", "mysql-types", mysql_types()),
        (
            "mysql.md",
            "mysql-pushdown",
            MysqlDialect::pushdown_table().to_markdown(),
        ),
        (
            "sqlite.md",
            "sqlite-types",
            owlet_sqlite::docs::type_table().to_markdown(),
        ),
        (
            "sqlite.md",
            "sqlite-pushdown",
            owlet_sqlite::docs::pushdown_table().to_markdown(),
        ),
        (
            "dynamodb.md",
            "dynamodb-types",
            owlet_dynamodb::docs::type_table().to_markdown(),
        ),
        (
            "dynamodb.md",
            "dynamodb-pushdown",
            owlet_dynamodb::docs::pushdown_table().to_markdown(),
        ),
        (
            "object.md",
            "object-formats",
            owlet_object::docs::format_table(),
        ),
        (
            "object.md",
            "object-types",
            owlet_object::docs::type_table(),
        ),
    ]
}

fn postgres_types() -> String {
    let rows = owlet_postgres::type_table()
        .into_iter()
        .map(|row| vec![row.native.to_owned(), row.arrow, row.notes.to_owned()])
        .collect();
    DocTable {
        title: "Types",
        headers: vec!["PostgreSQL", "Arrow", "Note"],
        rows,
    }
    .to_markdown()
}

fn mysql_types() -> String {
    let rows = owlet_mysql::type_table()
        .into_iter()
        .map(|row| {
            vec![
                row.native.to_owned(),
                row.arrow.to_owned(),
                row.notes.to_owned(),
            ]
        })
        .collect();
    DocTable {
        title: "Types",
        headers: vec!["MySQL, MariaDB", "Arrow", "Note"],
        rows,
    }
    .to_markdown()
}

/// Brings the pages below `folder` up to date, or tells which are not.
pub fn run(folder: &Path, mode: Mode) -> Result<()> {
    let mut outdated = Vec::new();
    for (page, name, table) in tables() {
        let path = folder.join(page);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let updated =
            replaced(&text, name, &table).map_err(|problem| format!("{page}: {problem}"))?;
        if updated == text {
            continue;
        }
        match mode {
            Mode::Write => std::fs::write(&path, updated)?,
            Mode::Check => outdated.push(format!("{page} ({name})")),
        }
    }
    if outdated.is_empty() {
        return Ok(());
    }
    Err(format!(
        "out of date: {}; run `cargo xtask docs`",
        outdated.join(", ")
    )
    .into())
}

fn replaced(page: &str, name: &str, table: &str) -> Result<String> {
    let begin = format!("<!-- begin {name} -->");
    let end = format!("<!-- end {name} -->");
    let (before, rest) = page
        .split_once(&begin)
        .ok_or_else(|| format!("has no {begin}"))?;
    let (_, after) = rest
        .split_once(&end)
        .ok_or_else(|| format!("has no {end}"))?;
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        table.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_the_marked_part_is_replaced() {
        let page = "# Page\n<!-- begin t -->\nold\n<!-- end t -->\nrest\n";
        let updated = replaced(page, "t", "| a |\n").unwrap();
        assert_eq!(
            updated,
            "# Page\n<!-- begin t -->\n\n| a |\n\n<!-- end t -->\nrest\n"
        );
        assert_eq!(replaced(&updated, "t", "| a |\n").unwrap(), updated);
        assert!(replaced("nothing", "t", "").is_err());
    }
}
