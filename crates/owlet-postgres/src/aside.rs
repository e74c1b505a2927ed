//! Takes the rows of a COPY out of a connection's bytes before the driver sees them, in large pieces and without
//! copying: the driver would hand over every row as a message of its own, from pieces of 8 KB, and the reader and the
//! driver would wake each other for each of these. Must never know what a row holds.
//!
//! Messages are a type byte and a length that counts itself (PostgreSQL documentation, "Message Flow" and "Message
//! Formats"). All but `CopyData` go on to the driver.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::sync::PollSender;

use crate::copy::Malformed;

/// Bytes of a piece.
const PIECE: usize = 256 * 1024;
/// Pieces that wait for their reader. With one being filled and one being decoded, a connection holds 1 MB.
const WAITING_PIECES: usize = 2;

/// Bytes of a message's type and length.
const HEADER: usize = 5;
/// Message types (PostgreSQL documentation, "Message Formats").
const COPY_DATA: u8 = b'd';
const COPY_DONE: u8 = b'c';
const ERROR_RESPONSE: u8 = b'E';
/// The first message of a client that wants TLS, and the server's answers, which are no messages.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const TLS_ACCEPTED: u8 = b'S';

/// Where the rows of a connection's next COPY go.
#[derive(Clone)]
pub(crate) struct Aside {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    expected: Option<mpsc::Sender<Piece>>,
    /// Pieces that were read and can be filled again.
    spare: Vec<Box<[u8]>>,
}

impl Aside {
    /// For the stream of one connection.
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// Rows of the COPY that is asked for next.
    pub(crate) fn expect_rows(&self) -> CopyRows {
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        self.lock().expected = Some(sender);
        CopyRows {
            receiver,
            aside: self.clone(),
            piece: None,
            messages: Messages::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_expected(&self) -> Option<mpsc::Sender<Piece>> {
        self.lock().expected.take()
    }

    fn empty_piece(&self) -> Box<[u8]> {
        self.lock()
            .spare
            .pop()
            .unwrap_or_else(|| vec![0; PIECE].into_boxed_slice())
    }

    fn recycle(&self, bytes: Box<[u8]>) {
        let mut shared = self.lock();
        if bytes.len() == PIECE && shared.spare.len() < WAITING_PIECES {
            shared.spare.push(bytes);
        }
    }
}

/// Some bytes of `CopyData` messages, headers included, cut anywhere.
#[derive(Debug)]
struct Piece {
    bytes: Box<[u8]>,
    range: Range<usize>,
}

/// The rows of one COPY.
pub(crate) struct CopyRows {
    receiver: mpsc::Receiver<Piece>,
    aside: Aside,
    /// What is not read yet.
    piece: Option<Piece>,
    messages: Messages,
}

impl CopyRows {
    /// Waits until rows are there; `false` when no more will come this way.
    pub(crate) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.piece.is_some() {
            return Poll::Ready(true);
        }
        self.piece = ready!(self.receiver.poll_recv(context));
        Poll::Ready(self.piece.is_some())
    }

    /// All that is there, if a message begins with it; else nothing.
    pub(crate) fn messages(&self) -> &[u8] {
        match &self.piece {
            Some(piece) if self.messages.is_between() => &piece.bytes[piece.range.clone()],
            _ => &[],
        }
    }

    /// So many bytes of [`Self::messages`] were read: whole messages.
    pub(crate) fn pass_over(&mut self, length: usize) {
        if let Some(piece) = &mut self.piece {
            piece.range.start += length;
        }
    }

    /// The next part of the rows that are there: what is left of one message, or as much of it as has come.
    pub(crate) fn next_part(&mut self) -> Result<Option<&[u8]>, Malformed> {
        if let Some(read) = self.piece.take_if(|piece| piece.range.is_empty()) {
            self.aside.recycle(read.bytes);
        }
        let Some(piece) = &mut self.piece else {
            return Ok(None);
        };
        let rest = &piece.bytes[piece.range.clone()];
        let part = self.messages.advance(rest)?;
        let end = part.header + part.body;
        piece.range.start += end;
        Ok(Some(&rest[part.header..end]))
    }
}

/// Where in which message a reader of a connection's bytes is.
#[derive(Debug, Default)]
struct Messages {
    /// Type and length as far as they have come.
    header: [u8; HEADER],
    header_filled: usize,
    body_left: usize,
}

/// The first bytes that belong to one message.
struct Part {
    kind: u8,
    header: usize,
    body: usize,
}

impl Messages {
    /// The next byte begins a message.
    fn is_between(&self) -> bool {
        self.body_left == 0 && matches!(self.header_filled, 0 | HEADER)
    }

    /// Passes over the bytes up to the end of the message that they begin or continue. There must be some.
    #[inline]
    fn advance(&mut self, bytes: &[u8]) -> Result<Part, Malformed> {
        let mut header = 0;
        if self.body_left == 0 {
            if self.header_filled == HEADER {
                self.header_filled = 0;
            }
            header = (HEADER - self.header_filled).min(bytes.len());
            self.header[self.header_filled..self.header_filled + header]
                .copy_from_slice(&bytes[..header]);
            self.header_filled += header;
            if self.header_filled == HEADER {
                let [_, length @ ..] = self.header;
                self.body_left = (u32::from_be_bytes(length) as usize)
                    .checked_sub(length.len())
                    .ok_or_else(impossible_length)?;
            }
        }
        let body = self.body_left.min(bytes.len() - header);
        self.body_left -= body;
        Ok(Part {
            kind: self.header[0],
            header,
            body,
        })
    }
}

#[cold]
fn impossible_length() -> Malformed {
    Malformed::new("a message of an impossible length")
}

/// What the server sends next on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing: it was not asked yet.
    Nothing,
    /// One byte, the answer to the wish for TLS.
    TlsAnswer,
    /// Ciphertext; a stream above this one sees the messages.
    Ciphertext,
    Messages,
}

/// For the reader of the rows.
enum Outgoing {
    Piece(Piece),
    /// The COPY has ended, well or not.
    End,
}

/// A stream whose reader does not see the rows that are expected by somebody else.
pub(crate) struct Divided<S> {
    stream: S,
    aside: Aside,
    content: Content,
    messages: Messages,
    /// Leads to the reader of the rows, from the first to the end of their COPY.
    sender: Option<PollSender<Piece>>,
    outgoing: VecDeque<Outgoing>,
    /// Bytes for this stream's reader, and how many of them it has had.
    passed: Vec<u8>,
    passed_read: usize,
    /// What the stream came to after its last bytes.
    failure: Option<io::Error>,
}

impl<S> Divided<S> {
    /// A stream before its first use.
    pub(crate) fn new(stream: S, aside: Aside) -> Self {
        Self::with_content(stream, aside, Content::Nothing)
    }

    fn with_content(stream: S, aside: Aside, content: Content) -> Self {
        Self {
            stream,
            aside,
            content,
            messages: Messages::default(),
            sender: None,
            outgoing: VecDeque::new(),
            passed: Vec::new(),
            passed_read: 0,
            failure: None,
        }
    }

    /// Sorts the bytes of a piece into rows and what this stream's reader gets.
    fn sort(&mut self, bytes: Box<[u8]>, filled: usize) -> Result<(), Malformed> {
        let mut rows = 0..0;
        let mut at = 0;
        while at < filled {
            let part = self.messages.advance(&bytes[at..filled])?;
            let end = at + part.header + part.body;
            if part.kind == COPY_DATA && self.has_reader() {
                rows.end = end;
            } else {
                if !rows.is_empty() {
                    self.outgoing.push_back(Outgoing::Piece(Piece {
                        range: 0..rows.len(),
                        bytes: bytes[rows].into(),
                    }));
                }
                rows = end..end;
                self.passed.extend_from_slice(&bytes[at..end]);
                if matches!(part.kind, COPY_DONE | ERROR_RESPONSE) {
                    self.end_rows();
                }
            }
            at = end;
        }
        if rows.is_empty() {
            self.aside.recycle(bytes);
        } else {
            self.outgoing
                .push_back(Outgoing::Piece(Piece { bytes, range: rows }));
        }
        Ok(())
    }

    /// Whether somebody expects the rows that come now.
    fn has_reader(&mut self) -> bool {
        if self.sender.is_none() {
            self.sender = self.aside.take_expected().map(PollSender::new);
        }
        self.sender.is_some()
    }

    fn end_rows(&mut self) {
        if self.sender.is_some() {
            self.outgoing.push_back(Outgoing::End);
        } else {
            // Not one row came: who expects them must not wait.
            drop(self.aside.take_expected());
        }
    }

    /// Hands rows to their reader as it has room for them. Those of a reader that is gone are dropped.
    fn poll_hand_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = self.outgoing.front() {
            if let (Outgoing::Piece(_), Some(sender)) = (next, &mut self.sender) {
                // Also ready when the reader is gone.
                drop(ready!(sender.poll_reserve(context)));
            }
            match (self.outgoing.pop_front(), &mut self.sender) {
                (Some(Outgoing::Piece(piece)), Some(sender)) => drop(sender.send_item(piece)),
                _ => self.sender = None,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> Divided<S> {
    /// Reads all that is there, up to a piece, and sorts it. Nothing is left of a stream that has ended.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut bytes = self.aside.empty_piece();
        let mut buffer = ReadBuf::new(&mut bytes);
        let outcome = loop {
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                    break Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if buffer.remaining() > 0 => {}
                other => break other,
            }
        };
        let filled = buffer.filled().len();
        if filled > 0 {
            if let Poll::Ready(Err(failure)) = outcome {
                self.failure = Some(failure);
            }
            self.sort(bytes, filled)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            return Poll::Ready(Ok(Progress::Sorted));
        }
        self.aside.recycle(bytes);
        outcome.map_ok(|()| Progress::Ended)
    }
}

/// What a reading has come to.
enum Progress {
    Sorted,
    Ended,
}

impl<S: AsyncRead + Unpin> AsyncRead for Divided<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.content != Content::Messages {
            let before = wanted.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, wanted))?;
            if let (Content::TlsAnswer, Some(answer)) = (this.content, wanted.filled().get(before))
            {
                this.content = match *answer {
                    TLS_ACCEPTED => Content::Ciphertext,
                    _ => Content::Messages,
                };
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            let unread = &this.passed[this.passed_read..];
            if !unread.is_empty() {
                let count = unread.len().min(wanted.remaining());
                wanted.put_slice(&unread[..count]);
                this.passed_read += count;
                return Poll::Ready(Ok(()));
            }
            this.passed.clear();
            this.passed_read = 0;
            ready!(this.poll_hand_over(context));
            if let Progress::Ended = ready!(this.poll_piece(context))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Divided<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.content == Content::Nothing {
            self.content = match bytes == SSL_REQUEST {
                true => Content::TlsAnswer,
                false => Content::Messages,
            };
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream> TlsStream for Divided<S>
where
    Self: AsyncRead + AsyncWrite,
{
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A handshake whose stream is divided.
pub(crate) struct DividedTls<H> {
    handshake: H,
    aside: Aside,
}

impl<H> DividedTls<H> {
    pub(crate) fn new(handshake: H, aside: Aside) -> Self {
        Self { handshake, aside }
    }
}

impl<S, H> TlsConnect<S> for DividedTls<H>
where
    H: TlsConnect<S, Future: Send + 'static, Stream: Send + 'static, Error: 'static>,
{
    type Stream = Divided<H::Stream>;
    type Error = H::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshaking = self.handshake.connect(stream);
        let aside = self.aside;
        async move {
            let stream = handshaking.await?;
            Ok(Divided::with_content(stream, aside, Content::Messages))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        message
    }

    /// A stream that gives so many bytes at a time.
    struct Cut {
        bytes: Vec<u8>,
        at: usize,
        size: usize,
    }

    impl AsyncRead for Cut {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            wanted: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            // Every other call has nothing yet.
            let count = self.size.min(self.bytes.len() - self.at);
            if wanted.filled().is_empty() {
                wanted.put_slice(&self.bytes[self.at..self.at + count]);
                self.at += count;
                return Poll::Ready(Ok(()));
            }
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }

    fn divided(bytes: Vec<u8>, size: usize, aside: &Aside) -> Divided<Cut> {
        let cut = Cut { bytes, at: 0, size };
        Divided::with_content(cut, aside.clone(), Content::Messages)
    }

    async fn read_rows(mut rows: CopyRows) -> Vec<u8> {
        let mut all = Vec::new();
        while poll_fn(|context| rows.poll_more(context)).await {
            while let Some(part) = rows.next_part().expect("well-formed") {
                all.extend_from_slice(part);
            }
        }
        all
    }

    #[tokio::test]
    async fn rows_go_aside_and_all_else_passes_wherever_the_bytes_are_cut() {
        let mut sent = Vec::new();
        let (mut rows, mut others) = (Vec::new(), Vec::new());
        for (kind, body) in [
            (b'2', &b""[..]),
            (b'H', b"\x01\0\x01\0\x01"),
            (COPY_DATA, b"first"),
            (COPY_DATA, b""),
            (COPY_DATA, b"second"),
            (b'N', b"a notice between rows"),
            (COPY_DATA, b"third"),
            (COPY_DONE, b""),
            (b'C', b"COPY 3\0"),
            (b'Z', b"I"),
        ] {
            let message = message(kind, body);
            sent.extend_from_slice(&message);
            match kind {
                COPY_DATA => rows.extend_from_slice(body),
                _ => others.extend_from_slice(&message),
            }
        }
        for size in 1..=sent.len() {
            let aside = Aside::new();
            let reader = tokio::spawn(read_rows(aside.expect_rows()));
            let mut stream = divided(sent.clone(), size, &aside);
            let mut passed = Vec::new();
            stream.read_to_end(&mut passed).await.expect("readable");
            assert_eq!(passed, others, "cut every {size} bytes");
            assert_eq!(
                reader.await.expect("no panic"),
                rows,
                "cut every {size} bytes"
            );
        }
    }

    #[tokio::test]
    async fn rows_that_nobody_expects_pass() {
        let sent = [message(COPY_DATA, b"row"), message(COPY_DONE, b"")].concat();
        let mut passed = Vec::new();
        divided(sent.clone(), 3, &Aside::new())
            .read_to_end(&mut passed)
            .await
            .expect("readable");
        assert_eq!(passed, sent);
    }

    #[tokio::test]
    async fn rows_of_a_reader_that_is_gone_are_dropped() {
        let aside = Aside::new();
        drop(aside.expect_rows());
        let row = message(COPY_DATA, &[7; 1000]);
        let done = message(COPY_DONE, b"");
        let sent = [row.repeat(10_000), done.clone()].concat();
        let mut passed = Vec::new();
        divided(sent, 100_000, &aside)
            .read_to_end(&mut passed)
            .await
            .expect("readable");
        assert_eq!(passed, done);
    }

    #[tokio::test]
    async fn a_refused_copy_has_no_rows() {
        let aside = Aside::new();
        let rows = aside.expect_rows();
        let refused = message(ERROR_RESPONSE, b"SERROR\0\0");
        let mut passed = Vec::new();
        divided(refused.clone(), 4, &aside)
            .read_to_end(&mut passed)
            .await
            .expect("readable");
        assert_eq!(passed, refused);
        assert!(read_rows(rows).await.is_empty());
    }

    #[tokio::test]
    async fn rows_end_with_their_connection() {
        let aside = Aside::new();
        let reader = tokio::spawn(read_rows(aside.expect_rows()));
        let mut sent = message(COPY_DATA, b"a row that is cut");
        sent.truncate(12);
        let mut stream = divided(sent, 5, &aside);
        stream.read_to_end(&mut Vec::new()).await.expect("readable");
        drop(stream);
        assert_eq!(reader.await.expect("no panic"), b"a row t");
    }

    #[tokio::test]
    async fn an_impossible_length_is_an_error() {
        let mut stream = divided(vec![b'Z', 0, 0, 0, 3, 0], 6, &Aside::new());
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn ciphertext_is_left_alone() {
        let aside = Aside::new();
        let (mut server, client) = tokio::io::duplex(1000);
        let mut stream = Divided::new(client, aside.clone());
        let rows = aside.expect_rows();
        use tokio::io::AsyncWriteExt;
        stream.write_all(&SSL_REQUEST).await.expect("writable");
        let ciphertext = message(COPY_DATA, b"not a row");
        server.write_all(b"S").await.expect("writable");
        server.write_all(&ciphertext).await.expect("writable");
        drop(server);
        let mut passed = Vec::new();
        stream.read_to_end(&mut passed).await.expect("readable");
        assert_eq!(passed, [b"S".to_vec(), ciphertext].concat());
        drop((stream, aside));
        drop(rows);
    }
}
