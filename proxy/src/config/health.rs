//! `check` of a `[[backend]]`: how a server's health is known.

use std::path::{Component, Path, PathBuf};

use super::choice::{CheckWord, Choice};
use super::document::{Basis, Located};
use super::model::{BackendTlsMode, Check, CheckKind, CheckLogin};
use super::syntax;
use super::syntax::SyntaxError;
use super::table::Table;
use super::value::{choice, duration, integer, narrow, parsed};

/// Reads the key: a word, or a table that says more.
pub(super) fn read(backend: &Table<'_>, tls: &Located<Option<BackendTlsMode>>) -> Check {
    let table = backend.table("check");
    let kind: Located<CheckWord> = match backend.text("check") {
        Some(_) => backend.read("check", choice),
        None => table.read("kind", choice),
    };
    if kind.value == CheckWord::Tls && tls.value.is_none() && tls.is_sound() {
        backend.document.conflict(
            &kind.span,
            "a `tls` check needs TLS",
            "write `tls = \"explicit\"` or \"implicit\" in this [[backend]], or `kind = \"greeting\"` here",
            (
                &tls.span,
                if tls.is_written() { "there is none" } else { "there is none unless `tls` is written" },
            ),
        );
    }
    let login = login(&table, &kind);
    Check {
        kind: match kind.value {
            CheckWord::Off => CheckKind::Off,
            CheckWord::Tcp => CheckKind::Tcp,
            CheckWord::Greeting => CheckKind::Greeting,
            CheckWord::Tls => CheckKind::Tls,
            CheckWord::Login => CheckKind::Login(login),
            CheckWord::Data => CheckKind::Data(login),
        },
        every: table.read("every", duration).value,
        fall: table.read("fall", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        rise: table.read("rise", |value, kind| Ok(narrow(integer(value, kind)?))).value,
    }
}

/// Who logs in; of use only where the kind asks for it, or an error has been reported.
fn login(table: &Table<'_>, kind: &Located<CheckWord>) -> CheckLogin {
    let document = table.document;
    let user = table.optional("user", |value, kind| parsed(value, kind, syntax::user));
    let password_file = table.optional("password_file", |value, kind| parsed(value, kind, password_file));
    let path = table.optional("path", |value, kind| parsed(value, kind, syntax::directory));
    let logs_in = match kind.value {
        CheckWord::Off | CheckWord::Tcp | CheckWord::Greeting | CheckWord::Tls => false,
        CheckWord::Login | CheckWord::Data => true,
    };
    let word = kind.value.word();
    for name in LOGIN_KEYS {
        if kind.is_sound() && !logs_in && table.has(name) {
            document.warning(
                &table.span_of(name),
                format!("`{name}` has no effect in a `{word}` check"),
                "write `kind = \"login\"` or \"data\" for a check that logs in, or remove the key",
            );
        }
        if logs_in && name != "path" && !table.has(name) {
            document.error(
                Basis::Whole,
                &kind.span,
                format!("a `{word}` check needs `{name}`"),
                "write `check = { kind = \"data\", user = \"monitor\", password_file = \"monitor.pw\" }` with a user \
                 of the server",
            );
        }
    }
    CheckLogin {
        user: user.value.unwrap_or_default(),
        password_file: password_file.value.map(|file| file.resolve(&document.base_dir)).unwrap_or_default(),
        path: path.value,
    }
}

/// Where a password is.
enum PasswordFile {
    Path(PathBuf),
    /// A name under `$CREDENTIALS_DIRECTORY` (systemd.exec(5)), which is known only where the service runs.
    Credential(PathBuf),
}

impl PasswordFile {
    fn resolve(self, base_dir: &Path) -> PathBuf {
        match self {
            Self::Path(path) => base_dir.join(path),
            Self::Credential(name) => name,
        }
    }
}

fn password_file(text: &str) -> Result<PasswordFile, SyntaxError> {
    let credential = ["$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/"]
        .into_iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    if let Some(name) = credential {
        let name = PathBuf::from(name);
        let is_name = matches!(name.components().collect::<Vec<_>>().as_slice(), [Component::Normal(only)] if *only == name.as_os_str());
        return if is_name {
            Ok(PasswordFile::Credential(name))
        } else {
            Err(SyntaxError::new(
                "is not the name of a credential",
                "credentials lie directly in the directory: \"$CREDENTIALS_DIRECTORY/ftp-monitor\", with \
                 `LoadCredential=ftp-monitor:/etc/ftpsgate/monitor.pw` in the unit",
            ))
        };
    }
    if text.is_empty() || text.contains('\0') {
        return Err(SyntaxError::new("is not a path", "write the path of a file, relative to this one"));
    }
    Ok(PasswordFile::Path(PathBuf::from(text)))
}

/// How [`CheckLogin::password_file`] is written.
pub(super) fn password_file_text(file: &Path) -> String {
    let text = file.to_string_lossy();
    if file.is_absolute() { text.into_owned() } else { format!("$CREDENTIALS_DIRECTORY/{text}") }
}

const LOGIN_KEYS: [&str; 3] = ["user", "password_file", "path"];
