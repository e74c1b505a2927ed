//! A server's address, and a connection to it that is read in large pieces. Must never know messages.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_postgres::config::Host;

/// Bytes asked of the operating system at a time. The driver alone would ask for 8 KB, and the system call with its
/// acknowledgement would cost more than what it brings.
const PIECE: usize = 128 * 1024;

/// Where a server, or a pooler before it, is reached.
#[derive(Debug, Clone)]
pub(crate) struct ServerAddress {
    /// Name that its certificate is for.
    pub(crate) name: String,
    /// Name or address to connect to.
    host: String,
    port: u16,
    /// Longest time for each of the name's addresses.
    patience: Option<Duration>,
}

impl ServerAddress {
    /// The only address of a configuration; `None` for Unix sockets and lists of hosts.
    pub(crate) fn of(config: &tokio_postgres::Config) -> Option<Self> {
        let [Host::Tcp(name)] = config.get_hosts() else {
            return None;
        };
        let host = match config.get_hostaddrs() {
            [] => name.clone(),
            [address] => address.to_string(),
            _ => return None,
        };
        Some(Self {
            name: name.clone(),
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            patience: config.get_connect_timeout().copied(),
        })
    }

    /// Connects to the first of the name's addresses that answers; the last one's error if none does.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let mut failure = None;
        for address in tokio::net::lookup_host((self.host.as_str(), self.port)).await? {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::other("the host name has no address")))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_keepalive(true)?;
        socket.set_nodelay(true)?;
        let connecting = socket.connect(address);
        let Some(patience) = self.patience else {
            return connecting.await;
        };
        tokio::time::timeout(patience, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A stream that asks for [`PIECE`] bytes at a time, however little its reader wants, and that lets a fast answer
/// gather before it reads on.
pub(crate) struct LargeReads<S> {
    stream: S,
    piece: Box<[u8]>,
    /// The part of the piece that the reader has not had.
    unread: std::ops::Range<usize>,
    pace: Pace,
}

impl<S> LargeReads<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            piece: vec![0; PIECE].into_boxed_slice(),
            unread: 0..0,
            pace: Pace::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LargeReads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            ready!(this.pace.poll_ready(context));
            if wanted.remaining() >= PIECE {
                let before = wanted.remaining();
                ready!(Pin::new(&mut this.stream).poll_read(context, wanted))?;
                this.pace.received(before - wanted.remaining(), before);
                return Poll::Ready(Ok(()));
            }
            let mut piece = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            let received = piece.filled().len();
            this.pace.received(received, PIECE);
            this.unread = 0..received;
        }
        let count = this.unread.len().min(wanted.remaining());
        let end = this.unread.start + count;
        wanted.put_slice(&this.piece[this.unread.start..end]);
        this.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

/// When to read again. A server writes 8 KB at a time; a reader that waits for its next bytes is woken for each of
/// them, and when they come fast that costs it more than the bytes do. So the reader of a long and fast answer pauses
/// after it has emptied the socket: the operating system gathers meanwhile.
struct Pace {
    /// Bytes since something was asked.
    answered: usize,
    /// Bytes since the socket was empty the last time, and when that was.
    gathered: usize,
    emptied: Instant,
    pause: Option<Pin<Box<Sleep>>>,
    pausing: bool,
}

/// Answers up to this size are read without a pause.
const SHORT_ANSWER: usize = 512 * 1024;
/// The pause: the shortest that the timer knows. Receive buffers hold what comes meanwhile: Linux lets them grow with
/// what is read at a time, up to the limit in `tcp_rmem`.
const PAUSE: Duration = Duration::from_millis(1);
/// Slower answers are read without a pause: there are few wake-ups to save.
const FAST_BYTES_PER_MILLISECOND: usize = 32 * 1024;

impl Pace {
    fn new() -> Self {
        Self {
            answered: 0,
            gathered: 0,
            emptied: Instant::now(),
            pause: None,
            pausing: false,
        }
    }

    /// Something was asked.
    fn sent(&mut self) {
        self.answered = 0;
        self.pausing = false;
    }

    /// So many of the bytes asked for came; if not all, the socket is empty.
    fn received(&mut self, bytes: usize, asked: usize) {
        self.answered = self.answered.saturating_add(bytes);
        self.gathered += bytes;
        if bytes == asked || self.answered < SHORT_ANSWER {
            return;
        }
        let now = Instant::now();
        let milliseconds = (now - self.emptied).as_secs_f64() * 1000.0;
        let is_fast = self.gathered as f64 > milliseconds * FAST_BYTES_PER_MILLISECOND as f64;
        self.gathered = 0;
        self.emptied = now;
        if !is_fast {
            return;
        }
        self.pausing = true;
        match &mut self.pause {
            Some(pause) => pause.as_mut().reset(now + PAUSE),
            none => *none = Some(Box::pin(tokio::time::sleep_until(now + PAUSE))),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let (true, Some(pause)) = (self.pausing, &mut self.pause) {
            ready!(pause.as_mut().poll(context));
            self.pausing = false;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LargeReads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pace.sent();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn whatever_is_asked_for_all_bytes_come_in_order() {
        let sent: Vec<u8> = (0..3 * PIECE + 17)
            .map(|index| (index % 251) as u8)
            .collect();
        for wanted in [1, 7, 8192, PIECE, 2 * PIECE] {
            let mut stream = LargeReads::new(sent.as_slice());
            let mut received = Vec::new();
            let mut part = vec![0; wanted];
            loop {
                let count = stream.read(&mut part).await.expect("a slice never fails");
                if count == 0 {
                    break;
                }
                received.extend_from_slice(&part[..count]);
            }
            assert!(received == sent, "read {wanted} bytes at a time");
        }
    }

    #[test]
    fn lists_of_hosts_have_no_single_address() {
        let address = |url: &str| ServerAddress::of(&url.parse().expect("a URL"));
        let single = address("postgres://user@db.example:6432/shop").expect("one host");
        assert_eq!((single.name.as_str(), single.port), ("db.example", 6432));
        assert!(address("postgres://user@one.example,two.example/shop").is_none());
    }
}
