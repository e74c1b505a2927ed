//! The type table of the documentation page is that of the code.

use owlet_postgres::type_table;
use owlet_remote_sql::DocTable;
use owlet_remote_sql::postgres::PostgresDialect;

#[test]
fn the_page_shows_the_types_of_the_code() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/connectors/postgres.md"
    );
    let page = std::fs::read_to_string(path).expect("the page exists");
    let rows = type_table()
        .into_iter()
        .map(|row| vec![row.native.to_owned(), row.arrow, row.notes.to_owned()])
        .collect();
    let types = DocTable {
        title: "Types",
        headers: vec!["PostgreSQL", "Arrow", "Note"],
        rows,
    };
    let updated = replaced(&page, "postgres-types", &types.to_markdown());
    if std::env::var_os("OWLET_UPDATE_DOCS").is_some() {
        // The dialect's own table is compared by `cargo xtask docs --check`, not by this crate's tests.
        let pushdown = PostgresDialect::pushdown_table().to_markdown();
        std::fs::write(path, replaced(&updated, "postgres-pushdown", &pushdown)).expect("writable");
        return;
    }
    assert_eq!(
        page, updated,
        "run `OWLET_UPDATE_DOCS=1 cargo test -p owlet-postgres --test docs`"
    );
}

fn replaced(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (
        format!("<!-- begin {name} -->"),
        format!("<!-- end {name} -->"),
    );
    let (before, rest) = page.split_once(&begin).expect("the page marks the place");
    let (_, after) = rest.split_once(&end).expect("the page marks the end");
    format!("{before}{begin}\n\n{}\n\n{end}{after}", table.trim_end())
}
