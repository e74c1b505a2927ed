//! One line per source on the terminal while a query runs. Must never slow the query down.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owlet_connector::{QueryWork, SourceWork};

use crate::units;

/// Queries that answer sooner show nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);

/// Shown from the patience's end until dropped.
#[derive(Debug)]
pub struct Progress {
    lines: MultiProgress,
    task: tokio::task::JoinHandle<()>,
}

impl Progress {
    /// Watches a query's counters. Must be called inside the runtime.
    pub fn watch(work: Arc<QueryWork>) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let shown = lines.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            let mut bars: Vec<ProgressBar> = Vec::new();
            let mut waiting: Option<ProgressBar> = None;
            loop {
                match (work.waiting_for(), &waiting) {
                    (Some(reason), None) => {
                        let line = shown.add(bar());
                        line.set_message(format!("waiting for {reason}"));
                        waiting = Some(line);
                    }
                    (Some(_), Some(line)) => line.tick(),
                    (None, Some(line)) => {
                        line.finish_and_clear();
                        waiting = None;
                    }
                    (None, None) => {}
                }
                let sources = work.sources();
                for (index, source) in sources.iter().enumerate() {
                    if index == bars.len() {
                        bars.push(shown.add(bar()));
                    }
                    bars[index].set_message(describe(source));
                    bars[index].tick();
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { lines, task }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        // The terminal may have gone; there is nobody to tell.
        let _ = self.lines.clear();
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

fn describe(source: &SourceWork) -> String {
    let mut text = format!(
        "{}.{}  {}  {}",
        source.catalog,
        source.table,
        units::counted(source.rows_returned, "row"),
        units::bytes(source.bytes)
    );
    if let Some(consumed) = source.rcu_consumed {
        text.push_str(&format!("  {} RCU", units::rcu(consumed)));
        if let Some(estimated) = source.rcu_estimated {
            text.push_str(&format!(" of about {}", units::rcu(estimated)));
        }
    }
    text
}
