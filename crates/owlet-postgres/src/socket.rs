//! A server's address, and a connection to it that is read in large pieces. Must never know messages.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
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

/// A stream that asks for [`PIECE`] bytes at a time, however little its reader wants.
pub(crate) struct LargeReads<S> {
    stream: S,
    piece: Box<[u8]>,
    /// The part of the piece that the reader has not had.
    unread: std::ops::Range<usize>,
}

impl<S> LargeReads<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            piece: vec![0; PIECE].into_boxed_slice(),
            unread: 0..0,
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
            let mut piece = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            this.unread = 0..piece.filled().len();
        }
        let count = this.unread.len().min(wanted.remaining());
        let end = this.unread.start + count;
        wanted.put_slice(&this.piece[this.unread.start..end]);
        this.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LargeReads<S> {
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
