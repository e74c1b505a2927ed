//! A connection's bytes on their way to the driver: read in large pieces, and with neighbouring CopyData messages
//! joined into larger ones. A server sends one message for each row, and handling a message costs the driver more
//! than decoding a row. Must never know what rows mean.
//!
//! Where a CopyData message ends means nothing: PostgreSQL documentation, "Message Formats", CopyData.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Bytes asked of the operating system at a time; the driver alone would ask for 8 KB.
const PIECE: usize = 128 * 1024;
/// Type and length at the start of every message; the length counts itself and what follows.
const HEADER: usize = 5;
/// Type of CopyData.
const COPY_DATA: u8 = b'd';
/// Longest joined message: what the driver's buffer takes without growing.
const LONGEST: usize = 8 * 1024;

/// A stream of a server's messages.
pub(crate) struct JoinedCopies<S> {
    stream: S,
    phase: Phase,
    piece: Box<[u8]>,
    /// Part of the piece that the driver may have.
    ready: Range<usize>,
    /// Part of the piece behind it that starts with an incomplete header.
    rest: Range<usize>,
}

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The single byte that answers the request for encryption.
    Answer,
    /// Something that is not looked at: encrypted bytes.
    Opaque,
    /// A message of which so many bytes are still to come; 0 before a header.
    Message(usize),
}

impl<S> JoinedCopies<S> {
    /// Bytes as they come from the network.
    pub(crate) fn from_network(stream: S, config: &tokio_postgres::Config) -> Self {
        let phase = match (config.get_ssl_mode(), config.get_ssl_negotiation()) {
            (SslMode::Disable, _) => Phase::Message(0),
            (_, SslNegotiation::Postgres) => Phase::Answer,
            _ => Phase::Opaque,
        };
        Self::new(stream, phase)
    }

    /// Bytes that were decrypted.
    fn decrypted(stream: S) -> Self {
        Self::new(stream, Phase::Message(0))
    }

    fn new(stream: S, phase: Phase) -> Self {
        Self {
            stream,
            phase,
            piece: vec![0; PIECE].into_boxed_slice(),
            ready: 0..0,
            rest: 0..0,
        }
    }

    /// Makes the first `filled` bytes of the piece ready, with CopyData messages joined in place.
    fn join(&mut self, filled: usize) {
        let mut from = 0;
        let mut to = 0;
        // Where the header of the message that others may join starts.
        let mut open: Option<usize> = None;
        while from < filled {
            let passed = match self.phase {
                Phase::Opaque => filled - from,
                Phase::Answer => {
                    self.phase = match self.piece[from] {
                        b'N' => Phase::Message(0),
                        _ => Phase::Opaque,
                    };
                    1
                }
                Phase::Message(0) => {
                    let Some(header) = self.piece[from..filled].first_chunk::<HEADER>() else {
                        break;
                    };
                    let [kind, length @ ..] = *header;
                    let length = u32::from_be_bytes(length) as usize;
                    if length < HEADER - 1 {
                        // Not a message: the driver will say so.
                        self.phase = Phase::Opaque;
                        continue;
                    }
                    let end = from + 1 + length;
                    if kind != COPY_DATA || end > filled {
                        open = None;
                        self.phase = Phase::Message(1 + length);
                        continue;
                    }
                    match open.filter(|start| to - start + length <= LONGEST) {
                        Some(start) => {
                            self.piece.copy_within(from + HEADER..end, to);
                            to += end - from - HEADER;
                            let joined = (to - start - 1) as u32;
                            self.piece[start + 1..start + HEADER]
                                .copy_from_slice(&joined.to_be_bytes());
                        }
                        None => {
                            self.piece.copy_within(from..end, to);
                            open = Some(to);
                            to += end - from;
                        }
                    }
                    from = end;
                    continue;
                }
                Phase::Message(missing) => {
                    let passed = missing.min(filled - from);
                    self.phase = Phase::Message(missing - passed);
                    passed
                }
            };
            self.piece.copy_within(from..from + passed, to);
            from += passed;
            to += passed;
        }
        self.ready = 0..to;
        self.rest = from..filled;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for JoinedCopies<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() {
            let kept = this.rest.len();
            if this.rest.start > 0 {
                this.piece.copy_within(this.rest.clone(), 0);
                this.rest = 0..kept;
            }
            let mut space = ReadBuf::new(&mut this.piece[kept..]);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut space))?;
            let read = space.filled().len();
            if read == 0 {
                // The end: what is left of a message is the driver's to judge.
                this.ready = std::mem::replace(&mut this.rest, 0..0);
                break;
            }
            this.join(kept + read);
        }
        let count = this.ready.len().min(wanted.remaining());
        let end = this.ready.start + count;
        wanted.put_slice(&this.piece[this.ready.start..end]);
        this.ready.start = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for JoinedCopies<S> {
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

impl<S: TlsStream + Unpin> TlsStream for JoinedCopies<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A TLS handshake whose stream joins CopyData messages.
pub(crate) struct JoiningTls<T>(pub(crate) T);

impl<S, T> TlsConnect<S> for JoiningTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
    T::Error: 'static,
{
    type Stream = JoinedCopies<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.0.connect(stream);
        Box::pin(async move { Ok(JoinedCopies::decrypted(handshake.await?)) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((payload.len() as u32 + 4).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Payload of CopyData messages, everything else as it is, and the number of messages.
    fn read_messages(mut bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, usize) {
        let (mut copied, mut others, mut count) = (Vec::new(), Vec::new(), 0);
        while let Some(header) = bytes.first_chunk::<HEADER>() {
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            let (message, after) = bytes.split_at(1 + length);
            count += 1;
            match header[0] {
                COPY_DATA => copied.extend_from_slice(&message[HEADER..]),
                _ => {
                    // Where it stands among the rows counts too.
                    others.push(copied.len().to_be_bytes().to_vec());
                    others.push(message.to_vec());
                }
            }
            bytes = after;
        }
        assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
        (copied, others, count)
    }

    /// Delivers at most so many bytes at a time.
    struct Dripping<'a> {
        bytes: &'a [u8],
        most: usize,
    }

    impl AsyncRead for Dripping<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            wanted: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.most.min(self.bytes.len()).min(wanted.remaining());
            let (now, later) = self.bytes.split_at(count);
            wanted.put_slice(now);
            self.bytes = later;
            Poll::Ready(Ok(()))
        }
    }

    async fn through(bytes: &[u8], most: usize, wanted: usize, phase: Phase) -> Vec<u8> {
        let mut stream = JoinedCopies::new(Dripping { bytes, most }, phase);
        let mut received = Vec::new();
        let mut part = vec![0; wanted];
        loop {
            let count = stream.read(&mut part).await.expect("it never fails");
            if count == 0 {
                return received;
            }
            received.extend_from_slice(&part[..count]);
        }
    }

    fn conversation() -> Vec<u8> {
        let mut bytes = message(b'R', &[0, 0, 0, 0]);
        bytes.extend(message(b'H', &[1, 0, 0]));
        for row in 0..3000_usize {
            let payload: Vec<u8> = (0..row % 97).map(|index| (row + index) as u8).collect();
            bytes.extend(message(COPY_DATA, &payload));
            if row == 1700 {
                bytes.extend(message(b'N', b"a notice between rows"));
            }
            if row % 1000 == 5 {
                bytes.extend(message(COPY_DATA, &vec![7; 3 * LONGEST]));
            }
        }
        bytes.extend(message(COPY_DATA, &vec![9; 2 * PIECE]));
        bytes.extend(message(b'c', &[]));
        bytes.extend(message(b'Z', b"I"));
        bytes
    }

    #[tokio::test]
    async fn rows_and_other_messages_arrive_unchanged_in_fewer_messages() {
        let sent = conversation();
        let (rows, others, count) = read_messages(&sent);
        for most in [1, 3, 7, 8192, 100_000, sent.len()] {
            for wanted in [1, 8192] {
                let received = through(&sent, most, wanted, Phase::Message(0)).await;
                let (received_rows, received_others, received_count) = read_messages(&received);
                assert!(received_rows == rows, "{most} bytes at a time");
                assert!(received_others == others, "{most} bytes at a time");
                assert!(received_count <= count);
                if most >= 8192 {
                    assert!(received_count < count / 20, "{received_count} messages");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_cut_message_and_nonsense_arrive_as_they_are() {
        let sent = message(b'Z', b"I");
        for length in 0..sent.len() {
            let received = through(&sent[..length], 100, 8192, Phase::Message(0)).await;
            assert_eq!(received, &sent[..length]);
        }
        let nonsense = [COPY_DATA, 0, 0, 0, 1, 2, 3, COPY_DATA, 0, 0, 0, 4];
        let received = through(&nonsense, 100, 8192, Phase::Message(0)).await;
        assert_eq!(received, nonsense);
    }

    #[tokio::test]
    async fn what_is_encrypted_is_not_looked_at() {
        let mut rows = message(COPY_DATA, b"one");
        rows.extend(message(COPY_DATA, b"two"));
        let accepted = [b"S".as_slice(), &rows].concat();
        assert_eq!(through(&accepted, 100, 8192, Phase::Answer).await, accepted);
        let declined = [b"N".as_slice(), &rows].concat();
        let received = through(&declined, 100, 8192, Phase::Answer).await;
        assert_eq!(
            received,
            [b"N".as_slice(), &message(COPY_DATA, b"onetwo")].concat()
        );
    }
}
