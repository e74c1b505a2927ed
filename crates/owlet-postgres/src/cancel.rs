//! Cancel requests, and why a pooler's must be waited for. Must never know sessions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::CancelToken;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::socket::ServerAddress;

/// Longest time a cancel request may take; after that the connection is cut without one.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the server to stop what it does for the connection of this token; `address` is what that was connected to.
pub(crate) async fn cancel(
    token: CancelToken,
    tls: MakeRustlsConnect,
    address: Option<&ServerAddress>,
) {
    let request = async {
        match address {
            // The driver connected by itself and knows where to.
            None => token
                .cancel_query(tls)
                .await
                .map_err(|error| error.to_string()),
            Some(address) => request_at(token, tls, address).await,
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

/// Waits until the other side closes the connection, like libpq: PgBouncer forwards a cancel request only as long as
/// the client that sent it stays.
async fn request_at(
    token: CancelToken,
    mut tls: MakeRustlsConnect,
    address: &ServerAddress,
) -> Result<(), String> {
    let stream = address.connect().await.map_err(|error| error.to_string())?;
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
