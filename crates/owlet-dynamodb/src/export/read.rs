//! One split of an export: its files one after the other, unpacked, checked against the manifest, decoded. An answer
//! is complete or an error. Must never know how the split was planned.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use owlet_connector::{BatchStream, ConnectorError, ScanContext, ScanPlan};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::inflate::{Packed, UnpackError, Unpacker};
use super::ion;
use super::manifest::{DataFile, ExportFormat, ExportKind, damaged};
use super::md5::Md5;
use super::record::{Output, Record, RecordDecoder, output_schema};
use super::store::ExportStore;
use crate::decode::column::OnTypeMismatch;
use crate::decode::{DecodedColumn, Rejection};
use crate::transport::cancellable;
use crate::workers::lost_worker;

type Result<T> = std::result::Result<T, ConnectorError>;

/// Longest line read: an item has at most 400 KB, its escapes and two images take more.
const MOST_LINE_BYTES: usize = 64 << 20;

/// One split as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExportSplit {
    pub(crate) table: String,
    /// Attributes that name an item in messages.
    pub(crate) key_names: Vec<String>,
    pub(crate) columns: Vec<DecodedColumn>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) files: Vec<DataFile>,
    /// No more rows than these are needed of the split.
    pub(crate) limit: Option<u64>,
}

/// Starts reading a split; I/O begins when the stream is first polled.
pub(crate) fn open(
    store: Arc<ExportStore>,
    on_mismatch: OnTypeMismatch,
    plan: &ScanPlan,
    split: usize,
    context: ScanContext,
) -> BatchStream {
    let payload = plan
        .splits
        .get(split)
        .ok_or_else(|| ConnectorError::Internal(format!("the plan has no split {split}")))
        .and_then(|split| {
            serde_json::from_str::<ExportSplit>(&split.payload).map_err(|error| {
                ConnectorError::Internal(format!("a split cannot be read: {error}"))
            })
        });
    let batches = async move {
        let (sender, receiver) = mpsc::channel(2);
        let cancellation = context.cancellation.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(read_files(store, on_mismatch, payload?, context, sender));
        let state = Some((receiver, tasks));
        Ok(futures::stream::unfold(state, move |state| {
            let cancellation = cancellation.clone();
            async move {
                let (mut receiver, mut tasks) = state?;
                let next = cancellable(&cancellation, next(&mut receiver, &mut tasks)).await;
                match next {
                    Ok(None) => None,
                    Ok(Some(Ok(batch))) => Some((Ok(batch), Some((receiver, tasks)))),
                    Ok(Some(Err(error))) | Err(error) => Some((Err(error), None)),
                }
            }
        }))
    };
    futures::stream::once(batches).try_flatten().boxed()
}

type Batches = mpsc::Receiver<Result<RecordBatch>>;

async fn next(receiver: &mut Batches, tasks: &mut JoinSet<()>) -> Option<Result<RecordBatch>> {
    if let Some(batch) = receiver.recv().await {
        return Some(batch);
    }
    lost_worker(tasks).await.map(Err)
}

async fn read_files(
    store: Arc<ExportStore>,
    on_mismatch: OnTypeMismatch,
    split: ExportSplit,
    context: ScanContext,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    let schema = Arc::new(output_schema(&split.columns, &split.outputs));
    let mut decoder = RecordDecoder::new(
        &split.table,
        split.key_names,
        split.columns,
        split.outputs,
        schema,
        on_mismatch,
    );
    let mut left = split.limit;
    let mut files = VecDeque::from(split.files);
    while let Some(file) = files.pop_front() {
        if left == Some(0) {
            return;
        }
        let path = Path::from(file.path.as_str());
        let (chunks, receiver) = mpsc::channel(4);
        let reading = FileReading {
            store: Arc::clone(&store),
            path: path.clone(),
            file,
            packed: Chunks {
                receiver,
                digest: Md5::default(),
            },
            context: context.clone(),
            sender: sender.clone(),
            left,
        };
        let worker = tokio::task::spawn_blocking(move || reading.run(decoder));
        feed(&store, &path, &context, chunks).await;
        match worker.await {
            Ok(Ok(Some((returned, remaining)))) => {
                decoder = returned;
                left = remaining;
            }
            // Nobody listens any more.
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                let _ = sender.send(Err(error)).await;
                return;
            }
            Err(error) => {
                let error = ConnectorError::Internal(format!("a reader failed: {error}"));
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
    }
}

/// Sends a file's bytes to its reader until the reader has enough.
async fn feed(
    store: &ExportStore,
    path: &Path,
    context: &ScanContext,
    chunks: mpsc::Sender<Result<Option<Bytes>>>,
) {
    context.work.add_request();
    let mut stream = match store.stream(path).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = chunks.send(Err(error)).await;
            return;
        }
    };
    loop {
        let piece = match tokio::time::timeout(store.patience(), stream.next()).await {
            Ok(None) => {
                // Nobody listens any more when this fails.
                let _ = chunks.send(Ok(None)).await;
                return;
            }
            Ok(Some(piece)) => piece.map_err(|error| store.failure(path, &error)),
            Err(_) => Err(ConnectorError::ConnectionLost {
                catalog: store.catalog().to_owned(),
                object: store.name(path),
                message: format!("no byte came for {:?}", store.patience()),
            }),
        };
        let piece = piece.and_then(|piece| {
            context.work.add_bytes(piece.len() as u64)?;
            Ok(Some(piece))
        });
        let is_last = piece.is_err();
        if chunks.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

/// A file's packed bytes, and their digest so far.
struct Chunks {
    /// `None` is the end; a channel that closes without it lost its sender.
    receiver: mpsc::Receiver<Result<Option<Bytes>>>,
    digest: Md5,
}

impl Packed for &mut Chunks {
    type Error = ConnectorError;

    fn next_piece(&mut self) -> Result<Bytes> {
        loop {
            let piece = self.receiver.blocking_recv().unwrap_or_else(|| {
                Err(ConnectorError::Internal(
                    "the transfer of an export's file ended early".to_owned(),
                ))
            })?;
            match piece {
                None => return Ok(Bytes::new()),
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    self.digest.update(&piece);
                    return Ok(piece);
                }
            }
        }
    }
}

struct FileReading {
    store: Arc<ExportStore>,
    path: Path,
    file: DataFile,
    packed: Chunks,
    context: ScanContext,
    sender: mpsc::Sender<Result<RecordBatch>>,
    left: Option<u64>,
}

/// What goes on with the next file: the decoder and the rows still wanted; `None` when nobody listens.
type Continuation = Option<(RecordDecoder, Option<u64>)>;

impl FileReading {
    fn run(mut self, mut decoder: RecordDecoder) -> Result<Continuation> {
        let batch_rows = self.context.batch_rows.max(1);
        let mut items = 0_u64;
        let mut content = Md5::default();
        let mut json = String::new();
        let mut pending: Vec<u8> = Vec::new();
        let mut packed = std::mem::replace(
            &mut self.packed,
            Chunks {
                receiver: mpsc::channel(1).1,
                digest: Md5::default(),
            },
        );
        let mut unpacker = Unpacker::new(&mut packed);
        loop {
            let piece = unpacker.next_piece().map_err(|error| match error {
                UnpackError::Read(error) => error,
                UnpackError::Damaged(message) => self.damaged(message),
            })?;
            content.update(piece);
            let is_end = piece.is_empty();
            let mut rest = piece;
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = rest.split_at(end);
                rest = &after[1..];
                if pending.is_empty() {
                    items += self.line(line, &mut json, &mut decoder)?;
                } else {
                    pending.extend_from_slice(line);
                    items += self.line(&pending, &mut json, &mut decoder)?;
                    pending.clear();
                }
                let is_satisfied = self.left.is_some_and(|left| decoder.rows() as u64 >= left);
                if (decoder.rows() >= batch_rows || is_satisfied) && !self.flush(&mut decoder)? {
                    return Ok(None);
                }
                if is_satisfied {
                    // The rest of the file is not needed, and not checked.
                    return Ok(Some((decoder, Some(0))));
                }
            }
            pending.extend_from_slice(rest);
            if pending.len() > MOST_LINE_BYTES {
                return Err(self.damaged("a line does not end"));
            }
            if is_end {
                break;
            }
        }
        if !pending.is_empty() {
            items += self.line(&pending, &mut json, &mut decoder)?;
        }
        self.check(packed.digest, content, items)?;
        if decoder.rows() > 0 && !self.flush(&mut decoder)? {
            return Ok(None);
        }
        Ok(Some((decoder, self.left)))
    }

    /// Decodes a line; tells how many items it had.
    fn line(&self, line: &[u8], json: &mut String, decoder: &mut RecordDecoder) -> Result<u64> {
        let line = std::str::from_utf8(line)
            .map_err(|error| self.damaged(&error.to_string()))?
            .trim();
        if line.is_empty() {
            return Ok(0);
        }
        let line = match self.file.format {
            ExportFormat::Json => line,
            ExportFormat::Ion => {
                json.clear();
                ion::to_json(line, json).map_err(|message| self.damaged(&message))?;
                json.as_str()
            }
        };
        let record = Record::parse(line).map_err(|error| self.damaged(&error.to_string()))?;
        let added = match self.file.kind {
            ExportKind::Full => decoder.add_item(&record),
            ExportKind::Changes { has_old_images } => decoder.add_change(&record, has_old_images),
        };
        added.map_err(|rejection| match rejection {
            Rejection::Damaged(message) => self.damaged(&message),
            Rejection::Failed(error) => error,
        })?;
        Ok(1)
    }

    /// The file is the one the manifest means: its digest (of the packed bytes; of the content is as good a proof) and
    /// its number of items.
    fn check(&self, packed: Md5, content: Md5, items: u64) -> Result<()> {
        if items != self.file.items {
            return Err(self.damaged(&format!(
                "it has {items} items, the manifest says {}",
                self.file.items
            )));
        }
        let expected = &self.file.md5;
        let is_expected = |digest: Md5| STANDARD.encode(digest.finish()) == *expected;
        if expected.is_empty() || is_expected(packed) || is_expected(content) {
            return Ok(());
        }
        Err(self.damaged("its MD5 is not the manifest's"))
    }

    /// Sends what was decoded; false when nobody listens.
    fn flush(&mut self, decoder: &mut RecordDecoder) -> Result<bool> {
        let nulled = decoder.take_nulled();
        if nulled > 0 {
            self.context.work.add_nulled_values(nulled);
            tracing::warn!(file = %self.store.name(&self.path), nulled, "values that did not fit their columns became NULL");
        }
        let batch = decoder.finish()?;
        let rows = batch.num_rows() as u64;
        self.context.work.add_rows_read(rows);
        let wanted = self.left.map_or(rows, |left| left.min(rows));
        self.left = self.left.map(|left| left - wanted);
        self.context.work.add_rows_returned(wanted)?;
        let batch = batch.slice(0, wanted as usize);
        Ok(self.sender.blocking_send(Ok(batch)).is_ok())
    }

    fn damaged(&self, message: &str) -> ConnectorError {
        damaged(&self.store, &self.path, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_transfer_is_an_error_and_not_the_end_of_the_file() {
        let (sender, receiver) = mpsc::channel(4);
        let mut chunks = Chunks {
            receiver,
            digest: Md5::default(),
        };
        let mut source = &mut chunks;
        for piece in [Some(Bytes::from_static(b"a")), None] {
            sender.blocking_send(Ok(piece)).expect("the reader listens");
        }
        assert_eq!(source.next_piece().expect("a piece"), "a");
        assert!(source.next_piece().expect("the end").is_empty());
        drop(sender);
        assert!(source.next_piece().is_err());
    }
}
