//! The threads that ask sources and compute. The main thread is not one of them: it writes results and hears
//! Ctrl-C, the clock and the terminal even while every worker is busy. Must never know what runs.

use std::future::Future;

use tokio::runtime::{Handle, Runtime};

use crate::errors::{CliError, Result};

/// Stack of a thread in bytes. Plans are walked recursively, and an unoptimised build takes more than tokio's 2 MiB
/// for a join of a few tables; only what is used costs memory.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// As many threads as the machine has cores, until dropped.
#[derive(Debug)]
pub struct Workers {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Workers {
    /// Starts the threads.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| no_threads(&error))?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            handle,
        })
    }

    /// Starts work that goes on by itself.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs work on the threads and awaits it; dropping the returned future gives the work up.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let mut task = Task(self.handle.spawn(work));
        (&mut task.0).await.map_err(|error| {
            CliError::failed(format!("internal error: {error}"), "please report it")
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A query that computes without a pause must not keep a cancelled process alive.
            runtime.shutdown_background();
        }
    }
}

/// Aborts its task when nobody waits for it any more.
struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a command on the main thread.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_threads(&error))?;
    runtime.block_on(future)
}

fn no_threads(error: &std::io::Error) -> CliError {
    CliError::failed(format!("cannot start threads: {error}"), "")
}
