//! `[admin]`: how an operator reaches the running gateway.

use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::gateway::default_state_dir;
use super::model::Admin;
use super::table::Table;
use super::value::path;

/// Reads the table, which may be absent.
pub(super) fn read(file: &Table<'_>) -> Admin {
    let table = file.table("admin");
    let base_dir = &table.document.base_dir;
    Admin { socket: table.optional("socket", path).value.map(|path| base_dir.join(path)) }
}

/// Where the admin socket of the gateway is that runs with this file. A gateway runs on while its file is broken, so
/// whatever else is wrong with it does not matter here: where it cannot be read, it is said beside the usual place.
#[must_use]
pub fn admin_socket(file: &Path) -> (PathBuf, Option<io::Error>) {
    let (text, problem) = match std::fs::read_to_string(file) {
        Ok(text) => (text, None),
        Err(error) => (String::new(), Some(error)),
    };
    let file = std::path::absolute(file).unwrap_or_default();
    let base_dir = file.parent().unwrap_or(Path::new("/"));
    let (root, _) = DeTable::parse_recoverable(&text);
    let written = |table: &str, key: &str| {
        let DeValue::Table(table) = root.get_ref().get(table)?.get_ref() else { return None };
        let DeValue::String(text) = table.get(key)?.get_ref() else { return None };
        Some(base_dir.join(text.as_ref()))
    };
    let socket = written("admin", "socket").unwrap_or_else(|| {
        written("gateway", "state_dir").unwrap_or_else(default_state_dir).join(ADMIN_SOCKET)
    });
    (socket, problem)
}

/// In the state directory.
pub(super) const ADMIN_SOCKET: &str = "admin.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_even_if_the_file_is_broken() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gate.toml");
        for (text, expected) in [
            ("[admin]\nsocket = '/run/a.sock'", PathBuf::from("/run/a.sock")),
            (
                "[admin]\nsocket = 'a.sock'\n[gateway]\nbanner = 7\n[[limit]]\nx = 1",
                directory.path().join("a.sock"),
            ),
            ("[gateway]\nstate_dir = 'state'\nbanner = oops", directory.path().join("state/admin.sock")),
            ("", default_state_dir().join("admin.sock")),
        ] {
            std::fs::write(&file, text).unwrap();
            let (socket, problem) = admin_socket(&file);
            assert_eq!(socket, expected, "{text}");
            assert!(problem.is_none());
        }
        let (_, problem) = admin_socket(&directory.path().join("nope.toml"));
        assert_eq!(problem.unwrap().kind(), io::ErrorKind::NotFound);
    }
}
