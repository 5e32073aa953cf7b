//! What a configuration says about files, held against the files: certificates, keys, authorities and
//! revocation lists, and the passwords of health checks are read as the gateway would read them.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use ftpsgate_certs::{ClientTrust, Identity, ServerTrust, TrustedRoots};

use crate::config::{
    Audit, Backend, BackendCa, BackendTls, CheckKind, ClientCertificates, Diagnostic, Loaded, Severity,
    TlsProfile,
};

/// Everything that is wrong or doubtful about the files that a configuration names.
pub(super) fn check(loaded: &Loaded) -> Vec<Diagnostic> {
    let profiles = loaded.config.tls.values().flat_map(|profile| check_profile(loaded, profile));
    let backends = loaded.config.backends.iter().enumerate();
    let audit = loaded.config.audit.iter().enumerate();
    profiles
        .chain(backends.flat_map(|(index, backend)| check_backend(loaded, index, backend)))
        .chain(audit.filter_map(|(index, audit)| check_audit(loaded, index, audit)))
        .collect()
}

/// Nothing is created: whether the file can be is seen from what is there.
fn check_audit(loaded: &Loaded, index: usize, audit: &Audit) -> Option<Diagnostic> {
    let parent = audit.path.parent()?;
    let (message, hint) = if audit.path.is_dir() {
        (format!("{} is a directory", audit.path.display()), "name a file")
    } else if parent.is_dir() {
        return None;
    } else {
        let hint = "the gateway would not start; it creates the file, and not its directory";
        (format!("there is no directory {}", parent.display()), hint)
    };
    Some(loaded.diagnostic(Severity::Error, &format!("audit[{index}].path"), message, hint))
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

fn check_backend(loaded: &Loaded, index: usize, backend: &Backend) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Some(tls) = &backend.tls {
        found.extend(check_backend_tls(loaded, index, tls));
    }
    match &backend.check.kind {
        CheckKind::Off | CheckKind::Tcp | CheckKind::Greeting | CheckKind::Tls => {}
        CheckKind::Login(login) | CheckKind::Data(login) => {
            if let Err(fault) = check_password(&login.password_file) {
                let path = format!("backend[{index}].check.password_file");
                found.push(loaded.diagnostic(Severity::Error, &path, fault, HINT_FOR_PASSWORDS));
            }
        }
    }
    found
}

fn check_backend_tls(loaded: &Loaded, index: usize, tls: &BackendTls) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let roots = match &tls.ca {
        _ if tls.danger_accept_invalid_certificates => None,
        BackendCa::System => Some(TrustedRoots::System),
        BackendCa::File(file) => Some(TrustedRoots::File(file.clone())),
        BackendCa::PinsAlone => None,
    };
    if let Some(Err(error)) = roots.map(|roots| ServerTrust::by_roots(&roots, Vec::new())) {
        let path = format!("backend[{index}].tls_ca");
        found.push(loaded.diagnostic(Severity::Error, &path, error.to_string(), HINT_FOR_ERRORS));
    }
    if let Some(pair) = &tls.client_certificate
        && let Err(error) = Identity::load(&pair.chain, &pair.key)
    {
        let path = format!("backend[{index}].tls_client_certificate");
        found.push(loaded.diagnostic(Severity::Error, &path, error.to_string(), HINT_FOR_ERRORS));
    }
    found
}

/// A credential is known only to the service itself, and is left to it.
fn check_password(file: &Path) -> Result<(), String> {
    if file.is_relative() {
        return Ok(());
    }
    match fs::metadata(file) {
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        Ok(metadata) if !metadata.is_file() => Err(format!("{} is not a file", file.display())),
        Ok(_) => {
            fs::File::open(file).map(drop).map_err(|error| format!("cannot read {}: {error}", file.display()))
        }
    }
}

const HINT_FOR_ERRORS: &str = "the gateway would not start; docs/certificates.md says what such files hold";

const HINT_FOR_PASSWORDS: &str = "the check would find every server down; write the password into this file, in one line, for the gateway alone";

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
    fn files_of_backends_are_read_and_faults_point_at_their_keys() {
        let directory = tempfile::tempdir().unwrap();
        let issued =
            Authority::open_or_create(directory.path()).unwrap().issue(&["a".parse().unwrap()], 90).unwrap();
        fs::write(directory.path().join("a.pem"), &issued.chain_pem).unwrap();
        fs::write(directory.path().join("a.key"), issued.key_pem.expose()).unwrap();
        fs::write(directory.path().join("pw"), "secret\n").unwrap();
        let found = |lines: &str| {
            let text = format!("{MINIMAL}tls = 'explicit'\n{lines}\n");
            let loaded = parse(&text, "gate.toml", directory.path()).unwrap();
            let brief = |found: &Diagnostic| {
                let (line, column) = found.position().unwrap();
                format!(
                    "{line}:{column}: {}",
                    found.message().replace(directory.path().to_str().unwrap(), "DIR")
                )
            };
            check(&loaded).iter().map(brief).collect::<Vec<_>>()
        };
        let data = |file: &str| format!("check = {{ kind = 'data', user = 'm', password_file = '{file}' }}");
        let pair = |key: &str| format!("tls_client_certificate = {{ chain = 'a.pem', key = '{key}' }}");
        assert_eq!(found(&format!("tls_ca = 'a.pem'\n{}\n{}", pair("a.key"), data("pw"))), [""; 0]);
        assert_eq!(found(&format!("tls_ca = 'a.pem'\n{}", data("$CREDENTIALS_DIRECTORY/pw"))), [""; 0]);
        let all = found(&format!("tls_ca = 'none.pem'\n{}\n{}", pair("none.key"), data("none")));
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].starts_with("9:10: cannot read DIR/none.pem"), "{all:?}");
        assert!(all[1].starts_with("10:26: cannot read DIR/none.key"), "{all:?}");
        assert!(all[2].starts_with("11:54: cannot read DIR/none"), "{all:?}");
        assert_eq!(found(&format!("tls_ca = 'a.pem'\n{}", data("."))), ["10:54: DIR/. is not a file"]);
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

    #[test]
    fn an_audit_log_needs_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let found = |path: &str| {
            let text = format!("{MINIMAL}[[audit]]\npath = '{path}'\n");
            let loaded = parse(&text, "gate.toml", directory.path()).unwrap();
            let all = check(&loaded);
            all.iter().map(|one| (one.position(), one.message().to_owned())).collect::<Vec<_>>()
        };
        let here = directory.path().display();
        assert_eq!(found("audit.jsonl"), []);
        assert_eq!(found("no/audit.jsonl"), [(Some((9, 8)), format!("there is no directory {here}/no"))]);
        assert_eq!(found("."), [(Some((9, 8)), format!("{here}/. is a directory"))]);
        assert!(directory.path().read_dir().unwrap().next().is_none(), "nothing is made");
    }
}
