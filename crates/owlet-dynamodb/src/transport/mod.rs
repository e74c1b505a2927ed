//! Signed HTTP to DynamoDB: sign, send, check, wait, repeat. An answer is complete or an error.
//! Must never know items or plans.

mod credentials;
mod failure;
mod pace;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as SigningIdentity;
use bytes::Bytes;
use owlet_connector::{ConnectorError, WorkRecorder};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use self::credentials::Identity;
use self::failure::{Failure, classify, out_of_patience};
pub(crate) use self::pace::backoff;
use self::pace::{Brake, CapacityBucket};
use crate::decode::Rejection;
use crate::options::DynamoDbOptions;

const SERVICE: &str = "dynamodb";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// The operations Owlet uses; all of them only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ListTables,
    DescribeTable,
    Scan,
    Query,
    GetItem,
    BatchGetItem,
    ExecuteStatement,
}

impl Operation {
    /// Name in requests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ListTables => "ListTables",
            Self::DescribeTable => "DescribeTable",
            Self::Scan => "Scan",
            Self::Query => "Query",
            Self::GetItem => "GetItem",
            Self::BatchGetItem => "BatchGetItem",
            Self::ExecuteStatement => "ExecuteStatement",
        }
    }

    /// The action in IAM policies that allows it.
    pub(crate) fn action(self) -> &'static str {
        match self {
            // Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
            Self::ExecuteStatement => "PartiQLSelect",
            other => other.name(),
        }
    }
}

/// What a request is about, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) operation: Operation,
    pub(crate) table: Option<&'a str>,
    pub(crate) index: Option<&'a str>,
}

impl Target<'_> {
    fn object(&self) -> String {
        match (self.table, self.index) {
            (Some(table), Some(index)) => format!("index {index} of table {table}"),
            (Some(table), None) => format!("table {table}"),
            _ => "the account's tables".to_owned(),
        }
    }

    fn phrase(&self) -> String {
        format!("{} of {}:", self.operation.name(), self.object())
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) target: Target<'a>,
    /// JSON document.
    pub(crate) body: String,
    /// Read capacity units it will probably consume, for the rate limit.
    pub(crate) expected_units: f64,
}

/// Who watches a request: its counters, its cancellation, and how long trouble that may pass is waited out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) work: Option<Arc<WorkRecorder>>,
    pub(crate) cancellation: CancellationToken,
    pub(crate) repetitions: Repetitions,
}

/// How often a request is repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Repetitions {
    /// As often as is configured.
    #[default]
    Configured,
    /// Once: what is wrong is asked for, not the answer.
    Once,
}

/// An answer that was read with success.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    /// Bytes of the body.
    pub(crate) bytes: u64,
}

/// What the rate limit needs to know of a decoded answer.
pub(crate) trait Consumption {
    /// Consumed read capacity units.
    fn capacity_units(&self) -> f64;
}

/// Table, and the global index when it has its own capacity.
type ShareKey = (String, Option<String>);

/// Sends requests for one catalog.
pub(crate) struct Transport {
    catalog: String,
    identity: Identity,
    endpoint: Option<String>,
    http: OnceCell<reqwest::Client>,
    address: OnceCell<Url>,
    brake: Brake,
    bucket: Option<Arc<CapacityBucket>>,
    /// Share of provisioned capacity that may be taken, and the buckets of the tables and indexes that have some.
    capacity_share: Option<f64>,
    shares: Mutex<HashMap<ShareKey, Arc<CapacityBucket>>>,
    max_retries: u32,
    throttle_patience: Duration,
    connect_timeout: Duration,
    read_timeout: Duration,
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transport")
            .field("catalog", &self.catalog)
            .field("endpoint", &self.endpoint)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Checks the options; opens nothing.
    pub(crate) fn new(catalog: &str, options: &DynamoDbOptions) -> Result<Self, ConnectorError> {
        let configuration = |message: String, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        };
        if let Some(endpoint) = &options.endpoint {
            let is_http = Url::parse(endpoint)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !is_http {
                return Err(configuration(
                    format!("endpoint {endpoint:?} is no http or https address"),
                    "write it like http://127.0.0.1:8000",
                ));
            }
        }
        let bucket = match options.max_rcu_per_second {
            Some(units) if !(units.is_finite() && units > 0.0) => {
                return Err(configuration(
                    format!("max_rcu_per_second = {units} would never send a request"),
                    "give a positive number, or leave it out",
                ));
            }
            limit => limit.map(CapacityBucket::new).map(Arc::new),
        };
        if let Some(share) = options.max_capacity_share
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(configuration(
                format!("max_capacity_share = {share} is no share"),
                "give a number above 0 and up to 1, e.g. 0.25",
            ));
        }
        Ok(Self {
            catalog: catalog.to_owned(),
            identity: Identity::new(catalog, options)?,
            endpoint: options.endpoint.clone(),
            http: OnceCell::new(),
            address: OnceCell::new(),
            brake: Brake::default(),
            bucket,
            capacity_share: options.max_capacity_share,
            shares: Mutex::default(),
            max_retries: options.max_retries,
            throttle_patience: options.throttle_patience,
            connect_timeout: options.connect_timeout,
            read_timeout: options.read_timeout,
        })
    }

    /// Name of the catalog, for messages.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// Tells the read capacity units a second provisioned for a table or one of its global indexes, for the limit by
    /// share of it.
    pub(crate) fn provisioned(&self, table: &str, index: Option<&str>, units: Option<f64>) {
        let Some(share) = self.capacity_share else {
            return;
        };
        let key = (table.to_owned(), index.map(str::to_owned));
        let mut shares = self.lock_shares();
        match units.map(|units| units * share) {
            None => {
                shares.remove(&key);
            }
            Some(allowed) => {
                let is_known = shares
                    .get(&key)
                    .is_some_and(|bucket| bucket.units_per_second() == allowed);
                if !is_known {
                    shares.insert(key, Arc::new(CapacityBucket::new(allowed)));
                }
            }
        }
    }

    /// The limit of read capacity units a second for a table or index, by configuration and by share.
    pub(crate) fn units_per_second(&self, table: &str, index: Option<&str>) -> Option<f64> {
        self.buckets(Some(table), index)
            .map(|bucket| bucket.units_per_second())
            .reduce(f64::min)
    }

    /// The buckets a request takes from.
    fn buckets(
        &self,
        table: Option<&str>,
        index: Option<&str>,
    ) -> impl Iterator<Item = Arc<CapacityBucket>> {
        let share = table
            .filter(|_| self.capacity_share.is_some())
            .and_then(|table| {
                let shares = self.lock_shares();
                let key = (table.to_owned(), index.map(str::to_owned));
                // A local index lives on its table's capacity.
                let found = shares.get(&key).or_else(|| shares.get(&(key.0, None)));
                found.cloned()
            });
        self.bucket
            .iter()
            .cloned()
            .chain(share)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn lock_shares(&self) -> MutexGuard<'_, HashMap<ShareKey, Arc<CapacityBucket>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The region requests are signed for.
    pub(crate) async fn region(&self) -> Result<String, ConnectorError> {
        self.identity.region().await
    }

    /// Requests go to AWS itself, not to an emulator.
    pub(crate) fn is_aws(&self) -> bool {
        self.endpoint.is_none()
    }

    /// The address requests go to.
    pub(crate) async fn address(&self) -> Result<&Url, ConnectorError> {
        self.address
            .get_or_try_init(|| async {
                let text = match &self.endpoint {
                    Some(endpoint) => endpoint.clone(),
                    None => service_address(&self.identity.region().await?),
                };
                Url::parse(&text).map_err(|error| ConnectorError::Configuration {
                    catalog: self.catalog.clone(),
                    message: format!("{text} is no valid address: {error}"),
                    hint: "check region and endpoint".to_owned(),
                })
            })
            .await
    }

    /// Sends a request until `read` accepts an answer. Throttling is waited out, passing trouble is repeated, an
    /// answer that `read` calls damaged is asked for again.
    pub(crate) async fn call<T: Consumption>(
        &self,
        request: &Request<'_>,
        watch: &Watch,
        mut read: impl FnMut(&[u8]) -> Result<T, Rejection>,
    ) -> Result<Answer<T>, ConnectorError> {
        let started = Instant::now();
        let buckets: Vec<Arc<CapacityBucket>> = self
            .buckets(request.target.table, request.target.index)
            .collect();
        let max_retries = match watch.repetitions {
            Repetitions::Configured => self.max_retries,
            Repetitions::Once => self.max_retries.min(1),
        };
        let mut passing = 0;
        let mut throttled = 0;
        let mut renewed = false;
        loop {
            self.wait_for_capacity(request, &buckets, watch).await?;
            let credentials =
                cancellable(&watch.cancellation, self.identity.credentials()).await??;
            let outcome = cancellable(
                &watch.cancellation,
                self.attempt(request, &credentials, watch),
            )
            .await?;
            let outcome = outcome.and_then(|body| match read(&body) {
                Ok(value) => Ok((value, body.len() as u64)),
                Err(rejection) => Err(self.rejected(request, rejection)),
            });
            let failure = match outcome {
                Ok((value, bytes)) => {
                    self.brake.succeeded();
                    for bucket in &buckets {
                        bucket.settle(request.expected_units, value.capacity_units());
                    }
                    return Ok(Answer { value, bytes });
                }
                Err(failure) => failure,
            };
            for bucket in &buckets {
                bucket.settle(request.expected_units, 0.0);
            }
            let wait = match failure {
                Failure::Throttled(_) if started.elapsed() < self.throttle_patience => {
                    self.brake.throttled();
                    throttled += 1;
                    tracing::debug!(catalog = %self.catalog, throttled, "throttled: {}", request.target.phrase());
                    backoff(throttled)
                }
                Failure::Passing(ref error) if passing < max_retries => {
                    passing += 1;
                    tracing::debug!(catalog = %self.catalog, passing, %error, "repeating a request");
                    backoff(passing)
                }
                Failure::Expired(error) if !renewed => {
                    renewed = true;
                    if !self.identity.discard(&credentials).await {
                        return Err(error);
                    }
                    Duration::ZERO
                }
                Failure::Throttled(error) => {
                    return Err(out_of_patience(error, self.throttle_patience));
                }
                failure => return Err(failure.into_error()),
            };
            cancellable(&watch.cancellation, tokio::time::sleep(wait)).await?;
        }
    }

    async fn wait_for_capacity(
        &self,
        request: &Request<'_>,
        buckets: &[Arc<CapacityBucket>],
        watch: &Watch,
    ) -> Result<(), ConnectorError> {
        cancellable(&watch.cancellation, tokio::time::sleep(self.brake.pause())).await?;
        for bucket in buckets {
            while let Err(wait) = bucket.take(request.expected_units) {
                cancellable(&watch.cancellation, tokio::time::sleep(wait)).await?;
            }
        }
        Ok(())
    }

    fn rejected(&self, request: &Request<'_>, rejection: Rejection) -> Failure {
        match rejection {
            Rejection::Failed(error) => Failure::Final(error),
            Rejection::Damaged(message) => Failure::Passing(ConnectorError::ConnectionLost {
                catalog: self.catalog.clone(),
                object: request.target.object(),
                message: format!("the answer was damaged: {message}"),
            }),
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        credentials: &Credentials,
        watch: &Watch,
    ) -> Result<Bytes, Failure> {
        let signed = self
            .signed(request, credentials)
            .await
            .map_err(Failure::Final)?;
        let http = self.http().await.map_err(Failure::Final)?;
        if let Some(work) = &watch.work {
            work.add_request();
        }
        let response = http
            .execute(signed)
            .await
            .map_err(|error| self.network_failure(request, &error))?;
        let status = response.status().as_u16();
        let checksum = response
            .headers()
            .get("x-amz-crc32")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response
            .bytes()
            .await
            .map_err(|error| self.network_failure(request, &error))?;
        if !(200..300).contains(&status) {
            return Err(classify(&self.catalog, request.target, status, &body));
        }
        if let Some(expected) = checksum {
            let actual = crc32fast::hash(&body);
            if expected.parse() != Ok(actual) {
                let message = format!("its checksum is {actual}, announced was {expected}");
                return Err(self.rejected(request, Rejection::Damaged(message)));
            }
        }
        Ok(body)
    }

    fn network_failure(&self, request: &Request<'_>, error: &reqwest::Error) -> Failure {
        let message = with_causes(error);
        if error.is_connect() {
            return Failure::Passing(ConnectorError::Unreachable {
                catalog: self.catalog.clone(),
                message,
                hint: "check endpoint, region, network and proxy".to_owned(),
            });
        }
        Failure::Passing(ConnectorError::ConnectionLost {
            catalog: self.catalog.clone(),
            object: request.target.object(),
            message,
        })
    }

    async fn http(&self) -> Result<&reqwest::Client, ConnectorError> {
        self.http
            .get_or_try_init(|| async {
                let uses_tls = self.address().await?.scheme() == "https";
                reqwest::Client::builder()
                    .http1_only()
                    // Reading the system's certificates takes longer than a key look-up at a plain endpoint.
                    .tls_built_in_root_certs(uses_tls)
                    .connect_timeout(self.connect_timeout)
                    .read_timeout(self.read_timeout)
                    .pool_max_idle_per_host(64)
                    .user_agent(concat!("owlet/", env!("CARGO_PKG_VERSION")))
                    .build()
                    .map_err(|error| ConnectorError::Configuration {
                        catalog: self.catalog.clone(),
                        message: format!(
                            "the HTTP client cannot be built: {}",
                            with_causes(&error)
                        ),
                        hint: String::new(),
                    })
            })
            .await
    }

    async fn signed(
        &self,
        request: &Request<'_>,
        credentials: &Credentials,
    ) -> Result<reqwest::Request, ConnectorError> {
        let address = self.address().await?;
        let region = self.identity.region().await?;
        let target = format!("DynamoDB_20120810.{}", request.target.operation.name());
        let signing_failed = |error: &dyn fmt::Display| {
            ConnectorError::Internal(format!("signing a request: {error}"))
        };
        let host = match address.port() {
            Some(port) => format!("{}:{port}", address.host_str().unwrap_or_default()),
            None => address.host_str().unwrap_or_default().to_owned(),
        };
        let headers = [
            ("host", host.as_str()),
            ("content-type", CONTENT_TYPE),
            ("x-amz-target", target.as_str()),
        ];
        let signable = SignableRequest::new(
            "POST",
            address.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(request.body.as_bytes()),
        )
        .map_err(|error| signing_failed(&error))?;
        let identity: SigningIdentity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| signing_failed(&error))?;
        let (instructions, _) = sign(signable, &parameters.into())
            .map_err(|error| signing_failed(&error))?
            .into_parts();
        let mut signed = http::Request::builder()
            .method("POST")
            .uri(address.as_str())
            .header("content-type", CONTENT_TYPE)
            .header("x-amz-target", target.as_str())
            .body(request.body.clone())
            .map_err(|error| signing_failed(&error))?;
        instructions.apply_to_request_http1x(&mut signed);
        reqwest::Request::try_from(signed).map_err(|error| signing_failed(&error))
    }
}

/// AWS's address of DynamoDB in a region.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/ddb.html> and the partitions of AWS's endpoint rules.
fn service_address(region: &str) -> String {
    let suffix = match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    format!("https://dynamodb.{region}.{suffix}/")
}

/// Runs a future unless the query is cancelled first.
pub(crate) async fn cancellable<T>(
    cancellation: &CancellationToken,
    future: impl Future<Output = T>,
) -> Result<T, ConnectorError> {
    tokio::select! {
        biased;
        () = cancellation.cancelled() => Err(ConnectorError::Cancelled),
        output = future => Ok(output),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_partition() {
        assert_eq!(
            service_address("eu-central-1"),
            "https://dynamodb.eu-central-1.amazonaws.com/"
        );
        assert_eq!(
            service_address("cn-north-1"),
            "https://dynamodb.cn-north-1.amazonaws.com.cn/"
        );
    }

    #[test]
    fn impossible_options_are_refused() {
        let broken = [
            DynamoDbOptions {
                endpoint: Some("localhost:8000".to_owned()),
                ..DynamoDbOptions::default()
            },
            DynamoDbOptions {
                max_rcu_per_second: Some(0.0),
                ..DynamoDbOptions::default()
            },
            DynamoDbOptions {
                max_capacity_share: Some(1.5),
                ..DynamoDbOptions::default()
            },
            DynamoDbOptions {
                access_key_id: Some("a".to_owned()),
                ..DynamoDbOptions::default()
            },
        ];
        for options in broken {
            let error = Transport::new("events", &options).expect_err("the options cannot work");
            assert!(
                matches!(error, ConnectorError::Configuration { .. }),
                "{error}"
            );
        }
    }
}
