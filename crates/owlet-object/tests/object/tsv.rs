//! TSV files as Owlet and PostgreSQL's COPY write them, and as other programs do.

use owlet_object::{CsvOptions, ObjectOptions};

use crate::common::{Fixture, text};

/// What `owlet query --to x.tsv` writes.
const WRITTEN: &str =
    "id\tname\\tx\n1\ta\\tb\n2\t\\N\n3\tc:\\\\new\n4\tone\\ntwo\\r\n5\t\n6\t\\\\N\n\\N\t7\n";

/// The texts with everything visible.
const SHOWN: &str = r#"SELECT id, replace(replace(replace("name	x", chr(9), '<t>'), chr(10), '<n>'), chr(13), '<r>') AS x,
    "name	x" IS NULL AS missing FROM t ORDER BY coalesce(id, 7)"#;

#[tokio::test]
async fn what_owlet_and_copy_write_reads_back() {
    let fixture = Fixture::new();
    let path = fixture.write("written.tsv", WRITTEN);
    let by_path = fixture.query_path(&text(&path), SHOWN).await.unwrap();
    // An empty field is what other programs write for NULL.
    let expected = "id|x|missing\n1|a<t>b|false\n2||true\n3|c:\\new|false\n4|one<n>two<r>|false\n\
                    5||EMPTY\n6|\\N|false\n|7|false";
    assert_eq!(by_path, expected.replace("EMPTY", "true"));

    let csv = CsvOptions {
        null: Some("\\N".to_owned()),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    let as_declared = fixture.query(&connector, "written", SHOWN).await.unwrap();
    assert_eq!(as_declared, expected.replace("EMPTY", "false"));

    fixture.write("quotes.tsv", "s\tn\n\"a\t1\n\"\"\t2\n\"b\"\\t\t3\n");
    let sql = "SELECT replace(s, chr(9), '<t>') AS s, n FROM t ORDER BY n";
    let quotes = fixture.query(&connector, "quotes", sql).await.unwrap();
    assert_eq!(quotes, "s|n\n\"a|1\n\"\"|2\n\"b\"<t>|3");
}

#[tokio::test]
async fn quoted_fields_are_read_as_in_csv() {
    let fixture = Fixture::new();
    let path = fixture.write(
        "pandas.tsv",
        "id\tname\n1\t\"a\tb\"\n2\t\n3\t\"say \"\"x\"\"\"\n4\t\"\"\n5\t\"c:\\new\"\n6\t\"\\N\"\n",
    );
    let sql = "SELECT id, replace(name, chr(9), '<t>') AS name, name IS NULL AS missing FROM t ORDER BY id";
    let answer = fixture.query_path(&text(&path), sql).await.unwrap();
    assert_eq!(
        answer,
        "id|name|missing\n1|a<t>b|false\n2||true\n3|say \"x\"|false\n4||false\n5|c:\\new|false\n6|\\N|false"
    );
}

#[tokio::test]
async fn backslashes_are_themselves_where_the_quote_is_set() {
    let fixture = Fixture::new();
    fixture.write("paths.tsv", "path\tn\nC:\\temp\t1\n\\N\t2\n");
    let csv = CsvOptions {
        quote: Some('"'),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    let sql = "SELECT path, n FROM t ORDER BY n";
    let answer = fixture.query(&connector, "paths", sql).await.unwrap();
    assert_eq!(answer, "path|n\nC:\\temp|1\n\\N|2");
}
