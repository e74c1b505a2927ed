//! A server's address and the way to it. Must never know messages.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio_postgres::config::Host;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_hosts_have_no_single_address() {
        let address = |url: &str| ServerAddress::of(&url.parse().expect("a URL"));
        let single = address("postgres://user@db.example:6432/shop").expect("one host");
        assert_eq!((single.name.as_str(), single.port), ("db.example", 6432));
        assert!(address("postgres://user@one.example,two.example/shop").is_none());
    }
}
