//! What an operator sees.

use std::fs;

use proptest::prelude::*;

use super::*;

#[test]
fn all_errors_of_a_file_at_once() {
    let text = r#"version = 2
idle_timeout = "5m"

[[listener]]
name = "ftps"
bind = ["21", "0.0.0.0:2121"]
mode = "explict"
idle_timout = "5m"
login_timeout = "30"
backend = "legcy"
intercept = "tproxy"

[[backend]]
name = "legacy"
servers = ["10.2.0.11:21"]
tls = "explicite"
"#;
    assert_eq!(
        read(text).unwrap_err().render(false),
        r#"error: `version`: must be 1, not 2
 --> gate.toml:1:11
  |
1 | version = 2
  |           ^
  |
  = help: this ftpsgate knows 1 alone

error: unknown key `idle_timeout` in the top level of the configuration
 --> gate.toml:2:1
  |
2 | idle_timeout = "5m"
  | ^^^^^^^^^^^^
  |
  = help: `idle_timeout` belongs to [[listener]]

error: `bind`: `21` is not an address to listen on
 --> gate.toml:6:9
  |
6 | bind = ["21", "0.0.0.0:2121"]
  |         ^^^^
  |
  = help: for every address of this machine write "0.0.0.0:21" and "[::]:21"

error: `mode`: must be "explicit", "implicit" or "plain", not "explict"
 --> gate.toml:7:8
  |
7 | mode = "explict"
  |        ^^^^^^^^^
  |
  = help: did you mean "explicit"?

error: unknown key `idle_timout` in [[listener]]
 --> gate.toml:8:1
  |
8 | idle_timout = "5m"
  | ^^^^^^^^^^^
  |
  = help: did you mean `idle_timeout`?

error: `login_timeout`: a duration needs a unit
 --> gate.toml:9:17
  |
9 | login_timeout = "30"
  |                 ^^^^
  |
  = help: write "30s", or another of ms, s, m, min, h, d

error: there is no backend `legcy`
  --> gate.toml:10:11
   |
10 | backend = "legcy"
   |           ^^^^^^^
   |
   = help: did you mean `legacy`?

error: `intercept` is not available in this version
  --> gate.toml:11:1
   |
11 | intercept = "tproxy"
   | ^^^^^^^^^
   |
   = help: remove it; clients connect to the gateway's own address

error: `tls`: must be "off", "explicit" or "implicit", not "explicite"
  --> gate.toml:16:7
   |
16 | tls = "explicite"
   |       ^^^^^^^^^^^
   |
   = help: did you mean "explicit"?
"#
    );
}

#[test]
fn errors_of_toml_itself_are_shown_together_with_the_others() {
    let text = "[[listener]]
idle_timeout = 5m
bind = [0.0.0.0:21]
nmae = \"ftps\"
mode =

[[backend]]
servers = [\"10.2.0.11:21]
[[backend]]
";
    assert_eq!(
        wrong(text),
        [
            "2:16: `5m` is not a value",
            "3:12: invalid float, expected nothing",
            "4:1: unknown key `nmae` in [[listener]]",
            "5:7: there is no value",
            "8:26: invalid basic string, expected `\"`",
            "9:1: missing comma between array elements, expected `,`",
        ]
    );
}

#[test]
fn an_array_that_never_ends_is_reported_once() {
    let text =
        format!("[[listener]]\nbind = ['[::1]:21'\n{}", "max_line = '4KiB'\nlogin_attempts = 3\n".repeat(9));
    assert_eq!(wrong(&text), ["3:1: missing comma between array elements, expected `,`"]);
}

#[test]
fn what_follows_a_lost_header_is_not_judged() {
    assert_eq!(wrong("[[listener]]\n[[backend]\nname = 'a'\n"), ["2:11: unclosed array table, expected `]`"]);
}

#[test]
fn wrong_brackets_of_headers() {
    assert_eq!(
        wrong(
            "[listener]\nname = 1\n[backend]\nservers = 'x'\n[[gateway]]\n[tls]\nfallback = 'none'\nx = 1\n"
        ),
        [
            "1:1: `listener` must be [[listener]], not a table",
            "2:8: `name`: must be text in quotes, not a whole number",
            "3:1: `backend` must be [[backend]], not a table",
            "4:11: `servers`: must be an array; each element a server such as \"10.2.0.11:21\", not text",
            "5:1: `gateway` must be one table, not an array",
            "7:1: `fallback` stands in [tls], which holds tables [tls.NAME]",
            "8:1: `x` stands in [tls], which holds tables [tls.NAME]",
        ]
    );
}

#[test]
fn json_has_the_same_content() {
    let text = "[[listener]]\npassive.ports = '1-2'\nnmae = 'é'\n";
    let json = read(text).unwrap_err().to_json();
    assert_eq!(
        json,
        serde_json::json!({
            "ok": false,
            "errors": [
                {
                    "file": "gate.toml", "line": 3, "column": 1,
                    "message": "unknown key `nmae` in [[listener]]", "hint": "did you mean `name`?"
                },
                {
                    "file": "gate.toml", "line": 3, "column": 11,
                    "message": "there is no [[backend]]",
                    "hint": format!("a complete configuration is:\n\n{}", MINIMAL.trim_end())
                },
            ],
            "warnings": [
                {
                    "file": "gate.toml", "line": 2, "column": 17, "message": "passive ports below 1024",
                    "hint": "clients and firewalls mistrust data connections to such ports; take some above 61000"
                },
            ],
        })
    );
    assert_eq!(
        Diagnostics::default().to_json(),
        serde_json::json!({ "ok": true, "errors": [], "warnings": [] })
    );
}

#[test]
fn every_finding_has_a_hint() {
    let text = "version = 'x'\n[gateway]\nname = ''\nbanner = \"a\\nb\"\nstate_dir = ''\n[[listener]]\nlogin_attempts = 1.5\n[[backend]]\nservers = ['']\n";
    let diagnostics = read(text).unwrap_err();
    assert_eq!(diagnostics.errors().len(), 6, "{diagnostics}");
    assert!(diagnostics.errors().iter().all(|error| !error.hint().is_empty()), "{diagnostics}");
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gate.toml");
    let message = |path: &Path| {
        let diagnostics = load(path).unwrap_err();
        assert_eq!(diagnostics.errors().len(), 1);
        brief(&diagnostics.errors()[0])
    };
    assert!(message(&path).starts_with("0:0: cannot read the configuration: No such file"));
    assert!(message(directory.path()).starts_with("0:0: cannot read the configuration: Is a directory"));
    fs::write(&path, b"version = 1\nname = '\xe9'\n").unwrap();
    assert_eq!(message(&path), "2:9: the file is not UTF-8");
    fs::write(&path, " ".repeat(FILE_BYTES_MAX + 1)).unwrap();
    assert_eq!(message(&path), "0:0: the file is larger than 1 MiB");
    let state_dir = "[gateway]\nstate_dir = 'state'\n";
    fs::write(&path, format!("{MINIMAL}{state_dir}")).unwrap();
    assert_eq!(load(&path).unwrap().config.gateway.state_dir, directory.path().join("state"));
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems() {
    let windows = MINIMAL.replace('\n', "\r\n");
    assert_eq!(right(&windows).config, right(MINIMAL).config);
    assert_eq!(right(&format!("\u{feff}{MINIMAL}")).config, right(MINIMAL).config);
    assert_eq!(wrong(&format!("{windows}x = 1\r\n")), ["8:1: unknown key `x` in [[backend]]"]);
}

#[test]
fn hostile_files_are_bounded() {
    for text in
        ["=\n", "[", "a = [", "[[listener]]\n", "[[route]]\n", "x", "x.", "[tls.a", "[tls]\n", "a = 1\n"]
    {
        let text = text.repeat(FILE_BYTES_MAX / 4 / text.len());
        bounded(&text);
    }
    bounded(&(0..20_000).map(|number| format!("k{number} = 1\n")).collect::<String>());
    bounded(&(0..10_000).map(|number| format!("[[listener]]\nname = 'l{number}'\n")).collect::<String>());
}

fn bounded(text: &str) {
    let diagnostics = read(text).expect_err("nonsense");
    assert!(diagnostics.errors().len() <= Diagnostics::KEPT_MAX + 1);
    let _ = diagnostics.render(true);
}

#[test]
fn checks_beyond_the_file_can_point_into_it() {
    let text = format!("{MINIMAL}[tls.default]\ncertificates = [{{ chain = 'a', key = 'b' }}]\n");
    let loaded = right(&text);
    let at = |path| loaded.diagnostic(Severity::Error, path, "m", "h").position();
    assert_eq!(at("tls.default.certificates[0].key"), Some((9, 38)));
    assert_eq!(at("tls.default.certificates[0]"), Some((9, 17)));
    assert_eq!(at("tls.default.client_ca"), Some((8, 1)));
    assert_eq!(at("listener[0].passive.ports"), Some((1, 1)));
    assert_eq!(at("tls.other"), None);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(\\PC|[\n\t\r\u{0}])*") {
        render(&text);
    }

    #[test]
    fn arbitrary_words_of_the_format_never_panic(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40)
    ) {
        render(&words.concat());
    }

    #[test]
    fn a_damaged_example_never_panics(start in 0usize..4000, length in 0usize..40, other in "\\PC{0,4}") {
        let text = super::documentation::EXAMPLE;
        let kept = |(index, _): &(usize, char)| !(start..start + length).contains(index);
        let mut damaged: String = text.char_indices().filter(kept).map(|(_, character)| character).collect();
        let at = damaged.char_indices().map(|(index, _)| index).nth(start).unwrap_or(damaged.len());
        damaged.insert_str(at, &other);
        render(&damaged);
    }
}

fn render(text: &str) {
    match read(text) {
        Ok(loaded) => drop(to_toml(&loaded.config)),
        Err(diagnostics) => {
            assert!(!diagnostics.is_ok());
            drop((diagnostics.render(true), diagnostics.to_json()));
        }
    }
}

const WORDS: &[&str] = &[
    "[[listener]]\n",
    "[[backend]]\n",
    "[listener.passive]\n",
    "[tls.default]\n",
    "[gateway]\n",
    "[tls]\n",
    "[[route]]\n",
    "check",
    "user_at_host",
    "tls_pin",
    "tls_client_certificate",
    "users",
    "'off'",
    "'explicit'",
    "listener",
    "backend",
    "name",
    "bind",
    "servers",
    "passive",
    "tls",
    "certificates",
    "ports",
    "advertise_for",
    "version",
    " = ",
    "=",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "\n",
    "'",
    "\"",
    "'a'",
    "'[::1]:21'",
    "1",
    "-1",
    "1.5",
    "true",
    "[]",
    "{}",
    "{ address = 'a' }",
    "1979-05-27",
    "#",
    "'5m'",
    "\u{feff}",
    "é",
];
