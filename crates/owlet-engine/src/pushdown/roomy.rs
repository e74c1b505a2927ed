//! Recursive futures that cannot overflow the stack: a plan is as deep as the statement that made it. Must never know
//! what is computed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

/// Stack that must be left before one more level is polled; an unoptimised build takes some hundred kilobytes for it.
const LEAST_STACK_BYTES: usize = 768 * 1024;
/// Stack that is added when it is not.
const MORE_STACK_BYTES: usize = 8 * 1024 * 1024;

/// A boxed future that makes room on the stack before it is polled.
pub struct Roomy<'a, T>(BoxFuture<'a, T>);

impl<'a, T> Roomy<'a, T> {
    /// Boxes a future.
    pub fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }
}

impl<T> Future for Roomy<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        stacker::maybe_grow(LEAST_STACK_BYTES, MORE_STACK_BYTES, || {
            self.0.as_mut().poll(context)
        })
    }
}
