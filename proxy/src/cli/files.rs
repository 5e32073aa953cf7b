//! What a configuration says about files, held against the files: certificates, keys, authorities and
//! revocation lists are read as the gateway would read them.

use std::time::SystemTime;

use ftpsgate_certs::{ClientTrust, Identity};

use crate::config::{ClientCertificates, Diagnostic, Loaded, Severity, TlsProfile};

/// Everything that is wrong or doubtful about the files that a configuration names.
pub(super) fn check(loaded: &Loaded) -> Vec<Diagnostic> {
    loaded.config.tls.values().flat_map(|profile| check_profile(loaded, profile)).collect()
}

fn check_profile(loaded: &Loaded, profile: &TlsProfile) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, pair) in profile.certificates.iter().enumerate() {
        let path = format!("tls.{}.certificates[{index}]", profile.name);
        match Identity::load(&pair.chain, &pair.key) {
            Err(error) => {
                found.push(loaded.diagnostic(Severity::Error, &path, error.to_string(), HINT_FOR_ERRORS));
            }
            Ok(identity) => found.extend(identity.warnings(SystemTime::now()).iter().map(|warning| {
                let message = format!("{}: {warning}", pair.chain.display());
                loaded.diagnostic(Severity::Warning, &path, message, HINT_FOR_WARNINGS)
            })),
        }
    }
    let asked = match profile.client_certificates {
        ClientCertificates::Off => false,
        ClientCertificates::Request | ClientCertificates::Require => true,
    };
    if let Some(ca) = profile.client_ca.as_deref().filter(|_| asked)
        && let Err(error) = ClientTrust::load(ca, profile.client_crl.as_deref())
    {
        let path = format!("tls.{}.client_ca", profile.name);
        found.push(loaded.diagnostic(Severity::Error, &path, error.to_string(), HINT_FOR_ERRORS));
    }
    found
}

const HINT_FOR_ERRORS: &str = "the gateway would not start; docs/certificates.md says what such files hold";

const HINT_FOR_WARNINGS: &str = "the gateway would start, but clients may refuse this certificate";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ftpsgate_certs::Authority;

    use super::*;
    use crate::config::{MINIMAL, parse};

    fn messages(directory: &Path, profile: &str) -> Vec<String> {
        let text = format!("{MINIMAL}[tls.default]\n{profile}\n");
        let loaded = parse(&text, "gate.toml", directory).unwrap();
        let brief = |found: &Diagnostic| {
            let (line, column) = found.position().unwrap();
            format!("{line}:{column}: {}", found.message().replace(directory.to_str().unwrap(), "DIR"))
        };
        check(&loaded).iter().map(brief).collect()
    }

    #[test]
    fn certificates_are_read_and_faults_point_at_their_keys() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(directory.path()).unwrap();
        for name in ["a", "b"] {
            let issued = authority.issue(&[name.parse().unwrap()], 90).unwrap();
            fs::write(directory.path().join(format!("{name}.pem")), &issued.chain_pem).unwrap();
            fs::write(directory.path().join(format!("{name}.key")), issued.key_pem.expose()).unwrap();
        }
        let good = "certificates = [{ chain = 'a.pem', key = 'a.key' }]";
        let found = messages(directory.path(), good);
        assert!(found.iter().all(|message| message.contains("every user can read")), "{found:?}");

        let bad = "certificates = [{ chain = 'a.pem', key = 'b.key' }, { chain = 'c.pem', key = 'c.key' }]
                   client_certificates = 'require'\nclient_ca = 'a.key'";
        let found = messages(directory.path(), bad);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("9:17: the private key in DIR/b.key does not belong"), "{found:?}");
        assert!(found[1].starts_with("9:53: cannot read DIR/c.pem"), "{found:?}");
        assert!(found[2].starts_with("11:13: DIR/a.key holds a private key"), "{found:?}");
    }
}
