//! What is configured for all tables of a catalog and for one, and what is said when it does not fit the files.

use std::collections::BTreeMap;

use owlet_connector::ConnectorError;
use owlet_object::{CsvOptions, ObjectConnector, ObjectOptions, TableOptions};

use crate::common::{Failure, Fixture};

fn types(columns: &[(&str, &str)]) -> BTreeMap<String, String> {
    columns
        .iter()
        .map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned()))
        .collect()
}

async fn failure(fixture: &Fixture, connector: &ObjectConnector, table: &str) -> Failure {
    match fixture.query(connector, table, "SELECT * FROM t").await {
        Ok(answer) => panic!("{table} is answered: {answer}"),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn the_catalogs_types_are_for_tables_that_have_the_columns() {
    let fixture = Fixture::new();
    fixture.write("plain.csv", "a\n1\n");
    fixture.write("priced.csv", "price,zip\n1.5,007\n");
    fixture.write("parts/month=01/x.csv", "a\n1\n");
    let connector = fixture.connector_with(ObjectOptions {
        csv: CsvOptions {
            types: types(&[("Zip", "bigint"), ("price", "decimal(12,2)")]),
            ..CsvOptions::default()
        },
        partition_types: types(&[("month", "varchar"), ("year", "integer")]),
        ..ObjectOptions::default()
    });
    for (table, answer) in [
        ("plain", "a\n1"),
        ("priced", "price|zip\n1.50|7"),
        ("parts", "a|month\n1|01"),
    ] {
        let found = fixture.query(&connector, table, "SELECT * FROM t").await;
        assert_eq!(found.unwrap(), answer, "{table}");
    }
}

#[tokio::test]
async fn a_tables_own_types_must_be_there() {
    let fixture = Fixture::new();
    fixture.write("plain.csv", "a\n1\n");
    fixture.write("parts/month=01/x.csv", "a\n1\n");
    let plain = TableOptions {
        csv: CsvOptions {
            types: types(&[("price", "double")]),
            ..CsvOptions::default()
        },
        ..TableOptions::default()
    };
    let parts = TableOptions {
        partition_types: types(&[("year", "integer")]),
        ..TableOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        tables: BTreeMap::from([("plain".to_owned(), plain), ("parts".to_owned(), parts)]),
        ..ObjectOptions::default()
    });
    for (table, wanted) in [
        ("plain", "csv types name column price, but"),
        (
            "parts",
            "partition_types names year, but the partitions are (month)",
        ),
    ] {
        let message = failure(&fixture, &connector, table).await.message();
        assert!(message.contains(wanted), "{message}");
    }
}

#[tokio::test]
async fn hints_name_what_helps() {
    let fixture = Fixture::new();
    fixture.write("declared.csv", "a\nx\n");
    fixture.write("separated.csv", "a;b\n1,5;2\n");
    fixture.write("cut.csv.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x4B]);
    let connector = fixture.connector_with(ObjectOptions {
        csv: CsvOptions {
            types: types(&[("a", "bigint")]),
            ..CsvOptions::default()
        },
        ..ObjectOptions::default()
    });
    for (table, wanted, unwanted) in [
        ("declared", "csv types declares a as bigint", "infer_rows"),
        ("separated", "set csv delimiter", "infer_rows"),
        ("cut", "cut.csv.gz cannot be read", "IO error"),
    ] {
        let message = failure(&fixture, &connector, table).await.message();
        assert!(
            message.contains(wanted) && !message.contains(unwanted),
            "{message}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_outside_is_no_matter_of_rights() {
    let fixture = Fixture::new();
    let outside = Fixture::new();
    let secret = outside.write("secret.csv", "a\n1\n");
    std::os::unix::fs::symlink(&secret, fixture.path("leak.csv")).unwrap();
    let failure = failure(&fixture, &fixture.connector(), "leak").await;
    assert!(
        matches!(
            failure,
            Failure::Connector(ConnectorError::Configuration { .. })
        ),
        "{failure:?}"
    );
}
