//! Whatever text comes in, parsing gives a statement or an error, never a panic.
//! How long deeply nested texts may take is not covered yet.

use std::path::Path;

use owlet_athena_sql::parse;

/// A small deterministic generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }
}

fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/semantics");
    let files = folder
        .read_dir()
        .expect("folder of cases")
        .map(|entry| entry.expect("entry").path());
    let texts = files.map(|file| std::fs::read_to_string(file).expect("cases"));
    let lines: Vec<String> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines
        .into_iter()
        .filter(|line| !line.starts_with('=') && !line.starts_with('#') && !line.is_empty())
        .collect()
}

const PIECES: &[&str] = &[
    "(",
    ")",
    ",",
    "'",
    "\"",
    ";",
    "SELECT",
    "FROM",
    "VALUES",
    "UNNEST",
    "CAST",
    "AS",
    "ARRAY",
    "ROW",
    "MAP",
    "->",
    "?",
    ":x",
    "0x",
    "0b2",
    "1_",
    "U&'\\zzzz'",
    "INTERVAL",
    "LIKE",
    "ESCAPE",
    "EXPLAIN",
    "SHOW",
    "WITH",
    "--",
    "/*",
    "é",
    "\u{1f}",
    "\0",
    "🦉",
    "[",
    "]",
    "{",
    "}",
    ".",
    "..",
    "e'",
    "x'",
    "DATE '",
    "TIMESTAMP '2020-",
    "LATERAL",
    "FETCH FIRST",
    "TABLESAMPLE",
    "GROUP BY",
    "OVER",
    "IN",
    "EXISTS",
    "NOT",
    "99999999999999999999",
];

#[test]
fn parsing_never_panics() {
    let statements = statements();
    let mut random = Random(0x5EED);
    for _ in 0..6_000 {
        let mut characters: Vec<char> =
            statements[random.below(statements.len())].chars().collect();
        for _ in 0..=random.below(4) {
            let place = random.below(characters.len() + 1);
            match random.below(5) {
                0 => characters.truncate(place),
                1 => {
                    let end = (place + random.below(8)).min(characters.len());
                    characters.drain(place.min(end)..end);
                }
                2 => {
                    let other: Vec<char> =
                        statements[random.below(statements.len())].chars().collect();
                    let start = random.below(other.len());
                    characters.splice(place..place, other[start..].iter().copied());
                }
                _ => {
                    let piece = format!(" {} ", PIECES[random.below(PIECES.len())]);
                    characters.splice(place..place, piece.chars());
                }
            }
        }
        let sql: String = characters.into_iter().collect();
        if let Err(error) = parse(&sql) {
            assert!(!error.to_string().is_empty(), "{sql}");
        }
    }
}

#[test]
fn utility_statements() {
    use owlet_athena_sql::{ExplainFormat, ExplainMode, ExplainType, NamePattern, StatementKind};
    let kind = |sql: &str| {
        parse(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .statement
    };
    assert_eq!(
        kind("SHOW CATALOGS"),
        StatementKind::ShowCatalogs { like: None }
    );
    assert_eq!(
        kind("show databases in Pg"),
        StatementKind::ShowSchemas {
            catalog: Some("pg".into()),
            like: None
        }
    );
    assert_eq!(
        kind("SHOW TABLES FROM pg.public LIKE 'a!_%' ESCAPE '!'"),
        StatementKind::ShowTables {
            catalog: Some("pg".into()),
            schema: Some("public".into()),
            like: Some(NamePattern::Like {
                pattern: "a!_%".into(),
                escape: Some('!')
            }),
        }
    );
    assert_eq!(
        kind("SHOW TABLES 'ord*'"),
        StatementKind::ShowTables {
            catalog: None,
            schema: None,
            like: Some(NamePattern::Hive("ord*".into()))
        }
    );
    let StatementKind::DescribeTable { table } = kind("DESCRIBE EXTENDED a.b.\"C\"") else {
        panic!("not a description");
    };
    assert_eq!(table.to_string(), "a.b.c");
    assert!(matches!(
        kind("SHOW COLUMNS IN t;"),
        StatementKind::ShowColumns { .. }
    ));
    assert!(matches!(
        kind("SHOW FUNCTIONS LIKE '%date%'"),
        StatementKind::ShowFunctions { like: Some(_) }
    ));
    let StatementKind::Explain {
        mode,
        explain_type,
        format,
        ..
    } = kind("EXPLAIN ANALYZE VERBOSE (TYPE IO, FORMAT JSON) SELECT 1")
    else {
        panic!("not an explanation");
    };
    assert_eq!(
        (mode, explain_type, format),
        (
            ExplainMode::AnalyzeVerbose,
            ExplainType::Io,
            ExplainFormat::Json
        )
    );
    assert!(matches!(
        kind("EXPLAIN (SELECT 1)"),
        StatementKind::Explain {
            mode: ExplainMode::Plan,
            ..
        }
    ));
    assert!(matches!(
        kind("EXPLAIN VALUES 1, 2"),
        StatementKind::Explain { .. }
    ));
    for refused in [
        "DROP TABLE t",
        "USE x",
        "PREPARE p FROM SELECT 1",
        "SHOW PARTITIONS t",
        "UNLOAD (SELECT 1) TO 's3://b/'",
    ] {
        assert!(parse(refused).is_err(), "{refused}");
    }
    let parsed =
        parse("SELECT * FROM Pg.Public.\"Orders\" o JOIN plain p ON true").expect("parses");
    assert_eq!(parsed.table_spellings.len(), 1);
    assert_eq!(
        parsed.table_spellings["pg.public.orders"],
        ["Pg", "Public", "Orders"]
    );
}
