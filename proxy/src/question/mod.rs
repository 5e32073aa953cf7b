//! A question to policy without any session: who would do what, and what the gateway would make of it.
//!
//! A session is rehearsed (`rehearsal`): the real state machine, a client that does what clients do, a server that is
//! imagined (`server`). What it decides is the answer. [`ftpsgate_policies::Policy::explain`] then says why, rule by rule (`reasons`), and
//! what the answer rests on and was not told is said with it (`assumptions`).

mod assumptions;
mod reasons;
mod rehearsal;
mod server;
mod words;

use std::time::SystemTime;

use ftpsgate_certs::Store;
use ftpsgate_ftp::codec::{Command, Reply, Verb};
use ftpsgate_ftp::session::{ControlTls, Fact, Settings, Standing};
use ftpsgate_policies::request::{Certificate, TlsVersion};
use ftpsgate_policies::rule::Action;
use ftpsgate_policies::{CanonicalPath, PathError, PathProfile, RuleRef, Subject};

use crate::config::{
    self, AskedCommand, CertificatePart, ClientCertificates, Config, Listener, Mode, Question, TlsProfile,
};
use crate::service::{Service, dns_names};

use reasons::{Case, Judged};
use rehearsal::{Exchange, Rehearsal};
use server::ImaginedServer;

/// What the gateway would do.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command that was asked about.
    command: String,
    /// Who asks, as policy knows it.
    subject: Subject,
    /// The name that the server hears, where that is another.
    server_user: Option<String>,
    /// The server that `USER name@host` asks for.
    server: Option<String>,
    /// Where the session is when the command comes.
    directory: Option<String>,
    /// Commands before it that were refused, and how.
    refused_before: Vec<(String, String)>,
    /// The command that decides, where it does not come to the one that was asked about.
    stopped_at: Option<String>,
    is_allowed: bool,
    cause: Cause,
    /// What the client is told, where that is the gateway's word.
    reply: Option<(u16, String)>,
    judged: Option<Judged>,
    assumptions: Vec<String>,
}

/// Who decides.
#[derive(Debug, Clone)]
enum Cause {
    /// This rule.
    Rule(RuleRef),
    /// No rule: the default, or that admission needs none.
    Default,
    /// What a directory could hold is not allowed alike.
    Below(CanonicalPath),
    /// The gateway answers so whatever policy says.
    Gateway,
    /// The TLS handshake fails, for this reason.
    Handshake(&'static str),
}

/// Puts a question to the policy of a configuration.
///
/// # Errors
///
/// A question that names what is not there.
pub fn ask(config: &Config, question: &Question) -> Result<Answer, String> {
    let listener = match &question.listener {
        None => config.listeners.first(),
        Some(name) => config.listeners.iter().find(|listener| listener.name == *name),
    };
    let listener = listener.ok_or("there is no such listener")?;
    Asking { config, listener, question, moment: moment(question) }.answer()
}

fn moment(question: &Question) -> SystemTime {
    question.at.as_ref().map_or_else(SystemTime::now, |at| at.time)
}

/// A question, and what it is asked of.
struct Asking<'a> {
    config: &'a Config,
    listener: &'a Listener,
    question: &'a Question,
    moment: SystemTime,
}

/// How far the rehearsal came.
struct Outcome {
    /// The last command that was said; `None`: the connection itself, or the TLS handshake.
    command: Option<Command>,
    /// What it was judged by.
    standing: Standing,
    exchange: Exchange,
    refused_before: Vec<(String, String)>,
    /// It is the one that was asked about.
    is_asked_for: bool,
}

impl Asking<'_> {
    fn answer(&self) -> Result<Answer, String> {
        let settings = self.settings()?;
        let directory = self.directory()?;
        let asks_connect = matches!(self.question.command, AskedCommand::Connect);
        if let Some(why) = self.failed_handshake().filter(|_| !asks_connect) {
            return Ok(self.without_handshake(why, &settings));
        }
        let names: Vec<String> = settings.backends.iter().map(|backend| backend.name.clone()).collect();
        let profiles: Vec<PathProfile> = settings.backends.iter().map(|backend| backend.paths).collect();
        let server = ImaginedServer::new(directory, self.question.exists, self.question.is_directory);
        let (mut rehearsal, opening) = Rehearsal::begin(
            settings,
            self.question.from.to_canonical(),
            Some(self.tls()),
            server,
            self.moment,
            self.question.size_bytes.unwrap_or(0),
        );
        let outcome = self.play(&mut rehearsal, opening);
        let destination = rehearsal.destination();
        let name = |index: usize| names.get(index).cloned().unwrap_or_default();
        let routed = outcome.exchange.facts.iter().find_map(|fact| match fact {
            Fact::Routed(index) => Some(name(*index)),
            _other => None,
        });
        let mut standing = outcome.standing.clone();
        if let Some(user) = outcome.command.as_ref().filter(|command| command.verb() == Verb::User) {
            standing.subject.user = Some(self.user_name(user.argument_or_empty()).to_vec());
            standing.subject.backend = routed.unwrap_or_default();
        }
        let profile = names
            .iter()
            .position(|name| *name == standing.subject.backend)
            .map_or(PathProfile::Unix, |index| profiles[index]);
        let verdict = reasons::judge(&Case {
            config: self.config,
            question: self.question,
            standing: &standing,
            command: outcome.command.as_ref(),
            exchange: &outcome.exchange,
            profile,
            moment: self.moment,
        });
        let is_refused = outcome.exchange.is_refused();
        let reply = outcome.exchange.own_reply().map(|reply| (reply.code().value(), first_line(reply)));
        // USER and PASS come before there is a directory.
        let is_login = |command: &Command| matches!(command.verb(), Verb::Auth | Verb::User | Verb::Pass);
        let is_logged_in = standing.subject.user.is_some() && !outcome.command.as_ref().is_none_or(is_login);
        let shown_user = standing.subject.user.clone();
        let server_user = destination
            .map(|destination| &destination.user)
            .filter(|user| shown_user.as_ref() != Some(user) && !is_refused_login(&outcome))
            .map(|user| shown(user));
        let server = destination.and_then(|destination| destination.server.as_ref()).map(|server| {
            server.port.map_or_else(|| server.host.clone(), |port| format!("{}:{port}", server.host))
        });
        let assumptions = assumptions::of(&assumptions::Grounds {
            config: self.config,
            listener: self.listener,
            question: self.question,
            asked: outcome.exchange.asked,
            judged: verdict.judged.as_ref(),
        });
        Ok(Answer {
            command: asked_line(&self.question.command),
            subject: standing.subject.clone(),
            server_user,
            server,
            directory: standing.directory.as_ref().filter(|_| is_logged_in).map(ToString::to_string),
            refused_before: outcome.refused_before,
            stopped_at: (!outcome.is_asked_for)
                .then(|| outcome.command.as_ref().map_or_else(|| "CONNECT".to_owned(), line)),
            is_allowed: !is_refused && outcome.is_asked_for,
            cause: verdict.cause,
            reply,
            judged: verdict.judged,
            assumptions,
        })
    }

    /// From the connection to the command, or to what ends it before.
    fn play(&self, rehearsal: &mut Rehearsal, opening: Exchange) -> Outcome {
        let standing = rehearsal.standing();
        let mut outcome = Outcome {
            command: None,
            standing: before_tls(standing),
            exchange: opening,
            refused_before: Vec::new(),
            is_asked_for: matches!(self.question.command, AskedCommand::Connect),
        };
        let command = match &self.question.command {
            AskedCommand::Command(command) if !rehearsal.is_over() => command,
            AskedCommand::Connect | AskedCommand::Command(_) => return outcome,
        };
        for step in self.steps(command) {
            outcome.standing = rehearsal.standing();
            outcome.exchange = rehearsal.say(&step.command);
            let is_refused = outcome.exchange.is_refused();
            if rehearsal.is_over() || (is_refused && step.is_needed) {
                outcome.command = Some(step.command);
                return outcome;
            }
            let mut is_helped =
                || step.otherwise.as_ref().is_some_and(|other| !rehearsal.say(other).is_refused());
            if is_refused && !is_helped() {
                let told = outcome.exchange.reply.as_ref().map(text).unwrap_or_default();
                outcome.refused_before.push((line(&step.command), told));
            }
        }
        outcome.standing = rehearsal.standing();
        outcome.exchange = rehearsal.say(command);
        outcome.command = Some(command.clone());
        outcome.is_asked_for = true;
        outcome
    }

    /// What a client says before the command.
    fn steps(&self, command: &Command) -> Vec<Step> {
        let with = |verb, argument: &str| Command::with(verb, argument);
        let needed = |command: Option<Command>| {
            command.map(|command| Step { command, otherwise: None, is_needed: true })
        };
        let tried = |command: Option<Command>| {
            command.map(|command| Step { command, otherwise: None, is_needed: false })
        };
        let is_first = matches!(command.verb(), Verb::Auth | Verb::Host) && self.question.user.is_none();
        let starts_tls = self.wants_tls() && self.listener.mode != Mode::Implicit;
        let mut steps: Vec<Option<Step>> = Vec::new();
        if starts_tls && !(is_first && command.verb() == Verb::Auth) {
            steps.push(needed(with(Verb::Auth, "TLS")));
        }
        steps.push(self.question.host.as_deref().and_then(|host| tried(with(Verb::Host, host))));
        let is_login = command.verb() == Verb::User;
        if let (Some(user), false) = (&self.question.user, is_login) {
            if self.wants_tls() && self.listener.mode == Mode::Explicit {
                steps.push(tried(with(Verb::Pbsz, "0")));
                steps.push(tried(with(Verb::Prot, "P")));
            }
            steps.push(needed(with(Verb::User, user)));
            if command.verb() != Verb::Pass {
                steps.push(needed(with(Verb::Pass, "rehearsed")));
            }
        }
        let before = self.question.before.iter().cloned();
        steps.extend(before.map(|command| tried(Some(command))));
        let moves_data = matches!(
            command.verb(),
            Verb::Retr | Verb::Stor | Verb::Stou | Verb::Appe | Verb::List | Verb::Nlst | Verb::Mlsd
        );
        let is_prepared = self.question.before.iter().any(|command| prepares_data(command.verb()));
        if self.question.user.is_some() && moves_data && !is_prepared {
            let [command, otherwise] = [Verb::Epsv, Verb::Pasv].map(Command::bare);
            steps.push(Some(Step { command, otherwise: Some(otherwise), is_needed: false }));
        }
        steps.into_iter().flatten().collect()
    }

    fn settings(&self) -> Result<Settings, String> {
        let hosts = (self.listener.mode != Mode::Plain).then(|| self.certificate_names());
        let mut settings = Service::settings(self.config, self.listener, hosts);
        if let Some(wanted) = &self.question.backend {
            let listener = Listener { backend: Some(wanted.clone()), ..self.listener.clone() };
            let mut config = self.config.clone();
            config.routes.clear();
            if !config.backends.iter().any(|backend| backend.name == *wanted) {
                return Err(format!("there is no backend `{wanted}`"));
            }
            settings = Service::settings(&config, &listener, Some(settings.hosts));
        }
        settings.certificate_available = true;
        Ok(settings)
    }

    /// Names that HOST may give, besides those of the routes; only where they are asked for.
    fn certificate_names(&self) -> Vec<String> {
        let says_host = self.question.host.is_some()
            || matches!(&self.question.command, AskedCommand::Command(command) if command.verb() == Verb::Host)
            || self.question.before.iter().any(|command| command.verb() == Verb::Host);
        let Some(profile) = self.profile().filter(|_| says_host && self.question.sni.is_none()) else {
            return Vec::new();
        };
        let pairs: Vec<_> =
            profile.certificates.iter().map(|pair| (pair.chain.clone(), pair.key.clone())).collect();
        Store::load(&pairs).map(|store| dns_names(&store)).unwrap_or_default()
    }

    fn profile(&self) -> Option<&TlsProfile> {
        self.config.tls.get(&self.listener.tls).map(|profile| &**profile)
    }

    fn wants_tls(&self) -> bool {
        match self.question.tls {
            Some(version) => version.is_some(),
            None => self.listener.mode != Mode::Plain,
        }
    }

    fn tls_version(&self) -> TlsVersion {
        let is_old = self.profile().is_some_and(|profile| profile.max_version == config::TlsVersion::Tls12);
        let usual = if is_old { TlsVersion::V12 } else { TlsVersion::V13 };
        self.question.tls.flatten().unwrap_or(usual)
    }

    fn tls(&self) -> ControlTls {
        let asks = self.profile().is_some_and(|one| one.client_certificates != ClientCertificates::Off);
        ControlTls {
            server_name: self.question.sni.as_deref().map(str::to_ascii_lowercase),
            version: match self.tls_version() {
                TlsVersion::V12 => "1.2",
                TlsVersion::V13 => "1.3",
            },
            suite: String::new(),
            resumed: false,
            client_certificate: self.certificate().filter(|_| asks).map(Box::new),
        }
    }

    fn certificate(&self) -> Option<Certificate> {
        CertificatePart::join(&self.question.certificates)
    }

    /// Why a client with this TLS does not come in.
    fn failed_handshake(&self) -> Option<&'static str> {
        if self.listener.mode == Mode::Implicit && !self.wants_tls() {
            return Some("this listener speaks TLS from the first byte on");
        }
        let profile = self.profile().filter(|_| self.wants_tls() && self.listener.mode != Mode::Plain)?;
        let version = match self.tls_version() {
            TlsVersion::V12 => config::TlsVersion::Tls12,
            TlsVersion::V13 => config::TlsVersion::Tls13,
        };
        if version < profile.min_version || version > profile.max_version {
            return Some("this listener does not speak that version of TLS");
        }
        let demands = profile.client_certificates == ClientCertificates::Require;
        (demands && self.certificate().is_none())
            .then_some("this listener demands a certificate of the client")
    }

    fn without_handshake(&self, why: &'static str, settings: &Settings) -> Answer {
        Answer {
            command: asked_line(&self.question.command),
            subject: Subject {
                address: self.question.from.to_canonical(),
                user: None,
                listener: settings.listener.clone(),
                backend: String::new(),
                tls: None,
                certificate: None,
            },
            server_user: None,
            server: None,
            directory: None,
            refused_before: Vec::new(),
            stopped_at: Some("the TLS handshake".to_owned()),
            is_allowed: false,
            cause: Cause::Handshake(why),
            reply: None,
            judged: None,
            assumptions: Vec::new(),
        }
    }

    fn directory(&self) -> Result<CanonicalPath, String> {
        let words = self.question.directory.as_bytes();
        CanonicalPath::resolve(PathProfile::Unix, Some(&CanonicalPath::root()), words)
            .map_err(|error: PathError| format!("the directory `{}`: {error}", self.question.directory))
    }

    /// The name that policy knows: without the server that it may ask for.
    fn user_name<'b>(&self, argument: &'b [u8]) -> &'b [u8] {
        let at = argument.iter().rposition(|&byte| byte == b'@');
        match at.filter(|_| !self.listener.user_at_host.is_empty()) {
            Some(at) => &argument[..at],
            None => argument,
        }
    }
}

/// One command before the one that was asked about.
struct Step {
    command: Command,
    /// What is said instead where it is refused.
    otherwise: Option<Command>,
    /// Without it there is no session that could go on.
    is_needed: bool,
}

fn prepares_data(verb: Verb) -> bool {
    matches!(verb, Verb::Pasv | Verb::Epsv | Verb::Port | Verb::Eprt)
}

fn before_tls(standing: Standing) -> Standing {
    let subject = Subject { user: None, tls: None, certificate: None, ..standing.subject };
    Standing { subject, ..standing }
}

fn is_refused_login(outcome: &Outcome) -> bool {
    outcome.exchange.is_refused()
        && outcome.command.as_ref().is_none_or(|command| command.verb() == Verb::User)
}

impl Answer {
    /// Whether the command would be carried out, as far as the gateway decides.
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// The same as a rule says it.
    pub fn action(&self) -> Action {
        if self.is_allowed { Action::Allow } else { Action::Deny }
    }

    /// The rule that decides; `None`: no rule does.
    pub fn rule(&self) -> Option<&RuleRef> {
        match &self.cause {
            Cause::Rule(rule) => Some(rule),
            Cause::Default | Cause::Below(_) | Cause::Gateway | Cause::Handshake(_) => None,
        }
    }

    /// Code and text of the reply, where it is the gateway's own; `None`: it is the server's, or there is none.
    pub fn reply(&self) -> Option<(u16, &str)> {
        self.reply.as_ref().map(|(code, text)| (*code, text.as_str()))
    }

    /// The command before it, or the stage, that is refused, so that it does not come to the one that was asked about.
    pub fn stopped_at(&self) -> Option<&str> {
        self.stopped_at.as_deref()
    }

    /// Who asks, as policy knows it.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The user name that the server hears, where it is another one.
    pub fn server_user(&self) -> Option<&str> {
        self.server_user.as_deref()
    }

    /// Whether it is policy that decides, and no other rule of the gateway's.
    pub fn is_policy(&self) -> bool {
        match &self.cause {
            Cause::Rule(_) | Cause::Default | Cause::Below(_) => true,
            Cause::Gateway | Cause::Handshake(_) => false,
        }
    }

    /// What the answer rests on, and was not told.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }
}

fn asked_line(command: &AskedCommand) -> String {
    match command {
        AskedCommand::Connect => "CONNECT".to_owned(),
        AskedCommand::Command(command) => line(command),
    }
}

fn line(command: &Command) -> String {
    match command.argument() {
        None => command.verb().name().to_owned(),
        Some(_) if command.is_secret() => format!("{} ***", command.verb().name()),
        Some(argument) => format!("{} {}", command.verb().name(), shown(argument)),
    }
}

/// Bytes of a client as they may stand on a terminal.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// The line that a client would read.
fn text(reply: &Reply) -> String {
    format!("{} {}", reply.code().value(), first_line(reply))
}

fn first_line(reply: &Reply) -> String {
    shown(reply.text())
}
