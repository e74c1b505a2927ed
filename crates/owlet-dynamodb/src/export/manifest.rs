//! What an export says of itself: `manifest-summary.json`, `manifest-files.json` and their checksums. Must never know
//! data files' content.
//!
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::path::Path;
use owlet_connector::ConnectorError;
use serde::{Deserialize, Serialize};

use super::md5::Md5;
use super::store::ExportStore;

const SUMMARY: &str = "manifest-summary.json";
const FILES: &str = "manifest-files.json";

/// One finished export.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Export {
    /// Name of the exported table.
    pub(crate) table: String,
    pub(crate) arn: String,
    pub(crate) kind: ExportKind,
    pub(crate) format: ExportFormat,
    /// When the content was as exported, or the end of the exported changes (ISO 8601, so text order is time order).
    pub(crate) time: String,
    pub(crate) items: u64,
    /// The folder with the manifests.
    folder: Path,
}

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExportKind {
    /// All items of one moment.
    Full,
    /// The items that changed in a span of time.
    Changes {
        /// Old images are there, so that an insert is told from an update.
        has_old_images: bool,
    },
}

/// How items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExportFormat {
    Json,
    Ion,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataFile {
    /// Its place in the store.
    pub(crate) path: String,
    pub(crate) items: u64,
    /// MD5 in base64; empty when the manifest tells none.
    pub(crate) md5: String,
    pub(crate) format: ExportFormat,
    pub(crate) kind: ExportKind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    #[serde(default)]
    export_arn: String,
    table_arn: String,
    export_time: Option<String>,
    export_to_time: Option<String>,
    item_count: u64,
    output_format: String,
    #[serde(default)]
    export_type: Option<String>,
    #[serde(default)]
    output_view: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry {
    item_count: u64,
    #[serde(default)]
    md5_checksum: String,
    data_file_s3_key: String,
}

/// All finished exports in a location: the location itself is one, or it holds them (`…/AWSDynamoDB`), or it holds the
/// folder `AWSDynamoDB` with them. Exports without a summary are not finished and do not count.
pub(crate) async fn find(store: &ExportStore) -> Result<Vec<Export>, ConnectorError> {
    let root = store.root();
    if let Some(export) = export_in(store, root).await? {
        return Ok(vec![export]);
    }
    let mut folders = store.folders(root).await?;
    if let Some(inner) = folders
        .iter()
        .find(|folder| folder.filename() == Some("AWSDynamoDB"))
    {
        folders = store.folders(&inner.clone()).await?;
    }
    let mut exports = Vec::new();
    for folder in folders {
        // Data of incremental exports lies beside the exports.
        if folder.filename() != Some("data")
            && let Some(export) = export_in(store, &folder).await?
        {
            exports.push(export);
        }
    }
    Ok(exports)
}

async fn export_in(store: &ExportStore, folder: &Path) -> Result<Option<Export>, ConnectorError> {
    let path = folder.clone().join(SUMMARY);
    let Some(body) = store.small(&path).await? else {
        return Ok(None);
    };
    check(store, folder, "manifest-summary.checksum", &path, &body).await?;
    let damaged = |message: String| damaged(store, &path, &message);
    let summary: Summary =
        serde_json::from_slice(&body).map_err(|error| damaged(error.to_string()))?;
    let table = summary
        .table_arn
        .rsplit_once(":table/")
        .map(|(_, name)| name.to_owned())
        .ok_or_else(|| damaged(format!("tableArn {:?} names no table", summary.table_arn)))?;
    let format = match summary.output_format.as_str() {
        "DYNAMODB_JSON" => ExportFormat::Json,
        "ION" => ExportFormat::Ion,
        other => return Err(damaged(format!("outputFormat {other:?} is unknown"))),
    };
    let kind = match summary.export_type.as_deref() {
        None | Some("FULL_EXPORT") => ExportKind::Full,
        Some("INCREMENTAL_EXPORT") => ExportKind::Changes {
            has_old_images: summary
                .output_view
                .as_deref()
                .is_none_or(|view| view == "NEW_AND_OLD_IMAGES"),
        },
        Some(other) => return Err(damaged(format!("exportType {other:?} is unknown"))),
    };
    Ok(Some(Export {
        table,
        arn: summary.export_arn,
        kind,
        format,
        time: summary
            .export_time
            .or(summary.export_to_time)
            .unwrap_or_default(),
        items: summary.item_count,
        folder: folder.clone(),
    }))
}

impl Export {
    /// The data files that hold anything; together they must hold as many items as the summary says.
    pub(crate) async fn files(&self, store: &ExportStore) -> Result<Vec<DataFile>, ConnectorError> {
        let path = self.folder.clone().join(FILES);
        let Some(body) = store.small(&path).await? else {
            return Err(damaged(store, &path, "it is missing"));
        };
        check(store, &self.folder, "manifest-files.checksum", &path, &body).await?;
        let text = std::str::from_utf8(&body)
            .map_err(|error| damaged(store, &path, &error.to_string()))?;
        let mut files = Vec::new();
        let mut items = 0;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let entry: FileEntry = serde_json::from_str(line)
                .map_err(|error| damaged(store, &path, &error.to_string()))?;
            items += entry.item_count;
            if entry.item_count > 0 {
                files.push(DataFile {
                    path: self.place_of(&entry.data_file_s3_key).to_string(),
                    items: entry.item_count,
                    md5: entry.md5_checksum,
                    format: self.format,
                    kind: self.kind,
                });
            }
        }
        if items != self.items {
            let message = format!("it lists {items} items, the summary {}", self.items);
            return Err(damaged(store, &path, &message));
        }
        Ok(files)
    }

    /// Where a data file is now: an export can be copied with its folder, so only the part of its first key below
    /// `AWSDynamoDB` counts.
    fn place_of(&self, key: &str) -> Path {
        const ROOT: &str = "AWSDynamoDB/";
        let below = key
            .rfind(ROOT)
            .map_or(key, |position| &key[position + ROOT.len()..]);
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        let id = self.arn.rsplit('/').next().unwrap_or_default();
        let (folder, rest) = match parts.as_slice() {
            // In the export's own folder, whatever it is called now.
            [first, rest @ ..] if *first == id || Some(*first) == self.folder.filename() => {
                (self.folder.clone(), rest.to_vec())
            }
            // In the folder that exports share.
            rest => (parent(&self.folder), rest.to_vec()),
        };
        rest.into_iter().fold(folder, |path, part| path.join(part))
    }
}

fn parent(path: &Path) -> Path {
    let parts: Vec<_> = path.parts().collect();
    let kept = parts.len().saturating_sub(1);
    parts.into_iter().take(kept).collect()
}

/// Compares a manifest with its checksum file, if there is one: the MD5 in base64, alone or as the first word.
async fn check(
    store: &ExportStore,
    folder: &Path,
    checksum: &str,
    path: &Path,
    body: &[u8],
) -> Result<(), ConnectorError> {
    let Some(expected) = store.small(&folder.clone().join(checksum)).await? else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&expected);
    let Some(expected) = text.split_whitespace().next() else {
        return Ok(());
    };
    let mut digest = Md5::default();
    digest.update(body);
    if STANDARD.encode(digest.finish()) == expected {
        Ok(())
    } else {
        Err(damaged(store, path, "its checksum does not match"))
    }
}

/// The error of an export that cannot be trusted.
pub(crate) fn damaged(store: &ExportStore, path: &Path, message: &str) -> ConnectorError {
    ConnectorError::Source {
        catalog: store.catalog().to_owned(),
        code: None,
        message: format!("the export is damaged: {}: {message}", store.name(path)),
    }
}
