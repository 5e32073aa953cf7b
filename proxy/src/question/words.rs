//! An answer for people, and for programs: the decision first, then who decided, then why.

use std::fmt::Write;

use ftpsgate_ftp::session::Place;
use ftpsgate_policies::explain::{AccessExplanation, Because};
use ftpsgate_policies::rule::Action;
use ftpsgate_policies::{CanonicalPath, Operation, RuleRef};
use serde_json::{Value, json};

use super::reasons::{Judged, JudgedAccess, Mismatch, shown_tls};
use super::{Answer, Cause, shown};

impl Answer {
    /// For people.
    pub fn render(&self) -> String {
        let word = word_of(self.action(), "allowed", "denied");
        let mut lines = vec![format!("{word}: {}", self.command)];
        if let Some(command) = &self.stopped_at {
            lines.push(format!("  it does not come to that: {command} is refused"));
        }
        lines.push(format!("  {}", self.said_cause()));
        lines.push(format!("  {}", self.said_reply()));
        lines.push(format!("  asked by {}", self.said_subject()));
        for (command, reply) in &self.refused_before {
            lines.push(format!("  before it, {command} is refused: {reply}"));
        }
        if let Some(judged) = &self.judged {
            lines.extend(said_reasons(judged));
        }
        for assumption in &self.assumptions {
            lines.push(format!("  assuming: {assumption}"));
        }
        let mut text = String::new();
        for line in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn said_reply(&self) -> String {
        match &self.reply {
            Some((code, text)) => format!("reply: {code} {text}"),
            None if self.is_allowed => "reply: the server's".to_owned(),
            None => "reply: none; the connection is closed".to_owned(),
        }
    }

    fn said_cause(&self) -> String {
        let word = word_of(self.action(), "allowed", "denied");
        let only_access = self.judged.as_ref().and_then(|judged| judged.accesses.first());
        match (&self.cause, only_access) {
            (Cause::Rule(rule), _) => format!("{word} by rule `{}` ({})", rule.name(), rule.origin()),
            (Cause::Default, Some(access)) => without_rule(&access.explanation, word),
            (Cause::Default, None) => format!("{word} by default, for no rule matches"),
            (Cause::Below(path), _) => {
                format!("denied, for not all that {path} could hold may be touched")
            }
            (Cause::Gateway, _) if self.is_allowed => "policy is not asked about this".to_owned(),
            (Cause::Gateway, _) => "not by policy, but by the gateway itself".to_owned(),
            (Cause::Handshake(why), _) => format!("the TLS handshake fails: {why}"),
        }
    }

    fn said_subject(&self) -> String {
        let subject = &self.subject;
        let user = subject.user.as_deref().map_or_else(|| "nobody yet".to_owned(), shown);
        let mut text = format!(
            "{user} from {}, listener {}, {}",
            subject.address,
            subject.listener,
            shown_tls(subject.tls)
        );
        let mut add = |part: Option<String>| {
            text.extend(part.into_iter().flat_map(|part| [", ".to_owned(), part]));
        };
        add((!subject.backend.is_empty()).then(|| format!("backend {}", subject.backend)));
        add(self.server.as_ref().map(|server| format!("server {server}")));
        add(self.server_user.as_ref().map(|user| format!("there known as {user}")));
        add(self.directory.as_ref().map(|directory| format!("in {directory}")));
        text
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let by = match &self.cause {
            Cause::Rule(_) => "rule",
            Cause::Default => "default",
            Cause::Below(_) => "below",
            Cause::Gateway => "gateway",
            Cause::Handshake(_) => "handshake",
        };
        let refused = |(command, reply): &(String, String)| json!({ "command": command, "reply": reply });
        let mut json = json!({
            "decision": word_of(self.action(), "allow", "deny"),
            "command": self.command,
            "by": by,
            "rule": self.rule().map(rule_json),
            "code": self.reply.as_ref().map(|(code, _)| code),
            "reply": self.reply.as_ref().map(|(code, text)| format!("{code} {text}")),
            "refused_at": self.stopped_at,
            "user": self.subject.user.as_deref().map(shown),
            "from": self.subject.address,
            "listener": self.subject.listener,
            "tls": self.subject.tls.map(|tls| shown_tls(Some(tls)).trim_start_matches("TLS ")),
            "backend": (!self.subject.backend.is_empty()).then_some(&self.subject.backend),
            "server": self.server,
            "server_user": self.server_user,
            "directory": self.directory,
            "refused_before": self.refused_before.iter().map(refused).collect::<Vec<_>>(),
            "assuming": self.assumptions,
        });
        if let Cause::Handshake(why) = &self.cause {
            json["reason"] = (*why).into();
        }
        if let Some(judged) = &self.judged {
            json["observed"] = judged.is_observed.into();
            json["accesses"] = judged.accesses.iter().map(access_json).collect();
            if let Some((path, operation)) = &judged.below {
                json["below"] = json!({ "path": path.as_str(), "operation": operation.name() });
            }
        }
        json
    }
}

fn said_reasons(judged: &Judged) -> Vec<String> {
    let mut lines = Vec::new();
    for access in &judged.accesses {
        lines.push(format!("  {}: {}", described(access), verdict(&access.explanation)));
        for (passed, mismatch) in access.explanation.passed.iter().zip(&access.mismatches) {
            let why = why(passed.because, mismatch.as_ref());
            lines.push(format!("    not by rule `{}` ({}): {why}", passed.rule.name(), passed.rule.origin()));
        }
    }
    if judged.is_observed {
        lines.push("  the policy is under observation: the denial is recorded, and not enforced".to_owned());
    }
    if let Some((path, operation)) = &judged.below {
        lines.push(format!("  {} of everything below {path}: not allowed alike", operation.name()));
    }
    lines
}

fn described(access: &JudgedAccess) -> String {
    let Some(operation) = access.explanation.operation else { return "no operation".to_owned() };
    match &access.place {
        Some(Place::Here(path) | Place::Path(path)) => format!("{} {path}", operation.name()),
        Some(Place::Unresolved(Some(error))) => format!("{} ({error})", operation.name()),
        Some(Place::Unresolved(None)) => format!("{} (of what cannot be told)", operation.name()),
        Some(Place::Nothing) | None => operation.name().to_owned(),
    }
}

fn verdict(access: &AccessExplanation) -> String {
    let word = word_of(access.action, "allowed", "denied");
    match &access.rule {
        Some(rule) if access.is_implied => {
            format!("{word} by rule `{}` ({}), whose paths lie below", rule.name(), rule.origin())
        }
        Some(rule) => format!("{word} by rule `{}` ({})", rule.name(), rule.origin()),
        None => without_rule(access, word),
    }
}

fn without_rule(access: &AccessExplanation, word: &str) -> String {
    if access.operation.is_none_or(Operation::is_admission) {
        format!("{word}, for no rule names it")
    } else {
        format!("{word} by default, for no rule matches")
    }
}

fn why(because: Because, mismatch: Option<&Mismatch>) -> String {
    match (because, mismatch) {
        (Because::Mismatch(_), Some(Mismatch { asks, found })) => format!("{asks}; here it is {found}"),
        (Because::Mismatch(matcher), None) => format!("`{matcher}` does not match"),
        (Because::Observed(Action::Allow), _) => "would allow it, but is under observation".to_owned(),
        (Because::Observed(Action::Deny), _) => "would deny it, but is under observation".to_owned(),
    }
}

fn rule_json(rule: &RuleRef) -> Value {
    json!({ "name": rule.name(), "file": &*rule.origin().file, "line": rule.origin().line })
}

fn access_json(access: &JudgedAccess) -> Value {
    let explanation = &access.explanation;
    let passed = explanation.passed.iter().zip(&access.mismatches).map(|(passed, mismatch)| {
        let mut json = rule_json(&passed.rule);
        match passed.because {
            Because::Mismatch(matcher) => json["failed"] = matcher.name().into(),
            Because::Observed(action) => json["observed"] = word_of(action, "allow", "deny").into(),
        }
        if let Some(Mismatch { asks, found }) = mismatch {
            json["asks"] = asks.as_str().into();
            json["found"] = found.as_str().into();
        }
        json
    });
    json!({
        "operation": explanation.operation.map(Operation::name),
        "path": access.place.as_ref().and_then(Place::path).map(CanonicalPath::as_str),
        "decision": word_of(explanation.action, "allow", "deny"),
        "rule": explanation.rule.as_ref().map(rule_json),
        "implied": explanation.is_implied,
        "passed": passed.collect::<Vec<_>>(),
    })
}

fn word_of(action: Action, allow: &'static str, deny: &'static str) -> &'static str {
    match action {
        Action::Allow => allow,
        Action::Deny => deny,
    }
}
