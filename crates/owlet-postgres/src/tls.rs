//! TLS as libpq's `sslmode` words mean it, on rustls with the ring provider. Must never know SQL.

use std::path::Path;
use std::sync::Arc;

use owlet_connector::ConnectorError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::UNTRUSTED_HINT;
use crate::options::SslMode;
use crate::settings::Settings;

/// With `ca_file`, `sslmode = "require"` checks the certificate too, so the general advice would not help.
pub(crate) fn with_advice(error: ConnectorError, settings: &Settings) -> ConnectorError {
    match error {
        ConnectorError::Unreachable {
            catalog,
            message,
            hint,
        } if settings.ca_file.is_some() && hint == UNTRUSTED_HINT => {
            let way_out = if settings.sslmode == SslMode::Require {
                "remove ca_file"
            } else {
                "remove ca_file and choose sslmode = \"require\""
            };
            ConnectorError::Unreachable {
                catalog,
                message,
                hint: format!(
                    "the server's certificate is not signed by an authority of ca_file: name the right file, or \
                     {way_out} to accept any certificate"
                ),
            }
        }
        other => other,
    }
}

/// The TLS connector for these settings in this mode; reads the authorities' certificates.
pub(crate) fn connector(
    settings: &Settings,
    sslmode: SslMode,
) -> Result<MakeRustlsConnect, ConnectorError> {
    let refuse = |message: String, hint: &str| ConnectorError::Configuration {
        catalog: settings.catalog.clone(),
        message,
        hint: hint.to_owned(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match (sslmode, &settings.ca_file) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Check::Nothing,
        (SslMode::Require | SslMode::VerifyCa, _) => Check::Chain,
        (SslMode::VerifyFull, _) => Check::ChainAndName,
    };
    let (roots, pinned) = match (check, &settings.ca_file) {
        (Check::Nothing, _) => (RootCertStore::empty(), Vec::new()),
        (_, Some(path)) => from_file(path).map_err(|message| {
            refuse(
                message,
                "ca_file must hold the authorities' certificates in PEM form",
            )
        })?,
        (_, None) => (
            from_system().map_err(|message| {
                refuse(message, "name the authorities' certificates with ca_file")
            })?,
            Vec::new(),
        ),
    };
    let verifier = Verifier {
        check,
        roots,
        pinned,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectorError::Internal(format!("TLS provider: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn from_file(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("ca_file {} cannot be read: {error}", path.display())
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if usable == 0 {
        return Err(format!("ca_file {} holds no certificate", path.display()));
    }
    Ok((roots, certificates))
}

fn from_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "the operating system offers no certificate authorities {}",
            reasons.join("; ")
        ));
    }
    Ok(roots)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// Certificates of the `ca_file`: a server may present one of them itself (self-signed).
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify_chain(
        &self,
        certificate: &ParsedCertificate<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let result = verify_server_cert_signed_by_trust_anchor(
            certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        );
        match result {
            // Found after the validity period was checked; a trusted certificate needs no issuer.
            Err(error)
                if format!("{error:?}").contains("CaUsedAsEndEntity")
                    && self.pinned.iter().any(|pinned| pinned == end_entity) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        self.verify_chain(&certificate, end_entity, intermediates, now)?;
        if self.check == Check::ChainAndName {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
