//! Plays a session against a transcript.
//!
//! ```text
//! C> PASV                 the client writes a command         C< 227 …     it is answered, with any text
//! B< 229 x (|||2000|)     the backend answers                 B> EPSV      it is sent a command
//! C! too long             the client writes no command        B>! ABOR     it is sent one out of turn
//! lease ok                the driver reports                  * lease      the driver is asked
//! +10s                    time passes                         = closed quit    a fact, or where a dial goes, since
//! reach                   the backend is asked for its port, and that is dialled                    the last
//! ```
//!
//! `\n` in a backend's line is CRLF, `\xff` is a byte; ` | ` stands between the lines of a reply to the client.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_policies::{PathProfile, Policy};

use super::words::{
    data_tls, describe_action, describe_destination, describe_fact, duration, line_error, relay_end,
    shows_secret, tls, unescape, upstream,
};
use crate::codec::{Command, FeatureSet, Protection, ReplyDecoder};
use crate::session::{
    Action, Client, CommandRecord, DataTickets, Fact, LocalClock, LoginVerdict, Mode, Now, PortError,
    RelayReport, RequireTls, Session, Settings, UpstreamData, UpstreamFailure, UpstreamSettings, UpstreamTls,
};

/// One session, its clock, and what it has asked for and nobody has looked at.
pub(super) struct Wire {
    pub(super) session: Session,
    /// What limits say.
    pub(super) verdict: LoginVerdict,
    /// Of sessions.
    pub(super) is_full: bool,
    /// Of transfers.
    pub(super) is_busy: bool,
    clock: Duration,
    asked: VecDeque<String>,
    facts: VecDeque<String>,
    /// Commands that are over.
    pub(super) records: Vec<CommandRecord>,
}

/// What differs from one scene to the next.
pub(super) struct Scene {
    pub(super) settings: Settings,
    pub(super) address: IpAddr,
    pub(super) features: FeatureSet,
}

impl Scene {
    /// An explicit listener that wants everything under TLS.
    pub(super) fn explicit() -> Self {
        Self {
            settings: Settings {
                listener: "ftps".into(),
                banner: "ready".into(),
                mode: Mode::Explicit,
                require_tls: RequireTls::Data,
                certificate_available: true,
                login_attempts: 3,
                failed_login_delay: Duration::ZERO,
                hosts: vec!["ftp.example.com".into(), "*.example.net".into()],
                policy: Arc::new(Policy::allow_all()),
                is_audited: false,
                clock: LocalClock::none(),
                login_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(300),
                routes: Vec::new(),
                default_backend: Some(0),
                user_at_host: Vec::new(),
                active: false,
                backends: vec![Arc::new(UpstreamSettings {
                    name: "legacy".into(),
                    tls: UpstreamTls::Off,
                    protection: Protection::Clear,
                    data: UpstreamData::Passive,
                    paths: PathProfile::Unix,
                    may_renew: false,
                    tries: 1,
                    connect_timeout: Duration::from_secs(5),
                    reply_timeout: Duration::from_secs(60),
                })],
            },
            address: IpAddr::from([192, 0, 2, 7]),
            features: FeatureSet::default(),
        }
    }

    /// A listener without TLS.
    pub(super) fn plain() -> Self {
        Self::explicit().mode(Mode::Plain, RequireTls::No)
    }

    /// The settings of the one backend.
    pub(super) fn upstream(&mut self) -> &mut UpstreamSettings {
        Arc::make_mut(&mut self.settings.backends[0])
    }

    pub(super) fn mode(mut self, mode: Mode, require_tls: RequireTls) -> Self {
        self.settings.mode = mode;
        self.settings.require_tls = require_tls;
        self
    }

    /// The client may use PORT and EPRT.
    pub(super) fn active(mut self) -> Self {
        self.settings.active = true;
        self
    }

    /// The backend dials us.
    pub(super) fn active_backend(mut self) -> Self {
        self.upstream().data = UpstreamData::Active;
        self
    }

    /// The backend is under TLS, and so is its data.
    pub(super) fn secure_backend(mut self) -> Self {
        self.upstream().tls = UpstreamTls::Implicit;
        self.upstream().protection = Protection::Private;
        self
    }

    /// Policy decides.
    pub(super) fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = Arc::new(policy);
        self
    }

    /// The client's address.
    pub(super) fn from(mut self, address: &str) -> Self {
        self.address = address.parse().unwrap();
        self
    }

    /// The client logs in, on a listener without TLS.
    pub(super) fn log_in(mut self) -> Wire {
        let login = match self.upstream().tls {
            UpstreamTls::Implicit => secure_login(),
            UpstreamTls::Off | UpstreamTls::Explicit => LOGIN.to_owned(),
        };
        let mut wire = self.begin();
        wire.play("C< 220 ready");
        wire.play(&login);
        wire
    }

    pub(super) fn begin(self) -> Wire {
        let client = Client { address: self.address, features: Arc::new(self.features) };
        let now = Now { monotonic: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
        let session = Session::new(Arc::new(self.settings), client, now);
        let mut wire = Wire {
            session,
            verdict: LoginVerdict::Try,
            is_full: false,
            is_busy: false,
            clock: Duration::ZERO,
            asked: VecDeque::new(),
            facts: VecDeque::new(),
            records: Vec::new(),
        };
        wire.collect();
        wire
    }
}

impl Wire {
    /// A session whose client is logged in, under TLS, with PROT P.
    pub(super) fn ready() -> Self {
        let mut wire = Scene::explicit().begin();
        wire.play(
            "C< 220 ready
             C> AUTH TLS
             C< 234 …
             * handshake
             tls ok
             C> PBSZ 0
             C< 200 PBSZ=0
             C> PROT P
             C< 200 …",
        );
        wire.play(LOGIN);
        wire
    }

    /// A session whose client is logged in, on a listener without TLS.
    pub(super) fn ready_in_clear() -> Self {
        Scene::plain().log_in()
    }

    /// Both data connections are prepared.
    pub(super) fn armed() -> Self {
        let mut wire = Self::ready();
        wire.play(ARM);
        wire
    }

    /// The transfer command was sent to the backend.
    pub(super) fn opening(command: &str) -> Self {
        let mut wire = Self::armed();
        wire.play(&format!("C> {command}\nB> {command}"));
        wire
    }

    /// Bytes move.
    pub(super) fn relaying(command: &str) -> Self {
        let mut wire = Self::opening(command);
        let direction = match command.split(' ').next() {
            Some("STOR" | "STOU" | "APPE") => "upload",
            Some(_) | None => "download",
        };
        wire.play(&format!("B< 150 Here it comes\nC< 150 Here it comes\n* relay {direction} private"));
        wire
    }

    /// Plays the transcript; after it nothing is left to be said.
    #[track_caller]
    pub(super) fn play(&mut self, script: &str) {
        self.play_partly(script);
        self.expect_silence("the end", script);
    }

    /// Plays the transcript; what comes of its last line is left to the next one.
    #[track_caller]
    pub(super) fn play_partly(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line == "reach" {
                self.play_partly(REACH);
            } else if let Some(fact) = line.strip_prefix("= ") {
                self.expect_fact(fact, script);
            } else if ["C< ", "B> ", "B>! ", "* "].iter().any(|word| line.starts_with(word)) {
                self.expect(line, script);
            } else {
                self.expect_silence(line, script);
                self.happen(line);
                self.collect();
            }
        }
    }

    /// Plays a transfer command until its relay begins, with a backend that does what it is told and is in this
    /// directory then. Answers what it was told.
    #[track_caller]
    pub(super) fn answer_all(&mut self, command: &str, directory: &str) -> Vec<String> {
        self.expect_silence(command, "");
        self.happen(command);
        self.collect();
        let mut told = Vec::new();
        while let Some(asked) = self.asked.pop_front() {
            if asked.starts_with("* relay") {
                break;
            }
            if let Some(line) = asked.strip_prefix("B> ") {
                told.push(line.to_owned());
                match line.split(' ').next() {
                    Some("PWD") => self.happen(&format!("B< 257 \"{directory}\"")),
                    Some("EPSV") => self.happen("B< 229 (|||2000|)"),
                    Some("RETR") => self.happen("B< 150 x"),
                    Some(_) | None => self.happen("B< 250 x"),
                }
            } else if asked == "* dial 2000" {
                self.happen("dial ok");
            }
            self.collect();
        }
        told
    }

    /// Another policy counts.
    pub(super) fn change_policy(&mut self, policy: Policy) {
        let now = self.now();
        self.session.handle_policy_changed(Arc::new(policy), now);
        self.collect();
    }

    fn now(&self) -> Now {
        Now { monotonic: self.clock, wall: SystemTime::UNIX_EPOCH + self.clock }
    }

    fn happen(&mut self, line: &str) {
        let now = self.now();
        let session = &mut self.session;
        if let Some(text) = line.strip_prefix("C> ") {
            return session.handle_command(Command::parse(&unescape(text)), now);
        }
        if let Some(text) = line.strip_prefix("C! ") {
            return session.handle_line_error(line_error(text), now);
        }
        if let Some(text) = line.strip_prefix("B< ") {
            return self.hear(&unescape(text));
        }
        if let Some(time) = line.strip_prefix('+') {
            return self.pass(time);
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["C", "closed"] => session.handle_downstream_closed(now),
            ["C", "limited"] => session.handle_limit_exceeded("l".into(), now),
            ["C", "ended"] => session.handle_downstream_ended(now),
            ["C", "partial"] => session.handle_line_progress(true, now),
            ["C", "whole"] => session.handle_line_progress(false, now),
            ["B", "placed"] => session.handle_upstream_placed(now),
            ["B", "connected"] => session.handle_upstream_connected(upstream("198.51.100.3:21", false)),
            ["B", "connected", address] => session.handle_upstream_connected(upstream(address, false)),
            ["B", "connected", address, "without", "EPSV"] => {
                session.handle_upstream_connected(upstream(address, true));
            }
            ["B", "refused"] => session.handle_upstream_failed(UpstreamFailure::Unreachable, now),
            ["B", "full"] => session.handle_upstream_failed(UpstreamFailure::Full, now),
            ["B", "secured"] => session.handle_upstream_secured(now),
            ["files", "up", "to", bytes] => session.handle_file_limit(Some(bytes.parse().unwrap())),
            ["files", "of", "any", "size"] => session.handle_file_limit(None),
            ["tickets", "spent"] => session.handle_data_tickets(DataTickets::Spent),
            ["tickets", "available"] => session.handle_data_tickets(DataTickets::Available),
            ["B", "unreachable"] => session.handle_upstream_failed(UpstreamFailure::NoServer, now),
            ["B", "closed"] => session.handle_upstream_closed(now),
            ["B", "desynchronised"] => session.handle_desynchronised(now),
            ["tls", "ok"] => session.handle_tls_established(tls(None, None)),
            ["tls", "ok", name] => session.handle_tls_established(tls(Some(name), None)),
            ["tls", "of", subject] => session.handle_tls_established(tls(None, Some(subject))),
            ["tls", "failed"] => session.handle_tls_failed(),
            ["tls", "injected"] => session.handle_plaintext_injection(),
            ["lease", "ok"] => {
                session.handle_port_leased(Ok("203.0.113.1:61000".parse().unwrap()), now);
            }
            ["lease", "ok", address] => session.handle_port_leased(Ok(address.parse().unwrap()), now),
            ["lease", "none"] => session.handle_port_leased(Err(PortError::NoneFree), now),
            ["lease", "unresolved"] => session.handle_port_leased(Err(PortError::NoAddress), now),
            ["lease", "upstream", "none"] => {
                session.handle_upstream_port_leased(Err(PortError::NoneFree), now);
            }
            ["lease", "upstream", address] => {
                session.handle_upstream_port_leased(Ok(address.parse().unwrap()), now);
            }
            ["lease", "expired"] => session.handle_lease_expired(now),
            ["dial", "ok"] => session.handle_backend_dialled(true, now),
            ["dial", "failed"] => session.handle_backend_dialled(false, now),
            ["progress", bytes] => session.handle_progress(bytes.parse().unwrap(), false),
            ["progress", bytes, "ended"] => session.handle_progress(bytes.parse().unwrap(), true),
            ["relay", end, bytes, legs @ ..] => {
                let (tls, upstream_tls) = match legs {
                    [] => (None, None),
                    ["tls", down, up] => (data_tls(down), data_tls(up)),
                    _ => panic!("no TLS of two legs: {line}"),
                };
                let bytes = bytes.parse().unwrap();
                let report = RelayReport { bytes, end: relay_end(end), tls, upstream_tls };
                session.handle_relay_finished(report, now);
            }
            ["download", "ended"] => session.handle_download_finished(true, now),
            ["download", "broken"] => session.handle_download_finished(false, now),
            ["drain"] => session.handle_drain(now),
            ["kill"] => session.handle_kill(now),
            _ => panic!("nothing that can happen: {line}"),
        }
    }

    /// The backend's bytes, through its decoder.
    fn hear(&mut self, bytes: &[u8]) {
        let mut decoder = ReplyDecoder::default();
        decoder.feed(bytes);
        decoder.feed(b"\r\n");
        while let Some(reply) = decoder.next_reply() {
            match reply {
                Ok(reply) => self.session.handle_reply(reply, self.now()),
                Err(error) => return self.session.handle_reply_error(error, self.now()),
            }
        }
    }

    /// From one deadline to the next.
    fn pass(&mut self, time: &str) {
        let end = self.clock + duration(time);
        while let Some(deadline) = self.session.poll_timeout().filter(|&deadline| deadline <= end) {
            self.clock = self.clock.max(deadline);
            self.session.handle_timeout(self.now());
            self.collect();
        }
        self.clock = end;
    }

    /// Answers what only limits can; whether it was such a question.
    fn ask_limits(&mut self, action: &Action) -> bool {
        let now = self.now();
        let limit = |is_reached: bool| is_reached.then(|| "l".to_owned());
        if matches!(action, Action::AdmitClient) {
            self.session.handle_client_admitted(limit(self.is_full), now);
        } else if matches!(action, Action::JudgeLogin) {
            self.session.handle_login_judged(self.verdict.clone(), now);
        } else if matches!(action, Action::AdmitUser) {
            self.session.handle_user_admitted(limit(self.is_full), now);
        } else if matches!(action, Action::AdmitTransfer) {
            self.session.handle_transfer_admitted(limit(self.is_busy), now);
        } else {
            return false;
        }
        true
    }

    fn collect(&mut self) {
        while let Some(action) = self.session.poll_action() {
            assert!(self.asked.back().is_none_or(|last| last != "* close"), "after the close: {action:?}");
            assert!(!shows_secret(&action), "a secret in {action:?}");
            if self.ask_limits(&action) {
                continue;
            }
            if let Action::ConnectUpstream(destination) = &action {
                self.facts.push_back(describe_destination(destination));
            }
            let line = describe_action(&action);
            self.asked.extend(line.lines().map(str::to_owned));
        }
        while let Some(fact) = self.session.poll_fact() {
            assert!(!shows_secret(&fact), "a secret in {fact:?}");
            self.facts.push_back(describe_fact(&fact));
            if let Fact::CommandFinished(record) = fact {
                self.records.push(*record);
            }
        }
        assert!(!shows_secret(&self.session), "a secret in {:?}", self.session);
        if self.session.is_closed() {
            assert_eq!(self.session.poll_timeout(), None, "a closed session waits for nothing");
            assert!(!self.session.wants_command(), "a closed session reads nothing");
        }
    }

    #[track_caller]
    fn expect(&mut self, line: &str, script: &str) {
        let Some(asked) = self.asked.pop_front() else {
            panic!("nothing came where the transcript says\n  {line}\n{script}");
        };
        let is_alike = match line.strip_suffix('…') {
            Some(beginning) => asked.starts_with(beginning),
            None => asked == line,
        };
        assert!(
            is_alike,
            "the transcript says\n  {line}\nbut there came\n  {asked}\n{:?}\n{script}",
            self.asked
        );
    }

    #[track_caller]
    fn expect_silence(&self, line: &str, script: &str) {
        assert!(self.asked.is_empty(), "before {line} there came {:?}\n{script}", self.asked);
    }

    /// Earlier facts that nobody asks for are passed over.
    #[track_caller]
    fn expect_fact(&mut self, line: &str, script: &str) {
        let all: Vec<String> = self.facts.iter().cloned().collect();
        while let Some(fact) = self.facts.pop_front() {
            if fact == line {
                return;
            }
        }
        panic!("no fact {line} among {all:?}\n{script}");
    }
}

/// From the greeting to the login.
pub(super) const LOGIN: &str = "
    C> USER anna
    * connect
    B connected
    B< 220 old server
    B> USER anna
    B< 331 Password?
    C< 331 Password?
    C> PASS hunter2
    B> PASS hunter2
    B< 230 Welcome
    C< 230 Welcome
    = logged in";

/// The same with a backend that was under TLS before it said anything.
pub(super) fn secure_login() -> String {
    LOGIN.replace("B> USER", "B> PBSZ 0\nB< 200 ok\nB> PROT P\nB< 200 ok\nB> USER")
}

/// From EPSV to two data connections.
pub(super) const ARM: &str = "
    C> EPSV
    * lease
    B> EPSV
    lease ok
    C< 229 Entering Extended Passive Mode (|||61000|)
    B< 229 Extended (|||2000|)
    * dial 2000
    dial ok";

/// EPSV, where the backend is asked for its part only at the transfer command, after the walk…
pub(super) const LEASE: &str = "
    C> EPSV
    * lease
    lease ok
    C< 229 Entering Extended Passive Mode (|||61000|)";

/// …and then: `reach`.
const REACH: &str = "
    B> EPSV
    B< 229 Extended (|||2000|)
    * dial 2000
    dial ok";
