//! Keys, authorities and certificates, bootstrap signatures, and the encryption of uploaded ones.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::ToSpan;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::{aead, digest, hmac};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A new private key in PEM. RSA keys are openssl's work: ring makes none.
pub fn new_key(algorithm: &str) -> String {
    match algorithm {
        "ECDSA-P256" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .unwrap()
            .serialize_pem(),
        "ECDSA-P384" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
            .unwrap()
            .serialize_pem(),
        rsa => {
            let bits = rsa.strip_prefix("RSA-").unwrap_or("2048");
            let output = Command::new("openssl")
                .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt"])
                .arg(format!("rsa_keygen_bits:{bits}"))
                .output()
                .expect("openssl is on every node");
            String::from_utf8(output.stdout).unwrap()
        }
    }
}

/// A certificate authority.
pub struct Authority {
    pub certificate: String,
    pub key: String,
}

/// What a certificate is for.
#[derive(Default)]
pub struct Leaf {
    pub common_name: String,
    pub organisations: Vec<String>,
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub server: bool,
    pub client: bool,
}

impl Authority {
    pub fn new(common_name: &str, algorithm: &str) -> Self {
        let key = new_key(algorithm);
        let pair = KeyPair::from_pem(&key).unwrap();
        let mut parameters = CertificateParams::new([common_name.to_owned()]).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        lifetime(&mut parameters, 10);
        let certificate = parameters.self_signed(&pair).unwrap().pem();
        Self { certificate, key }
    }

    /// Reads `BASE.crt` and `BASE.key`.
    pub fn load(base: &str) -> io::Result<Self> {
        Ok(Self {
            certificate: fs::read_to_string(format!("{base}.crt"))?,
            key: fs::read_to_string(format!("{base}.key"))?,
        })
    }

    /// A certificate for a new key; both in PEM.
    pub fn issue(&self, leaf: &Leaf, algorithm: &str) -> (String, String) {
        let key = new_key(algorithm);
        let pair = KeyPair::from_pem(&key).unwrap();
        let mut parameters = CertificateParams::new(leaf.names.clone()).unwrap();
        let addresses = leaf.addresses.iter().copied().map(SanType::IpAddress);
        parameters.subject_alt_names.extend(addresses);
        parameters.distinguished_name = DistinguishedName::new();
        // rcgen keeps one value of a kind: the last organisation is the one that counts here.
        for organisation in &leaf.organisations {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, organisation.clone());
        }
        parameters
            .distinguished_name
            .push(DnType::CommonName, leaf.common_name.clone());
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        if leaf.server {
            parameters
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.client {
            parameters
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        lifetime(&mut parameters, 1);
        let certificate = parameters.signed_by(&pair, &self.issuer()).unwrap();
        (certificate.pem(), key)
    }

    /// A client certificate for a request in PEM.
    pub fn sign(&self, request: &str) -> Result<String, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        lifetime(&mut request.params, 1);
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(request.signed_by(&self.issuer())?.pem())
    }

    fn issuer(&self) -> Issuer<'static, KeyPair> {
        let key = KeyPair::from_pem(&self.key).unwrap();
        Issuer::from_ca_cert_pem(&self.certificate, key).unwrap()
    }
}

fn lifetime(parameters: &mut CertificateParams, years: i16) {
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    parameters.not_before = day(today - 1.day());
    // Years of 365 days, as kubeadm counts them.
    parameters.not_after = day(today + (365 * i32::from(years)).days());
}

/// A request for a certificate of `common_name` in `organisation`, and its key.
pub fn request(common_name: &str, organisation: &str) -> (String, String) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let request = parameters.serialize_request(&key).unwrap();
    (request.pem().unwrap(), key.serialize_pem())
}

/// Common name and organisations of a certificate.
pub fn subject(der: &[u8]) -> (String, Vec<String>) {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
        return (String::new(), Vec::new());
    };
    let subject = certificate.subject();
    let text = |name: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        name.as_str().unwrap_or_default().to_owned()
    };
    let common_name = subject.iter_common_name().next().map(text);
    let organisations = subject.iter_organization().map(text).collect();
    (common_name.unwrap_or_default(), organisations)
}

/// When a certificate in PEM ends.
pub fn ends(pem: &str) -> Option<jiff::Timestamp> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    jiff::Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// `sha256:` and the digest of the public key of a certificate, as `--discovery-token-ca-cert-hash`.
pub fn hash(pem: &str) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let digest = digest::digest(&digest::SHA256, certificate.public_key().raw);
    format!("sha256:{}", hex(digest.as_ref()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    text.len().is_multiple_of(2).then_some(())?;
    text.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The detached signature of `content` by a bootstrap token (RFC 7515, HS256).
pub fn signature(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let payload = URL_SAFE_NO_PAD.encode(content);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

/// AES-256-GCM, the nonce in front, as kubeadm uploads certificates.
pub fn encrypt(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce.fill_with(|| fastrand::u8(..));
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).unwrap());
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(
        aead::Nonce::assume_unique_for_key(nonce),
        aead::Aad::empty(),
        &mut sealed,
    )
    .unwrap();
    [nonce.as_slice(), &sealed].concat()
}

pub fn decrypt(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(12)?;
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).ok()?);
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = sealed.to_vec();
    let length = key
        .open_in_place(nonce, aead::Aad::empty(), &mut plain)
        .ok()?
        .len();
    plain.truncate(length);
    Some(plain)
}

/// Writes a file that only root reads.
pub fn write_private(path: &str, content: &str) -> io::Result<()> {
    write(path, content, 0o600)
}

/// Writes a file, whole or not at all.
pub fn write(path: &str, content: &str, mode: u32) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content.as_bytes())
}
