//! Cancel requests, and why a pooler's must be waited for. Must never know sessions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::CancelToken;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time a cancel request may take; after that the connection is cut without one.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a pooler is reached.
#[derive(Debug, Clone)]
pub(crate) struct PoolerAddress {
    /// Name that its certificate is for.
    name: String,
    /// Name or address to connect to.
    host: String,
    port: u16,
}

impl PoolerAddress {
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
        })
    }
}

/// Asks the server to stop what it does for the connection of this token.
pub(crate) async fn cancel(
    token: CancelToken,
    tls: MakeRustlsConnect,
    pooler: Option<&PoolerAddress>,
) {
    let request = async {
        match pooler {
            None => token
                .cancel_query(tls)
                .await
                .map_err(|error| error.to_string()),
            Some(address) => at_pooler(token, tls, address).await,
        }
    };
    match tokio::time::timeout(CANCEL_TIMEOUT, request).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(
                error,
                "cancel request failed; the connection is cut instead"
            )
        }
        Err(_) => tracing::debug!("cancel request timed out; the connection is cut instead"),
    }
}

/// PgBouncer forwards a cancel request only as long as the client that sent it stays: like libpq, wait until the other
/// side closes the connection.
async fn at_pooler(
    token: CancelToken,
    mut tls: MakeRustlsConnect,
    address: &PoolerAddress,
) -> Result<(), String> {
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| error.to_string())?;
    let connect = <MakeRustlsConnect as MakeTlsConnect<UntilClosed<TcpStream>>>::make_tls_connect(
        &mut tls,
        &address.name,
    )
    .map_err(|error| error.to_string())?;
    token
        .cancel_query_raw(UntilClosed(stream), connect)
        .await
        .map_err(|error| error.to_string())
}

/// A stream that shuts down when the other side has.
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut space = [0_u8; 64];
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Pin::new(&mut self.0).poll_shutdown(context);
            }
        }
    }
}
