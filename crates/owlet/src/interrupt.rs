//! Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed): the first asks the running query to stop at its sources, the
//! second ends the process. Must never know what is running.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::errors::ExitStatus;

/// The process was asked to end, and not only to stop a query.
static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

/// Whether SIGTERM or SIGHUP came while somebody listened: nothing else may be started.
pub fn asked_to_end() -> bool {
    ASKED_TO_END.load(Ordering::Relaxed)
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Ctrl-C is heard there"))]
enum Wish {
    /// Ctrl-C.
    Stop,
    /// SIGTERM.
    End,
    /// SIGHUP. The system and the shell may both send it when a terminal is closed, so a second one says nothing new.
    HangUp,
}

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
            if signals.next().await != Wish::Stop {
                ASKED_TO_END.store(true, Ordering::Relaxed);
            }
            first.cancel();
            while signals.next().await == Wish::HangUp {
                ASKED_TO_END.store(true, Ordering::Relaxed);
            }
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

/// Where a signal cannot be listened to, none comes: the system's default action then still ends the process.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn register() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = match hang_up_is_ignored() {
            true => None,
            false => signal(SignalKind::hangup()).ok(),
        };
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            hang_up,
        }
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            () = received(&mut self.interrupt) => Wish::Stop,
            () = received(&mut self.terminate) => Wish::End,
            () = received(&mut self.hang_up) => Wish::HangUp,
        }
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let Some(signal) = signal else {
        return std::future::pending().await;
    };
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Whether the process was started to outlive its terminal (`nohup`); listening would undo that. Asked once: afterwards
/// the process listens itself.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    use std::io::IsTerminal;
    use std::sync::OnceLock;

    static IGNORED: OnceLock<bool> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").ok();
        status
            .and_then(|status| ignores_hang_up(&status))
            // Elsewhere: what runs under `nohup` has no terminal.
            .unwrap_or_else(|| {
                !(std::io::stdin().is_terminal()
                    || std::io::stdout().is_terminal()
                    || std::io::stderr().is_terminal())
            })
    })
}

/// What Linux's status of a process says; `None` when it does not say it.
#[cfg(unix)]
fn ignores_hang_up(status: &str) -> Option<bool> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    // The lowest bit is signal 1, SIGHUP.
    Some(mask & 1 == 1)
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn register() -> Self {
        Self
    }

    async fn next(&mut self) -> Wish {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Wish::Stop
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::ignores_hang_up;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status =
            |mask: &str| format!("Name:\towlet\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert_eq!(ignores_hang_up(&status("0000000000001001")), Some(true));
        assert_eq!(ignores_hang_up(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hang_up("Name:\towlet\n"), None);
    }
}
