//! Where limits decide how a session goes on: whether a password may be tried, whether a user may have one more
//! session, and when a client learns that its login failed.
//!
//! Nothing is counted here. The driver answers from what all sessions share, at once.

use crate::codec::{Command, Reply};

use super::Session;
use super::answers;
use super::event::{Action, CloseReason, Fact, Now};
use super::state::{Expecting, Phase};
use super::timers::Timer;

impl Session {
    /// Asks whether this password may be tried.
    pub(super) fn ask_login(&mut self, password: Command, now: Now) {
        self.login_asked_at = now.monotonic;
        self.expecting = Expecting::Verdict { password };
        self.actions.push_back(Action::JudgeLogin);
    }

    /// The answer to [`Action::JudgeLogin`]: the name of the limit that has locked the client or the user out, if one
    /// has. Then the backend hears nothing, and the client what it hears of a wrong password.
    pub fn handle_login_judged(&mut self, locked_by: Option<String>, now: Now) {
        let expecting = std::mem::replace(&mut self.expecting, Expecting::Nothing);
        let Expecting::Verdict { password } = expecting else {
            self.expecting = expecting;
            return;
        };
        match locked_by {
            None => {
                self.phase = Phase::UpstreamPassword;
                self.note_command(&password);
                self.send(password, Expecting::Password, now);
            }
            Some(limit) => {
                let reply = Reply::new(530, "Login incorrect.");
                self.note_limit(limit.clone());
                let user = self.subject.user.take();
                self.note_failed_login(user.as_ref());
                self.facts.push_back(Fact::LockedOut { user, limit, code: reply.code().value() });
                self.refuse_login(reply, now);
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
