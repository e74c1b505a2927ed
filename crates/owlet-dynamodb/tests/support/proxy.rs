//! An HTTP proxy in front of the service that breaks answers on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::endpoint;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// An error answer of the service.
    Error(u16, &'static str),
    /// The connection is cut in the middle of the body.
    CutBody,
    /// Half of the body, announced as if it were all.
    HalfBody,
    /// A checksum that is wrong.
    WrongChecksum,
    /// The answer of BatchGetItem lacks all but some of the keys.
    Unprocessed(usize),
    /// No answer for ever.
    Silence,
}

/// Decides by operation and number of the request of that kind (from 0).
pub type Script = dyn Fn(&str, usize) -> Fault + Send + Sync;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    pub endpoint: String,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy; `script` is asked for `Scan`, `Query`, `GetItem` and `BatchGetItem` only.
    pub async fn start(script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let script: Arc<Script> = Arc::new(script);
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, counter) = (Arc::clone(&script), Arc::clone(&counter));
                tokio::spawn(async move {
                    let _ = serve(stream, &*script, &counter).await;
                });
            }
        });
        Self {
            endpoint,
            requests,
            task,
        }
    }

    /// Read requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, script: &Script, counter: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut headers = Vec::new();
        let mut length = 0;
        let mut operation = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                match name.to_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap_or(0),
                    "x-amz-target" => {
                        operation = value.rsplit('.').next().unwrap_or_default().to_owned()
                    }
                    _ => {}
                }
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let is_read = matches!(
            operation.as_str(),
            "Scan" | "Query" | "GetItem" | "BatchGetItem"
        );
        let fault = if is_read {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            script(&operation, number)
        } else {
            Fault::None
        };
        answer(&mut stream, headers, body, fault).await?;
    }
}

async fn answer(
    stream: &mut BufReader<TcpStream>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Fault,
) -> std::io::Result<()> {
    if let Fault::Error(status, code) = fault {
        let error = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "on purpose"});
        return write(stream, status, error.to_string().as_bytes(), None).await;
    }
    if fault == Fault::Silence {
        std::future::pending::<()>().await;
    }
    let (body, withheld) = match fault {
        Fault::Unprocessed(answered) => withhold(&body, answered),
        _ => (body, None),
    };
    let mut request = reqwest::Client::new().post(endpoint()).body(body);
    for (name, value) in headers {
        let name = name.to_lowercase();
        if name.starts_with("x-amz") || name == "authorization" || name == "content-type" {
            request = request.header(name, value);
        }
    }
    let response = request.send().await.map_err(std::io::Error::other)?;
    let status = response.status().as_u16();
    let mut body = response
        .bytes()
        .await
        .map_err(std::io::Error::other)?
        .to_vec();
    if let Some(withheld) = withheld {
        let mut document: Value = serde_json::from_slice(&body).expect("the service answers JSON");
        document["UnprocessedKeys"] = withheld;
        body = document.to_string().into_bytes();
    }
    let checksum = crc32fast::hash(&body);
    match fault {
        Fault::CutBody => {
            let head = format!(
                "HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.flush().await?;
            stream.get_mut().shutdown().await?;
            Err(std::io::Error::other("cut on purpose"))
        }
        Fault::HalfBody => write(stream, status, &body[..body.len() / 2], None).await,
        Fault::WrongChecksum => write(stream, status, &body, Some(checksum ^ 1)).await,
        _ => write(stream, status, &body, Some(checksum)).await,
    }
}

/// Takes all but `answered` keys out of a BatchGetItem.
fn withhold(body: &[u8], answered: usize) -> (Vec<u8>, Option<Value>) {
    let mut document: Value = serde_json::from_slice(body).expect("requests are JSON");
    let items = document["RequestItems"]
        .as_object()
        .expect("a batch")
        .clone();
    let (table, request) = items.iter().next().expect("one table");
    let keys = request["Keys"].as_array().expect("keys").clone();
    if keys.len() <= answered {
        return (body.to_vec(), None);
    }
    let mut rest = request.clone();
    rest["Keys"] = keys[answered..].to_vec().into();
    document["RequestItems"][table]["Keys"] = keys[..answered].to_vec().into();
    if answered == 0 {
        // The service refuses an empty batch; ask for a key that is answered and then left out of the rest.
        document["RequestItems"][table]["Keys"] = json!([keys[0]]);
        rest["Keys"] = keys[1..].to_vec().into();
    }
    (
        document.to_string().into_bytes(),
        Some(json!({table: rest})),
    )
}

async fn write(
    stream: &mut BufReader<TcpStream>,
    status: u16,
    body: &[u8],
    checksum: Option<u32>,
) -> std::io::Result<()> {
    let checksum = checksum
        .map(|checksum| format!("x-amz-crc32: {checksum}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{checksum}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}
