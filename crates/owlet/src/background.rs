//! Waits for what connectors still do behind a query that has ended: above all for the requests that cancel its
//! statements, which are sent from tasks of their own. Must never know what is cancelled, or how.

use std::time::Duration;

use tokio::time::Instant;

use crate::session::Session;

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(2);

/// How busy the workers were before a query.
#[derive(Debug, Clone, Copy)]
pub struct Background {
    errands: usize,
}

impl Background {
    /// Remembers what the workers do now. What is there before a query (connections kept to AWS, for example) is not
    /// waited for after it.
    pub fn now(session: &Session) -> Self {
        Self {
            errands: errands(session),
        }
    }

    /// Waits until the workers do no more than at [`Background::now`], at most this long. Returns at once where
    /// nothing was left behind: a query that ended by itself is not slower.
    pub async fn settle(self, session: &Session, patience: Duration) {
        let deadline = Instant::now() + patience;
        while errands(session) > self.errands {
            if Instant::now() >= deadline {
                tracing::debug!("connectors are still busy; they are not waited for any longer");
                return;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Tasks on the workers, but for those that live as long as a connection of a pool: one that is being cancelled has
/// left its pool already.
fn errands(session: &Session) -> usize {
    let lasting: usize = session
        .engine
        .catalogs()
        .iter()
        .filter_map(|catalog| session.engine.source(&catalog.name)?.connector().activity())
        .map(|activity| activity.lasting_tasks)
        .sum();
    let tasks = session.workers.handle().metrics().num_alive_tasks();
    tasks.saturating_sub(lasting)
}
