//! TLS towards the servers of a `[[backend]]`.

use std::path::Path;

use ftpsgate_certs::Pin;

use super::choice::DataTls;
use super::document::{Basis, Located};
use super::model::{BackendCa, BackendTls, BackendTlsMode, CertificatePair, TlsVersion};
use super::syntax;
use super::table::{Read, Table};
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

fn pins(table: &Table<'_>) -> Vec<[u8; 32]> {
    let elements = table.elements("tls_pin");
    if elements.is_empty() && table.is_array("tls_pin") {
        table.document.error(
            Basis::Value,
            &table.span_of("tls_pin"),
            "`tls_pin` is empty",
            "write the pins of the servers' keys, or leave the key out to trust authorities alone",
        );
    }
    let read: Read<Pin> = |value, kind| parsed(value, kind, syntax::pin);
    let pins = elements.iter().filter_map(|element| table.element("tls_pin", element, read));
    pins.map(|pin| *pin.value.as_bytes()).collect()
}

fn ca(table: &Table<'_>, is_pinned: bool) -> BackendCa {
    match table.optional("tls_ca", path).value {
        Some(written) if written == Path::new(SYSTEM) => BackendCa::System,
        Some(written) => BackendCa::File(table.document.base_dir.join(written)),
        None if is_pinned => BackendCa::PinsAlone,
        None => BackendCa::System,
    }
}

fn danger(table: &Table<'_>, mode: Option<BackendTlsMode>) -> bool {
    let danger = table.read(DANGER, boolean);
    if !danger.value || mode.is_none() {
        return danger.value;
    }
    if table.has("tls_pin") {
        table.document.doubt(
            &danger.span,
            format!("`{DANGER}` does nothing beside `tls_pin`: the pins hold all the same"),
            "remove it; pins alone replace authority, name and dates",
            (&table.span_of("tls_pin"), "the pins"),
        );
    } else {
        table.document.warning(
            &danger.span,
            "any certificate is taken: whoever sits between the gateway and its servers can read and change \
             everything",
            "pin the servers' keys with `tls_pin`, or name their authority with `tls_ca`, and remove this key",
        );
    }
    if table.has("tls_ca") {
        table.document.doubt(
            &table.span_of("tls_ca"),
            format!("`tls_ca` has no effect beside `{DANGER}`"),
            format!("remove `{DANGER}`"),
            (&danger.span, "authorities are not asked"),
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

const DANGER: &str = "danger_accept_invalid_certificates";

/// The keys that matter under TLS alone.
const KEYS: [&str; 9] = [
    "data_tls",
    "tls_ca",
    "tls_pin",
    "tls_server_name",
    "tls_min_version",
    "tls_max_version",
    DANGER,
    "tls_client_certificate",
    "require_ems",
];
