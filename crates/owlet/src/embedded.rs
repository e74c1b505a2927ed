//! An embedded DynamoDB over a database file, spoken to through its real HTTP endpoint on this machine, and the
//! connector that starts it when a query first needs it. Must never know what the tables hold.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dynoxide::Database;
use futures::{StreamExt, TryStreamExt};
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, SampleWork, ScanContext, ScanPlan,
    ScanRequest, TableMetadata, TableSummary,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use tokio::sync::OnceCell;

/// An endpoint that serves until the process ends.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedDynamoDb {
    address: SocketAddr,
}

/// Which port to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// This one if it is free, else any.
    Preferred(u16),
}

impl EmbeddedDynamoDb {
    /// Opens an existing database file and serves it on the loopback interface, from a thread of its own: its
    /// handlers block while SQLite works, and the query's threads must not wait for them.
    pub fn start(file: &Path, port: Port) -> Result<Self, String> {
        if !file.is_file() {
            return Err(format!("{} does not exist", file.display()));
        }
        let database = Database::new(&file.to_string_lossy()).map_err(|error| error.to_string())?;
        let listener =
            listen(port).map_err(|error| format!("cannot listen on this machine: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("embedded-dynamodb")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        std::thread::Builder::new()
            .name("embedded-dynamodb".to_owned())
            .spawn(move || runtime.block_on(serve(listener, database)))
            .map_err(|error| error.to_string())?;
        Ok(Self { address })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(listener: TcpListener, database: Database) {
    let served = async {
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()).await
    };
    // Clients see the closed connection; the reason is for the log.
    if let Err(error) = served.await {
        tracing::error!(error, "the embedded DynamoDB has stopped");
    }
}

fn listen(port: Port) -> std::io::Result<TcpListener> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = match port {
        Port::Preferred(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).or_else(|_| any()),
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The same port for the same file where possible: inferred schemas are cached by address.
fn usual_port(file: &Path) -> Port {
    /// Ports from here on are nobody's by registration.
    const FIRST_DYNAMIC_PORT: u16 = 49_152;
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let offset = hasher.finish() % u64::from(u16::MAX - FIRST_DYNAMIC_PORT);
    Port::Preferred(FIRST_DYNAMIC_PORT + u16::try_from(offset).unwrap_or_default())
}

/// A DynamoDB catalog whose endpoint this process starts itself, at the first use.
#[derive(Debug)]
pub struct EmbeddedConnector {
    catalog: String,
    file: PathBuf,
    options: DynamoDbOptions,
    /// Shared with the streams, which may be polled after the connector has gone.
    started: Arc<OnceCell<Arc<DynamoDbConnector>>>,
}

impl EmbeddedConnector {
    /// Starts nothing yet.
    pub fn new(catalog: &str, file: PathBuf, options: DynamoDbOptions) -> Self {
        Self {
            catalog: catalog.to_owned(),
            file,
            options,
            started: Arc::new(OnceCell::new()),
        }
    }

    /// The connector to the running endpoint.
    pub async fn started(&self) -> Result<Arc<DynamoDbConnector>> {
        let started = self
            .started
            .get_or_try_init(|| async {
                let file = self.file.clone();
                let endpoint = tokio::task::spawn_blocking(move || {
                    EmbeddedDynamoDb::start(&file, usual_port(&file))
                })
                .await
                .map_err(|error| ConnectorError::Internal(error.to_string()))?
                .map_err(|message| ConnectorError::Unreachable {
                    catalog: self.catalog.clone(),
                    message: format!("the embedded DynamoDB does not start: {message}"),
                    hint: "`owlet demo` makes its file again".to_owned(),
                })?;
                let options = DynamoDbOptions {
                    endpoint: Some(endpoint.endpoint()),
                    region: Some("us-east-1".to_owned()),
                    access_key_id: Some("embedded".to_owned()),
                    secret_access_key: Some("embedded".to_owned()),
                    ..self.options.clone()
                };
                DynamoDbConnector::new(&self.catalog, options).map(Arc::new)
            })
            .await?;
        Ok(Arc::clone(started))
    }
}

#[async_trait]
impl Connector for EmbeddedConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        "dynamodb"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        self.started().await?.schemas().await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        self.started().await?.tables(schema).await
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        self.started().await?.table(schema, table).await
    }

    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        self.started().await?.describe_schema(schema).await
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        self.started().await?.plan_scan(request).await
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        if let Some(started) = self.started.get() {
            return started.open(plan, split, context);
        }
        // The plan was made by another process: the endpoint starts at the first poll.
        let connector = Self {
            catalog: self.catalog.clone(),
            file: self.file.clone(),
            options: self.options.clone(),
            started: Arc::clone(&self.started),
        };
        let plan = plan.clone();
        let opened = async move { Ok(connector.started().await?.open(&plan, split, context)) };
        futures::stream::once(opened).try_flatten().boxed()
    }

    fn sampled(&self) -> BTreeMap<String, SampleWork> {
        let started = self.started.get();
        started.map_or_else(BTreeMap::new, |started| started.sampled())
    }

    async fn health(&self) -> Health {
        match self.started().await {
            Ok(started) => started.health().await,
            Err(error) => Health {
                healthy: false,
                version: String::new(),
                rights: String::new(),
                latency: None,
                problem: error.to_string(),
                fix: "run `owlet demo` again".to_owned(),
            },
        }
    }
}
