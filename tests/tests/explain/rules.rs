//! Random policies and routes, as they stand in a configuration.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Rules, groups, routes, and where logins begin.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The directory in which the servers' sessions begin.
    pub(crate) home: &'static str,
    /// The second backend reads paths in this way.
    pub(crate) second_paths: &'static str,
    /// `[policy]`, `[[group]]`, `[[rule]]`, `[[route]]`.
    pub(crate) toml: String,
}

pub(crate) const USERS: [&str; 7] =
    ["anna", "bob", "read-1", "acme-7", "anna@127.0.0.1", "bob@10.9.9.9", "anna@"];

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let paths = select(vec!["unix", "unix", "windows", "opaque"]);
    let home = select(vec!["/", "/", "/in", "/home/anna"]);
    (home, paths).prop_flat_map(|(home, second_paths)| {
        let default = select(vec!["allow", "deny"]);
        let mode = weighted(0.1, Just("observe"));
        let rules = vec(rule(second_paths == "opaque"), 0..9);
        (default, mode, rules, vec(route(), 0..4)).prop_map(move |(default, mode, rules, routes)| {
            let mode = mode.unwrap_or("enforce");
            let mut toml = format!("[policy]\nfiles = []\ndefault = \"{default}\"\nmode = \"{mode}\"\n");
            toml.push_str("[[group]]\nname = \"readers\"\nusers = [\"read-*\", \"bob\"]\n");
            toml.push_str("[[group]]\nname = \"inside\"\nfrom = [\"127.0.0.0/24\"]\n");
            for (index, rule) in rules.iter().enumerate() {
                write!(toml, "[[rule]]\nname = \"rule {index}\"\n{rule}").expect("a String takes everything");
            }
            for route in routes {
                write!(toml, "[[route]]\n{route}").expect("a String takes everything");
            }
            Scenario { home, second_paths, toml }
        })
    })
}

/// Some of these, as a key; or no key.
fn some(key: &'static str, weight: f64, values: &[&'static str]) -> BoxedStrategy<String> {
    let values = values.to_vec();
    let most = values.len().min(3);
    weighted(weight, subsequence(values, 1..=most))
        .prop_map(move |chosen| chosen.map_or_else(String::new, |chosen| format!("{key} = {chosen:?}\n")))
        .boxed()
}

fn one(key: &'static str, weight: f64, values: &[&'static str]) -> BoxedStrategy<String> {
    weighted(weight, select(values.to_vec()))
        .prop_map(move |chosen| chosen.map_or_else(String::new, |chosen| format!("{key} = {chosen:?}\n")))
        .boxed()
}

fn rule(second_is_opaque: bool) -> impl Strategy<Value = String> {
    let who = (
        some("users", 0.3, &["anna", "acme-*", "read-?", "*"]),
        some("groups", 0.2, &["readers", "inside"]),
        some("from", 0.2, &["127.0.0.1/32", "127.0.0.0/24", "10.0.0.0/8"]),
        some("listeners", 0.15, &["plain", "explicit", "implicit", "open"]),
        some("backends", 0.15, &["legacy", "second"]),
        some("certificates", 0.08, &["CN=acme-*", "CN=bob"]),
        one("tls", 0.1, &["none", ">=1.2", "=1.3", "<1.3"]),
    );
    let what = (
        some("operations", 0.6, &OPERATIONS),
        some("commands", 0.25, &COMMANDS),
        some("paths", 0.45, &PATHS),
        one("larger_than", 0.1, &["100B", "1KiB"]),
        one("hours", 0.1, &["Mon-Fri 07:00-19:00", "Mon-Sun", "Sat,Sun", "22:00-06:00"]),
        one("timezone", 0.5, &["UTC", "Europe/Berlin", "Asia/Tokyo"]),
    );
    let decision = (
        select(vec!["allow", "allow", "deny", "deny", "deny"]),
        weighted(0.15, Just("mode = \"observe\"\n")),
        one("reply", 0.3, &["550 Nothing of that kind", "553 No", "451 Later", "530 Not you"]),
    );
    (who, what, decision).prop_map(move |(who, what, decision)| {
        let (users, groups, from, listeners, mut backends, certificates, tls) = who;
        let (operations, commands, paths, larger, hours, zone) = what;
        let (action, mode, reply) = decision;
        if second_is_opaque && !paths.is_empty() {
            backends = "backends = [\"legacy\"]\n".to_owned();
        }
        let zone = if hours.is_empty() { String::new() } else { zone };
        let reply = if action == "deny" { reply } else { String::new() };
        let mode = mode.unwrap_or_default();
        let matchers = [users, groups, from, listeners, backends, certificates, tls].concat();
        let more = [operations, commands, paths, larger, hours, zone].concat();
        format!("{matchers}{more}action = \"{action}\"\n{mode}{reply}")
    })
}

fn route() -> impl Strategy<Value = String> {
    (
        some("users", 0.5, &["anna", "acme-*", "read-?"]),
        some("sni", 0.15, &["acme.example.com", "local*"]),
        some("hosts", 0.25, &["acme.example.com", "127.0.0.*"]),
        some("from", 0.2, &["127.0.0.2/32", "127.0.1.0/24"]),
        some("certificates", 0.1, &["CN=acme-*"]),
        some("listeners", 0.2, &["plain", "open", "implicit"]),
        one("rewrite_user", 0.3, &["shared", "bob"]),
        select(vec!["legacy", "second"]),
    )
        .prop_map(|(users, sni, hosts, from, certificates, listeners, rewrite, backend)| {
            let matchers = [users, sni, hosts, from, certificates, listeners, rewrite].concat();
            format!("{matchers}backend = \"{backend}\"\n")
        })
}

const OPERATIONS: [&str; 14] = [
    "connect",
    "login",
    "list",
    "download",
    "upload",
    "overwrite",
    "append",
    "delete",
    "rename",
    "mkdir",
    "rmdir",
    "traverse",
    "metadata",
    "site",
];

const COMMANDS: [&str; 14] = [
    "STOR",
    "RETR",
    "CWD",
    "NOOP",
    "TYPE",
    "EPSV",
    "PWD",
    "SITE",
    "SITE CHMOD",
    "OPTS UTF8",
    "REST",
    "ALLO",
    "FEAT",
    "RNFR",
];

const PATHS: [&str; 14] = [
    "/**",
    "/in/**",
    "/in/*",
    "/in/sub/**",
    "/in/sub/f",
    "/out/**",
    "/secret/**",
    "/home/$user/**",
    "/home/*",
    "**/*.exe",
    "**/secret/**",
    "/home/anna/[a-f]*",
    "/{in,out}/*.csv",
    "/home/**/f",
];
