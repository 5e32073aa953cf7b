//! `[[group]]` and `[[rule]]`, each key on its own.

use ftpsgate_ftp::codec::Verb;
use ftpsgate_policies::Operation;
use ftpsgate_policies::hours::Hours;
use ftpsgate_policies::pattern::PathPattern;
use ftpsgate_policies::rule::{Action, CommandName, Group, Matchers, Rule, RuleReply, Schedule};

use super::super::diagnostic::Span;
use super::super::document::{Basis, Located, Origin};
use super::super::route::{list, values};
use super::super::spelling::nearest;
use super::super::syntax::{self, SyntaxError, quoted};
use super::super::table::Table;
use super::super::value::{choice, parsed, size};
use super::who::{self, NAME, USER, Who};
use super::{origin, zones};

/// A group, with the places that checks refer to.
pub(super) struct GroupDraft {
    pub(super) name: Located<Option<String>>,
    /// `None`: something is wrong with it.
    pub(super) group: Option<Group>,
}

/// A rule, with the places that checks refer to.
pub(super) struct RuleDraft {
    pub(super) span: Span,
    pub(super) name: Located<Option<String>>,
    pub(super) who: Who,
    pub(super) paths: Span,
    pub(super) operations: Span,
    /// `None`: something is wrong with it.
    pub(super) rule: Option<Rule>,
}

pub(super) fn group(table: &Table<'_>) -> GroupDraft {
    let mut is_sound = true;
    let name = table.required("name", NAME);
    let users = values(list(table, "users", USER, &mut is_sound));
    let from = values(list(table, "from", |value, kind| parsed(value, kind, syntax::network), &mut is_sound));
    if !table.has("users") && !table.has("from") {
        table.document.error(
            Basis::Whole,
            &table.span,
            "this [[group]] has neither `users` nor `from`",
            "write who is in it: `users = [\"acme-*\"]`",
        );
        is_sound = false;
    }
    let group = name.value.clone().filter(|_| is_sound).map(|name| Group {
        name,
        origin: origin(&table.document.source, &table.span),
        users,
        from,
    });
    GroupDraft { name, group }
}

pub(super) fn rule(table: &Table<'_>) -> RuleDraft {
    let mut is_sound = true;
    let name = table.required("name", |value, kind| parsed(value, kind, title));
    let who = who::who(table);
    let larger_than = table.optional("larger_than", size);
    let (hours, hours_are_sound) = schedule(table);
    let action = table.required("action", choice);
    let mode = table.read("mode", choice);
    let reply = reply(table, action.value);
    let matchers = Matchers {
        operations: values(list::<Operation>(table, "operations", choice, &mut is_sound)),
        commands: values(list(table, "commands", |value, kind| parsed(value, kind, command), &mut is_sound)),
        paths: values(list(table, "paths", |value, kind| parsed(value, kind, path), &mut is_sound)),
        larger_than_bytes: larger_than.value,
        hours,
        ..who.matchers.clone()
    };
    is_sound &=
        hours_are_sound && who.is_sound && larger_than.is_sound() && mode.is_sound() && reply.is_sound();
    let rule = match (&name.value, action.value) {
        (Some(name), Some(action)) if is_sound => Some(Rule {
            name: name.clone(),
            origin: origin(&table.document.source, &table.span),
            matchers,
            action,
            mode: mode.value,
            reply: reply.value,
        }),
        (Some(_) | None, Some(_) | None) => None,
    };
    RuleDraft {
        span: table.span.clone(),
        name,
        who,
        paths: table.span_of("paths"),
        operations: table.span_of("operations"),
        rule,
    }
}

/// `hours` and `timezone`, and whether they could be read.
fn schedule(table: &Table<'_>) -> (Option<Schedule>, bool) {
    let hours = table.optional("hours", |value, kind| {
        parsed(value, kind, |text| {
            Hours::parse(text).map_err(|error| {
                let hint =
                    "days such as Mon, Mon-Fri or Sat,Sun, times such as 07:00-19:00, stretches apart by `;`";
                SyntaxError::new(error.to_string(), hint)
            })
        })
    });
    let timezone = table.optional("timezone", |value, kind| parsed(value, kind, zones::timezone));
    if timezone.is_written() && !table.has("hours") {
        table.document.error(
            Basis::Whole,
            &timezone.span,
            "`timezone` has no effect without `hours`",
            "write when the rule holds: `hours = \"Mon-Fri 07:00-19:00\"`",
        );
    }
    let is_sound = hours.is_sound() && timezone.is_sound();
    let schedule = hours.value.map(|hours| Schedule {
        hours,
        timezone: timezone.value.unwrap_or_else(|| zones::SYSTEM.to_owned()),
    });
    (schedule, is_sound)
}

fn reply(table: &Table<'_>, action: Option<Action>) -> Located<Option<RuleReply>> {
    let mut reply = table.optional("reply", |value, kind| {
        parsed(value, kind, |text| {
            RuleReply::parse(text).map_err(|error| {
                SyntaxError::new(
                    format!("{} is not a reply: {error}", quoted(text)),
                    "write for example \"550 Reports only\"",
                )
            })
        })
    });
    if reply.is_written() && action == Some(Action::Allow) {
        table.document.error(
            Basis::Whole,
            &reply.span,
            "only a rule that denies has a `reply`",
            "remove it: what is allowed is answered by the server",
        );
        reply.origin = Origin::Faulty;
    }
    reply
}

/// Reads the name of a rule.
fn title(text: &str) -> Result<String, SyntaxError> {
    if text == DEFAULT {
        return Err(SyntaxError::new(
            "no rule can be called `default`",
            "so [[test]] calls what holds without a rule",
        ));
    }
    who::title(text)
}

/// Reads a command; an alias becomes the name under which requests are judged.
fn command(text: &str) -> Result<CommandName, SyntaxError> {
    let (verb, subcommand) = text.split_once(' ').map_or((text, None), |(verb, word)| (verb, Some(word)));
    let Some(known) = Verb::find(verb.as_bytes()) else {
        let verbs = Verb::ALL.iter().map(|verb| verb.name());
        let hint = match nearest(&verb.to_ascii_uppercase(), verbs) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => "no client can send it: other commands get 500".to_owned(),
        };
        return Err(SyntaxError::new(format!("{} is not a command", quoted(verb)), hint));
    };
    if matches!(
        known,
        Verb::Auth | Verb::Pbsz | Verb::Prot | Verb::Ccc | Verb::Host | Verb::Quit | Verb::Abor
    ) {
        return Err(SyntaxError::new(
            format!("{} is answered by the gateway itself: no rule is asked", known.name()),
            "what a listener demands of TLS is said by `require_tls`",
        ));
    }
    match (known, subcommand) {
        (_, None) | (Verb::Site | Verb::Opts, Some(_)) => {}
        (_, Some(_)) => {
            return Err(SyntaxError::new(
                format!("{} has no commands of its own", known.name()),
                format!("write \"{}\"; what it is done to belongs into `paths`", known.name()),
            ));
        }
    }
    let name = subcommand.map_or_else(|| known.name().to_owned(), |word| format!("{} {word}", known.name()));
    CommandName::parse(&name).map_err(|error| {
        SyntaxError::new(
            format!("{} is not a command: {error}", quoted(text)),
            "write for example \"SITE CHMOD\"",
        )
    })
}

fn path(text: &str) -> Result<PathPattern, SyntaxError> {
    PathPattern::parse(text).map_err(|error| {
        SyntaxError::new(
            format!("{} is not a pattern: {error}", quoted(text)),
            "write for example \"/in/*.csv\", \"/reports/**\", \"/home/$user/**\" or \"**/*.exe\"",
        )
    })
}

/// How a [[test]] calls what holds where no rule matches.
pub(super) const DEFAULT: &str = "default";
