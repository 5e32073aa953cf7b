//! Whatever a client says, what policy denies is neither served nor changed: by a backend that holds a small tree with
//! marks and symbolic links, and that reads names as servers do. See [`tree`].

mod tree;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_ftp::codec::{Command, FeatureSet, Kind, Protection, Reply};
use ftpsgate_ftp::session::{
    Action, Client, Fact, LocalClock, LoginVerdict, Mode, Now, RelayEnd, RelayReport, RequireTls, Session,
    Settings, UpstreamData, UpstreamInfo, UpstreamSettings, UpstreamTls,
};
use ftpsgate_policies::pattern::PathPattern;
use ftpsgate_policies::rule::{Action as Verdict, Matchers, Mode as RuleMode, Origin, Rule};
use ftpsgate_policies::{Definition, PathProfile, Policy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use tree::Server;

/// A session, its driver and its backend, all at once: nobody waits.
struct Gateway {
    session: Session,
    server: Server,
    answers: VecDeque<Reply>,
    replies: usize,
    is_closed: bool,
    denials: usize,
    records: usize,
}

impl Gateway {
    fn new(policy: Policy, server: Server) -> Self {
        let settings = Settings {
            listener: "ftp".into(),
            banner: "ready".into(),
            mode: Mode::Plain,
            require_tls: RequireTls::No,
            certificate_available: false,
            login_attempts: 3,
            failed_login_delay: Duration::ZERO,
            hosts: Vec::new(),
            policy: Arc::new(policy),
            is_audited: true,
            clock: LocalClock::none(),
            login_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            active: false,
            routes: Vec::new(),
            default_backend: Some(0),
            user_at_host: Vec::new(),
            backends: vec![Arc::new(UpstreamSettings {
                name: "tree".into(),
                tls: UpstreamTls::Off,
                protection: Protection::Clear,
                data: UpstreamData::Passive,
                paths: PathProfile::Unix,
                may_renew: false,
                tries: 1,
                connect_timeout: Duration::from_secs(5),
                reply_timeout: Duration::from_secs(60),
            })],
        };
        let client =
            Client { address: IpAddr::from([192, 0, 2, 7]), features: Arc::new(FeatureSet::default()) };
        let session = Session::new(Arc::new(settings), client, now());
        let mut gateway = Self {
            session,
            server,
            answers: VecDeque::new(),
            replies: 0,
            is_closed: false,
            denials: 0,
            records: 0,
        };
        gateway.settle();
        gateway.replies = 0;
        for line in ["USER anna", "PASS x"] {
            gateway.say(line.as_bytes());
        }
        gateway
    }

    /// One command, and exactly one final reply.
    fn say(&mut self, line: &[u8]) {
        if self.is_closed {
            return;
        }
        (self.replies, self.records) = (0, 0);
        self.session.handle_command(Command::parse(line), now());
        self.settle();
        assert!(self.replies == 1, "{} replies to {}", self.replies, line.escape_ascii());
        assert!(self.records == 1, "{} records of {}", self.records, line.escape_ascii());
    }

    fn settle(&mut self) {
        loop {
            while let Some(fact) = self.session.poll_fact() {
                if let Fact::CommandFinished(record) = fact {
                    self.records += 1;
                    self.denials += usize::from(record.decision.is_some_and(|decision| !decision.is_allowed));
                }
            }
            if let Some(action) = self.session.poll_action() {
                self.act(action);
            } else if let Some(answer) = self.answers.pop_front() {
                self.session.handle_reply(answer, now());
            } else {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        let session = &mut self.session;
        match action {
            Action::Reply(reply) => self.replies += usize::from(reply.kind() != Kind::Preliminary),
            Action::ConnectUpstream(_) => {
                let server = SocketAddr::from(([198, 51, 100, 3], 21));
                session.handle_upstream_connected(UpstreamInfo { server, prefer_pasv: false });
                self.answers.push_back(Reply::new(220, "tree"));
            }
            Action::SendUpstream(command) | Action::AbortUpstream(command) => {
                self.answers.extend(self.server.answer(&command));
            }
            Action::JudgeLogin => session.handle_login_judged(LoginVerdict::Try, now()),
            Action::AdmitClient => session.handle_client_admitted(None, now()),
            Action::AdmitUser => session.handle_user_admitted(None, now()),
            Action::AdmitTransfer => session.handle_transfer_admitted(None, now()),
            Action::LeasePort => {
                session.handle_port_leased(Ok(SocketAddr::from(([203, 0, 113, 1], 61000))), now());
            }
            Action::DialBackendData(_) => session.handle_backend_dialled(true, now()),
            Action::StartRelay(_) => {
                session.handle_progress(1, true);
                let report = RelayReport { bytes: 1, end: RelayEnd::Complete, tls: None, upstream_tls: None };
                session.handle_relay_finished(report, now());
                self.answers.push_back(Reply::new(226, "done"));
            }
            Action::FinishDownload => session.handle_download_finished(true, now()),
            Action::Close => self.is_closed = true,
            Action::DiscardData | Action::WithdrawData | Action::CancelRelay | Action::ResetDownload => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }
}

fn now() -> Now {
    Now { monotonic: Duration::ZERO, wall: SystemTime::UNIX_EPOCH }
}

fn rule(action: Verdict, paths: &[&str]) -> Rule {
    let paths = paths.iter().map(|path| PathPattern::parse(path).expect("a pattern")).collect();
    Rule {
        name: "rule".into(),
        origin: Origin { file: "rules".into(), line: 1 },
        matchers: Matchers { paths, ..Matchers::default() },
        action,
        mode: RuleMode::Enforce,
        reply: None,
    }
}

fn policy(rules: Vec<Rule>, default: Verdict) -> Policy {
    let mode = RuleMode::Enforce;
    Policy::compile(Definition { rules, groups: Vec::new(), default, mode }).expect("a policy")
}

/// Marked trees are denied, everything else is allowed; links lead there from everywhere.
fn strict() -> Gateway {
    let denied = [tree::SECRET, tree::INNER].map(|path| format!("{path}/**"));
    let denied: Vec<&str> = denied.iter().map(String::as_str).collect();
    Gateway::new(policy(vec![rule(Verdict::Deny, &denied)], Verdict::Allow), Server::new(true))
}

/// One tree is allowed, everything else is denied; links lead out of it.
fn one_tree() -> Gateway {
    Gateway::new(policy(vec![rule(Verdict::Allow, &["/home/free/**"])], Verdict::Deny), Server::new(false))
}

/// A path of pieces that somebody might try.
fn path() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "/",
        "/",
        "/",
        "..",
        ".",
        "secret",
        "secret",
        "home",
        "home",
        "free",
        "in",
        "in",
        "link",
        "up",
        "near",
        "f",
        "g",
        "d",
        "x",
        "~",
        "\\",
        "-",
        "-R",
        "*",
        "?",
        " ",
        "é",
        "SECRET",
        "．．",
        "[s]ecret",
        "{secret,f}",
    ]);
    prop_oneof![
        3 => vec(piece, 0..7).prop_map(|pieces| pieces.concat()),
        3 => vec(select(vec!["..", ".", "home", "free", "in", "secret", "link", "up", "near", "f", "d", "x"]), 1..6)
            .prop_map(|parts| parts.join("/")),
        1 => vec(select(vec!["home", "free", "in", "secret", "link", "up", "f", "d"]), 1..5)
            .prop_map(|parts| format!("/{}", parts.join("/"))),
    ]
}

/// Lines, of which `@` is a path.
const LINES: [&str; 49] = [
    "CWD @",
    "CWD @",
    "CWD @",
    "XCWD @",
    "CDUP",
    "PWD",
    "RETR @",
    "RETR @",
    "STOR @",
    "STOR @",
    "APPE @",
    "STOU",
    "LIST",
    "LIST @",
    "LIST -la @",
    "LIST -R @",
    "NLST @",
    "MLSD @",
    "STAT @",
    "SIZE @",
    "MDTM @",
    "MDTM 20200101000000 @",
    "MLST @",
    "MFMT 20200101000000 @",
    "HASH @",
    "XCRC @ 0 9",
    "MKD @",
    "RMD @",
    "RMDA @",
    "DELE @",
    "RNFR @",
    "RNFR @",
    "RNTO @",
    "RNTO @",
    "RNTO @",
    "REST 5",
    "TYPE I",
    "TYPE A",
    "SITE CHMOD 777 @",
    "SITE CPFR @",
    "SITE CPTO @",
    "SITE SYMLINK @ @",
    "SITE EXEC @",
    "SITE UTIME 20200101000000 @",
    "COMB @ @",
    "MMD5 @,@",
    "NOOP",
    "FEAT",
    "ABOR",
];

fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = (select(LINES.to_vec()), path(), path())
        .prop_map(|(line, one, two)| line.replacen('@', &one, 1).replacen('@', &two, 1));
    vec(line, 1..40)
}

fn play(gateway: &mut Gateway, lines: &[String]) {
    for line in lines {
        let verb = line.split(' ').next().unwrap_or_default();
        if ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"].contains(&verb) {
            gateway.say(b"EPSV");
        }
        gateway.say(line.as_bytes());
    }
    assert!(!gateway.is_closed, "an honest server's session ended");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_denied_is_served_or_changed_where_links_lead_there(lines in lines()) {
        play(&mut strict(), &lines);
    }

    #[test]
    fn nothing_outside_an_allowed_tree_is_served_or_changed(lines in lines()) {
        play(&mut one_tree(), &lines);
    }
}

#[test]
fn the_model_notices_what_it_should() {
    // Without a policy the same server is not spared.
    for line in ["RETR /secret/f", "LIST /secret", "DELE link/f", "SIZE ~/f", "RNFR /home"] {
        let caught = std::panic::catch_unwind(|| {
            let mut gateway = Gateway::new(policy(Vec::new(), Verdict::Allow), Server::new(true));
            play(&mut gateway, &[line.to_owned(), "RNTO /moved".to_owned()]);
        });
        assert!(caught.is_err(), "{line}");
    }
}

#[test]
fn what_is_allowed_is_served() {
    let mut gateway = strict();
    let all = [
        "CWD free", "RETR f", "STOR x", "RNFR x", "RNTO y", "CWD ..", "CWD near", "RETR f", "LIST", "DELE f",
    ];
    play(&mut gateway, &all.map(str::to_owned));
    assert_eq!((gateway.denials, gateway.server.served), (0, 4), "{:?}", gateway.server);
}
