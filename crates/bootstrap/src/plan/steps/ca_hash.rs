//! The hash by which a joining node knows the cluster's CA: SHA-256 over the certificate's
//! `SubjectPublicKeyInfo` in DER (RFC 7469), of whatever kind its key is.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use webpki::EndEntityCert;

/// Why a CA has no hash.
#[derive(Debug, Error)]
pub enum CaHashError {
    /// No PEM, or none of a certificate.
    #[error("/etc/kubernetes/pki/ca.crt holds no certificate in PEM: {0}")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// No certificate in DER.
    #[error("the certificate in /etc/kubernetes/pki/ca.crt cannot be read: {0}")]
    Der(#[source] webpki::Error),
}

/// `sha256:` and 64 hexadecimal digits, for the first certificate in a PEM text.
///
/// # Errors
///
/// [`CaHashError`]
pub fn of_pem(text: &str) -> Result<String, CaHashError> {
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(CaHashError::Pem)?;
    let certificate = EndEntityCert::try_from(&der).map_err(CaHashError::Der)?;
    let key = certificate.subject_public_key_info();
    Ok(format!("sha256:{}", crate::plan::hash(key.as_ref())))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn pipe(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(input)
            .expect("openssl reads");
        child.wait_with_output().expect("openssl ends").stdout
    }

    fn check(key: &[&str]) {
        let make = [
            "req",
            "-x509",
            "-nodes",
            "-subj",
            "/CN=kubernetes",
            "-days",
            "9",
            "-keyout",
            "/dev/null",
        ];
        let pem = pipe(&[&make[..], key].concat(), b"");
        let public = pipe(&["x509", "-pubkey", "-noout"], &pem);
        let der = pipe(&["pkey", "-pubin", "-outform", "der"], &public);
        let said = String::from_utf8(pipe(&["dgst", "-sha256", "-r"], &der)).expect("text");
        let expected = format!("sha256:{}", said.split(' ').next().expect("a word"));
        let pem = String::from_utf8(pem).expect("text");
        assert_eq!(of_pem(&pem).expect("a certificate"), expected, "{key:?}");
    }

    #[test]
    fn hashes_are_those_of_openssl_for_rsa_and_ecdsa() {
        check(&["-newkey", "rsa:2048"]);
        check(&["-newkey", "rsa:4096"]);
        check(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        check(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]);
    }

    /// The CA and the hash that kubeadm 1.36.2 printed for it.
    #[test]
    fn the_hash_is_the_one_that_kubeadm_prints() {
        let pem = include_str!("../../../testdata/kubeadm-ca.crt");
        assert_eq!(
            of_pem(pem).expect("a certificate"),
            "sha256:128811ad781c082d5e203be01ea836270b6e1e7de35944012a0f21cba7543100"
        );
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        let of = |text: &str| of_pem(text).expect_err("no certificate").to_string();
        assert!(of("").contains("holds no certificate in PEM"));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(of(wrong).contains("cannot be read"));
    }
}
