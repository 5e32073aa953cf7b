//! Which command is handled where, and the commands that are one question to the backend, or none.

use std::net::SocketAddr;

use crate::codec::parameter::{self, Parameter};
use crate::codec::{Command, FeatureSet, Kind, Reply, Verb, address, features};

use super::answers;
use super::authorize::{Context, Deed};
use super::client_data::ParseAddress;
use super::event::{Action, CloseReason, Direction, Fact, Now};
use super::paths::Then;
use super::settings::Mode;
use super::setup::Style;
use super::{Expecting, Session};

/// Who answers a verb.
enum Handler {
    Auth,
    Pbsz,
    Prot,
    Ccc,
    User,
    Pass,
    Acct,
    Host,
    Quit,
    Feat,
    Opts,
    Help,
    Syst,
    Noop,
    Stat,
    /// Forwarded if the argument passes.
    Parameter(fn(&[u8]) -> Parameter),
    Passive(Style),
    Active(ParseAddress),
    Transfer(Direction),
    Rest,
    Abor,
    RenameFrom,
    RenameTo,
    /// CWD and CDUP
    Change,
    /// PWD
    Directory,
    /// One question, one answer.
    Forward,
    /// Known, and refused to everybody.
    Refused,
}

fn handler(verb: Verb) -> Handler {
    match verb {
        Verb::Auth => Handler::Auth,
        Verb::Pbsz => Handler::Pbsz,
        Verb::Prot => Handler::Prot,
        Verb::Ccc => Handler::Ccc,
        Verb::User => Handler::User,
        Verb::Pass => Handler::Pass,
        Verb::Acct => Handler::Acct,
        Verb::Host => Handler::Host,
        Verb::Quit => Handler::Quit,
        Verb::Feat => Handler::Feat,
        Verb::Opts => Handler::Opts,
        Verb::Help => Handler::Help,
        Verb::Syst => Handler::Syst,
        Verb::Noop => Handler::Noop,
        Verb::Stat => Handler::Stat,
        Verb::Type => Handler::Parameter(parameter::judge_type),
        Verb::Mode => Handler::Parameter(parameter::judge_mode),
        Verb::Stru => Handler::Parameter(parameter::judge_stru),
        Verb::Allo => Handler::Parameter(parameter::judge_allo),
        Verb::Site => Handler::Parameter(parameter::judge_site),
        Verb::Pasv => Handler::Passive(Style::Pasv),
        Verb::Epsv => Handler::Passive(Style::Epsv),
        Verb::Port => Handler::Active(|argument| address::parse_port(argument).map(SocketAddr::V4)),
        Verb::Eprt => Handler::Active(address::parse_eprt),
        Verb::Retr | Verb::List | Verb::Nlst | Verb::Mlsd => Handler::Transfer(Direction::Download),
        Verb::Stor | Verb::Stou | Verb::Appe => Handler::Transfer(Direction::Upload),
        Verb::Rest => Handler::Rest,
        Verb::Abor => Handler::Abor,
        Verb::Rnfr => Handler::RenameFrom,
        Verb::Rnto => Handler::RenameTo,
        Verb::Cwd | Verb::Cdup => Handler::Change,
        Verb::Pwd => Handler::Directory,
        Verb::Mkd
        | Verb::Rmd
        | Verb::Rmda
        | Verb::Dele
        | Verb::Size
        | Verb::Mdtm
        | Verb::Mlst
        | Verb::Mfmt
        | Verb::Mfct
        | Verb::Mff
        | Verb::Hash
        | Verb::Md5
        | Verb::Mmd5
        | Verb::Xcrc
        | Verb::Xmd5
        | Verb::Xsha
        | Verb::Xsha1
        | Verb::Xsha256
        | Verb::Xsha512
        | Verb::Avbl
        | Verb::Dsiz
        | Verb::Thmb
        | Verb::Comb
        | Verb::Lang
        | Verb::Clnt
        | Verb::Csid => Handler::Forward,
        Verb::Adat
        | Verb::Mic
        | Verb::Conf
        | Verb::Enc
        | Verb::Sscn
        | Verb::Cpsv
        | Verb::Rein
        | Verb::Lpsv
        | Verb::Lprt
        | Verb::Rang
        | Verb::Smnt => Handler::Refused,
    }
}

/// What every client is told that sends a command after its login, whatever policy says; `None`: policy is asked. For
/// explanations.
pub fn own_refusal(command: &Command) -> Option<Reply> {
    match handler(command.verb()) {
        Handler::Refused => Some(answers::not_offered(command.verb())),
        Handler::Parameter(judge) => match judge(command.argument_or_empty()) {
            Parameter::Forward => None,
            Parameter::Unsupported => Some(answers::unsupported_argument(command.verb())),
            Parameter::Malformed => Some(answers::bad_argument(command.verb())),
        },
        Handler::Auth
        | Handler::Pbsz
        | Handler::Prot
        | Handler::Ccc
        | Handler::User
        | Handler::Pass
        | Handler::Acct
        | Handler::Host
        | Handler::Quit
        | Handler::Feat
        | Handler::Opts
        | Handler::Help
        | Handler::Syst
        | Handler::Noop
        | Handler::Stat
        | Handler::Passive(_)
        | Handler::Active(_)
        | Handler::Transfer(_)
        | Handler::Rest
        | Handler::Abor
        | Handler::RenameFrom
        | Handler::RenameTo
        | Handler::Change
        | Handler::Directory
        | Handler::Forward => None,
    }
}

impl Session {
    pub(super) fn run_before_login(&mut self, command: Command, now: Now) {
        match handler(command.verb()) {
            Handler::Auth => self.run_auth(&command),
            Handler::Pbsz => self.run_pbsz(&command),
            Handler::Prot => self.run_prot(&command),
            Handler::Ccc => self.run_ccc(&command),
            Handler::User => self.run_user(command, now),
            Handler::Pass => self.run_pass(command, now),
            Handler::Acct => self.run_acct(command, now),
            Handler::Host => self.run_host(&command),
            Handler::Quit => self.run_quit(),
            Handler::Feat => {
                let reply = self.compose_features(&self.client.features);
                self.answer(Verb::Feat, reply);
            }
            Handler::Opts => self.run_opts_before_login(&command),
            Handler::Help => {
                let reply = command.argument().map_or_else(answers::help, answers::help_on);
                self.answer(Verb::Help, reply);
            }
            Handler::Syst => self.answer(Verb::Syst, Reply::new(215, "UNIX Type: L8")),
            Handler::Noop => self.answer(Verb::Noop, Reply::new(200, "OK")),
            Handler::Refused => self.refuse(&command, answers::not_offered(command.verb())),
            Handler::Stat
            | Handler::Parameter(_)
            | Handler::Passive(_)
            | Handler::Active(_)
            | Handler::Transfer(_)
            | Handler::Rest
            | Handler::Abor
            | Handler::RenameFrom
            | Handler::RenameTo
            | Handler::Change
            | Handler::Directory
            | Handler::Forward => self.refuse(&command, answers::log_in_first()),
        }
    }

    pub(super) fn run_logged_in(&mut self, command: Command, now: Now) {
        if self.epsv_only && matches!(command.verb(), Verb::Pasv | Verb::Port | Verb::Eprt) {
            return self.answer(command.verb(), Reply::new(503, "Only EPSV is allowed after EPSV ALL."));
        }
        let is_copied = self.rename_from.as_ref().is_some_and(|held| held.verb() == Verb::Site);
        let goes_on =
            matches!(command.verb(), Verb::Rnto | Verb::Noop) || (is_copied && is_second_half(&command));
        if !goes_on {
            // RFC 959 §4.1.3: RNTO follows at once. Sent later, a held RNFR could mean another directory's file.
            self.rename_from = None;
        }
        let Some(command) = self.prepare_view(command, now) else { return };
        match handler(command.verb()) {
            Handler::Auth => self.run_auth(&command),
            Handler::Pbsz => self.run_pbsz(&command),
            Handler::Prot => self.run_prot(&command),
            Handler::Ccc => self.run_ccc(&command),
            Handler::User => self.answer(Verb::User, Reply::new(503, "You are logged in already.")),
            Handler::Pass => self.run_pass(command, now),
            Handler::Acct => self.run_acct(command, now),
            Handler::Host => self.run_host(&command),
            Handler::Quit => self.run_quit(),
            Handler::Feat => {
                if self.permit(&command, now).is_some() {
                    self.send(command, Expecting::Features, now);
                }
            }
            Handler::Opts => self.run_opts(command, now),
            Handler::Stat if command.argument().is_none() => {
                let reply = answers::status(
                    self.user(),
                    self.client.address,
                    self.security.is_secure(),
                    self.security.protection(),
                    self.upstream_settings(),
                );
                self.answer(Verb::Stat, reply);
            }
            Handler::Parameter(judge) => self.run_parameter(judge, command, now),
            Handler::Passive(style) => self.run_passive(style, &command, now),
            Handler::Active(parse) => self.run_active(parse, &command, now),
            Handler::Transfer(direction) => self.run_transfer(command, direction, now),
            Handler::Rest => self.run_rest(command, now),
            Handler::Abor => self.run_abor_at_rest(),
            Handler::RenameFrom => self.run_rename_from(command, now),
            Handler::RenameTo => self.run_rename_to(command, now),
            Handler::Change if self.view.is_some() => {
                self.begin_errand(command, None, Then::Enter, now);
            }
            Handler::Directory if self.view.is_some() => self.answer_directory(&command, now),
            Handler::Help
            | Handler::Syst
            | Handler::Noop
            | Handler::Stat
            | Handler::Change
            | Handler::Directory
            | Handler::Forward => {
                self.forward(command, now);
            }
            Handler::Refused => self.refuse(&command, answers::not_offered(command.verb())),
        }
    }

    fn run_quit(&mut self) {
        self.answer(Verb::Quit, Reply::new(221, "Goodbye."));
        self.close(CloseReason::Quit, None);
    }

    /// Asks the backend, if policy allows it.
    pub(super) fn forward(&mut self, command: Command, now: Now) {
        if self.view.is_some() && does_something(&command) {
            return self.run_on_paths(command, now);
        }
        if self.permit(&command, now).is_some() {
            let verb = command.verb();
            if verb == Verb::Allo {
                self.announced = parameter::announced_bytes(command.argument_or_empty());
            }
            self.note_command(&command);
            self.send(command, Expecting::Forwarded(verb), now);
        }
    }

    /// A command that does something to files, where it counts to which.
    fn run_on_paths(&mut self, command: Command, now: Now) {
        match (command.verb(), command.subcommand().as_deref()) {
            (Verb::Site, Some("CPFR")) if command.argument().is_some_and(|words| words.contains(&b' ')) => {
                self.run_rename_from(command, now);
            }
            (Verb::Site, Some("CPTO")) => self.run_rename_to(command, now),
            (_verb, _subcommand) => self.begin_errand(command, None, Then::Forward, now),
        }
    }

    pub(super) fn handle_forwarded(&mut self, verb: Verb, reply: Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            // Slow commands of some servers announce themselves; the final reply is what counts.
            return self.expect_more(Expecting::Forwarded(verb), now);
        }
        self.note_reply(&reply);
        self.reckon(&reply);
        self.answer(verb, reply);
    }

    fn run_parameter(&mut self, judge: fn(&[u8]) -> Parameter, command: Command, now: Now) {
        match judge(command.argument_or_empty()) {
            Parameter::Forward => self.forward(command, now),
            Parameter::Unsupported => {
                let reply = answers::unsupported_argument(command.verb());
                self.answer(command.verb(), reply);
            }
            Parameter::Malformed => {
                let reply = answers::bad_argument(command.verb());
                self.answer(command.verb(), reply);
            }
        }
    }

    fn run_opts_before_login(&mut self, command: &Command) {
        let is_utf8_on = command.argument_or_empty().eq_ignore_ascii_case(b"UTF8 ON");
        let reply = if is_utf8_on && self.client.features.has("UTF8") {
            self.utf8_promised = true;
            Reply::new(200, "UTF8 will be on.")
        } else {
            Reply::new(501, "Only OPTS UTF8 ON is understood before login.")
        };
        self.answer(Verb::Opts, reply);
    }

    fn run_opts(&mut self, command: Command, now: Now) {
        match command.subcommand().as_deref() {
            Some("UTF8" | "MLST" | "MLSD" | "HASH") => self.forward(command, now),
            Some(_) => self.answer(Verb::Opts, answers::unsupported_argument(Verb::Opts)),
            None => self.answer(Verb::Opts, answers::bad_argument(Verb::Opts)),
        }
    }

    pub(super) fn handle_features(&mut self, reply: Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Features, now);
        }
        let features = FeatureSet::parse(&reply);
        let composed = self.compose_features(&features);
        self.facts.push_back(Fact::BackendFeatures(features));
        self.answer(Verb::Feat, composed);
    }

    fn compose_features(&self, backend: &FeatureSet) -> Reply {
        let mut own = vec!["EPSV", "HOST"];
        if self.settings.mode != Mode::Plain {
            own.extend(["AUTH TLS", "PBSZ", "PROT"]);
        }
        if self.settings.active {
            own.push("EPRT");
        }
        features::compose(&own, backend)
    }

    pub(super) fn offers_tls(&self) -> bool {
        match self.settings.mode {
            Mode::Explicit | Mode::Implicit => true,
            Mode::Plain => false,
        }
    }

    /// RNFR is held: sent alone, a second one would leave two servers with two opinions.
    fn run_rename_from(&mut self, command: Command, now: Now) {
        if self.permit(&command, now).is_some() {
            let verb = command.verb();
            let next = if verb == Verb::Site { "SITE CPTO" } else { "RNTO" };
            self.rename_from = Some(Box::new(command));
            self.answer(verb, Reply::new(350, format!("Ready for {next}.")));
        }
    }

    fn run_rename_to(&mut self, command: Command, now: Now) {
        let held = self
            .rename_from
            .take()
            .filter(|held| (held.verb() == Verb::Site) == (command.verb() == Verb::Site));
        let Some(rename_from) = held.map(|held| *held) else {
            let verb = command.verb();
            let text = if verb == Verb::Site {
                "SITE CPFR comes before SITE CPTO."
            } else {
                "RNFR comes before RNTO."
            };
            return self.answer(verb, Reply::new(503, text));
        };
        if self.view.is_some() {
            return self.begin_errand(command, Some(rename_from), Then::Pair, now);
        }
        let items = self.items(&Deed::of(&command, self.context(Some(&rename_from))));
        if self.permit_items(&command, &items, now).is_some() {
            self.send(rename_from, Expecting::RenameFrom { rename_to: command }, now);
        }
    }

    pub(super) fn handle_rename_from(&mut self, rename_to: Command, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::RenameFrom { rename_to }, now),
            Kind::Intermediate => {
                let verb = rename_to.verb();
                self.send(rename_to, Expecting::Forwarded(verb), now);
            }
            Kind::TransientFailure | Kind::PermanentFailure => self.answer(rename_to.verb(), reply),
            // A rename that is over before it began: nothing was renamed.
            Kind::Completion => {
                let first = if rename_to.verb() == Verb::Rnto { "RNFR" } else { "CPFR" };
                let reply = Reply::new(550, format!("The server did not accept {first}."));
                self.answer(rename_to.verb(), reply);
            }
        }
    }

    /// REST is held, and sent right before its transfer command.
    fn run_rest(&mut self, command: Command, now: Now) {
        if self.permit(&command, now).is_none() {
            return;
        }
        let Some(offset) = parameter::parse_rest(command.argument_or_empty()) else {
            return self.answer(Verb::Rest, answers::bad_argument(Verb::Rest));
        };
        // REST 0 is no restart: lftp says it before STOR, and servers refuse that.
        self.restart = (offset > 0).then(|| Box::new(command));
        self.answer(Verb::Rest, Reply::new(350, format!("Restarting at {offset}.")));
    }

    fn run_abor_at_rest(&mut self) {
        if self.transfer.take_setup() {
            self.actions.push_back(Action::DiscardData);
        }
        self.answer(Verb::Abor, Reply::new(226, "No transfer to abort."));
    }
}

/// SITE CPTO: what SITE CPFR named is held for it.
fn is_second_half(command: &Command) -> bool {
    command.verb() == Verb::Site && command.subcommand().as_deref() == Some("CPTO")
}

/// Whether a command carries operations.
fn does_something(command: &Command) -> bool {
    !Deed::of(command, Context::default()).objects.is_empty()
}
