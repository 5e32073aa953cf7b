//! What a client is to do: steps in order, all of them decided before the first byte is sent.
//!
//! RFC 959 §5.4 (sequences), RFC 4217 §4 and §9 (AUTH, PBSZ, PROT), RFC 2428 (EPSV).

use std::collections::VecDeque;

use crate::codec::{Command, Protection, Verb};

/// The steps of one session, first to last. The greeting is awaited before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    steps: VecDeque<Step>,
}

impl Plan {
    /// No steps: a plan that ends with a good greeting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a command that must be answered with 2yz or 3yz: CWD, PWD, MKD, RMD, DELE, TYPE, RNFR, ….
    #[must_use]
    pub fn command(self, command: Command) -> Self {
        self.then(Step::Command(command))
    }

    /// Sends a command whose refusal is an answer, too: FEAT, SYST, OPTS, ….
    #[must_use]
    pub fn ask(self, command: Command) -> Self {
        self.then(Step::Question(command))
    }

    /// AUTH TLS and the handshake. It is never left out: a server that refuses ends the plan (RFC 4217 §4).
    #[must_use]
    pub fn secure(self) -> Self {
        self.then(Step::Secure)
    }

    /// PBSZ 0 and PROT: how data connections are protected from here on; without this step they are clear.
    #[must_use]
    pub fn protect(self, protection: Protection) -> Self {
        self.then(Step::Protect(protection))
    }

    /// USER, then PASS and ACCT as far as the server asks for them.
    #[must_use]
    pub fn login(self, login: Login) -> Self {
        self.then(Step::Login(login))
    }

    /// A passive data connection, and a command that makes the server write to it: RETR, LIST, NLST, MLSD.
    #[must_use]
    pub fn download(self, command: Command) -> Self {
        self.then(Step::Transfer(Transfer { command, direction: Direction::Download }))
    }

    /// A passive data connection, and a command that makes the server read from it: STOR, APPE, STOU.
    #[must_use]
    pub fn upload(self, command: Command) -> Self {
        self.then(Step::Transfer(Transfer { command, direction: Direction::Upload }))
    }

    /// QUIT; a server that closes without answering it has answered.
    #[must_use]
    pub fn quit(self) -> Self {
        self.then(Step::Quit)
    }

    /// What a gateway asks each backend at start: greeting, FEAT, QUIT.
    pub fn features() -> Self {
        Self::new().ask(Command::bare(Verb::Feat)).quit()
    }

    pub(super) fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

/// One step of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Command(Command),
    Question(Command),
    Secure,
    Protect(Protection),
    Login(Login),
    Transfer(Transfer),
    Quit,
}

/// A command that moves data, and where the data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) command: Command,
    pub(super) direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Download,
    Upload,
}

/// Who logs in. The secrets are wiped when dropped and `Debug` hides them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub(super) user: Command,
    pub(super) password: Command,
    pub(super) account: Option<Command>,
}

impl Login {
    /// A user and a password, which may be empty. `None` where one of them cannot be sent in one line: the user is
    /// empty, or either has a CR, LF or NUL.
    pub fn new(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Option<Self> {
        let password = match password.as_ref() {
            [] => Command::bare(Verb::Pass),
            bytes => Command::with(Verb::Pass, bytes)?,
        };
        Some(Self { user: Command::with(Verb::User, user)?, password, account: None })
    }

    /// What to answer if the server asks for an account (332). `None` as in [`Login::new`].
    pub fn with_account(mut self, account: impl AsRef<[u8]>) -> Option<Self> {
        self.account = Some(Command::with(Verb::Acct, account)?);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_cannot_smuggle_a_command() {
        assert_eq!(Login::new("", "x"), None);
        assert_eq!(Login::new("a\r\nDELE b", "x"), None);
        assert_eq!(Login::new("a", "x\nQUIT"), None);
        assert_eq!(Login::new("a", "").and_then(|login| login.with_account("\0")), None);
    }

    #[test]
    fn a_plan_does_not_show_its_secrets() {
        let login = Login::new("jo", "canary-1").and_then(|login| login.with_account("canary-2")).unwrap();
        let shown = format!("{:?}", Plan::new().login(login));
        assert!(shown.contains("USER jo") && !shown.contains("canary"), "{shown}");
    }
}
