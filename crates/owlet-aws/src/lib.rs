//! AWS ways in: credentials per catalog, RDS IAM tokens, Secrets Manager and SSM parameters. Must never know SQL.
//!
//! An [`Identity`] is who asks AWS (region, profile, role); [`IamLogin`] and [`SecretLogin`] are
//! [`owlet_connector::LoginProvider`]s that connectors of databases ask for each connection.

mod identity;
mod login;
mod rds;
mod secret;
mod service;

pub use identity::{AwsOptions, Identity};
pub use login::{IamLogin, SecretLogin};
pub use rds::{TOKEN_LIFETIME, auth_token, region_of_host};
pub use secret::SecretReference;
