//! The connector against the suite every connector must pass.

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use owlet_connector::Connector;
use owlet_connector::conformance::fixtures::{Fixture, Kind, text_of};
use owlet_connector::conformance::{ConformanceHarness, CreatedTable, Limitations, Value, run};
use serde_json::json;
use support::TestTable;

struct Harness {
    tables: Mutex<Vec<TestTable>>,
}

fn attribute(value: &Value, kind: Kind) -> Option<serde_json::Value> {
    match value {
        Value::Null => None,
        Value::Boolean(value) => Some(json!({ "BOOL": value })),
        Value::Text(text) => Some(json!({ "S": text })),
        Value::Binary(bytes) => Some(json!({ "B": STANDARD.encode(bytes) })),
        number => Some(json!({ "N": text_of(number, kind).expect("has a text") })),
    }
}

#[async_trait]
impl ConformanceHarness for Harness {
    async fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(support::connector())
    }

    async fn create(&self, fixture: &Fixture) -> CreatedTable {
        let label: String = fixture
            .name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let table = TestTable::create(&label, &[("id", "N")], &[]).await;
        let items: Vec<serde_json::Value> = (0..fixture.rows())
            .map(|row| {
                let attributes = fixture.columns.iter().filter_map(|column| {
                    let value = attribute(&column.values[row], column.kind)?;
                    Some((column.name.clone(), value))
                });
                serde_json::Value::Object(attributes.collect())
            })
            .collect();
        table.put(&items).await;
        let name = table.name.clone();
        self.tables.lock().expect("not poisoned").push(table);
        CreatedTable {
            schema: "default".to_owned(),
            table: name,
        }
    }

    fn limitations(&self) -> Limitations {
        Limitations {
            // DynamoDB's numbers are decimals of 38 digits up to 1e125; it has no dates.
            missing_kinds: vec![
                Kind::Double,
                Kind::SpecialDouble,
                Kind::Date,
                Kind::Timestamp,
                Kind::Instant,
            ],
            columns_from_rows: true,
        }
    }

    fn large_rows(&self) -> usize {
        3_000
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let tables = Mutex::new(Vec::new());
    let report = run(&Harness { tables }).await;
    println!("{report}");
    report.assert_passed();
}
