//! The connector against the suite every connector must pass.

mod support;

use owlet_connector::conformance::run;
use support::Database;
use support::harness::Harness;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let database = Database::create("conformance").await;
    let options = database.options();
    let report = run(&Harness { database, options }).await;
    println!("{report}");
    report.assert_passed();
}
