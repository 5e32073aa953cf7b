//! TLS towards the servers of a `[[backend]]`.

use std::path::PathBuf;

use super::choice::DataTls;
use super::document::{Basis, Located};
use super::model::{BackendCa, BackendTls, BackendTlsMode, CertificatePair, TlsVersion};
use super::pin::{self, Pin};
use super::syntax;
use super::table::Table;
use super::value::{boolean, choice, parsed, path};

/// Reads the keys that say how servers are spoken to; `None` for plain FTP.
pub(super) fn read(table: &Table<'_>, mode: &Located<Option<BackendTlsMode>>) -> Option<BackendTls> {
    let document = table.document;
    if mode.value.is_none() && mode.is_sound() {
        for name in KEYS.into_iter().filter(|name| table.has(name)) {
            document.warning(
                &table.span_of(name),
                format!("`{name}` has no effect while `tls` is \"off\""),
                "write `tls = \"explicit\"` or \"implicit\", or remove the key",
            );
        }
    }
    let (min_version, max_version) = versions(table);
    let pins = pins(table);
    let tls = BackendTls {
        // Whatever the mode, all keys are read, so that all errors are shown.
        mode: mode.value.unwrap_or(BackendTlsMode::Explicit),
        protects_data: match table.read("data_tls", choice).value {
            DataTls::Private => true,
            DataTls::Clear => false,
        },
        ca: ca(table, !pins.is_empty()),
        pins,
        server_name: table
            .optional("tls_server_name", |value, kind| parsed(value, kind, syntax::certificate_name))
            .value,
        min_version,
        max_version,
        danger_accept_invalid_certificates: danger(table, mode.value),
        client_certificate: client_certificate(table),
        require_ems: table.read("require_ems", boolean).value,
    };
    mode.value.map(|_| tls)
}

fn versions(table: &Table<'_>) -> (TlsVersion, TlsVersion) {
    let min_version = table.read("tls_min_version", choice);
    let max_version = table.read("tls_max_version", choice);
    if min_version.is_sound() && max_version.is_sound() && min_version.value > max_version.value {
        table.document.conflict(
            &min_version.span,
            "`tls_min_version` is above `tls_max_version`",
            if max_version.is_written() {
                "no server could be spoken to; raise `tls_max_version` or lower `tls_min_version`"
            } else {
                "`tls_max_version` is \"1.2\" unless written: add `tls_max_version = \"1.3\"`"
            },
            (&max_version.span, "the highest version"),
        );
    }
    (min_version.value, max_version.value)
}

fn pins(table: &Table<'_>) -> Vec<Pin> {
    let elements = table.elements("tls_pin");
    if elements.is_empty() && table.is_array("tls_pin") {
        table.document.error(
            Basis::Value,
            &table.span_of("tls_pin"),
            "`tls_pin` is empty",
            "write the pins of the servers' keys, or leave the key out to trust authorities alone",
        );
    }
    let pins = elements.iter().filter_map(|element| {
        table.element("tls_pin", element, |value, kind| parsed(value, kind, pin::parse))
    });
    pins.map(|pin| pin.value).collect()
}

fn ca(table: &Table<'_>, is_pinned: bool) -> BackendCa {
    match table.optional("tls_ca", path).value {
        Some(written) if written == PathBuf::from(SYSTEM) => BackendCa::System,
        Some(written) => BackendCa::File(table.document.base_dir.join(written)),
        None if is_pinned => BackendCa::PinsAlone,
        None => BackendCa::System,
    }
}

fn danger(table: &Table<'_>, mode: Option<BackendTlsMode>) -> bool {
    let name = "danger_accept_invalid_certificates";
    let danger = table.read(name, boolean);
    if !danger.value || mode.is_none() {
        return danger.value;
    }
    table.document.warning(
        &danger.span,
        "any certificate is taken: whoever sits between the gateway and its servers can read and change everything",
        "pin the servers' keys with `tls_pin`, or name their authority with `tls_ca`, and remove this key",
    );
    for other in ["tls_ca", "tls_pin"].into_iter().filter(|other| table.has(other)) {
        table.document.doubt(
            &table.span_of(other),
            format!("`{other}` has no effect while any certificate is taken"),
            format!("remove `{name}`"),
            (&danger.span, "any certificate is taken"),
        );
    }
    danger.value
}

fn client_certificate(table: &Table<'_>) -> Option<CertificatePair> {
    let name = "tls_client_certificate";
    let pair = table.table(name);
    if !pair.is_present() {
        return None;
    }
    let (chain, key) = (pair.required("chain", path).value, pair.required("key", path).value);
    let base_dir = &table.document.base_dir;
    Some(CertificatePair { chain: base_dir.join(chain?), key: base_dir.join(key?) })
}

/// The word of `tls_ca` that is no path.
pub(super) const SYSTEM: &str = "system";

/// The keys that matter under TLS alone.
const KEYS: [&str; 9] = [
    "data_tls",
    "tls_ca",
    "tls_pin",
    "tls_server_name",
    "tls_min_version",
    "tls_max_version",
    "danger_accept_invalid_certificates",
    "tls_client_certificate",
    "require_ems",
];
