//! Random questions: who comes how, what is said before, and the command.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::rules::USERS;

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) listener: &'static str,
    pub(crate) from: &'static str,
    /// `None`: nobody.
    pub(crate) user: Option<&'static str>,
    pub(crate) tls: Tls,
    pub(crate) sni: Option<&'static str>,
    pub(crate) host: Option<&'static str>,
    /// The client shows the certificate of `CN=acme-7`, where it is asked.
    pub(crate) has_certificate: bool,
    pub(crate) before: Vec<String>,
    pub(crate) command: String,
}

/// TLS that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    V12,
    V13,
}

pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let arrival = (
        prop_oneof![
            6 => Just("plain"),
            2 => Just("explicit"),
            1 => Just("implicit"),
            2 => Just("open"),
            1 => Just("at"),
        ],
        select(vec!["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.1.9"]),
        weighted(0.95, select(USERS.to_vec())),
        prop_oneof![1 => Just(Tls::None), 2 => Just(Tls::V12), 4 => Just(Tls::V13)],
        weighted(0.5, select(vec!["acme.example.com", "localhost"])),
        weighted(0.2, select(vec!["acme.example.com", "127.0.0.7", "nobody.example.com"])),
        any::<bool>(),
    );
    (arrival, before(), command()).prop_map(|(arrival, before, command)| {
        let (listener, from, user, tls, sni, host, has_certificate) = arrival;
        let tls = match listener {
            // Nothing can be said to these in clear, or under TLS.
            "implicit" if tls == Tls::None => Tls::V13,
            "plain" | "at" => Tls::None,
            _other => tls,
        };
        let is_secure = tls != Tls::None;
        let sni = sni.filter(|_| is_secure);
        let has_certificate = has_certificate && is_secure && listener == "open";
        Asked { listener, from, user, tls, sni, host, has_certificate, before, command }
    })
}

fn before() -> impl Strategy<Value = Vec<String>> {
    let step = prop_oneof![
        4 => path().prop_map(|path| format!("CWD {path}")),
        2 => Just("CDUP".to_owned()),
        2 => path().prop_map(|path| format!("RNFR {path}")),
        1 => path().prop_map(|path| format!("SITE CPFR {path}")),
        1 => select(vec!["REST 5", "REST 0", "ALLO 500", "ALLO 50", "TYPE I", "NOOP", "PASV"])
            .prop_map(str::to_owned),
    ];
    prop_oneof![3 => Just(Vec::new()), 3 => vec(step, 1..3)]
}

fn command() -> impl Strategy<Value = String> {
    let with_path =
        (select(WITH_PATH.to_vec()), path()).prop_map(|(template, path)| template.replace("{}", path));
    let bare = select(BARE.to_vec()).prop_map(str::to_owned);
    prop_oneof![4 => with_path, 1 => bare]
}

fn path() -> impl Strategy<Value = &'static str> {
    select(PATHS.to_vec())
}

const WITH_PATH: [&str; 44] = [
    "RETR {}",
    "RETR {}",
    "RETR {}",
    "STOR {}",
    "STOR {}",
    "STOR {}",
    "STOR {}",
    "APPE {}",
    "APPE {}",
    "DELE {}",
    "DELE {}",
    "RMD {}",
    "RMDA {}",
    "MKD {}",
    "XMKD {}",
    "CWD {}",
    "CWD {}",
    "CWD {}",
    "LIST {}",
    "LIST -la {}",
    "LIST -R {}",
    "NLST {}",
    "MLSD {}",
    "MLST {}",
    "STAT {}",
    "SIZE {}",
    "MDTM {}",
    "MDTM 20260101000000 {}",
    "MFMT 20260101000000 {}",
    "RNFR {}",
    "RNTO {}",
    "RNTO {}",
    "RNTO {}",
    "SITE CHMOD 644 {}",
    "SITE CPFR {}",
    "SITE CPTO {}",
    "SITE MKDIR {}",
    "SITE RMDIR {}",
    "SITE UTIME 20260101000000 {}",
    "SITE SYMLINK {} /in/new",
    "XCRC {}",
    "HASH {}",
    "MMD5 {}, /in/there",
    "COMB {} /in/there",
];

const BARE: [&str; 52] = [
    "CDUP",
    "LIST",
    "NLST -R",
    "MLSD",
    "MLST",
    "STAT",
    "PWD",
    "XPWD",
    "NOOP",
    "SYST",
    "FEAT",
    "HELP",
    "HELP STOR",
    "TYPE I",
    "TYPE E",
    "TYPE A",
    "MODE Z",
    "MODE S",
    "STRU R",
    "STRU F",
    "OPTS UTF8 ON",
    "OPTS FOO",
    "REST 10",
    "REST x",
    "REST 0",
    "ALLO 100",
    "ALLO 99999",
    "ALLO x",
    "PASV",
    "EPSV",
    "EPSV 2",
    "EPSV ALL",
    "PORT 127,0,0,1,200,1",
    "PORT 10,0,0,1,200,1",
    "EPRT |1|127.0.0.2|50000|",
    "REIN",
    "ACCT x",
    "SMNT /",
    "QUIT",
    "ABOR",
    "PBSZ 0",
    "PROT C",
    "AUTH TLS",
    "HOST acme.example.com",
    "LANG en",
    "USER anna",
    "PASS x",
    "CCC",
    "SITE EXEC ls",
    "SITE HELP",
    "CLNT x",
    "STOU x",
];

const PATHS: [&str; 34] = [
    "there",
    "f",
    "new",
    "/in/there",
    "/in/new",
    "/in/sub/f",
    "in/there",
    "sub/f",
    "../in/there",
    "/in/sub/../there",
    "/in//./there",
    "/in",
    "/in/sub",
    "/out/q.csv",
    "/out/new.csv",
    "/secret",
    "/secret/key",
    "/SECRET/key",
    "/home",
    "/home/anna",
    "/home/anna/f",
    "/home/bob/f",
    "/home/bob/../anna/new",
    "/in/setup.exe",
    "/in/SETUP.EXE.",
    "/in/a b",
    "/in/*",
    "/home/a*",
    "*.csv",
    "~/f",
    "~",
    "/in/\u{200b}x",
    "/in/a:b",
    "/",
];
