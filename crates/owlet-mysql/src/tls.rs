//! TLS as libpq's `sslmode` words mean it, in the driver's terms (rustls with the ring provider).
//! Must never know SQL.

use mysql_async::SslOpts;
use owlet_connector::ConnectorError;
use rustls::RootCertStore;

use crate::options::SslMode;
use crate::settings::Settings;

/// The driver's TLS options; `None` for a connection without TLS. Reads the authorities' certificates.
pub(crate) fn options(
    settings: &Settings,
    sslmode: SslMode,
) -> Result<Option<SslOpts>, ConnectorError> {
    if sslmode == SslMode::Disable {
        return Ok(None);
    }
    // The driver builds its configuration from the process's provider. Another one installed before serves, too.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let check = check(settings, sslmode);
    let options = SslOpts::default();
    if check == Check::Nothing {
        return Ok(Some(options.with_danger_accept_invalid_certs(true)));
    }
    let refuse = |message: String, hint: &str| ConnectorError::Configuration {
        catalog: settings.catalog.clone(),
        message,
        hint: hint.to_owned(),
    };
    let roots = match &settings.ca_file {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| {
                refuse(
                    format!("ca_file {} cannot be read: {error}", path.display()),
                    "ca_file must hold the authorities' certificates in PEM form",
                )
            })?;
            vec![bytes]
        }
        None => from_system().map_err(|message| {
            refuse(message, "name the authorities' certificates with ca_file")
        })?,
    };
    Ok(Some(
        options
            .with_root_certs(roots.into_iter().map(Into::into).collect())
            .with_disable_built_in_roots(true)
            .with_danger_skip_domain_validation(check == Check::Chain),
    ))
}

/// What is verified of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

pub(crate) fn check(settings: &Settings, sslmode: SslMode) -> Check {
    match (sslmode, &settings.ca_file) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Check::Nothing,
        (SslMode::Require | SslMode::VerifyCa, _) => Check::Chain,
        (SslMode::VerifyFull, _) => Check::ChainAndName,
    }
}

/// The operating system's authorities; the driver refuses a list with an unreadable one, so those are left out.
fn from_system() -> Result<Vec<Vec<u8>>, String> {
    let found = rustls_native_certs::load_native_certs();
    let usable: Vec<_> = found
        .certs
        .into_iter()
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .map(|certificate| certificate.to_vec())
        .collect();
    if usable.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "the operating system offers no certificate authorities {}",
            reasons.join("; ")
        ));
    }
    Ok(usable)
}
