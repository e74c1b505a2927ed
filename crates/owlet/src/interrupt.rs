//! Ctrl-C and SIGTERM: the first asks the running query to stop at its sources, the second ends the process.
//! Must never know what is running.

use tokio_util::sync::CancellationToken;

use crate::errors::ExitStatus;

/// Listens from creation until dropped.
#[derive(Debug)]
pub struct Interrupt {
    token: CancellationToken,
    listener: tokio::task::JoinHandle<()>,
}

impl Interrupt {
    /// Starts listening. Must be called inside the runtime.
    pub fn listen() -> Self {
        let token = CancellationToken::new();
        let first = token.clone();
        let listener = tokio::spawn(async move {
            signalled().await;
            first.cancel();
            signalled().await;
            std::process::exit(i32::from(ExitStatus::Interrupted.code()));
        });
        Self { token, listener }
    }

    /// Cancelled at the first signal.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Resolves at the next Ctrl-C or SIGTERM. When signals cannot be listened to, never: the system's default
/// action then still ends the process.
async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
