//! A policy file on trial: it stands for all rules of a configuration that is otherwise as it is.

use std::sync::Arc;

use toml::de::DeTable;

use super::super::keys::{FILE, POLICY_FILE};
use super::super::load::{self, Opened};
use super::super::table::Table;
use super::super::value::choice;
use super::{PolicyDraft, PolicyFile, files, tables};

/// Whether a file has nothing of a configuration but its policy.
pub(in super::super) fn is_policy_file(text: &str) -> bool {
    let (table, _) = DeTable::parse_recoverable(text);
    let is_of_policy = |name: &str| name == POLICY || POLICY_FILE.keys.iter().any(|key| key.name == name);
    let is_of_configuration =
        |name: &str| FILE.keys.iter().any(|key| key.name == name) && !is_of_policy(name);
    !table.get_ref().keys().any(|name| is_of_configuration(name.get_ref()))
}

/// Reads the file on trial instead of the tables and policy files of the configuration. What it does not say in a
/// `[policy]` of its own, that of the configuration says; `files` are its own or none.
pub(in super::super) fn read_trial(file: &Table<'_>, trial: &Opened) -> PolicyDraft {
    let policy = file.table(POLICY);
    let default = policy.optional("default", choice);
    let mode = policy.read("mode", choice).value;
    let source = Arc::clone(&trial.source);
    let (document, broken, (read, own)) = load::walk(&source, trial.base_dir.clone(), |document, entries| {
        if !entries.contains_key(POLICY) {
            return (tables(&Table::policy_file(document, entries)), None);
        }
        let root = Table::root(document, entries);
        let policy = root.table(POLICY);
        let further = if policy.has("files") { files::read(&policy) } else { Vec::new() };
        let own = (policy.optional("default", choice), policy.optional("mode", choice), further);
        (tables(&root), Some(own))
    });
    let mut draft = PolicyDraft {
        default,
        mode,
        tables: tables(&Table::unwritten(file.document, &POLICY_FILE)),
        files: vec![PolicyFile { document, broken, tables: read }],
    };
    if let Some((default, mode, further)) = own {
        if default.is_written() {
            draft.default = default;
        }
        draft.mode = mode.value.unwrap_or(draft.mode);
        draft.files.extend(further);
    }
    draft
}

const POLICY: &str = "policy";

#[cfg(test)]
mod tests {
    use std::fs;

    use ftpsgate_policies::rule::{Action, Mode};

    use crate::config::{Diagnostics, Loaded, MINIMAL, load_with};

    const RULE: &str = "[[rule]]\nname = 'r'\noperations = ['delete']\naction = 'deny'\n";

    fn load(base: &str, with: &str) -> Result<Loaded, Diagnostics> {
        let directory = tempfile::tempdir().unwrap();
        let [base_path, with_path] = ["base.toml", "with.toml"].map(|name| directory.path().join(name));
        fs::create_dir(directory.path().join("policies.d")).unwrap();
        fs::write(directory.path().join("policies.d/1.toml"), RULE.replace("'r'", "'further'")).unwrap();
        fs::write(&base_path, base).unwrap();
        fs::write(&with_path, with).unwrap();
        load_with(&base_path, &with_path)
    }

    fn names(loaded: &Loaded) -> Vec<&str> {
        loaded.config.rules.rules.iter().map(|rule| rule.name.as_str()).collect()
    }

    #[test]
    fn a_policy_file_stands_for_all_rules() {
        let base = format!(
            "{MINIMAL}[policy]\ndefault = 'deny'\nmode = 'observe'\n{}",
            RULE.replace("'r'", "'old'")
        );
        let loaded = load(&base, RULE).unwrap();
        assert_eq!(names(&loaded), ["r"]);
        assert_eq!(loaded.config.rules.default, Action::Deny);
        assert_eq!(loaded.config.rules.mode, Mode::Observe);
        assert!(loaded.config.rules.rules[0].origin.file.ends_with("with.toml"));
    }

    #[test]
    fn its_own_policy_table_goes_first() {
        let base = format!("{MINIMAL}[policy]\ndefault = 'deny'\nmode = 'observe'\n");
        let loaded = load(&base, &format!("[policy]\ndefault = 'allow'\n{RULE}")).unwrap();
        assert_eq!(loaded.config.rules.default, Action::Allow);
        assert_eq!(loaded.config.rules.mode, Mode::Observe);
        let with = format!("[policy]\nmode = 'enforce'\nfiles = ['policies.d/*.toml']\n{RULE}");
        let loaded = load(&base, &with).unwrap();
        assert_eq!(loaded.config.rules.mode, Mode::Enforce);
        assert_eq!(names(&loaded), ["r", "further"]);
    }

    #[test]
    fn a_configuration_stands_for_itself() {
        let with = format!("{MINIMAL}[policy]\ndefault = 'allow'\nfiles = []\n{RULE}");
        let loaded = load("this is not read", &with).unwrap();
        assert_eq!(names(&loaded), ["r"]);
    }

    #[test]
    fn what_is_wrong_with_it_is_shown_at_its_place() {
        let error = load(MINIMAL, RULE).unwrap_err().to_string();
        assert!(error.contains("nobody says what holds where none matches"), "{error}");
        let base = format!("{MINIMAL}[policy]\ndefault = 'deny'\n");
        let error = load(&base, &format!("{RULE}listeners = ['lan']\nbogus = 1\n")).unwrap_err().to_string();
        assert!(error.contains("there is no listener `lan`"), "{error}");
        assert!(error.contains("unknown key `bogus`") && error.contains("with.toml:6:1"), "{error}");
    }
}
