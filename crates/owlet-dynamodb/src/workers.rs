//! How the tasks that read a split ended: that no more rows come is the end only if none of them was lost. Must never
//! know what they read.

use owlet_connector::ConnectorError;
use tokio::task::JoinSet;

/// Waits for all tasks; an error if one has panicked or was dropped, for then rows are missing.
pub(crate) async fn lost_worker(tasks: &mut JoinSet<()>) -> Option<ConnectorError> {
    while let Some(result) = tasks.join_next().await {
        if let Err(error) = result {
            return Some(ConnectorError::Internal(format!(
                "a reader ended unexpectedly: {error}"
            )));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lost_workers_are_an_error_and_not_the_end() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        tasks.spawn(async {});
        assert!(lost_worker(&mut tasks).await.is_none());

        tasks.spawn(async {});
        tasks.spawn(async { panic!("lost on purpose") });
        let error = lost_worker(&mut tasks).await.expect("one has panicked");
        assert!(error.to_string().contains("lost on purpose"), "{error}");

        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.abort_all();
        assert!(lost_worker(&mut tasks).await.is_some());
    }
}
