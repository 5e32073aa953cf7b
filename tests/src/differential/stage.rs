//! A server, a gateway with one policy before it, and the judge of what a program of lines did.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::marks::Marks;
use super::rules::Rules;
use super::tree::{Change, Difference, Tree};
use super::visitor::{Answer, Visitor};
use crate::gateway::{CANARY, Gateway, GatewayOptions, ListenerOptions};
use crate::peers::servers::{Server, ServerKind, ServerTls};

/// Everything that one test needs.
#[derive(Debug)]
pub struct Stage {
    rules: Rules,
    /// Where the gateway listens: its log forgets that in the course of a long run.
    door: SocketAddr,
    _gateway: Gateway,
    server: Arc<Server>,
    tree: Tree,
    marks: Marks,
    /// A session that plays the next program.
    waiting: Option<Visitor>,
    has_failed: bool,
    /// What happened so far.
    pub tally: Tally,
}

/// Counts, to see that a test did not only run into refusals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines said.
    pub lines: usize,
    /// Lines with an answer 2yz, by verb.
    pub done: BTreeMap<String, usize>,
    /// Sessions that the gateway ended.
    pub ended: usize,
}

impl Stage {
    /// Starts a server of its own, since every test changes all of the tree.
    pub fn start(kind: ServerKind, rules: Rules) -> Self {
        let server = Arc::new(Server::start(kind, ServerTls::Off, CANARY));
        let tree = Tree::plant(server.root(), &rules);
        let options =
            GatewayOptions::new(server.address()).listener(ListenerOptions::plain("door")).extra(rules.toml);
        let gateway = Gateway::start(options);
        let door = gateway.address("door");
        Self {
            rules,
            door,
            _gateway: gateway,
            server,
            tree,
            marks: Marks::of(rules),
            waiting: None,
            has_failed: false,
            tally: Tally::default(),
        }
    }

    /// A session through the gateway.
    pub fn visitor(&self) -> Visitor {
        Visitor::log_in(self.door)
    }

    /// A session with the server itself.
    pub fn direct_visitor(&self) -> Visitor {
        Visitor::log_in(self.server.address())
    }

    /// Plays a program and judges it. A session plays several programs, one after the other from `/`; after the first
    /// failure each has a session of its own, so that the shortest program that fails does so by itself.
    ///
    /// # Errors
    ///
    /// What policy should have prevented, or what broke, with all that was said.
    pub fn play(&mut self, lines: &[String]) -> Result<Vec<Answer>, String> {
        let mut visitor = match self.waiting.take() {
            Some(visitor) => visitor,
            None => self.visitor(),
        };
        for line in ["CWD /", "TYPE A", "REST 0", "NOOP"] {
            visitor.say(line);
        }
        let answers: Vec<Answer> = lines.iter().map(|line| visitor.say(line)).collect();
        let judged = self.judge(lines, &answers, &mut visitor);
        self.has_failed |= judged.is_err();
        judged?;
        visitor.programs += 1;
        if visitor.programs < programs_per_session(self.server.kind())
            && visitor.is_open()
            && !self.has_failed
        {
            self.waiting = Some(visitor);
        } else {
            let left = visitor.leave().map_err(|problem| describe(&problem, lines, &answers));
            self.has_failed |= left.is_err();
            left?;
        }
        Ok(answers)
    }

    /// Judges what a session has said since it was judged last, and puts the tree back; whether a directory was put
    /// back, in which the session could be.
    ///
    /// # Errors
    ///
    /// As [`Stage::play`].
    pub fn judge(
        &mut self,
        lines: &[String],
        answers: &[Answer],
        visitor: &mut Visitor,
    ) -> Result<bool, String> {
        self.tally.count(lines, answers);
        let received = visitor.take_received();
        let leak = self.marks.leak(&received).map(|what| format!("{what} was shown"));
        let differences = self.tree.differences();
        let mut changes = differences.iter().filter_map(|difference| {
            let (path, is_directory) = (&difference.path, difference.is_directory);
            let is_allowed = match difference.change {
                Change::Appeared => self.rules.may_appear(path, is_directory),
                Change::Vanished => self.rules.may_vanish(path, is_directory),
                Change::Changed => self.rules.may_change(path, is_directory),
            };
            (!is_allowed).then(|| format!("{path}: {:?}", difference.change))
        });
        let problem = leak.or_else(|| changes.next());
        if !differences.is_empty() {
            self.tree.restore();
        }
        let is_lost =
            |difference: &Difference| difference.is_directory && difference.change == Change::Vanished;
        match problem {
            None => Ok(differences.iter().any(is_lost)),
            Some(problem) => {
                let shown: Vec<u8> = received.iter().copied().filter(|&byte| byte != 0).take(2000).collect();
                let received = String::from_utf8_lossy(&shown);
                let problem = format!("{} on {}: {problem}", self.rules.name, self.server.kind());
                Err(format!("{}\nreceived:\n{received}", describe(&problem, lines, answers)))
            }
        }
    }

    /// The policy.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Plays a program twice, with the server itself and through the gateway, and compares.
    ///
    /// # Errors
    ///
    /// What is different.
    pub fn compare(&mut self, lines: &[String]) -> Result<(), String> {
        let mut outcomes = Vec::new();
        for mut visitor in [self.direct_visitor(), self.visitor()] {
            let mut answers: Vec<Answer> = lines.iter().map(|line| visitor.say(line)).collect();
            visitor.leave()?;
            for (line, answer) in lines.iter().zip(&mut answers) {
                answer.generalise(line);
            }
            outcomes.push((answers, self.take_changes()));
        }
        if outcomes[0] == outcomes[1] {
            return Ok(());
        }
        Err(format!("{} itself, and through the gateway: {lines:?}\n{outcomes:#?}", self.server.kind()))
    }

    /// What stands in the tree now, for comparisons; then it is put back.
    pub fn take_changes(&mut self) -> Vec<Difference> {
        let differences = self.tree.differences();
        if !differences.is_empty() {
            self.tree.restore();
        }
        differences
    }
}

impl Tally {
    fn count(&mut self, lines: &[String], answers: &[Answer]) {
        for (line, answer) in lines.iter().zip(answers) {
            let verb = line.split(' ').next().unwrap_or_default();
            self.lines += 1;
            if answer.code.is_some_and(|code| (200..300).contains(&code)) {
                *self.done.entry(verb.to_owned()).or_default() += 1;
            }
        }
        self.ended +=
            usize::from(answers.iter().any(|answer| answer.code.is_none() || answer.code == Some(421)));
    }
}

/// ProFTPD takes up to 400 ms to accept a session; Pure-FTPd answers each further CWD that fails 100 ms later.
fn programs_per_session(kind: ServerKind) -> usize {
    match kind {
        ServerKind::Vsftpd | ServerKind::ProFtpd => 20,
        ServerKind::PureFtpd => 2,
    }
}

fn describe(problem: &str, lines: &[String], answers: &[Answer]) -> String {
    let mut text = problem.to_owned();
    for (line, answer) in lines.iter().zip(answers) {
        let code = answer.code.map_or_else(|| "(end)".to_owned(), |code| code.to_string());
        text.push_str(&format!("\n  > {line}\n  < {code}"));
    }
    text
}
