//! Takes the rows of a COPY out of a connection's bytes before the driver sees them: the driver would cut them into
//! one allocation-counted message per row and hand each over by itself, which costs more than decoding it. Everything
//! else passes on unchanged. Must never know what a row holds.
//!
//! Framing: PostgreSQL documentation, "Message Formats": a type byte, then the length of the rest, itself included,
//! as a 32-bit number. Rows are the bodies of `CopyData` ('d').

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::socket::PIECE;

/// Bytes of rows that may wait for their reader before no more are read from the connection.
const MOST_WAITING: usize = 2 * PIECE;
/// Bytes of a message's type and length.
const HEADER: usize = 5;

/// Who gets the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Recipient {
    #[default]
    Driver,
    /// Whoever holds the [`Diversion`].
    Reader,
    /// The reader has gone before the last row.
    Nobody,
}

/// The rows of one connection between the tap and their reader.
#[derive(Debug, Default)]
pub(crate) struct TappedRows(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    recipient: Recipient,
    /// The next part of the stream: `CopyData` messages one after the other, with their headers, cut anywhere.
    part: Vec<u8>,
    reader: Option<Waker>,
    connection: Option<Waker>,
}

impl TappedRows {
    /// From now on rows are kept for the caller, up to the end of the next COPY.
    pub(crate) fn divert(self: &Arc<Self>) -> Diversion {
        self.lock().recipient = Recipient::Reader;
        Diversion(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pending while the reader has enough to do.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.lock();
        if waiting.part.len() < MOST_WAITING {
            return Poll::Ready(());
        }
        waiting.connection = Some(context.waker().clone());
        Poll::Pending
    }

    fn push(&self, bytes: &[u8]) {
        let mut waiting = self.lock();
        // The reader may have left since the bytes were told apart.
        if waiting.recipient == Recipient::Nobody {
            return;
        }
        waiting.part.extend_from_slice(bytes);
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn copy_ended(&self) {
        self.lock().recipient = Recipient::Driver;
    }
}

/// The right to a COPY's rows. Dropping it before their end throws the rest away.
#[derive(Debug)]
pub(crate) struct Diversion(Arc<TappedRows>);

impl Diversion {
    /// Exchanges a part that is used up for the next one.
    pub(crate) fn poll_part(&self, context: &mut Context<'_>, unframed: &mut Unframed) -> Poll<()> {
        let mut waiting = self.0.lock();
        if waiting.part.is_empty() {
            waiting.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        unframed.exchange_part(&mut waiting.part);
        let connection = waiting.connection.take();
        drop(waiting);
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Ready(())
    }
}

impl Drop for Diversion {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        if waiting.recipient == Recipient::Reader {
            waiting.recipient = Recipient::Nobody;
        }
        waiting.part = Vec::new();
        waiting.reader = None;
        let connection = waiting.connection.take();
        drop(waiting);
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}

/// Cuts the parts of a [`Diversion`] into the bodies of their messages.
#[derive(Debug, Default)]
pub(crate) struct Unframed {
    part: Vec<u8>,
    at: usize,
    /// Bytes of the current message's header so far.
    header: [u8; HEADER],
    header_bytes: usize,
    /// Bytes of its body still to come.
    left: usize,
}

impl Unframed {
    /// Takes the part to cut next and leaves an empty one with the room of the one before, which must be used up.
    fn exchange_part(&mut self, next: &mut Vec<u8>) {
        self.part.clear();
        self.at = 0;
        std::mem::swap(&mut self.part, next);
    }

    /// The next body, or the beginning or end of one that the part cuts; `None` when the part is used up.
    #[inline]
    pub(crate) fn next_body(&mut self) -> Option<&[u8]> {
        if self.left == 0 {
            self.left = self.next_length()?;
        }
        let rest = &self.part[self.at..];
        let length = self.left.min(rest.len());
        if length == 0 && self.left > 0 {
            return None;
        }
        self.left -= length;
        self.at += length;
        Some(&rest[..length])
    }

    /// The length of the body of the message that begins here; `None` when its header is cut.
    #[inline]
    fn next_length(&mut self) -> Option<usize> {
        let rest = &self.part[self.at..];
        if self.header_bytes == 0
            && let Some(header) = rest.first_chunk::<HEADER>()
        {
            self.at += HEADER;
            return Some(body_length(header));
        }
        let count = rest.len().min(HEADER - self.header_bytes);
        self.header[self.header_bytes..self.header_bytes + count].copy_from_slice(&rest[..count]);
        self.header_bytes += count;
        self.at += count;
        if self.header_bytes < HEADER {
            return None;
        }
        self.header_bytes = 0;
        Some(body_length(&self.header))
    }
}

/// A length that counts itself; a server that sends less than that sends nonsense, and an empty body comes to no harm.
#[inline]
fn body_length(header: &[u8; HEADER]) -> usize {
    let [_, length @ ..] = *header;
    (u32::from_be_bytes(length) as usize).saturating_sub(HEADER - 1)
}

/// Where a byte of the connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Driver,
    Reader,
    Nowhere,
}

/// Follows the messages of a connection.
#[derive(Debug)]
enum Framing {
    /// No byte came yet: the answer to a request for TLS is no message.
    Unknown,
    /// What follows is encrypted: another tap sees it in plain.
    Encrypted,
    /// Between two messages.
    Boundary,
    Header {
        route: Route,
        bytes: [u8; HEADER],
        known: usize,
    },
    Body {
        route: Route,
        left: usize,
    },
}

impl Framing {
    /// How many of the bytes go the same way, and where.
    fn segment(&mut self, bytes: &[u8], rows: &TappedRows) -> (usize, Route) {
        if matches!(self, Self::Unknown) {
            *self = match bytes {
                // The server agrees to TLS; or TLS begins unasked.
                [b'S'] | [0x15 | 0x16, ..] => Self::Encrypted,
                [b'N'] => {
                    *self = Self::Boundary;
                    return (1, Route::Driver);
                }
                _ => Self::Boundary,
            };
        }
        if matches!(self, Self::Encrypted) {
            return (bytes.len(), Route::Driver);
        }
        let mut at = 0;
        let mut common = None;
        while let Some(first) = bytes.get(at) {
            let route = match self {
                Self::Header { route, .. } | Self::Body { route, .. } => *route,
                _ => route_of(*first, rows),
            };
            if *common.get_or_insert(route) != route {
                break;
            }
            at += self.advance(&bytes[at..], route);
        }
        (at, common.unwrap_or(Route::Driver))
    }

    /// Goes over some of the bytes (at least one), to the next boundary at most.
    fn advance(&mut self, bytes: &[u8], route: Route) -> usize {
        match self {
            Self::Body { left, .. } => {
                let count = bytes.len().min(*left);
                *left -= count;
                if *left == 0 {
                    *self = Self::Boundary;
                }
                count
            }
            Self::Header {
                bytes: header,
                known,
                ..
            } => {
                let count = bytes.len().min(HEADER - *known);
                header[*known..*known + count].copy_from_slice(&bytes[..count]);
                *known += count;
                if *known == HEADER {
                    let left = body_length(header);
                    *self = Self::after_header(route, left);
                }
                count
            }
            _ => {
                if let Some(header) = bytes.first_chunk::<HEADER>() {
                    *self = Self::after_header(route, body_length(header));
                    return HEADER;
                }
                let mut header = [0; HEADER];
                header[..bytes.len()].copy_from_slice(bytes);
                *self = Self::Header {
                    route,
                    bytes: header,
                    known: bytes.len(),
                };
                bytes.len()
            }
        }
    }

    fn after_header(route: Route, left: usize) -> Self {
        match left {
            0 => Self::Boundary,
            left => Self::Body { route, left },
        }
    }
}

/// Where a message goes, by its type.
fn route_of(kind: u8, rows: &TappedRows) -> Route {
    if kind == b'd' {
        return match rows.lock().recipient {
            Recipient::Driver => Route::Driver,
            Recipient::Reader => Route::Reader,
            Recipient::Nobody => Route::Nowhere,
        };
    }
    // CopyDone or ErrorResponse.
    if matches!(kind, b'c' | b'E') {
        rows.copy_ended();
    }
    Route::Driver
}

/// A connection without its rows.
pub(crate) struct RowTap<S> {
    stream: S,
    rows: Arc<TappedRows>,
    framing: Framing,
    piece: Box<[u8]>,
    /// The part of the piece that goes to the driver.
    passing: Range<usize>,
    /// The part after it, which is not yet told apart.
    fresh: Range<usize>,
}

impl<S> RowTap<S> {
    pub(crate) fn new(stream: S, rows: Arc<TappedRows>) -> Self {
        Self {
            stream,
            rows,
            framing: Framing::Unknown,
            piece: vec![0; PIECE].into_boxed_slice(),
            passing: 0..0,
            fresh: 0..0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RowTap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.passing.is_empty() {
                let count = this.passing.len().min(wanted.remaining());
                let end = this.passing.start + count;
                wanted.put_slice(&this.piece[this.passing.start..end]);
                this.passing.start = end;
                return Poll::Ready(Ok(()));
            }
            if this.fresh.is_empty() {
                ready!(this.rows.poll_room(context));
                let mut piece = ReadBuf::new(&mut this.piece);
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
                this.fresh = 0..piece.filled().len();
                if this.fresh.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            let fresh = &this.piece[this.fresh.clone()];
            let (length, route) = this.framing.segment(fresh, &this.rows);
            match route {
                Route::Driver => this.passing = this.fresh.start..this.fresh.start + length,
                Route::Reader => this.rows.push(&fresh[..length]),
                Route::Nowhere => {}
            }
            this.fresh.start += length;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RowTap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for RowTap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A TLS handshake whose plain side is tapped.
pub(crate) struct TappedTls<C> {
    pub(crate) handshake: C,
    pub(crate) rows: Arc<TappedRows>,
}

impl<S, C> TlsConnect<S> for TappedTls<C>
where
    C: TlsConnect<S>,
    C::Stream: Unpin,
    C::Future: Send + 'static,
{
    type Stream = RowTap<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let rows = self.rows;
        let handshake = self.handshake.connect(stream);
        Box::pin(async move { Ok(RowTap::new(handshake.await?, rows)) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("a short body");
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    /// A stream that comes in pieces of one size.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        size: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            wanted: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = (self.at + self.size.min(wanted.remaining())).min(self.bytes.len());
            wanted.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    fn tap(bytes: Vec<u8>, size: usize, rows: &Arc<TappedRows>) -> RowTap<Pieces> {
        RowTap::new(Pieces { bytes, at: 0, size }, Arc::clone(rows))
    }

    async fn drain(tap: &mut RowTap<Pieces>) -> Vec<u8> {
        let mut passed = Vec::new();
        tap.read_to_end(&mut passed)
            .await
            .expect("a vector never fails");
        passed
    }

    /// All bodies waiting, one after the other.
    fn bodies(diversion: &Diversion) -> Vec<u8> {
        more_bodies(diversion, &mut Unframed::default())
    }

    fn more_bodies(diversion: &Diversion, unframed: &mut Unframed) -> Vec<u8> {
        let mut context = Context::from_waker(Waker::noop());
        let mut bodies = Vec::new();
        while diversion.poll_part(&mut context, unframed).is_ready() {
            while let Some(body) = unframed.next_body() {
                bodies.extend_from_slice(body);
            }
        }
        bodies
    }

    fn copy() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let rows = [b"one".as_slice(), b"", b"three, which is longer", b"4"];
        let before = [message(b'R', &[0, 0, 0, 0]), message(b'H', b"x")].concat();
        let data: Vec<u8> = rows.iter().flat_map(|row| message(b'd', row)).collect();
        let after = [message(b'c', b""), message(b'Z', b"T")].concat();
        (before, data, after)
    }

    #[tokio::test]
    async fn rows_go_to_their_reader_wherever_the_stream_is_cut() {
        let (before, data, after) = copy();
        let notice = message(b'N', b"in between");
        let stream = [
            before.clone(),
            data.clone(),
            notice.clone(),
            data,
            after.clone(),
        ]
        .concat();
        for size in 1..=stream.len() {
            let rows = Arc::new(TappedRows::default());
            let diversion = rows.divert();
            let passed = drain(&mut tap(stream.clone(), size, &rows)).await;
            let expected = [before.clone(), notice.clone(), after.clone()].concat();
            assert_eq!(passed, expected, "pieces of {size}");
            let twice = "onethree, which is longer4".repeat(2);
            assert_eq!(bodies(&diversion), twice.as_bytes(), "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn without_a_reader_the_driver_gets_everything() {
        let (before, data, after) = copy();
        let stream = [before, data, after].concat();
        for prefix in [&b""[..], b"N"] {
            let mut tap = tap([prefix, &stream].concat(), 1, &Arc::default());
            assert_eq!(drain(&mut tap).await, [prefix, &stream].concat());
        }
    }

    #[tokio::test]
    async fn what_is_encrypted_passes() {
        let rows = Arc::new(TappedRows::default());
        let _diversion = rows.divert();
        let stream = [b"S".to_vec(), message(b'd', b"not a row")].concat();
        assert_eq!(drain(&mut tap(stream.clone(), 1, &rows)).await, stream);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_gets_nothing_and_the_next_one_only_its_own() {
        let (before, data, after) = copy();
        let rows = Arc::new(TappedRows::default());
        let diversion = rows.divert();
        let first = [before.clone(), data.clone()].concat();
        let mut tap = tap([first, data, after.clone()].concat(), 11, &rows);
        let mut passed = vec![0; before.len()];
        tap.read_exact(&mut passed).await.expect("it is there");
        drop(diversion);
        assert_eq!(drain(&mut tap).await, after);
        assert!(bodies(&rows.divert()).is_empty());
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_connection_up() {
        let row = message(b'd', &vec![7; PIECE]);
        let count = 40;
        let stream = [row.repeat(count), message(b'c', b"")].concat();
        let rows = Arc::new(TappedRows::default());
        let diversion = rows.divert();
        let mut tap = tap(stream, PIECE, &rows);
        let mut reading = std::pin::pin!(drain(&mut tap));
        let mut unframed = Unframed::default();
        let mut received = 0;
        let passed = loop {
            if let Poll::Ready(passed) = futures::poll!(&mut reading) {
                break passed;
            }
            assert!(rows.lock().part.len() <= MOST_WAITING + PIECE);
            received += more_bodies(&diversion, &mut unframed).len();
        };
        received += more_bodies(&diversion, &mut unframed).len();
        assert_eq!(passed, message(b'c', b""));
        assert_eq!(received, count * PIECE);
    }
}
