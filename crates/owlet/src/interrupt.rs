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
    /// Starts listening, before this returns. Must be called inside the runtime.
    pub fn listen() -> Self {
        let token = CancellationToken::new();
        let first = token.clone();
        let mut signals = Signals::register();
        let listener = tokio::spawn(async move {
            signals.next().await;
            first.cancel();
            signals.next().await;
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

/// Ctrl-C and SIGTERM. Where they cannot be listened to, none comes: the system's default action then still ends the
/// process.
#[cfg(unix)]
struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    fn register() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let both = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok([interrupt, signal(SignalKind::terminate())?]));
        Self(both.ok())
    }

    async fn next(&mut self) {
        let Some([interrupt, terminate]) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn register() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
