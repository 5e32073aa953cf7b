//! Certificates for this crate's tests, and handshakes in memory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    client::WantsClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName};

/// A self-signed certificate and its key, both in PEM.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Pair {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with_algorithm(names, &PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn with_algorithm(names: &[&str], algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with_params(params(names), &KeyPair::generate_for(algorithm).unwrap())
    }

    pub(crate) fn with_params(params: CertificateParams, key: &KeyPair) -> Self {
        let certificate = params.self_signed(key).unwrap();
        Self { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Writes both to `folder`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&chain, &self.chain).unwrap();
        fs::write(&key, &self.key).unwrap();
        (chain, key)
    }
}

/// Parameters with dates around today.
pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// A CA for partners' client certificates.
pub(crate) struct PartnerCa {
    pub(crate) certificate: Certificate,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl PartnerCa {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A client's certificate with `serial`.
    pub(crate) fn client(&self, common_name: &str, serial: u64) -> CertifiedKey {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        CertifiedKey::new(vec![certificate.der().clone()], key)
    }
}

/// The provider, as the gateway passes it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A client that trusts `root` and speaks `version` only.
pub(crate) fn client(
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
}

/// A server that shows what `resolver` chooses.
pub(crate) fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> ServerConfig {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(resolver)
}

/// What both ends know after a handshake.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) version: ProtocolVersion,
    /// What the client was shown.
    pub(crate) shown: CertificateDer<'static>,
    /// What the client showed.
    pub(crate) presented: Option<CertificateDer<'static>>,
}

/// Shakes hands in memory with a server that the client calls `name`.
pub(crate) fn handshake(
    client: ClientConfig,
    server: ServerConfig,
    name: &str,
) -> Result<Established, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(Established {
        version: client.protocol_version().unwrap(),
        shown: client.peer_certificates().unwrap()[0].clone().into_owned(),
        presented: server.peer_certificates().map(|chain| chain[0].clone().into_owned()),
    })
}
