//! Rules, groups and tests, in one file and in several.

use std::fs;

use ftpsgate_policies::rule::Action;

use super::*;

/// Behind the seven lines of the minimal configuration.
fn with(text: &str) -> String {
    format!("{MINIMAL}[policy]\nfiles = []\ndefault = 'deny'\n{text}")
}

fn rule(keys: &str) -> String {
    with(&format!("[[rule]]\nname = 'r'\naction = 'deny'\n{keys}\n"))
}

#[test]
fn what_holds_without_a_rule_must_be_written_as_soon_as_there_is_one() {
    let text = format!("{MINIMAL}[[rule]]\nname = 'r'\naction = 'allow'\n");
    only_error(
        &text,
        "8:1: there are rules, and nobody says what holds where none matches",
        "`default = \"deny\"` (or \"allow\") in gate.toml",
    );
    let config = right(&format!("{text}[policy]\ndefault = 'deny'\n")).config;
    assert_eq!((config.rules.default, config.rules.rules.len()), (Action::Deny, 1));
    assert_eq!(config.rules.rules[0].origin.to_string(), "gate.toml:8");
}

#[test]
fn every_key_of_a_rule_is_judged_by_itself() {
    let text = with(
        "[[rule]]
name = ''
users = ['$user']
groups = []
from = ['10.0.0.1/8']
certificates = ['acme', 'sha256/x']
operations = ['uplaod']
commands = ['STORE', 'STOR /x', 'SITE CHMOD']
paths = ['x', '/a/../b', '/[', '/home/$user/**']
tls = '1.1'
larger_than = 5
hours = '7-19'
timezone = 'Europe/Atlantis'
action = 'refuse'
mode = 'log'
reply = '226 Done'
",
    );
    let messages = [
        "12:8: `name`: a name cannot be empty",
        "13:10: `users`: `$user`: `$user` has a meaning in `paths` alone",
        "14:10: `groups` is empty",
        "15:9: `from`: `10.0.0.1/8` has bits behind its prefix",
        "16:17: `certificates`: `acme` is not understood: a certificate is `CN=…` or another attribute, `san:…` or `sha256/…`",
        "16:25: `certificates`: `sha256/x` is not understood: a key is `sha256/` and the 44 characters of its hash in base64",
        "17:15: `operations`: must be \"connect\", \"login\", \"list\", \"download\", \"upload\", \"overwrite\", \"append\", \"delete\", \"rename\", \"mkdir\", \"rmdir\", \"traverse\", \"metadata\" or \"site\", not \"uplaod\"",
        "18:13: `commands`: `STORE` is not a command",
        "18:22: `commands`: STOR has no commands of its own",
        "19:10: `paths`: `x` is not a pattern: a path begins with `/` or `**/`",
        "19:15: `paths`: `/a/../b` is not a pattern: no path holds an empty component, `.` or `..`",
        "19:26: `paths`: `/[` is not a pattern: a bracket, a brace or a backslash lacks its other half",
        "20:7: `tls`: `1.1` is not understood",
        "21:15: `larger_than`: must be a size such as \"8MiB\", not a whole number",
        "22:9: `hours`: `7-19` is not understood: write for example `Mon-Fri 07:00-19:00`",
        "23:12: `timezone`: `Europe/Atlantis` is not a time zone",
        "24:10: `action`: must be \"allow\" or \"deny\", not \"refuse\"",
        "25:8: `mode`: must be \"enforce\" or \"observe\", not \"log\"",
        "26:9: `reply`: `226 Done` is not a reply: a reply is a code from 400 to 599, a space and a line of text",
    ];
    assert_eq!(wrong(&text), messages);
}

#[test]
fn commands_that_no_rule_is_asked_about_are_refused() {
    for verb in ["AUTH", "PBSZ", "PROT", "CCC", "HOST", "QUIT", "ABOR"] {
        only_error(
            &rule(&format!("commands = ['{verb}']")),
            &format!("14:13: `commands`: {verb} is answered by the gateway itself: no rule is asked"),
            "require_tls",
        );
    }
}

#[test]
fn names_must_lead_somewhere() {
    for (keys, message, hint) in [
        ("groups = ['partner']", "14:11: there is no group `partner`", "did you mean `partners`?"),
        ("listeners = ['ftp']", "14:14: there is no listener `ftp`", "did you mean `ftps`?"),
        ("backends = ['zzz']", "14:13: there is no backend `zzz`", "there are legacy"),
    ] {
        let text = rule(keys) + "[[group]]\nname = 'partners'\nusers = ['p*']\n";
        only_error(&text, message, hint);
    }
    let test = "[[test]]\nfrom = '10.0.0.1'\ncommand = 'NOOP'\nexpect = 'allow'\nrule = 'rr'\n";
    only_error(&(rule("") + test), "19:8: there is no rule `rr`", "there are r");
    only_error(
        &(rule("") + "[[group]]\nname = 'g'\n"),
        "15:1: this [[group]] has neither `users` nor `from`",
        "users",
    );
}

#[test]
fn two_of_one_name_are_an_error() {
    only_error(
        &(rule("") + "[[rule]]\nname = 'r'\naction = 'allow'\nusers = ['a']\n"),
        "16:8: two rules are called `r`",
        "another name",
    );
}

#[test]
fn what_has_no_effect_is_an_error() {
    only_error(
        &with("[[rule]]\nname = 'r'\naction = 'allow'\nreply = '550 No'\n"),
        "14:9: only a rule that denies has a `reply`",
        "remove it",
    );
    only_error(&rule("timezone = 'UTC'"), "14:12: `timezone` has no effect without `hours`", "hours =");
}

#[test]
fn rules_that_can_never_match_are_doubtful() {
    only_warning(
        &(rule("") + "[[rule]]\nname = 'late'\naction = 'allow'\nusers = ['anna']\n"),
        "15:1: no request comes to rule `late`: an earlier one takes them all",
        "rule `r` (gate.toml:11) does",
    );
    only_warning(
        &rule("certificates = ['CN=a']"),
        "14:16: this rule never matches: no listener asks clients for certificates",
        "client_certificates",
    );
    only_warning(
        &rule("operations = ['connect']\nusers = ['a']"),
        "14:14: this rule never matches: a connection is judged before there is TLS, a certificate or a user",
        "`login`",
    );
    only_warning(
        &rule("operations = ['login']\npaths = ['/x']"),
        "15:9: this rule never matches: `connect` and `login` have no path",
        "remove `paths`",
    );
    only_warning(
        &rule("operations = ['download', 'list']\nlarger_than = '1MiB'"),
        "14:14: this rule never matches: only uploads have a size that `larger_than` could ask for",
        "name `upload`",
    );
    only_warning(
        &rule("tls = 'resumed'"),
        "14:7: this rule never matches: each control connection makes a full handshake",
        "data_resumption",
    );
}

#[test]
fn paths_of_an_opaque_backend_are_nobodys_to_judge() {
    let opaque = "[[backend]]\nname = 'zos'\nservers = ['zos']\npaths = 'opaque'\n[[route]]\nusers = ['z']\nbackend = 'zos'\n";
    let text =
        |keys: &str| rule(keys).replace("[[listener]]\n", "[[listener]]\nbackend = 'legacy'\n") + opaque;
    only_error(
        &text("paths = ['/x']"),
        "15:9: a rule with `paths` cannot be about backend `zos`: its paths are opaque",
        "`backends`",
    );
    assert_eq!(doubtful(&text("paths = ['/x']\nbackends = ['legacy']")), [""; 0]);
}

#[test]
fn commands_are_kept_by_the_name_under_which_they_are_judged() {
    let config = right(&rule("commands = ['xmkd', 'site chmod']")).config;
    let commands: Vec<_> =
        config.rules.rules[0].matchers.commands.iter().map(|one| (one.verb(), one.subcommand())).collect();
    assert_eq!(commands, [("MKD", None), ("SITE", Some("CHMOD"))]);
}

#[test]
fn tests_are_read_as_far_as_they_can_be_tried() {
    let test = |keys: &str| rule("") + "[[test]]\n" + keys;
    for (keys, message) in [
        ("from = 'x'\ncommand = 'NOOP'\nexpect = 'deny'\n", "16:8: `from`: `x` is not an address"),
        ("from = '::1'\ncommand = 'STOR'\nexpect = 'deny'\n", "17:11: `command`: STOR needs an argument"),
        ("from = '::1'\ncommand = 'FOO'\nexpect = 'deny'\n", "17:11: `command`: `FOO` is not a command"),
        (
            "from = '::1'\ncommand = 'NOOP'\nexpect = 'deny'\nat = '2026-11-22T15:00'\n",
            "19:6: `at`: `2026-11-22T15:00` is not a time with its offset",
        ),
        ("command = 'NOOP'\nexpect = 'deny'\n", "15:1: [[test]] has no `from`"),
        ("from = '::1'\ncommand = 'NOOP'\n", "15:1: [[test]] has no `expect`"),
    ] {
        assert_eq!(wrong(&test(keys)), [message], "{keys}");
    }
}

/// A directory with a configuration and policy files, and what is wrong there, file by file.
fn of_files(files: &[(&str, &str)]) -> (Result<Loaded, Diagnostics>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let text = fs::read_to_string(directory.path().join("gate.toml")).unwrap();
    (parse(&text, "etc/gate.toml", directory.path()), directory)
}

fn placed(diagnostics: &[Diagnostic]) -> Vec<String> {
    let place = |diagnostic: &Diagnostic| {
        let json = Diagnostics::from(diagnostic.clone()).to_json();
        let list = if json["errors"][0].is_null() { &json["warnings"][0] } else { &json["errors"][0] };
        format!("{}:{}", list["file"].as_str().unwrap(), brief(diagnostic))
    };
    diagnostics.iter().map(place).collect()
}

#[test]
fn policy_files_are_read_in_the_order_of_their_names() {
    let rule = |name: &str| {
        format!("[[rule]]\nname = '{name}'\naction = 'allow'\nusers = ['{name}']\ngroups = ['g']\n")
    };
    let main = format!("{MINIMAL}[policy]\ndefault = 'deny'\n{}", rule("first"));
    let group = "[[group]]\nname = 'g'\nusers = ['*']\n".to_owned();
    let (loaded, _directory) = of_files(&[
        ("gate.toml", &main),
        ("policies.d/20.toml", &(rule("third") + &group)),
        ("policies.d/10.toml", &rule("second")),
        ("policies.d/README", "no policy"),
    ]);
    let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let origins: Vec<String> =
        loaded.config.rules.rules.iter().map(|rule| format!("{} {}", rule.name, rule.origin)).collect();
    assert_eq!(
        origins,
        ["first etc/gate.toml:10", "second etc/policies.d/10.toml:1", "third etc/policies.d/20.toml:1"]
    );
}

#[test]
fn all_errors_of_all_files_are_shown_at_once() {
    let main = format!("{MINIMAL}[policy]\nfiles = ['p/*.toml', 'none.toml', 'q/*']\nmode = 'x'\n");
    let (loaded, _directory) = of_files(&[
        ("gate.toml", &main),
        ("p/1.toml", "[[rule]]\nname = 'a'\naction = 'allow'\npaths = ['x']\n[listener]\n"),
        ("p/2.toml", "[[rule]]\nname = 'a'\nusers = \naction = 'deny'\n"),
        ("p/3.toml", "[[rule]]\naction = 'deny'\n[[limit]]\nname = 'x'\n"),
    ]);
    let errors = loaded.expect_err("three files are wrong");
    let places: Vec<String> = placed(errors.errors())
        .iter()
        .map(|text| text.splitn(4, ':').take(2).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(
        places,
        [
            "etc/gate.toml:9",
            "etc/gate.toml:10",
            "etc/p/1.toml:1",
            "etc/p/1.toml:4",
            "etc/p/1.toml:5",
            "etc/p/2.toml:3",
            "etc/p/3.toml:1",
            "etc/p/3.toml:3",
        ],
        "{errors}"
    );
    assert_eq!(placed(errors.warnings()), ["etc/gate.toml:9:35: `files`: no file has such a name"]);
}

#[test]
fn two_files_cannot_have_a_rule_of_one_name() {
    let main = format!("{MINIMAL}[policy]\ndefault = 'deny'\n");
    let rule = |user: &str| format!("[[rule]]\nname = 'a'\naction = 'allow'\nusers = ['{user}']\n");
    let (loaded, _directory) = of_files(&[
        ("gate.toml", &main),
        ("policies.d/1.toml", &rule("a")),
        ("policies.d/2.toml", &rule("b")),
    ]);
    let errors = loaded.expect_err("two rules have one name");
    assert_eq!(placed(errors.errors()), ["etc/policies.d/2.toml:2:8: two rules are called `a`"]);
    assert!(errors.errors()[0].hint().contains("etc/policies.d/1.toml:2"));
}

#[test]
fn what_only_the_configuration_has_is_sent_there_from_a_policy_file() {
    let file = "[policy]\ndefault = 'deny'\n";
    let (loaded, _directory) = of_files(&[("gate.toml", MINIMAL), ("policies.d/1.toml", file)]);
    let errors = loaded.expect_err("a policy file has rules, groups, limits and tests");
    assert_eq!(errors.errors()[0].hint(), "`policy` belongs to the top level of the configuration");
}

#[test]
fn limits_of_policy_files_stand_beside_those_of_the_file() {
    let limit = |name: &str, keys: &str| format!("[[limit]]\nname = '{name}'\nper = 'address'\n{keys}\n");
    let group = "[[group]]\nname = 'g'\nusers = ['*']\n";
    let main = format!("{MINIMAL}{group}{}", limit("first", "sessions = 10"));
    let (loaded, _directory) = of_files(&[
        ("gate.toml", &main),
        ("policies.d/2.toml", &limit("third", "sessions = 20")),
        ("policies.d/1.toml", &limit("second", "commands = '5/s'\ngroups = ['g']")),
    ]);
    let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let limits = &loaded.config.limits;
    let origins: Vec<String> =
        limits.iter().map(|limit| format!("{} {}", limit.name, limit.origin)).collect();
    assert_eq!(
        origins,
        ["first etc/gate.toml:11", "second etc/policies.d/1.toml:1", "third etc/policies.d/2.toml:1"]
    );
    let never = "etc/policies.d/2.toml:1:1: `sessions` of this [[limit]] is never reached: another one is as tight or \
                 tighter";
    assert_eq!(placed(&loaded.warnings), [never]);
    assert!(
        loaded.warnings[0].hint().contains("`first` (etc/gate.toml:11)"),
        "{}",
        loaded.warnings[0].hint()
    );

    let (loaded, _directory) = of_files(&[
        ("gate.toml", &main),
        ("policies.d/1.toml", &limit("first", "commands = '5/s'")),
        ("policies.d/2.toml", &limit("second", "listeners = ['nobody']\ncommands = '5/s'\ngroups = ['h']")),
        ("policies.d/3.toml", &limit("third", "  comands = '5/s'")),
    ]);
    let errors = loaded.expect_err("three files are wrong");
    let places = placed(errors.errors());
    let wanted = [
        "etc/policies.d/1.toml:2:8: two limits are called `first`",
        "etc/policies.d/2.toml:4:14: there is no listener `nobody`",
        "etc/policies.d/2.toml:6:11: there is no group `h`",
        "etc/policies.d/3.toml:1:1: this [[limit]] limits nothing",
        "etc/policies.d/3.toml:4:3: unknown key `comands`",
    ];
    assert_eq!(places.len(), wanted.len(), "{errors}");
    for (place, wanted) in places.iter().zip(wanted) {
        assert!(place.starts_with(wanted), "{place}: {errors}");
    }
    assert!(errors.errors()[0].hint().contains("etc/gate.toml:12"), "{errors}");
}

#[test]
fn a_place_in_any_file_can_be_shown() {
    let main = format!("{MINIMAL}[policy]\ndefault = 'deny'\n");
    let test = "\n  [[test]]\nfrom = '::1'\ncommand = 'NOOP'\nexpect = 'allow'\n";
    let (loaded, _directory) = of_files(&[("gate.toml", &main), ("policies.d/1.toml", test)]);
    let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let origin = &loaded.config.rules.tests[0].origin;
    let shown = loaded.diagnostic_at(Severity::Error, origin, "message", "hint");
    assert_eq!(placed(&[shown]), ["etc/policies.d/1.toml:2:3: message"]);
}
