//! Hands items from a blocking thread to an async stream, so that losing the thread can never look like the end
//! of the data. Must never know what the items are.

use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::error::DataFusionError;
use futures::Stream;
use tokio::sync::mpsc;

/// The consumer is gone; the producer should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned;

enum Piece<T> {
    Item(T),
    Failed(DataFusionError),
    End,
}

/// The producer's side.
pub struct Sender<T>(mpsc::Sender<Piece<T>>);

impl<T> Sender<T> {
    /// Hands an item over; waits while the consumer is behind.
    pub fn send(&self, item: T) -> Result<(), Abandoned> {
        self.0
            .blocking_send(Piece::Item(item))
            .map_err(|_| Abandoned)
    }
}

/// Runs `produce` on a blocking thread. `keep` lives as long as the stream.
pub fn stream_from_thread<T, K>(
    ahead: usize,
    keep: K,
    produce: impl FnOnce(&Sender<T>) -> Result<(), DataFusionError> + Send + 'static,
) -> impl Stream<Item = Result<T, DataFusionError>> + Send
where
    T: Send + 'static,
    K: Send + Unpin,
{
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    tokio::task::spawn_blocking(move || {
        let sender = Sender(sender);
        let last = match produce(&sender) {
            Ok(()) => Piece::End,
            Err(error) => Piece::Failed(error),
        };
        // A consumer that is gone does not need to hear how it ended.
        let _ = sender.0.blocking_send(last);
    });
    Received {
        receiver,
        _keep: keep,
        ended: false,
    }
}

struct Received<T, K> {
    receiver: mpsc::Receiver<Piece<T>>,
    _keep: K,
    ended: bool,
}

impl<T, K: Unpin> Stream for Received<T, K> {
    type Item = Result<T, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let last = match self.receiver.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Piece::Item(item))) => return Poll::Ready(Some(Ok(item))),
            Poll::Ready(Some(Piece::Failed(error))) => Some(Err(error)),
            Poll::Ready(Some(Piece::End)) => None,
            Poll::Ready(None) => Some(Err(DataFusionError::Execution(
                "the thread that reads the file stopped early".to_owned(),
            ))),
        };
        self.ended = true;
        Poll::Ready(last)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn items_errors_and_lost_threads() {
        let whole: Result<Vec<u32>, _> = stream_from_thread(1, (), |sender| {
            (0..5)
                .try_for_each(|item| sender.send(item))
                .map_err(|_| gone())
        })
        .try_collect()
        .await;
        assert_eq!(whole.unwrap(), [0, 1, 2, 3, 4]);
        let failed: Result<Vec<u32>, _> = stream_from_thread(1, (), |_: &Sender<u32>| Err(gone()))
            .try_collect()
            .await;
        assert!(failed.is_err());
        let lost: Result<Vec<u32>, _> =
            stream_from_thread(1, (), |_: &Sender<u32>| panic!("lost on purpose"))
                .try_collect()
                .await;
        assert!(lost.unwrap_err().to_string().contains("stopped early"));
    }

    fn gone() -> DataFusionError {
        DataFusionError::Execution("gone".to_owned())
    }
}
