//! TLS to a Redis server, by rustls with the provider `ring`. The process-wide provider is not touched.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::backend::engine::OpenError;
use crate::backend::redis::transport::Transport;

/// Connects to servers whose certificates are signed by the trusted authorities.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Trusts these certificates, in PEM, or the system's.
    pub(super) fn new(root_certificates: Option<&[u8]>) -> Result<Self, OpenError> {
        let roots = match root_certificates {
            Some(pem) => parse_roots(pem)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::new(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with the server of this name or address.
    pub(super) async fn connect(&self, host: &str, stream: impl Transport + 'static) -> io::Result<Box<dyn Transport>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}

fn parse_roots(pem: &[u8]) -> Result<RootCertStore, OpenError> {
    let invalid = |reason: String| OpenError::new(format!("invalid root certificates: {reason}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("there is no certificate in the PEM text".into()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, OpenError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system may list certificates that rustls cannot read. They are not trusted.
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        Some(error) if added == 0 => {
            Err(OpenError::new(format!("the system's certificates cannot be read: {error}; set `root_certificates`")))
        }
        _ => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_certificates_that_are_none_are_an_error() {
        for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = Tls::new(Some(pem.as_bytes())).err().unwrap().to_string();
            assert!(error.starts_with("invalid root certificates: "), "{error}");
        }
    }
}
