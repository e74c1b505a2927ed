//! The tables of the documentation page are those of the code.

use owlet_dynamodb::docs::{pushdown_table, type_table};

#[test]
fn the_page_shows_the_tables_of_the_code() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/connectors/dynamodb.md"
    );
    let page = std::fs::read_to_string(path).expect("the page exists");
    let mut updated = page.clone();
    for (name, table) in [
        ("dynamodb-types", type_table()),
        ("dynamodb-pushdown", pushdown_table()),
    ] {
        let (begin, end) = (
            format!("<!-- begin {name} -->"),
            format!("<!-- end {name} -->"),
        );
        let (before, rest) = updated
            .split_once(&begin)
            .expect("the page marks the place");
        let (_, after) = rest.split_once(&end).expect("the page marks the end");
        updated = format!(
            "{before}{begin}\n\n{}\n\n{end}{after}",
            table.to_markdown().trim_end()
        );
    }
    if page != updated && std::env::var_os("OWLET_UPDATE_DOCS").is_some() {
        std::fs::write(path, &updated).expect("the page is writable");
        return;
    }
    assert_eq!(
        page, updated,
        "run `OWLET_UPDATE_DOCS=1 cargo test -p owlet-dynamodb --test docs`"
    );
}
