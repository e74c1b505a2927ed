//! Inferred schemas on disk, so that a restart needs no sampling. A file that cannot be used is no error: the
//! table is sampled again. Must never know requests.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::description::TableDescription;
use crate::infer::InferredSchema;
use crate::options::{DynamoDbOptions, NumberPolicy};

/// Raised when the meaning of the file changes.
const FORMAT: u32 = 4;

/// Folder of cached schemas of one service address.
#[derive(Debug)]
pub(crate) struct DiskCache {
    folder: PathBuf,
    address: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    address: String,
    arn: String,
    created: String,
    numbers: String,
    sample_items: u64,
    schema: InferredSchema,
}

impl DiskCache {
    pub(crate) fn new(folder: &Path, address: &str) -> Self {
        Self {
            folder: folder.join("dynamodb"),
            address: address.to_owned(),
        }
    }

    /// The stored schema of this very table (same address, ARN and creation time) under the same options.
    pub(crate) async fn load(
        &self,
        table: &TableDescription,
        options: &DynamoDbOptions,
    ) -> Option<InferredSchema> {
        let path = self.path(table);
        let bytes = tokio::fs::read(&path).await.ok()?;
        let entry: Entry = match serde_json::from_slice(&bytes) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "ignoring a damaged schema cache file");
                return None;
            }
        };
        let is_usable = entry.format == FORMAT
            && entry.address == self.address
            && entry.arn == table.arn
            && entry.created == table.created
            && entry.numbers == policy_name(options.numbers)
            && entry.sample_items == options.sample_items;
        is_usable.then_some(entry.schema)
    }

    /// Stores a schema; trouble is logged, the query goes on.
    pub(crate) async fn store(
        &self,
        table: &TableDescription,
        schema: &InferredSchema,
        options: &DynamoDbOptions,
    ) {
        let entry = Entry {
            format: FORMAT,
            address: self.address.clone(),
            arn: table.arn.clone(),
            created: table.created.clone(),
            numbers: policy_name(options.numbers).to_owned(),
            sample_items: options.sample_items,
            schema: schema.clone(),
        };
        let path = self.path(table);
        if let Err(error) = self.write(&path, &entry).await {
            tracing::warn!(path = %path.display(), %error, "the inferred schema could not be cached");
        }
    }

    /// A reader sees the old file or the new one, never half of one.
    async fn write(&self, path: &Path, entry: &Entry) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.folder).await?;
        let temporary = path.with_extension(format!(
            "{}-{:x}.tmp",
            std::process::id(),
            rand::random::<u32>()
        ));
        tokio::fs::write(&temporary, serde_json::to_vec(entry)?).await?;
        tokio::fs::rename(&temporary, path).await
    }

    fn path(&self, table: &TableDescription) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (&self.address, &table.arn).hash(&mut hasher);
        self.folder
            .join(format!("{}-{:016x}.json", table.name, hasher.finish()))
    }
}

fn policy_name(policy: NumberPolicy) -> &'static str {
    match policy {
        NumberPolicy::Decimal => "decimal",
        NumberPolicy::Double => "double",
        NumberPolicy::Text => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{KeyAttribute, KeyKind, KeySchema, TableClass};

    fn table(created: &str) -> TableDescription {
        TableDescription {
            name: "orders".to_owned(),
            arn: "arn:orders".to_owned(),
            created: created.to_owned(),
            keys: KeySchema {
                hash: KeyAttribute {
                    name: "pk".to_owned(),
                    kind: KeyKind::S,
                },
                sort: None,
            },
            indexes: Vec::new(),
            items: 1,
            bytes: 1,
            provisioned_units: 0,
            class: TableClass::Standard,
        }
    }

    #[tokio::test]
    async fn a_schema_is_found_again_only_for_the_same_table() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = DynamoDbOptions::default();
        let schema = InferredSchema {
            items: 3,
            segments: 1,
            capacity_units: 0.5,
            sampled_at: 7,
            table_items: 3,
            complete: true,
            size_bias: 1.0,
            partitions: 10.0,
            keys: std::collections::BTreeMap::new(),
            attributes: Vec::new(),
        };
        let cache = DiskCache::new(folder.path(), "http://a/");
        cache.store(&table("1"), &schema, &options).await;
        assert_eq!(cache.load(&table("1"), &options).await, Some(schema));
        assert_eq!(cache.load(&table("2"), &options).await, None, "made again");
        assert_eq!(
            DiskCache::new(folder.path(), "http://b/")
                .load(&table("1"), &options)
                .await,
            None
        );
        let text = DynamoDbOptions {
            numbers: NumberPolicy::Text,
            ..DynamoDbOptions::default()
        };
        assert_eq!(cache.load(&table("1"), &text).await, None, "other policy");
        std::fs::write(cache.path(&table("1")), "{").expect("the file is writable");
        assert_eq!(cache.load(&table("1"), &options).await, None, "damaged");
    }
}
