//! A client, a backend and a driver around one session, and what must hold whatever they do.
//!
//! The driver keeps to its contract: it reports only what it was asked for. The client does what it likes. The
//! backend answers as servers do, or lies.

mod backend;
mod client;
mod driver;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_ftp::codec::{FeatureSet, Kind, LineError, Protection, Reply, Verb};
use ftpsgate_ftp::session::{
    Action, Client, CloseReason, Destination, Direction, Fact, LocalClock, LoginVerdict, Mode, Now,
    RequireTls, Session, Settings, UpstreamData, UpstreamSettings, UpstreamTls,
};
use ftpsgate_policies::pattern::PathPattern;
use ftpsgate_policies::route::{AllowedHost, Route};
use ftpsgate_policies::rule::{Action as Verdict, Matchers, Mode as RuleMode, Origin, Rule};
use ftpsgate_policies::{Definition, Glob, Operation, PathProfile, Policy};

use backend::Backend;
use client::Expected;
use driver::{Driver, Tickets};

/// What happens next. Numbers choose among what is possible at that moment.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The client writes one of its commands.
    Command(usize),
    /// The client writes a line that is none.
    BadLine(LineError),
    /// The client begins a line, or ends it.
    PartialLine(bool),
    /// The client closes its connection.
    ClientCloses,
    ClientEnds,
    /// The driver reports one of the things that it was asked for.
    Report(usize, usize),
    /// The backend answers what it was asked, in one of the ways in which servers do.
    Answer(usize),
    /// The backend says what it likes.
    Lie(usize),
    /// The backend closes its connection, or says what is no reply, or too much.
    BackendFails(usize),
    /// Time passes.
    Pass(Duration),
    /// The gateway is to stop, soon or now.
    Stop(bool),
    /// The driver has a ticket left for the backend's data connections, or none.
    Tickets(bool),
}

/// How the backends' servers are reached.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) tls: UpstreamTls,
    pub(crate) protection: Protection,
    pub(crate) data: UpstreamData,
    /// PROT before the login is refused.
    pub(crate) wants_login: bool,
    pub(crate) may_renew: bool,
    pub(crate) tries: u32,
    /// Policy has rules about paths.
    pub(crate) has_paths: bool,
}

/// The session and all around it.
pub(crate) struct World {
    session: Session,
    clock: Duration,
    require_tls: RequireTls,
    data: UpstreamData,
    /// An active backend knows where to dial for the transfer that comes next.
    is_told: bool,
    is_secure: bool,
    /// The last login came to its end, a bad one: the next USER may need a connection of its own.
    has_login_failed: bool,
    is_closed: bool,
    greeting_due: bool,
    /// The last line was so bad that its answer is given out of turn.
    is_fatal_line: bool,
    /// The client has shut its half down.
    has_ended: bool,
    long_lines: usize,
    expected: Expected,
    backend: Backend,
    protection: Protection,
    driver: Driver,
    /// Of the latest dial.
    destination: Option<Destination>,
    /// What the backend was last asked.
    sent: Option<Verb>,
    transfers_sent: usize,
    transfers_recorded: usize,
    pub(crate) closed_for: Option<CloseReason>,
}

/// The only server that clients may ask for.
const ALLOWED_HOST: &str = "ftp.example.org";

/// A secret that only PASS and ACCT may carry, and what it looks like as a list of bytes.
const CANARY: &str = "canary";
const CANARY_BYTES: &str = "99, 97, 110, 97, 114, 121";

impl World {
    pub(crate) fn new(mode: Mode, require_tls: RequireTls, servers: &Servers) -> Self {
        let backend = |name: &str| {
            Arc::new(UpstreamSettings {
                name: name.into(),
                tls: servers.tls,
                protection: servers.protection,
                data: servers.data,
                paths: PathProfile::Unix,
                may_renew: servers.may_renew,
                tries: servers.tries,
                connect_timeout: Duration::from_secs(20),
                reply_timeout: Duration::from_secs(60),
            })
        };
        let route = Route {
            users: vec![Glob::exact_case("berta").expect("a pattern")],
            rewrite_user: Some("pool".into()),
            backend: "pooled".into(),
            ..Route::default()
        };
        let allowed = AllowedHost { host: Glob::any_case(ALLOWED_HOST).expect("a pattern"), port: None };
        let features = Reply::multiline(211, "Features:", ["UTF8"], "End");
        let settings = Settings {
            listener: "ftps".into(),
            banner: "ready".into(),
            mode,
            require_tls,
            certificate_available: true,
            login_attempts: 3,
            failed_login_delay: Duration::from_secs(1),
            hosts: vec!["ftp.example.com".into()],
            policy: Arc::new(if servers.has_paths { path_rules() } else { Policy::allow_all() }),
            is_audited: servers.has_paths,
            clock: LocalClock::none(),
            login_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            routes: vec![route],
            default_backend: Some(0),
            user_at_host: vec![allowed],
            active: true,
            backends: vec![backend("legacy"), backend("pooled")],
        };
        let client = Client {
            address: IpAddr::from([192, 0, 2, 7]),
            features: Arc::new(FeatureSet::parse(&features)),
        };
        let now = Now { monotonic: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
        let mut world = Self {
            session: Session::new(Arc::new(settings), client, now),
            clock: Duration::ZERO,
            require_tls,
            data: servers.data,
            is_told: false,
            is_secure: false,
            has_login_failed: false,
            is_closed: false,
            greeting_due: true,
            is_fatal_line: false,
            has_ended: false,
            long_lines: 0,
            expected: Expected::default(),
            backend: Backend::new(servers),
            protection: servers.protection,
            driver: Driver::new(servers.tries),
            destination: None,
            sent: None,
            transfers_sent: 0,
            transfers_recorded: 0,
            closed_for: None,
        };
        world.settle();
        world
    }

    /// Lets one thing happen, and looks at what comes of it.
    pub(crate) fn step(&mut self, step: &Step) {
        let now = self.now();
        match step {
            Step::Command(choice) => {
                if self.session.wants_command() {
                    let command = self.expected.say(*choice);
                    self.session.handle_command(command, now);
                }
            }
            Step::BadLine(error) => {
                if self.session.wants_command() {
                    self.long_lines += usize::from(!error.is_fatal());
                    self.is_fatal_line = error.is_fatal() || self.long_lines == 3;
                    if !self.is_fatal_line {
                        self.expected.say_nothing();
                    }
                    self.session.handle_line_error(*error, now);
                }
            }
            Step::PartialLine(is_partial) => self.session.handle_line_progress(*is_partial, now),
            Step::ClientCloses => self.session.handle_downstream_closed(now),
            Step::ClientEnds => {
                if self.session.wants_command() {
                    self.has_ended = true;
                    self.session.handle_downstream_ended(now);
                }
            }
            Step::Report(which, how) => {
                self.driver.report(*which, *how, &mut self.session, &mut self.backend, now)
            }
            Step::Answer(choice) => {
                if let Some(reply) = self.backend.answer(*choice, &self.driver) {
                    self.session.handle_reply(reply, now);
                }
            }
            Step::Lie(choice) => {
                if let Some(reply) = self.backend.lie(*choice, &self.driver) {
                    self.session.handle_reply(reply, now);
                }
            }
            Step::Tickets(is_left) => {
                let tickets = if *is_left { Tickets::Available } else { Tickets::Spent };
                self.driver.tell_tickets(tickets, &mut self.session);
            }
            Step::BackendFails(how) => self.backend.fail(*how, &mut self.session, now),
            Step::Pass(time) => self.pass(*time),
            Step::Stop(at_once) => {
                if *at_once {
                    self.session.handle_kill(now);
                } else {
                    self.session.handle_drain(now);
                }
            }
        }
        self.is_secure |= self.driver.take_secured();
        self.settle();
    }

    /// The client writes this command.
    pub(crate) fn say(&mut self, command: &str) {
        self.step(&Step::Command(client::choice(command)));
    }

    /// Whether the backend was told who logs in.
    pub(crate) fn has_named_user(&self) -> bool {
        self.backend.has_heard_user()
    }

    /// Whether bytes move.
    pub(crate) fn is_relaying(&self) -> bool {
        self.driver.is_relaying()
    }

    /// Goes on with everybody answering, until every command has its reply or the session is over.
    pub(crate) fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.is_closed || (self.expected.is_empty() && !self.driver.is_busy()) {
                return;
            }
            if self.driver.is_busy() {
                self.step(&Step::Report(0, 0));
            } else if self.backend.is_asked() {
                self.step(&Step::Answer(0));
            } else {
                let deadline = self.session.poll_timeout().expect("a deadline, where nobody is asked");
                self.step(&Step::Pass(deadline.saturating_sub(self.clock)));
            }
        }
        panic!("commands without reply: {:?}\n{:?}", self.expected, self.session);
    }

    fn now(&self) -> Now {
        Now { monotonic: self.clock, wall: SystemTime::UNIX_EPOCH + self.clock }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.clock + time;
        while let Some(deadline) = self.session.poll_timeout().filter(|&deadline| deadline <= end) {
            self.clock = self.clock.max(deadline);
            let now = self.now();
            self.session.handle_timeout(now);
            assert!(
                self.session.poll_timeout().is_none_or(|next| next > self.clock),
                "a deadline that does not pass"
            );
            self.settle();
        }
        self.clock = end;
    }

    /// Carries out what the session wants, and checks it.
    fn settle(&mut self) {
        let mut count = 0;
        let mut said_421 = false;
        while let Some(action) = self.session.poll_action() {
            assert!(!self.is_closed, "after the close: {action:?}");
            count += 1;
            assert!(count < 64, "one event asks for too much");
            if let Action::Reply(reply) = &action {
                said_421 |= reply.code().value() == 421;
            }
            self.perform(action);
        }
        while let Some(fact) = self.session.poll_fact() {
            assert!(!shows_canary(&fact), "a secret in {fact:?}");
            self.learn(&fact);
        }
        assert_eq!(self.is_closed, self.session.is_closed());
        assert_eq!(self.is_closed, self.closed_for.is_some(), "an end has its fact");
        assert!(!said_421 || self.is_closed, "421 without an end");
        assert!(!shows_canary(&self.session), "a secret in {:?}", self.session);
        if self.is_closed {
            assert_eq!(self.session.poll_timeout(), None);
            assert!(!self.session.wants_command());
            assert!(self.transfers_recorded >= self.transfers_sent, "a transfer without a record");
        } else {
            assert!(
                self.session.poll_timeout().is_some() || self.driver.is_busy(),
                "nothing will ever happen: {:?}",
                self.session
            );
            let waiting = self.expected.len();
            assert!(waiting <= 17, "{waiting} commands wait");
            assert!(
                waiting > 8 || self.driver.is_handshaking() || self.session.wants_command() || self.has_ended
            );
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(reply) => {
                assert!(!self.driver.is_handshaking(), "{reply:?} in the middle of a handshake");
                self.hear(&reply);
            }
            Action::UpgradeDownstream(reply) => {
                self.hear(&reply);
                self.driver.handshake();
            }
            Action::AcceptTls => self.driver.handshake(),
            Action::ConnectUpstream(destination) => {
                self.check_tls();
                self.connect(destination);
            }
            Action::RenewUpstream => self.driver.renew(),
            Action::SettleRenewal(keeps_new) => {
                self.driver.settle();
                self.backend.settle(keeps_new);
            }
            Action::SecureUpstream => self.driver.secure_upstream(),
            Action::SendUpstream(command) => {
                self.check_tls();
                assert!(!self.driver.is_handshaking() || command.verb() == Verb::Quit);
                self.check_told(command.verb());
                self.transfers_sent += usize::from(client::direction(command.verb()).is_some());
                let before = self.sent.replace(command.verb());
                // PASV right after EPSV is the same preparation, begun while there was a ticket.
                let is_prepared = command.verb() == Verb::Epsv
                    || (command.verb() == Verb::Pasv && before != Some(Verb::Epsv));
                if is_prepared {
                    self.check_ticket();
                }
                let destination = self.destination.as_ref().expect("a command has a destination");
                self.backend.take(command, destination);
            }
            Action::AbortUpstream(command) => self.backend.take_out_of_turn(command),
            Action::LeasePort => self.driver.lease(),
            Action::SetClientAddress(address) => self.driver.set_client(address),
            Action::LeaseUpstreamPort => {
                assert_eq!(self.data, UpstreamData::Active);
                self.check_ticket();
                assert!(self.expected.awaits_transfer(), "a port for the backend, and no transfer");
                self.driver.lease_upstream();
            }
            Action::DialBackendData(port) => self.driver.dial(port),
            Action::DiscardData | Action::WithdrawData | Action::CancelRelay | Action::ResetDownload => {
                self.is_told = false;
                self.driver.discard();
            }
            Action::StartRelay(order) => {
                assert!(
                    order.protection == Protection::Private || self.require_tls != RequireTls::Data,
                    "data in clear where it must be private"
                );
                assert_eq!(order.upstream_protection, self.protection);
                assert!(self.expected.has_begun(), "the client is dialled before it is told");
                self.driver.start(order.direction);
            }
            Action::BoundRelay(_) => panic!("no rule here looks at sizes"),
            Action::JudgeLogin => self.session.handle_login_judged(LoginVerdict::Try, self.now()),
            Action::AdmitClient => self.session.handle_client_admitted(None, self.now()),
            Action::AdmitUser => self.session.handle_user_admitted(None, self.now()),
            Action::AdmitTransfer => self.session.handle_transfer_admitted(None, self.now()),
            Action::FinishDownload => self.driver.finish(),
            Action::Close => {
                self.is_closed = true;
                self.driver.discard();
            }
        }
    }

    /// The first dial of a login, or the next one; never after USER was heard, unless that login failed.
    fn connect(&mut self, destination: Destination) {
        if let Some(server) = &destination.server {
            assert_eq!(server.host, ALLOWED_HOST);
        }
        assert_eq!(destination.user, backend::user_of(&destination));
        let is_elsewhere = self
            .destination
            .as_ref()
            .is_none_or(|last| (last.backend, &last.server) != (destination.backend, &destination.server));
        let is_new_login = is_elsewhere || std::mem::take(&mut self.has_login_failed);
        assert!(is_new_login || !self.backend.has_heard_user(), "another server after USER");
        self.driver.connect(is_elsewhere);
        self.backend.disconnect();
        self.destination = Some(destination);
    }

    /// A data connection to the backend is being prepared.
    fn check_ticket(&self) {
        assert!(
            self.protection == Protection::Clear || self.driver.has_ticket(),
            "a data connection that cannot prove where it belongs"
        );
    }

    /// PORT and EPRT come right before a transfer command, and before each one where the backend dials.
    fn check_told(&mut self, verb: Verb) {
        match verb {
            Verb::Port | Verb::Eprt => {
                assert!(self.expected.awaits_transfer(), "{verb:?}, and no transfer");
                assert!(self.driver.has_upstream_port(), "{verb:?} without a port");
                self.is_told = true;
            }
            Verb::Rest | Verb::Quit => {}
            _ if client::direction(verb).is_some() => {
                let is_told = std::mem::take(&mut self.is_told);
                assert_eq!(is_told, self.data == UpstreamData::Active, "{verb:?}, where to?");
            }
            _ => assert!(!self.is_told, "{verb:?} between PORT and its transfer"),
        }
    }

    fn check_tls(&self) {
        assert!(self.is_secure || self.require_tls == RequireTls::No, "a login without TLS");
    }

    /// The client gets a reply.
    fn hear(&mut self, reply: &Reply) {
        assert!(!shows_canary(reply), "a secret in {reply:?}");
        if std::mem::take(&mut self.greeting_due) {
            assert_eq!(reply.code().value(), 220);
            return;
        }
        if reply.code().value() == 421 || (self.is_fatal_line && reply.code().value() == 500) {
            return;
        }
        let Some(direction) = self.expected.hear(reply, self.backend.is_honest()) else { return };
        if reply.kind() == Kind::Completion {
            assert!(self.driver.is_complete(), "{reply:?} for data that is not complete");
            assert!(self.backend.has_confirmed(), "{reply:?} that the backend did not give");
            assert!(direction == Direction::Upload || self.driver.is_finished(), "{reply:?} before the end");
        }
    }

    fn learn(&mut self, fact: &Fact) {
        assert!(self.closed_for.is_none(), "after the end: {fact:?}");
        match fact {
            Fact::CommandFinished(record) if record.transfer.is_some() => {
                self.transfers_recorded += 1;
                let is_good = record.code.is_some_and(|code| (200..300).contains(&code));
                assert!(!is_good || self.driver.is_complete(), "{record:?} for data that is not complete");
            }
            Fact::LoginFailed { .. } | Fact::LoginUndecided { .. } => self.has_login_failed = true,
            Fact::Closed(reason) => self.closed_for = Some(*reason),
            Fact::TlsEstablished(_)
            | Fact::LoginAbandoned
            | Fact::LoggedIn
            | Fact::Routed(_)
            | Fact::UpstreamFailed { .. }
            | Fact::Renewed { .. }
            | Fact::LockedOut { .. }
            | Fact::CommandFinished(_)
            | Fact::LimitExceeded { .. }
            | Fact::Observed { .. }
            | Fact::Connected(_)
            | Fact::Revoked { .. }
            | Fact::SymlinkFollowed { .. }
            | Fact::BackendFeatures(_)
            | Fact::EpsvRefused
            | Fact::Violation(_) => {}
        }
    }
}

/// Every directory is walked to, and uploads are probed.
fn path_rules() -> Policy {
    let rule = |operations: &[Operation], path: &str| Rule {
        name: path.into(),
        origin: Origin { file: "rules".into(), line: 1 },
        matchers: Matchers {
            operations: operations.to_vec(),
            paths: vec![PathPattern::parse(path).expect("a pattern")],
            ..Matchers::default()
        },
        action: Verdict::Deny,
        mode: RuleMode::Enforce,
        reply: None,
    };
    let rules = vec![rule(&[], "/x/secret/**"), rule(&[Operation::Overwrite], "/x/**")];
    let definition =
        Definition { rules, groups: Vec::new(), default: Verdict::Allow, mode: RuleMode::Enforce };
    Policy::compile(definition).expect("a policy")
}

fn shows_canary(value: &impl std::fmt::Debug) -> bool {
    let shown = format!("{value:?}");
    shown.contains(CANARY) || shown.contains(CANARY_BYTES)
}
