//! `[gateway]`: what concerns the process as a whole.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::model::Gateway;
use super::syntax;
use super::table::Table;
use super::value::{duration, parsed, path};

/// Reads the table, which may be absent.
pub(super) fn read(file: &Table<'_>) -> Gateway {
    let table = file.table("gateway");
    let base_dir = &table.document.base_dir;
    let state_dir = table.optional("state_dir", path);
    Gateway {
        name: table.read("name", |value, kind| parsed(value, kind, syntax::name)).value,
        state_dir: state_dir.value.map_or_else(default_state_dir, |path| base_dir.join(path)),
        drain_timeout: table.read("drain_timeout", duration).value,
        banner: table.read("banner", |value, kind| parsed(value, kind, syntax::line)).value,
    }
}

/// `/var/lib/ftpsgate` where it may be written, else the user's own state directory
/// (`$XDG_STATE_HOME/ftpsgate` or `~/.local/state/ftpsgate`). Nothing is created.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    let system = Path::new(SYSTEM_STATE_DIR);
    let own = || {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(state.join("ftpsgate"))
    };
    if may_be_written(system) { system.to_owned() } else { own().unwrap_or_else(|| system.to_owned()) }
}

/// Whether files can be made in the directory, or the directory itself can.
fn may_be_written(directory: &Path) -> bool {
    let writable = |path: &Path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if directory.exists() { writable(directory) } else { directory.parent().is_some_and(writable) }
}

/// Where a service keeps its state (file-hierarchy(7)).
const SYSTEM_STATE_DIR: &str = "/var/lib/ftpsgate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_may_be_made_where_its_parent_may_be_written() {
        let parent = tempfile::tempdir().unwrap();
        assert!(may_be_written(parent.path()));
        assert!(may_be_written(&parent.path().join("new")));
        assert!(!may_be_written(&parent.path().join("no/parent")));
    }

    #[test]
    fn the_default_is_absolute() {
        assert!(default_state_dir().is_absolute());
    }
}
