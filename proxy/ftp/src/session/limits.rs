//! Where limits decide how a session goes on: whether a client or a user may have one more session, whether a password
//! may be tried and a transfer begun, and when a client learns that its login failed.
//!
//! Nothing is counted here. The driver answers from what all sessions share, at once.

use crate::codec::{Command, Reply};

use super::Session;
use super::answers;
use super::event::{Action, CloseReason, Fact, LoginVerdict, Now};
use super::settings::Mode;
use super::state::{Expecting, Phase, Tried};
use super::timers::Timer;
use super::transfer::{Running, Transfer};

impl Session {
    /// Asks whether a client whose TLS is known may stay.
    pub(super) fn ask_entrance(&mut self) {
        self.expecting = Expecting::Entrance;
        self.actions.push_back(Action::AdmitClient);
    }

    /// The answer to [`Action::AdmitClient`]: the name of the limit that is exceeded, if one is.
    pub fn handle_client_admitted(&mut self, refused_by: Option<String>, now: Now) {
        if !matches!(self.expecting, Expecting::Entrance) {
            return;
        }
        self.expecting = Expecting::Nothing;
        if let Some(limit) = refused_by {
            // No command is under way.
            self.facts.push_back(Fact::LimitExceeded { limit });
            return self.close(CloseReason::Limit, Some(answers::closing("Too many sessions")));
        }
        if self.settings.mode == Mode::Implicit {
            self.greet();
        }
        self.advance(now);
    }

    /// Asks whether this login may be tried.
    pub(super) fn ask_login(&mut self, tried: Tried, now: Now) {
        self.login_asked_at = now.monotonic;
        self.expecting = Expecting::Verdict { tried };
        self.actions.push_back(Action::JudgeLogin);
    }

    /// PASS or ACCT, which may be tried.
    pub(super) fn try_login(&mut self, command: Command, now: Now) {
        self.phase = Phase::UpstreamPassword;
        self.note_command(&command);
        self.send(command, Expecting::Password, now);
    }

    /// The answer to [`Action::JudgeLogin`]. Who is locked out hears what is said of a wrong password, and the backend
    /// nothing.
    pub fn handle_login_judged(&mut self, verdict: LoginVerdict, now: Now) {
        let expecting = std::mem::replace(&mut self.expecting, Expecting::Nothing);
        let Expecting::Verdict { tried } = expecting else {
            self.expecting = expecting;
            return;
        };
        match (verdict, tried) {
            (LoginVerdict::Try, Tried::Command(command)) => {
                self.is_login_judged = true;
                self.try_login(command, now);
            }
            (LoginVerdict::Try, Tried::Name(login)) => self.log_in(login, now),
            (LoginVerdict::LockedOut(limit), Tried::Name(_)) => {
                // The backend believes that somebody is logged in.
                self.note_limit(limit);
                return self.close(CloseReason::Limit, Some(answers::closing("Login incorrect")));
            }
            (LoginVerdict::LockedOut(limit), Tried::Command(_)) => {
                let reply = Reply::new(530, "Login incorrect.");
                self.note_limit(limit.clone());
                let user = self.subject.user.take();
                self.note_login_user(user.as_ref());
                self.note_failed_login();
                self.facts.push_back(Fact::LockedOut { user, limit, code: reply.code().value() });
                self.refuse_login(reply, now);
            }
            (LoginVerdict::TooMany(limit), _) => {
                self.note_limit(limit);
                return self.close(CloseReason::Limit, Some(answers::closing("Too many logins")));
            }
        }
        self.advance(now);
    }

    /// Asks whether the user whom the backend has accepted may have one more session.
    pub(super) fn ask_admission(&mut self, login: Reply) {
        self.expecting = Expecting::Admission { login };
        self.actions.push_back(Action::AdmitUser);
    }

    /// The answer to [`Action::AdmitUser`]: the name of the limit that is exceeded, if one is.
    pub fn handle_user_admitted(&mut self, refused_by: Option<String>, now: Now) {
        let expecting = std::mem::replace(&mut self.expecting, Expecting::Nothing);
        let Expecting::Admission { login } = expecting else {
            self.expecting = expecting;
            return;
        };
        match refused_by {
            None => {
                self.finish_login(login, now);
                self.advance(now);
            }
            Some(limit) => {
                self.note_limit(limit);
                self.close(CloseReason::Limit, Some(answers::closing("Too many sessions")));
            }
        }
    }

    /// Asks whether there may be one more transfer. Until that is known it waits as it would for the backend.
    pub(super) fn ask_transfer(&mut self, running: Running, now: Now) {
        match &mut self.transfer {
            Transfer::Setup(setup) => {
                setup.waiting = Some(running);
                self.actions.push_back(Action::AdmitTransfer);
            }
            // It fails without.
            Transfer::Idle
            | Transfer::Opening { .. }
            | Transfer::Relaying { .. }
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }
            | Transfer::Aborting(_) => self.open_transfer(running, now),
        }
    }

    /// The answer to [`Action::AdmitTransfer`]: the name of the limit that is exceeded, if one is.
    pub fn handle_transfer_admitted(&mut self, refused_by: Option<String>, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        let Some(running) = setup.waiting.take() else { return };
        let Some(limit) = refused_by else {
            self.open_transfer(running, now);
            return self.advance(now);
        };
        self.note_limit(limit);
        self.restart = None;
        self.transfer = Transfer::Idle;
        self.actions.push_back(Action::DiscardData);
        // RFC 959 has 450 for every transfer command. The session is not at fault, and logging in anew would not help.
        self.finish_transfer(running, Reply::new(450, "Too many transfers; try again later."), now);
        self.advance(now);
    }

    /// The client has given more commands than this limit allows.
    pub fn handle_limit_exceeded(&mut self, limit: String, now: Now) {
        if !self.is_closed() {
            self.facts.push_back(Fact::LimitExceeded { limit });
            self.fail_transfer(now);
            self.close(CloseReason::Limit, Some(answers::closing("Too many commands")));
        }
    }

    /// Tells the client that its login failed, no sooner than after the delay: whatever it took to find that out, and
    /// whether the name is known, is not to be measured.
    pub(super) fn refuse_login(&mut self, reply: Reply, now: Now) {
        let due = self.login_asked_at + self.settings.failed_login_delay;
        if due > now.monotonic {
            self.expecting = Expecting::Refusal { reply };
            self.timers.set(Timer::Refusal, due);
        } else {
            self.give_refusal(reply);
        }
    }

    /// The delay is over.
    pub(super) fn handle_refusal_due(&mut self, now: Now) {
        if let Expecting::Refusal { reply } = std::mem::replace(&mut self.expecting, Expecting::Nothing) {
            self.give_refusal(reply);
        }
        self.advance(now);
    }

    fn give_refusal(&mut self, reply: Reply) {
        self.forget_user();
        self.login_failures += 1;
        self.conclude(reply);
        if self.login_failures >= self.settings.login_attempts {
            let reply = answers::closing("Too many failed logins");
            self.close(CloseReason::LoginAttempts, Some(reply));
        }
    }
}
