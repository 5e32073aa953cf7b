//! `[tls.NAME]`: TLS towards clients.

use std::path::PathBuf;

use super::document::{Basis, Located, Origin};
use super::model::{CertificateFallback, CertificatePair, ClientCertificates, TlsProfile};
use super::syntax;
use super::table::Table;
use super::value::{boolean, choice, path};

/// A profile, with the places that checks across tables refer to.
pub(super) struct ProfileDraft {
    pub(super) name: Located<String>,
    pub(super) profile: TlsProfile,
}

/// Reads all profiles; `default` is among them even if it is not written.
pub(super) fn read(file: &Table<'_>) -> Vec<ProfileDraft> {
    let mut drafts: Vec<_> =
        file.named_tables("tls").into_iter().map(|(name, table)| profile(name, &table)).collect();
    if drafts.iter().all(|draft| draft.name.value != DEFAULT_PROFILE) {
        let name =
            Located { value: DEFAULT_PROFILE.to_owned(), span: file.span.clone(), origin: Origin::Default };
        drafts.push(profile(name, &Table::unwritten(file.document, &super::keys::TLS)));
    }
    drafts
}

fn profile(name: Located<String>, table: &Table<'_>) -> ProfileDraft {
    let document = table.document;
    if let Err(error) = syntax::name(&name.value) {
        document.error(Basis::Value, &name.span, format!("profile name: {}", error.message), error.hint);
    }
    let min_version = table.read("min_version", choice);
    let max_version = table.read("max_version", choice);
    if min_version.is_sound() && max_version.is_sound() && min_version.value > max_version.value {
        document.conflict(
            &min_version.span,
            "`min_version` is above `max_version`",
            "no client could connect; raise `max_version` or lower `min_version`",
            (&max_version.span, "the highest version"),
        );
    }
    let client_certificates = table.read("client_certificates", choice);
    let client_ca = table.optional("client_ca", path);
    let client_crl = table.optional("client_crl", path);
    let asked = client_certificates.value != ClientCertificates::Off;
    if asked && !table.has("client_ca") {
        document.error(
            Basis::Whole,
            &client_certificates.span,
            "`client_certificates` needs `client_ca`",
            "add `client_ca`, a PEM file of the authorities that sign your clients' certificates",
        );
    }
    if table.has("client_crl") && !table.has("client_ca") {
        document.error(
            Basis::Whole,
            &client_crl.span,
            "`client_crl` needs `client_ca`",
            "a revocation list is checked against the authority that signed it: add `client_ca`",
        );
    } else if client_ca.is_written() && client_certificates.is_sound() && !asked {
        document.warning(
            &client_ca.span,
            "`client_ca` has no effect while `client_certificates` is \"off\"",
            "write `client_certificates = \"request\"` or \"require\"",
        );
    }
    let certificates = certificates(table);
    let fallback = table.optional("fallback", choice);
    if fallback.value == Some(CertificateFallback::None) && !table.has("certificates") {
        document.error(
            Basis::Whole,
            &fallback.span,
            format!("{} has no certificate to present", table.title()),
            "add `certificates`, or write `fallback = \"local-ca\"`",
        );
    }
    let default_fallback =
        if table.has("certificates") { CertificateFallback::None } else { CertificateFallback::LocalCa };
    let join = |path: Located<Option<_>>| path.value.map(|path: PathBuf| document.base_dir.join(path));
    let profile = TlsProfile {
        name: name.value.clone(),
        certificates,
        fallback: fallback.value.unwrap_or(default_fallback),
        min_version: min_version.value,
        max_version: max_version.value,
        require_ems: table.read("require_ems", boolean).value,
        data_resumption: table.read("data_resumption", choice).value,
        client_certificates: client_certificates.value,
        client_ca: join(client_ca),
        client_crl: join(client_crl),
    };
    ProfileDraft { name, profile }
}

fn certificates(table: &Table<'_>) -> Vec<CertificatePair> {
    let elements = table.elements("certificates");
    if elements.is_empty() && table.has("certificates") {
        table.document.error(
            Basis::Value,
            &table.span_of("certificates"),
            "`certificates` is empty",
            "write `[{ chain = \"ftp.pem\", key = \"ftp.key\" }]`, or leave the key out for the local CA",
        );
    }
    elements
        .iter()
        .filter_map(|element| {
            let pair = table.element_table("certificates", element)?;
            let (chain, key) = (pair.required("chain", path).value, pair.required("key", path).value);
            let base_dir = &table.document.base_dir;
            Some(CertificatePair { chain: base_dir.join(chain?), key: base_dir.join(key?) })
        })
        .collect()
}

/// The profile that always exists.
pub(super) const DEFAULT_PROFILE: &str = "default";
