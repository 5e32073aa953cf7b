//! The documentation says what the code does.

use super::super::reference::markdown;
use super::super::schema::Section;
use super::*;

pub(super) const EXAMPLE: &str = include_str!("../../../../docs/ftpsgate.example.toml");
const CONFIGURATION: &str = include_str!("../../../../docs/configuration.md");
const POLICY: &str = include_str!("../../../../docs/policy.md");
const BEGINS: &str = "<!-- reference begins -->\n";
const ENDS: &str = "<!-- reference ends -->\n";

#[test]
fn the_example_is_valid_and_writes_the_defaults() {
    let loaded = right(EXAMPLE);
    assert_eq!(loaded.warnings, []);
    let mut config = loaded.config;
    let mut minimal = right(MINIMAL).config;
    minimal.gateway.state_dir = config.gateway.state_dir.clone();
    assert_eq!(config.listeners.pop().map(|listener| listener.mode), Some(Mode::Implicit));
    std::sync::Arc::make_mut(&mut config.listeners[0]).bind_written = false;
    assert_eq!(config, minimal);
}

#[test]
fn the_example_with_all_its_comments_is_valid() {
    let text: String = EXAMPLE.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
    let text = text.replace("client_certificates = \"off\"", "client_certificates = \"require\"");
    assert_eq!(right(&text).warnings, []);
    for key in Section::all().into_iter().flat_map(|section| section.keys).filter(|key| !key.is_later()) {
        assert!(text.contains(key.name), "the example lacks `{}`", key.name);
    }
}

/// A line of the example, without the `#` before a key or a header.
fn uncommented(line: &str) -> &str {
    let Some(text) = line.strip_prefix("# ") else { return line };
    let key = text.split(' ').next().unwrap_or_default();
    let is_key = text[key.len()..].starts_with(" = ");
    if is_key || key.starts_with("[[") { text } else { line }
}

#[test]
fn the_minimal_configuration_is_the_one_of_the_guide() {
    assert!(CONFIGURATION.contains(&format!("```toml\n{MINIMAL}```\n")));
}

#[test]
fn the_pieces_of_the_guide_are_one_configuration() {
    let pieces = CONFIGURATION.split("```toml\n").skip(1);
    let pieces: Vec<_> = pieces.filter_map(|rest| rest.split_once("```")).map(|(piece, _)| piece).collect();
    assert_eq!(pieces.len(), 5);
    let config = right(&pieces.concat()).config;
    assert_eq!((config.backends.len(), config.routes.len()), (3, 3));
    assert!(matches!(config.backends[2].check.kind, CheckKind::Data(_)));
}

#[test]
fn the_policy_of_the_guide_is_valid() {
    let (_, rest) = POLICY.split_once("```toml\n").expect("the guide has a policy");
    let (policy, _) = rest.split_once("```").expect("it ends");
    let loaded = right(&format!("{MINIMAL}{policy}"));
    assert_eq!(
        (loaded.warnings, loaded.config.rules.rules.len(), loaded.config.rules.tests.len()),
        (Vec::new(), 3, 1)
    );
}

#[test]
fn the_reference_lists_the_keys_of_this_version() {
    let (before, rest) = CONFIGURATION.split_once(BEGINS).expect("the guide has a place for the reference");
    let (reference, after) = rest.split_once(ENDS).expect("the reference ends");
    let wanted = markdown();
    if std::env::var_os("FTPSGATE_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        std::fs::write(path, format!("{before}{BEGINS}\n{wanted}{ENDS}{after}")).unwrap();
    } else {
        assert_eq!(reference.trim(), wanted.trim(), "FTPSGATE_BLESS=1 writes it anew");
    }
}
