//! Encrypted connections: whose certificates a Redis may show.

use std::path::Path;
use std::sync::Arc;

use fred::rustls::crypto::aws_lc_rs;
use fred::rustls::pki_types::CertificateDer;
use fred::rustls::pki_types::pem::PemObject as _;
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::config::{TlsConfig, TlsConnector};

/// How connections are encrypted: the certificate must lead to one of the file (PEM), or of the
/// system if there is none.
///
/// # Errors
/// What is wrong with the certificates, and what to do.
pub(super) fn config(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let Some(file) = ca_file else {
        let system = TlsConnector::default_rustls();
        return system.map(TlsConfig::from).map_err(|error| {
            format!(
                "the certificates of the system cannot be used: {}; install ca-certificates, or \
                 name a file with `store.redis.ca_file`",
                error.details()
            )
        });
    };
    let unusable = |why: String| format!("`store.redis.ca_file` `{}`: {why}", file.display());
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(file).map_err(|e| unusable(e.to_string()))?;
    for certificate in read {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| unusable(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(e.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConfig::from(TlsConnector::from(config)))
}
