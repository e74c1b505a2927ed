//! The same on S3, against a server that speaks its protocol.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::prelude::SessionContext;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use owlet_connector::{Connector, ErrorCategory};
use owlet_object::{ObjectConnector, ObjectOptions, path_provider};

use crate::common::{Fixture, compress};

fn endpoint() -> String {
    std::env::var("OWLET_TEST_S3_ENDPOINT")
        .expect("OWLET_TEST_S3_ENDPOINT is not set; run me through `cargo xtask test`")
}

/// A new bucket and a client that may write to it.
async fn bucket(name: &str) -> (String, AmazonS3) {
    let bucket = format!("owlet-{name}-{}", std::process::id());
    let builder = || {
        AmazonS3Builder::new()
            .with_endpoint(endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
    };
    create_bucket(&bucket).await;
    let store = builder().with_bucket_name(&bucket).build().unwrap();
    (bucket, store)
}

/// The object store's client cannot create buckets; one plain request does.
async fn create_bucket(bucket: &str) {
    plain_put(bucket, "").await;
}

/// A plain request, which may name any key.
async fn plain_put(path: &str, content: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let endpoint = endpoint();
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut connection = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!(
        "PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{content}",
        content.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn options(location: String) -> ObjectOptions {
    ObjectOptions {
        location,
        endpoint: Some(endpoint()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned()),
        ..ObjectOptions::default()
    }
}

async fn put(store: &AmazonS3, key: &str, content: impl Into<Vec<u8>>) {
    store
        .put(&Path::from(key), PutPayload::from(content.into()))
        .await
        .unwrap();
}

fn parquet(values: std::ops::Range<i32>) -> Vec<u8> {
    use datafusion::parquet::arrow::ArrowWriter;
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(values));
    let batch = RecordBatch::try_from_iter([("Value", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn tables_partitions_and_compression() {
    let (bucket, store) = bucket("tables").await;
    put(&store, "lake/numbers.parquet", parquet(0..1000)).await;
    put(&store, "lake/sales/year=2023/a.csv", "id,Word\n1,x\n").await;
    put(&store, "lake/sales/year=2024/b.csv", "id,Word\n2,y\n3,z\n").await;
    put(&store, "lake/sales/_temporary/c.csv", "broken").await;
    let json = (0..5000)
        .map(|n| format!("{{\"n\":{n}}}\n"))
        .collect::<String>();
    for (suffix, kind) in [
        ("gz", FileCompressionType::GZIP),
        ("bz2", FileCompressionType::BZIP2),
        ("xz", FileCompressionType::XZ),
        ("zst", FileCompressionType::ZSTD),
    ] {
        let (one, two) = json.split_at(json.len() / 2);
        let mut packed = compress(kind, one.as_bytes()).await;
        packed.extend(compress(kind, two.as_bytes()).await);
        put(
            &store,
            &format!("lake/packed_{suffix}.json.{suffix}"),
            packed,
        )
        .await;
    }
    put(&store, "elsewhere/secret.csv", "a\n1\n").await;
    let fixture = Fixture::new();
    let connector = ObjectConnector::new("lake", options(format!("s3://{bucket}/lake/"))).unwrap();
    let names: Vec<String> = connector
        .tables("default")
        .await
        .unwrap()
        .into_iter()
        .map(|table| table.name)
        .collect();
    assert_eq!(
        names,
        [
            "numbers",
            "packed_bz2",
            "packed_gz",
            "packed_xz",
            "packed_zst",
            "sales"
        ]
    );
    let sum = "SELECT sum(value) AS s FROM t WHERE value >= 990";
    assert_eq!(
        fixture.query(&connector, "numbers", sum).await.unwrap(),
        "s\n9945"
    );
    for table in &names[1..5] {
        let sum = "SELECT sum(n) AS s FROM t";
        assert_eq!(
            fixture.query(&connector, table, sum).await.unwrap(),
            "s\n12497500",
            "{table}"
        );
    }
    let sql = "SELECT year, id, word FROM t WHERE year = 2024 ORDER BY id";
    assert_eq!(
        fixture.query(&connector, "sales", sql).await.unwrap(),
        "year|id|word\n2024|2|y\n2024|3|z"
    );
    assert!(connector.health().await.healthy);

    let session = SessionContext::new();
    for (path, answer) in [
        (format!("s3://{bucket}/lake/sales/*/*.csv"), 3),
        (format!("s3://{bucket}/lake/sales/year=2023/a.csv"), 1),
        (format!("s3://{bucket}/lake/sales/"), 3),
        (format!("s3://{bucket}/lake/numbers.parquet"), 1000),
    ] {
        let provider = path_provider(&session.state(), &path, &options(String::new()))
            .await
            .unwrap();
        let rows = session.read_table(provider).unwrap().count().await.unwrap();
        assert_eq!(rows, answer, "{path}");
    }
    let missing = path_provider(
        &session.state(),
        &format!("s3://{bucket}/none.csv"),
        &options(String::new()),
    )
    .await;
    assert!(missing.unwrap_err().to_string().contains("does not exist"));
}

#[tokio::test]
async fn keys_that_are_no_paths_do_not_hide_the_others() {
    let (bucket, store) = bucket("odd").await;
    for key in ["a/1.csv", "a/2.csv", "z/3.csv", "2024-1.csv", "2025-1.csv"] {
        put(&store, key, "v\n1\n").await;
    }
    for key in ["a//4.csv", "a/b//5.csv", "only//6.csv"] {
        plain_put(&format!("{bucket}/{key}"), "v\n1\n").await;
    }
    let session = SessionContext::new();
    let count = async |path: &str| {
        let path = format!("s3://{bucket}/{path}");
        let provider = path_provider(&session.state(), &path, &options(String::new()))
            .await
            .map_err(|error| error.to_string())?;
        let rows = session.read_table(provider).unwrap().count().await.unwrap();
        Ok::<usize, String>(rows)
    };
    for (path, files) in [
        ("a/*.csv", 2),
        ("*/[123].csv", 3),
        ("2024-*.csv", 1),
        ("*-1.csv", 2),
        ("z/**/*.csv", 1),
    ] {
        assert_eq!(count(path).await, Ok(files), "{path}");
    }
    for (path, key) in [
        ("a/**/*.csv", "a//4.csv"),
        ("a/", "a//4.csv"),
        ("only/", "only//6.csv"),
    ] {
        let message = count(path).await.unwrap_err();
        assert!(
            message.contains(key) && message.contains("copy the object to a plain key"),
            "{path}: {message}"
        );
    }
    let connector = ObjectConnector::new("lake", options(format!("s3://{bucket}/"))).unwrap();
    let tables = connector.tables("default").await.unwrap();
    let names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["2024-1", "2025-1", "a", "only", "z"]);
    let connector = ObjectConnector::new("lake", options(format!("s3://{bucket}/a/"))).unwrap();
    let tables = connector.tables("default").await.unwrap();
    let names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["1", "2", "b"]);
}

#[tokio::test]
async fn equal_keys_of_two_buckets_are_two_files() {
    let (one, store) = bucket("one").await;
    put(&store, "t.parquet", parquet(0..10)).await;
    let (two, store) = bucket("two").await;
    put(&store, "t.parquet", parquet(5..15)).await;
    let fixture = Fixture::new();
    for (bucket, answer) in [(one, "m\n9"), (two, "m\n14")] {
        let connector = ObjectConnector::new("c", options(format!("s3://{bucket}/"))).unwrap();
        assert_eq!(
            fixture
                .query(&connector, "t", "SELECT max(value) AS m FROM t")
                .await
                .unwrap(),
            answer
        );
    }
}

#[tokio::test]
async fn what_cannot_be_reached_says_so() {
    let missing =
        ObjectConnector::new("lake", options("s3://owlet-no-such-bucket/x/".to_owned())).unwrap();
    let health = missing.health().await;
    assert!(!health.healthy && !health.problem.is_empty(), "{health:?}");
    let mut nowhere = options("s3://bucket/x/".to_owned());
    nowhere.endpoint = Some("http://127.0.0.1:9".to_owned());
    let connector = ObjectConnector::new("lake", nowhere).unwrap();
    let error = connector.tables("default").await.unwrap_err();
    assert_eq!(error.category(), ErrorCategory::Unreachable, "{error}");
    let shown = format!("{connector:?} {error}");
    assert!(
        !shown.contains("secret_access_key: Some(\"test\")"),
        "{shown}"
    );
}
