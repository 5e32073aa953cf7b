//! A question to policy without any session: who would do what, and what the gateway would make of it.
//!
//! The subject is put together as a session would find it, the command becomes accesses by the same table
//! (`ftpsgate_ftp::session::Deed`), and [`Policy::explain`] answers. What only a server could tell is part of the
//! question: whether a file exists, where the session is.

use std::fmt::Write;
use std::time::SystemTime;

use ftpsgate_ftp::codec::{Command, Reply, Verb, parameter};
use ftpsgate_ftp::session::{Context, Deed, Place, needs_paths, own_refusal};
use ftpsgate_policies::explain::{AccessExplanation, Because, Explanation};
use ftpsgate_policies::request::{Tls, TlsVersion};
use ftpsgate_policies::route::{self, Arrival};
use ftpsgate_policies::rule::Action;
use ftpsgate_policies::{
    Access, CanonicalPath, Extent, Operation, PathError, PathProfile, Policy, Request, RuleRef, Subject,
    Target,
};
use serde_json::{Value, json};

use crate::config::{AskedCommand, CertificatePart, Config, Listener, Mode, Question, local_times};

/// What the gateway would do.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The command, as it is judged.
    command: String,
    /// Who asks.
    pub(super) subject: Subject,
    decision: Decision,
}

#[derive(Debug, Clone)]
enum Decision {
    /// No backend: 530 at USER.
    Nowhere,
    /// The gateway refuses the command to everybody, with this reply.
    Refused(String),
    /// The words of the command can mean several things; only where policy needs paths.
    Unclear(String),
    /// Policy has spoken.
    Judged {
        explanation: Explanation,
        /// What each access is done to.
        places: Vec<Place>,
        /// Allowed by itself, but not on all that is below a directory.
        below: Option<Below>,
    },
}

/// Part of what is below a directory is not allowed.
#[derive(Debug, Clone)]
struct Below {
    operation: Operation,
    path: CanonicalPath,
    /// Then it counts only if the path is a directory.
    spares_files: bool,
}

/// Puts a question to the policy of a configuration.
///
/// # Errors
///
/// A question that names what is not there.
pub(super) fn ask(config: &Config, question: &Question) -> Result<Answer, String> {
    let listener = match &question.listener {
        None => config.listeners.first(),
        Some(name) => config.listeners.iter().find(|listener| listener.name == *name),
    };
    let listener = listener.ok_or("there is no such listener")?;
    let mut subject = subject(listener, question);
    let command = match &question.command {
        AskedCommand::Connect => return Ok(connect(config, &subject, moment(question))),
        AskedCommand::Command(command) => command,
    };
    let shown = line(command);
    let mut profile = PathProfile::Unix;
    if question.user.is_some() {
        let Some(backend) = backend(config, listener, question, &subject) else {
            return Ok(Answer { command: shown, subject, decision: Decision::Nowhere });
        };
        let found = config.backends.iter().find(|one| one.name == *backend);
        profile = found.ok_or_else(|| format!("there is no backend `{backend}`"))?.paths;
        subject.backend.clone_from(backend);
    }
    let asked = Asked {
        policy: &config.policy,
        subject: &subject,
        profile,
        times: &local_times(moment(question), config.policy.zones()),
    };
    let decision = asked.judge(question, command)?;
    Ok(Answer { command: shown, subject, decision })
}

fn moment(question: &Question) -> SystemTime {
    question.at.as_ref().map_or_else(SystemTime::now, |at| at.time)
}

/// Before TLS, and before there is a user.
fn connect(config: &Config, subject: &Subject, moment: SystemTime) -> Answer {
    let subject = Subject { user: None, tls: None, certificate: None, ..subject.clone() };
    let accesses = [Access { operation: Operation::Connect, target: Target::Nothing }];
    let times = local_times(moment, config.policy.zones());
    let request = Request { times: &times, ..Request::new(&subject, "", &accesses) };
    let explanation = config.policy.explain(&request);
    let decision = Decision::Judged { explanation, places: vec![Place::Nothing], below: None };
    Answer { command: "CONNECT".to_owned(), subject, decision }
}

fn subject(listener: &Listener, question: &Question) -> Subject {
    let usual = match listener.mode {
        Mode::Explicit | Mode::Implicit => Some(TlsVersion::V13),
        Mode::Plain => None,
    };
    let version = question.tls.unwrap_or(usual);
    Subject {
        address: question.from.to_canonical(),
        user: question.user.as_ref().map(|user| user.clone().into_bytes()),
        listener: listener.name.clone(),
        backend: String::new(),
        tls: version.map(|version| Tls { version, is_resumed: false }),
        certificate: CertificatePart::join(&question.certificates).map(Box::new),
    }
}

fn backend<'a>(
    config: &'a Config,
    listener: &'a Listener,
    question: &'a Question,
    subject: &Subject,
) -> Option<&'a String> {
    if let Some(backend) = &question.backend {
        return Some(backend);
    }
    let arrival = Arrival {
        address: subject.address,
        user: subject.user.as_deref().unwrap_or_default(),
        listener: &listener.name,
        sni: question.sni.as_deref(),
        host: None,
        certificate: subject.certificate.as_ref().map(|certificate| certificate.subject.as_str()),
    };
    route::choose(&config.routes, &arrival).map(|route| &route.backend).or(listener.backend.as_ref())
}

/// What a command is judged with.
struct Asked<'a> {
    policy: &'a Policy,
    subject: &'a Subject,
    profile: PathProfile,
    times: &'a [ftpsgate_policies::hours::LocalTime],
}

impl Asked<'_> {
    fn judge(&self, question: &Question, command: &Command) -> Result<Decision, String> {
        let directory =
            CanonicalPath::resolve(self.profile, Some(&CanonicalPath::root()), question.directory.as_bytes());
        let mut directory = match directory {
            Ok(directory) => Some(directory),
            Err(PathError::Opaque) => None,
            Err(error) => return Err(format!("the directory `{}`: {error}", question.directory)),
        };
        let mut held = None;
        let mut is_restarted = false;
        let mut size_bytes = question.size_bytes;
        for earlier in &question.before {
            let argument = earlier.argument_or_empty();
            let verb = earlier.verb();
            if verb == Verb::Cwd {
                directory = CanonicalPath::resolve(self.profile, directory.as_ref(), argument).ok();
            } else if verb == Verb::Cdup {
                directory = directory.map(|directory| directory.parent());
            } else if verb == Verb::Rest {
                is_restarted = parameter::parse_rest(argument).is_some_and(|offset| offset > 0);
            } else if verb == Verb::Allo {
                size_bytes = parameter::announced_bytes(argument);
            } else if matches!(verb, Verb::Rnfr | Verb::Site) {
                held = Some(earlier);
            }
        }
        if let Some(reply) = own_refusal(command) {
            return Ok(Decision::Refused(text(&reply)));
        }
        let deed = Deed::of(command, Context { held, is_restarted });
        let has_view = needs_paths(self.policy) && self.profile != PathProfile::Opaque;
        if let (true, Some(reply)) = (has_view, deed.problem()) {
            return Ok(Decision::Unclear(String::from_utf8_lossy(&reply.encode()).trim_end().to_owned()));
        }
        let mut operations = deed.accesses(self.profile, directory.as_ref());
        if question.exists && deed.objects.iter().any(|object| object.may_replace) {
            for (operation, _) in &mut operations {
                if *operation == Operation::Upload {
                    *operation = Operation::Overwrite;
                }
            }
        }
        let is_writing = |operation: &Operation| {
            matches!(operation, Operation::Upload | Operation::Overwrite | Operation::Append)
        };
        let subcommand = command.subcommand();
        let accesses: Vec<Access<'_>> = operations
            .iter()
            .map(|(operation, place)| Access { operation: *operation, target: target(place) })
            .collect();
        let request = Request {
            subject: self.subject,
            verb: command.verb().name(),
            subcommand: subcommand.as_deref(),
            accesses: &accesses,
            size_bytes: size_bytes.filter(|_| operations.iter().any(|(operation, _)| is_writing(operation))),
            times: self.times,
        };
        let explanation = self.policy.explain(&request);
        let mixed = |(operation, path, _): &(Operation, CanonicalPath, bool)| {
            self.policy.authorize_subtree(&request, *operation, path) != Extent::All
        };
        let has_links = self.policy.denies_below_allowed();
        let below = deed.below(self.profile, directory.as_ref(), has_links).into_iter().find(mixed);
        let below = below.filter(|_| has_view).map(|(operation, path, spares_files)| Below {
            operation,
            path,
            spares_files,
        });
        let places = operations.into_iter().map(|(_, place)| place).collect();
        Ok(Decision::Judged { explanation, places, below })
    }
}

/// The line that a client would read.
fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.encode()).trim_end().to_owned()
}

fn target(place: &Place) -> Target<'_> {
    match place {
        Place::Nothing => Target::Nothing,
        Place::Unresolved(_) => Target::Unresolved,
        Place::Here(path) | Place::Path(path) => Target::Path(path),
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

impl Answer {
    /// Whether the command would be carried out, as far as the gateway decides.
    pub(super) fn is_allowed(&self) -> bool {
        match &self.decision {
            Decision::Nowhere | Decision::Refused(_) | Decision::Unclear(_) => false,
            Decision::Judged { explanation, below, .. } => {
                explanation.is_allowed && below.as_ref().is_none_or(|below| below.spares_files)
            }
        }
    }

    /// The same as a rule says it.
    pub(super) fn action(&self) -> Action {
        if self.is_allowed() { Action::Allow } else { Action::Deny }
    }

    /// Name of the rule that decides; `None`: no rule does.
    pub(super) fn rule(&self) -> Option<&str> {
        self.deciding().and_then(|access| access.rule.as_ref()).map(RuleRef::name)
    }

    /// The access that decides: the one that is denied, else the first that a rule allows.
    fn deciding(&self) -> Option<&AccessExplanation> {
        let Decision::Judged { explanation, .. } = &self.decision else { return None };
        let denied = explanation.accesses.iter().find(|access| access.action == Action::Deny);
        denied.or_else(|| explanation.accesses.iter().find(|access| access.rule.is_some()))
    }

    /// For people: the decision, then why.
    pub(super) fn render(&self) -> String {
        let word = if self.is_allowed() { "allowed" } else { "denied" };
        let user = self.subject.user.as_deref().map_or_else(|| "nobody yet".to_owned(), shown);
        let mut text = format!("{word}: {}\n", self.command);
        let mut say = |line: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        let backend = match self.subject.backend.as_str() {
            "" => String::new(),
            backend => format!(", backend {backend}"),
        };
        say(format!(
            "  by {user} from {}, listener {}{backend}",
            self.subject.address, self.subject.listener
        ));
        match &self.decision {
            Decision::Nowhere => {
                say("  no route and no backend is there for this user: 530 at USER".to_owned())
            }
            Decision::Refused(reply) => say(format!("  the gateway refuses it to everybody: {reply}")),
            Decision::Unclear(reply) => {
                say(format!("  policy needs paths, and these words leave open which is meant: {reply}"))
            }
            Decision::Judged { explanation, places, below } => {
                for (access, place) in explanation.accesses.iter().zip(places.iter().map(Some).chain([None]))
                {
                    say(format!("  {}: {}", described(access, place), verdict(access)));
                    for passed in &access.passed {
                        say(format!(
                            "    rule `{}` ({}): {}",
                            passed.rule.name(),
                            passed.rule.origin(),
                            why(passed.because)
                        ));
                    }
                }
                if explanation.is_observed {
                    say("  the policy is under observation: the denial is recorded, and not enforced"
                        .to_owned());
                }
                match below {
                    Some(below) if below.spares_files => say(format!(
                        "  only if {} is a file: not all that a directory could hold may be touched ({})",
                        below.path,
                        below.operation.name()
                    )),
                    Some(below) => say(format!(
                        "  not all that {} could hold may be touched ({})",
                        below.path,
                        below.operation.name()
                    )),
                    None => {}
                }
            }
        }
        text
    }

    /// The same for programs.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "decision": if self.is_allowed() { "allow" } else { "deny" },
            "command": self.command,
            "user": self.subject.user.as_deref().map(shown),
            "from": self.subject.address,
            "listener": self.subject.listener,
            "backend": (!self.subject.backend.is_empty()).then_some(&self.subject.backend),
            "rule": self.deciding().and_then(|access| access.rule.as_ref()).map(rule_json),
        });
        match &self.decision {
            Decision::Nowhere => json["reason"] = "no backend".into(),
            Decision::Refused(reply) => {
                json["reason"] = "refused to everybody".into();
                json["reply"] = reply.as_str().into();
            }
            Decision::Unclear(reply) => {
                json["reason"] = "unclear words".into();
                json["reply"] = reply.as_str().into();
            }
            Decision::Judged { explanation, places, below } => {
                json["observed"] = explanation.is_observed.into();
                json["accesses"] = explanation
                    .accesses
                    .iter()
                    .zip(places.iter().map(Some).chain([None]))
                    .map(|(access, place)| access_json(access, place))
                    .collect();
                if let Some(below) = below {
                    json["below"] = json!({
                        "path": below.path.as_str(),
                        "operation": below.operation.name(),
                        "unless_file": below.spares_files,
                    });
                }
            }
        }
        json
    }
}

fn described(access: &AccessExplanation, place: Option<&Place>) -> String {
    let Some(operation) = access.operation else { return "no operation".to_owned() };
    match place {
        Some(Place::Here(path) | Place::Path(path)) => format!("{} {path}", operation.name()),
        Some(Place::Unresolved(Some(error))) => format!("{} ({error})", operation.name()),
        Some(Place::Unresolved(None)) => format!("{} (of what cannot be told)", operation.name()),
        Some(Place::Nothing) | None => operation.name().to_owned(),
    }
}

fn verdict(access: &AccessExplanation) -> String {
    let word = match access.action {
        Action::Allow => "allowed",
        Action::Deny => "denied",
    };
    match &access.rule {
        Some(rule) if access.is_implied => {
            format!("{word} by rule `{}` ({}), whose paths lie below", rule.name(), rule.origin())
        }
        Some(rule) => format!("{word} by rule `{}` ({})", rule.name(), rule.origin()),
        None if access.operation.is_none_or(Operation::is_admission) => {
            format!("{word}, for no rule names it")
        }
        None => format!("{word} by default, for no rule matches"),
    }
}

fn why(because: Because) -> String {
    match because {
        Because::Mismatch(matcher) => format!("`{matcher}` does not match"),
        Because::Observed(Action::Allow) => "would allow it, but is under observation".to_owned(),
        Because::Observed(Action::Deny) => "would deny it, but is under observation".to_owned(),
    }
}

fn rule_json(rule: &RuleRef) -> Value {
    json!({ "name": rule.name(), "file": &*rule.origin().file, "line": rule.origin().line })
}

fn access_json(access: &AccessExplanation, place: Option<&Place>) -> Value {
    let passed = access.passed.iter().map(|passed| {
        let mut json = rule_json(&passed.rule);
        match passed.because {
            Because::Mismatch(matcher) => json["failed"] = matcher.name().into(),
            Because::Observed(action) => json["observed"] = word(action).into(),
        }
        json
    });
    json!({
        "operation": access.operation.map(Operation::name),
        "path": place.and_then(Place::path).map(CanonicalPath::as_str),
        "decision": word(access.action),
        "rule": access.rule.as_ref().map(rule_json),
        "implied": access.is_implied,
        "passed": passed.collect::<Vec<_>>(),
    })
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    }
}
