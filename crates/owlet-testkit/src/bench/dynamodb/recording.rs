//! A small HTTP server that forwards requests to the emulator once and from then on answers them from memory, so
//! that the server is not the limit. Must never know what the requests mean.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::dynamodb::DynamoDb;

const HEAD_LIMIT: usize = 64 * 1024;
const CHECKSUM: &str = "x-amz-crc32";

/// A request, and what the emulator answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `Scan`, `DescribeTable`, …
    pub operation: String,
    /// Document of the request.
    pub request: String,
    /// Body of the answer.
    pub response: Bytes,
    /// Headers of the answer, ready to send.
    head: Bytes,
}

/// The server. It runs until this value is dropped.
pub struct Recording {
    /// Address for clients.
    pub endpoint: String,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    upstream: String,
    known: Mutex<HashMap<(String, String), Arc<Exchange>>>,
    /// Requests since the last call of [`Recording::take_log`], in order of arrival.
    log: Mutex<Vec<Arc<Exchange>>>,
    forwarded: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    delay_micros: AtomicU64,
}

impl Recording {
    /// Starts on a free loopback port, with a thread of its own.
    pub fn start(upstream: &str) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            known: Mutex::default(),
            log: Mutex::default(),
            forwarded: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            delay_micros: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    outcome = serve(listener, of_thread) => {
                        if let Err(error) = outcome {
                            eprintln!("bench: the replay server ended: {error}");
                        }
                    }
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            endpoint,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Requests since the last call, in order of arrival.
    pub fn take_log(&self) -> Vec<Arc<Exchange>> {
        self.shared.most_under_way.store(0, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.shared.log))
    }

    /// Requests that were not known yet, since the start.
    pub fn forwarded(&self) -> usize {
        self.shared.forwarded.load(Ordering::Relaxed)
    }

    /// Most requests that were under way at once since the last [`Recording::take_log`].
    pub fn most_under_way(&self) -> usize {
        self.shared.most_under_way.load(Ordering::Relaxed)
    }

    /// Holds back every answer for so long, as a service with work to do would.
    pub fn set_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay_micros.store(micros, Ordering::Relaxed);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens when the server has ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("bench: the replay server panicked");
        }
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let upstream = DynamoDb::new(shared.upstream.clone());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
        tokio::spawn(async move {
            if let Err(error) = answer_all(stream, &shared, &upstream).await {
                eprintln!("bench: a connection of the replay server failed: {error}");
            }
        });
    }
}

/// Answers the requests of one connection until the client closes it.
async fn answer_all(mut stream: TcpStream, shared: &Shared, upstream: &DynamoDb) -> Result<()> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let head_end = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if buffer.len() > HEAD_LIMIT {
                return Err("a request's head is too long".into());
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = std::str::from_utf8(&buffer[..head_end])?;
        let header = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        let length: usize = header("content-length")
            .ok_or("no Content-Length")?
            .parse()?;
        let operation = header("x-amz-target")
            .and_then(|target| target.rsplit_once('.'))
            .ok_or("no X-Amz-Target")?
            .1
            .to_owned();
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the request ended early".into());
            }
        }
        let request = String::from_utf8(buffer[head_end..head_end + length].to_vec())?;
        buffer.drain(..head_end + length);
        let now = shared.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_under_way.fetch_max(now, Ordering::Relaxed);
        let answered = answer(&mut stream, shared, upstream, operation, request).await;
        shared.under_way.fetch_sub(1, Ordering::Relaxed);
        answered?;
    }
}

async fn answer(
    stream: &mut TcpStream,
    shared: &Shared,
    upstream: &DynamoDb,
    operation: String,
    request: String,
) -> Result<()> {
    let exchange = exchange(shared, upstream, operation, request).await?;
    lock(&shared.log).push(Arc::clone(&exchange));
    let delay = shared.delay_micros.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_micros(delay)).await;
    }
    stream.write_all(&exchange.head).await?;
    stream.write_all(&exchange.response).await?;
    Ok(())
}

async fn exchange(
    shared: &Shared,
    upstream: &DynamoDb,
    operation: String,
    request: String,
) -> Result<Arc<Exchange>> {
    let question = (operation, request);
    if let Some(known) = lock(&shared.known).get(&question) {
        return Ok(Arc::clone(known));
    }
    shared.forwarded.fetch_add(1, Ordering::Relaxed);
    let (operation, request) = question.clone();
    let answer = upstream.send(&operation, request.clone()).await?;
    let status = answer.status();
    let checksum = answer
        .headers()
        .get(CHECKSUM)
        .and_then(|value| value.to_str().ok())
        .map(|value| format!("{CHECKSUM}: {value}\r\n"))
        .unwrap_or_default();
    let response = answer.bytes().await?;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n{checksum}content-length: {}\r\n\r\n",
        response.len()
    );
    let exchange = Arc::new(Exchange {
        operation,
        request,
        response,
        head: head.into(),
    });
    if status.is_success() {
        lock(&shared.known).insert(question, Arc::clone(&exchange));
    }
    Ok(exchange)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
