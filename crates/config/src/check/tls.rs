//! TLS as a check speaks it: what it presents and what it demands of a server, ready to use. All
//! files are read here, at load.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::common_name::is_named;

/// What a check's TLS is set up with.
#[derive(Clone)]
pub struct TlsClient {
    /// For the handshake.
    pub config: Arc<ClientConfig>,
    /// The name that is asked for; `None`: none is (no SNI).
    pub server_name: Option<ServerName<'static>>,
    /// `verifyhost`: the name that the certificate must carry whatever was asked for.
    pub has_verify_host: bool,
    /// What all this was made from, to compare by.
    settings: TlsSettings,
}

/// The final values behind a [`TlsClient`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsSettings {
    pub(crate) verify: bool,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Certificates, and the key of the first.
    pub(crate) identity: Option<(Vec<CertificateDer<'static>>, Vec<u8>)>,
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) verify_host: Option<String>,
    pub(crate) min: Option<TlsVersion>,
    pub(crate) max: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// SSL 3.0, which nobody speaks any more.
    Ssl30,
    /// TLS 1.0, likewise.
    Tls10,
    /// TLS 1.1, likewise.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What cannot be set up, and which setting it is.
#[derive(Debug)]
pub(crate) enum TlsError {
    Ca(String),
    Identity(String),
    Sni(String),
    VerifyHost(String),
    Versions(String),
}

impl PartialEq for TlsClient {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("verify", &self.settings.verify)
            .field("roots", &self.settings.roots.len())
            .field("sni", &self.settings.sni)
            .finish_non_exhaustive()
    }
}

impl TlsClient {
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let versions = versions(settings.min, settings.max)?;
        let name = |text: &str| ServerName::try_from(text.to_owned()).ok();
        let server_name = match &settings.sni {
            None => None,
            Some(sni) => Some(
                name(sni)
                    .ok_or_else(|| TlsError::Sni(format!("'{sni}' is not the name of a host")))?,
            ),
        };
        let verifier: Arc<dyn ServerCertVerifier> = if settings.verify {
            let verified_name = match &settings.verify_host {
                None => server_name.clone(),
                Some(host) => Some(name(host).ok_or_else(|| {
                    TlsError::VerifyHost(format!("'{host}' is not the name of a host"))
                })?),
            };
            Arc::new(Verifier::new(
                &settings.roots,
                verified_name,
                provider.clone(),
            )?)
        } else {
            Arc::new(Unverified)
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError::Versions(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| TlsError::Identity(format!("no usable key: {error}")))?;
                builder
                    .with_client_auth_cert(chain.clone(), key)
                    .map_err(|error| TlsError::Identity(error.to_string()))?
            }
        };
        config.alpn_protocols.clone_from(&settings.alpn);
        config.enable_sni = server_name.is_some();
        config.resumption = Resumption::in_memory_sessions(RESUMED_SERVERS);
        Ok(Self {
            config: Arc::new(config),
            server_name,
            has_verify_host: settings.verify_host.is_some(),
            settings,
        })
    }
}

/// Servers of which a session is kept, so that their next check costs them less.
const RESUMED_SERVERS: usize = 64;

static BOTH: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, TlsError> {
    let min = min.unwrap_or(TlsVersion::Tls12);
    let max = max.unwrap_or(TlsVersion::Tls13);
    let known = [TlsVersion::Tls13, TlsVersion::Tls12];
    let wanted: Vec<_> = known
        .into_iter()
        .zip(BOTH)
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, version)| version)
        .collect();
    if wanted.is_empty() {
        return Err(TlsError::Versions(
            "checks speak TLS 1.2 and 1.3, and these limits leave neither".to_owned(),
        ));
    }
    Ok(wanted)
}

/// A certificate as it is sent.
pub(crate) type Certificate = CertificateDer<'static>;

/// The certificates of a PEM file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("it is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(certificates)
}

/// `verify none`: it may be anybody. A signature by a key that anybody may have made proves nothing,
/// so that none is looked at, and certificates may be of a kind that cannot be verified here.
#[derive(Debug)]
struct Unverified;

/// What servers may sign with: all that a certificate's key may be good for.
const ANY_SCHEME: [SignatureScheme; 12] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::ED448,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA1,
];

/// `verify required`: the chain has to end at one of the roots; the name matters only where there
/// is one to compare with, as in HAProxy.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    /// Certificates that are trusted as they are: a server may present one of the CA file itself.
    pinned: Vec<CertificateDer<'static>>,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        certificates: &[CertificateDer<'static>],
        name: Option<ServerName<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(certificates.iter().cloned());
        if roots.is_empty() {
            return Err(TlsError::Ca(format!(
                "none of its {ignored} certificates can be used as a CA"
            )));
        }
        Ok(Self {
            roots,
            pinned: certificates.to_vec(),
            name,
            provider,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let is_pinned = self.pinned.iter().any(|pinned| pinned == end_entity);
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            // A CA's own certificate, presented by a server: trusted, as it was handed over.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_pinned => {}
            other => other?,
        }
        if let Some(name) = &self.name {
            verify_name(&certificate, end_entity, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A certificate that carries no other names may have its host's in its subject.
fn verify_name(
    certificate: &ParsedCertificate<'_>,
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), Error> {
    match (verify_server_name(certificate, name), name) {
        (
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            })),
            ServerName::DnsName(host),
        ) if presented.is_empty() && is_named(der, host.as_ref()) => Ok(()),
        (verdict, _) => verdict,
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ANY_SCHEME.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use rustls::server::ResolvesServerCert;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    const CA: &[u8] = include_bytes!("certificates/ca.pem");
    const KEY: &[u8] = include_bytes!("certificates/server.key");
    /// What OpenSSL 3.0 makes where it is told of no extension.
    const VERSION_1: &[u8] = include_bytes!("certificates/version1.pem");
    const NAMED_IN_SUBJECT: &[u8] = include_bytes!("certificates/named_in_subject.pem");

    /// A handshake with a server that presents `certificate`.
    fn shake(settings: TlsSettings, certificate: &[u8]) -> Result<(), Error> {
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let key = CertifiedKey::new(certificates(certificate).unwrap(), key);
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&BOTH)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let client = TlsClient::new(settings).unwrap();
        let name = ServerName::try_from("asked.local").unwrap();
        let name = client.server_name.clone().unwrap_or(name);
        let mut client = ClientConnection::new(client.config, name).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    fn verified(host: &str) -> TlsSettings {
        TlsSettings {
            verify: true,
            roots: certificates(CA).unwrap(),
            verify_host: Some(host.to_owned()),
            ..TlsSettings::default()
        }
    }

    #[test]
    fn whoever_is_not_to_be_verified_may_present_a_certificate_of_any_kind() {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let settings = TlsSettings {
                max: Some(version),
                ..TlsSettings::default()
            };
            assert_eq!(shake(settings, VERSION_1), Ok(()));
        }
        // With verification it cannot be read: docs/differences.md says so.
        assert!(shake(verified("cn.local"), VERSION_1).is_err());
    }

    #[test]
    fn a_certificate_without_other_names_is_named_by_its_subject() {
        assert_eq!(shake(verified("CN.local"), NAMED_IN_SUBJECT), Ok(()));
        assert!(shake(verified("other.local"), NAMED_IN_SUBJECT).is_err());
    }
}
