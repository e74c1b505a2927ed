//! The bytes of a file as a stream: from disk or S3, unpacked, counted. Must never know what the bytes mean.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::physical_plan::metrics::Count;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, PutPayload};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::format::Compression;
use crate::handoff::stream_from_thread;

/// The byte buffers object stores hand out.
pub type Bytes = <PutPayload as IntoIterator>::Item;

/// Chunks of a file's unpacked content.
pub type ByteStream = BoxStream<'static, Result<Bytes, DataFusionError>>;

const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS_AHEAD: usize = 4;

/// One file to read.
#[derive(Debug, Clone)]
pub struct FileBytes {
    /// Where it is.
    pub store: Arc<dyn ObjectStore>,
    /// Which file; reading fails if it is not this version any more.
    pub meta: ObjectMeta,
    /// How it is packed.
    pub compression: Compression,
    /// First byte to read (only of files that are not packed).
    pub start: u64,
    /// Counts the bytes received from disk or network.
    pub scanned: Option<Count>,
}

impl FileBytes {
    /// The whole file.
    pub fn whole(
        store: &Arc<dyn ObjectStore>,
        meta: &ObjectMeta,
        compression: Compression,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            meta: meta.clone(),
            compression,
            start: 0,
            scanned: None,
        }
    }

    /// Opens the file as a stream of chunks.
    pub async fn stream(self) -> Result<ByteStream, DataFusionError> {
        let compression = self.compression;
        match self.open().await? {
            Opened::Remote(chunks) if compression == Compression::None => Ok(chunks),
            opened => Ok(chunks_of(opened.into_reader(compression)).boxed()),
        }
    }

    /// Opens the file for a decoder that pulls; to be used on a blocking thread only.
    pub async fn reader(self) -> Result<PullReader, DataFusionError> {
        let compression = self.compression;
        Ok(self.open().await?.into_reader(compression))
    }

    async fn open(self) -> Result<Opened, DataFusionError> {
        let options = GetOptions {
            if_match: self.meta.e_tag.clone(),
            range: (self.start > 0).then_some(GetRange::Offset(self.start)),
            ..GetOptions::default()
        };
        let result = self.store.get_opts(&self.meta.location, options).await?;
        let counter = self.scanned;
        if let GetResultPayload::File(mut file, _) = result.payload {
            // The local store hands out the whole file, whatever range was asked for.
            file.seek(SeekFrom::Start(self.start))?;
            return Ok(Opened::Local(CountingReader {
                inner: Box::new(file),
                counter,
            }));
        }
        let chunks = result.into_stream().map(move |chunk| {
            let chunk = chunk?;
            if let Some(counter) = &counter {
                counter.add(chunk.len());
            }
            Ok(chunk)
        });
        Ok(Opened::Remote(chunks.boxed()))
    }
}

enum Opened {
    Local(CountingReader),
    Remote(ByteStream),
}

impl Opened {
    fn into_reader(self, compression: Compression) -> PullReader {
        let (packed, pump): (Box<dyn Read + Send>, _) = match self {
            Self::Local(file) => (Box::new(file), None),
            Self::Remote(mut chunks) => {
                let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
                let pump = tokio::spawn(async move {
                    while let Some(chunk) = chunks.next().await {
                        if sender.send(Some(chunk)).await.is_err() {
                            return;
                        }
                    }
                    // Nobody is left to tell when this fails.
                    let _ = sender.send(None).await;
                });
                let source = ChannelReader {
                    receiver,
                    current: Bytes::new(),
                    ended: false,
                };
                (Box::new(source), Some(AbortOnDrop(pump.abort_handle())))
            }
        };
        let inner = Unpacking::NotStarted(packed, compression);
        PullReader { inner, pump }
    }
}

/// Decoders read ahead when they are made, so they are made on the thread that may block.
enum Unpacking {
    NotStarted(Box<dyn Read + Send>, Compression),
    Started(Box<dyn Read + Send>),
}

/// A blocking reader of a file's unpacked content.
pub struct PullReader {
    inner: Unpacking,
    pump: Option<AbortOnDrop>,
}

impl PullReader {
    /// Stops the transfer when dropped; keep it with the consumer of the decoded rows.
    pub fn take_guard(&mut self) -> TransferGuard {
        TransferGuard {
            _pump: self.pump.take(),
        }
    }
}

/// Stops a transfer when dropped.
pub struct TransferGuard {
    _pump: Option<AbortOnDrop>,
}

impl Read for PullReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Unpacking::NotStarted(packed, compression) = &mut self.inner {
            let packed = std::mem::replace(packed, Box::new(io::empty()));
            let unpacked = compression
                .decoder()
                .convert_read(packed)
                .map_err(|error| io::Error::other(error.strip_backtrace()))?;
            self.inner = Unpacking::Started(unpacked);
        }
        match &mut self.inner {
            Unpacking::Started(unpacked) => unpacked.read(buffer),
            Unpacking::NotStarted(_, _) => Ok(0),
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct CountingReader {
    inner: Box<dyn Read + Send>,
    counter: Option<Count>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(counter) = &self.counter {
            counter.add(read);
        }
        Ok(read)
    }
}

struct ChannelReader {
    /// `None` is the end; a channel that closes without it lost its sender.
    receiver: mpsc::Receiver<Option<Result<Bytes, DataFusionError>>>,
    current: Bytes,
    ended: bool,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(Ok(chunk))) => self.current = chunk,
                Some(Some(Err(error))) => return Err(io::Error::other(error)),
                Some(None) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the transfer was stopped",
                    ));
                }
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// Reads ahead on a blocking thread.
fn chunks_of(mut reader: PullReader) -> impl Stream<Item = Result<Bytes, DataFusionError>> + Send {
    let guard = reader.take_guard();
    stream_from_thread(CHUNKS_AHEAD, guard, move |sender| {
        loop {
            let chunk = read_chunk(&mut reader)?;
            if chunk.is_empty() || sender.send(Bytes::from(chunk)).is_err() {
                return Ok(());
            }
        }
    })
}

fn read_chunk(reader: &mut PullReader) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    reader.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// The lines that begin in a part of a file: the line in which byte `start` lies belongs to the part before, unless
/// it begins right there; the line in which byte `end - 1` lies is read to its end.
pub fn whole_lines(chunks: ByteStream, start: u64, end: u64) -> ByteStream {
    let first = start.saturating_sub(1);
    let state = LineWindow {
        chunks,
        position: first,
        end,
        skipping: start > 0,
    };
    futures::stream::try_unfold(state, |mut state| async move {
        while let Some(chunk) = state.chunks.try_next().await? {
            let (lines, last) = state.cut(chunk);
            if last {
                state.chunks = futures::stream::empty().boxed();
            }
            if !lines.is_empty() {
                return Ok(Some((lines, state)));
            }
        }
        Ok(None)
    })
    .boxed()
}

/// Offset at which the chunks of [`whole_lines`] must begin.
pub fn whole_lines_offset(start: u64) -> u64 {
    start.saturating_sub(1)
}

struct LineWindow {
    chunks: ByteStream,
    position: u64,
    end: u64,
    skipping: bool,
}

impl LineWindow {
    /// The wanted bytes of the next chunk, and whether they are the last.
    fn cut(&mut self, mut chunk: Bytes) -> (Bytes, bool) {
        if self.skipping {
            let Some(line_end) = chunk.iter().position(|byte| *byte == b'\n') else {
                self.position += chunk.len() as u64;
                return (Bytes::new(), self.position >= self.end);
            };
            self.skipping = false;
            self.position += line_end as u64 + 1;
            chunk = chunk.slice(line_end + 1..);
        }
        if self.position >= self.end {
            return (Bytes::new(), true);
        }
        let last_needed = self.end - 1;
        let search_from =
            usize::try_from(last_needed.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let tail = chunk.get(search_from..).unwrap_or_default();
        let cut = tail
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|line_end| search_from + line_end + 1);
        match cut {
            Some(length) => (chunk.slice(..length), true),
            None => {
                // Past `end` only the rest of the last line is of interest.
                self.position = (self.position + chunk.len() as u64).min(last_needed);
                (chunk, false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn part(text: &'static str, start: u64, end: u64, step: usize) -> String {
        let offset = usize::try_from(whole_lines_offset(start)).unwrap();
        let pieces: Vec<Result<Bytes, DataFusionError>> = text.as_bytes()[offset..]
            .chunks(step)
            .map(|piece| Ok(Bytes::from(piece.to_vec())))
            .collect();
        let lines: Vec<Bytes> = whole_lines(futures::stream::iter(pieces).boxed(), start, end)
            .try_collect()
            .await
            .unwrap();
        String::from_utf8(lines.concat()).unwrap()
    }

    #[tokio::test]
    async fn parts_give_every_line_once() {
        for text in ["a\nbb\nccc\n\ndd\ne", "one line", "\n\n\n", "abc\ndef\n"] {
            let size = text.len() as u64;
            for first in 0..=size {
                for second in first..=size {
                    for step in [1, 2, 100] {
                        let parts = [(0, first), (first, second), (second, size)];
                        let mut joined = String::new();
                        for (start, end) in parts.into_iter().filter(|(start, end)| start < end) {
                            joined += &part(text, start, end, step).await;
                        }
                        assert_eq!(
                            joined, text,
                            "cut at {first} and {second} in pieces of {step}"
                        );
                    }
                }
            }
        }
    }
}
