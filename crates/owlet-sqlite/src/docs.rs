//! The type table of the documentation, made from the code that reads. Must never know a file.

use owlet_remote_sql::DocTable;
use owlet_remote_sql::sqlite::SqliteDialect;
use owlet_remote_sql::sqlite::column::ColumnKind;

/// Declared types, what Owlet makes of them, and which stored values they accept.
pub fn type_table() -> DocTable {
    let declarations = [
        "INTEGER",
        "VARCHAR(20)",
        "BLOB",
        "DOUBLE",
        "NUMERIC",
        "DECIMAL(10,2)",
        "BOOLEAN",
        "DATE",
        "DATETIME",
        "TIMESTAMPTZ",
        "ANY",
    ];
    let examples = |declared: &str| match declared {
        "INTEGER" => "contains `INT`: `INTEGER`, `BIGINT`, `SMALLINT`, …",
        "VARCHAR(20)" => "contains `CHAR`, `CLOB` or `TEXT`",
        "BLOB" => "contains `BLOB`",
        "DOUBLE" => "contains `REAL`, `FLOA` or `DOUB`",
        "NUMERIC" => {
            "`NUMERIC`, `DECIMAL`, `NUMBER` without precision; `NUM`, as SQLite calls casts to other words in views"
        }
        "DECIMAL(10,2)" => "`DECIMAL(p,s)`, `NUMERIC(p,s)` with p up to 38",
        "BOOLEAN" => "`BOOLEAN`, `BOOL`",
        "DATE" => "`DATE`",
        "DATETIME" => "`DATETIME`, `TIMESTAMP`",
        "TIMESTAMPTZ" => "`TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE`",
        _ => "`ANY`, and every other word",
    };
    let rows = declarations
        .iter()
        .map(|declared| {
            let kind = ColumnKind::from_declared_type(declared);
            vec![
                examples(declared).to_owned(),
                format!("`{}`", kind.data_type()),
                kind.expectation(),
            ]
        })
        .collect();
    DocTable {
        title: "Types",
        headers: vec!["Declared type", "Arrow type", "Stored value must be"],
        rows,
    }
}

/// What is pushed down to SQLite.
pub fn pushdown_table() -> DocTable {
    SqliteDialect::pushdown_table()
}
