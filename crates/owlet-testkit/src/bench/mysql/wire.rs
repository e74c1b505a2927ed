//! A loopback relay that counts the bytes a server sends. Must never know a protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Result;

const BUFFER_BYTES: usize = 64 * 1024;

/// A relay to one server. It ends when this value is dropped.
pub struct Relay {
    /// Loopback port for clients.
    pub port: u16,
    received: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port and passes every connection on to `server` (`host:port`).
    pub async fn start(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counter) = (server.clone(), Arc::clone(&counter));
                // Connections end by a closed or reset socket, which the peers notice themselves.
                tokio::spawn(async move { pass(client, &server, &counter).await });
            }
        });
        Ok(Self {
            port,
            received,
            task,
        })
    }

    /// Bytes the server has sent so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, server: &str, received: &AtomicU64) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async move {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async move {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 {
                return to_client.shutdown().await;
            }
            received.fetch_add(length as u64, Ordering::Relaxed);
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    tokio::try_join!(up, down)?;
    Ok(())
}
