//! What a replay found, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::change::{Change, Explain};
use super::judge::Doubt;
use super::tally::{Changes, Counts, OfUser, Tally};

/// What was counted, and how much of it is shown.
pub(super) struct Report<'a> {
    pub(super) tally: &'a Tally,
    pub(super) explain: Explain<'a>,
    /// Rows of each table.
    pub(super) rows_max: usize,
    pub(super) enforces_observed: bool,
}

impl Report<'_> {
    /// The headline, the tables, the first changes, and what can be asked next.
    pub(super) fn render(&self) -> String {
        let tally = self.tally;
        let mut text = String::new();
        let _ = self.write_headline(&mut text);
        let kinds = [
            ("newly denied", &tally.denied),
            ("newly allowed", &tally.allowed),
            ("cannot be told", &tally.untold),
        ];
        for (title, changes) in kinds {
            let rows = changes.causes.sorted(|&count| count);
            let named = rows.iter().map(|((was, becomes), count)| (**count, format!("{was} -> {becomes}")));
            self.write_rows(&mut text, &format!("{title}, by rule"), named.collect(), changes.causes.others);
        }
        self.write_users(&mut text);
        for (title, changes) in kinds {
            self.write_first(&mut text, title, changes);
        }
        let changes = tally.denied.first.iter().chain(&tally.allowed.first);
        if let Some(command) = changes.chain(&tally.untold.first).find_map(|one| self.explain.command(one)) {
            let _ = writeln!(text, "\nwhy: ask for example\n  {command}");
        }
        text
    }

    fn write_headline(&self, text: &mut String) -> std::fmt::Result {
        let tally = self.tally;
        write!(text, "{} records", grouped(tally.records))?;
        if let Some((first, last)) = tally.period {
            write!(text, ", {first:.0} to {last:.0}")?;
        }
        writeln!(text, ", judged by {}", self.explain.with.display())?;
        let mut row = |count: u64, what: &str| {
            let _ = writeln!(text, "{:>15}  {what}", grouped(count));
        };
        row(tally.judged, "commands and connections judged");
        row(tally.unchanged, "  as before");
        row(tally.denied.count, "  newly denied");
        row(tally.allowed.count, "  newly allowed");
        if tally.ended > 0 {
            let causes = grouped(tally.ended_sessions);
            row(
                tally.ended,
                &format!("  no longer reached, behind newly denied connections and logins ({causes})"),
            );
        }
        row(tally.untold.count, "  cannot be told");
        for (doubt, count) in &tally.untold_by_doubt {
            row(*count, &format!("    {}", why(*doubt)));
        }
        for (count, what) in self.notes().into_iter().filter(|(count, _)| *count > 0) {
            row(count, what);
        }
        if tally.is_over_full {
            row(0, "  (more sessions end than are remembered: commands of some are counted one by one)");
        }
        for line in &tally.first_unreadable {
            writeln!(text, "  {}:{}: no record: {}", line.log, line.line, line.why)?;
        }
        Ok(())
    }

    /// What is said besides, if there is any of it.
    fn notes(&self) -> [(u64, &'static str); 8] {
        let tally = self.tally;
        let observed = if self.enforces_observed { 0 } else { tally.observed_denials };
        [
            (tally.by_gateway, "decided by the gateway or the protocol: no policy changes them"),
            (tally.by_limit, "decided by a limit: not judged"),
            (tally.not_asked, "commands about which policy is not asked"),
            (tally.other_events, "records of other events"),
            (tally.unreadable, "lines that are no records"),
            (
                tally.strangers,
                "came by a listener or to a backend that the configuration does not have: is it the right one?",
            ),
            (observed, "would be denied by what is under observation (--enforce-observed counts it)"),
            (
                tally.new_files,
                "uploads judged as those of new files: had the file been there, the answer would be another",
            ),
        ]
    }

    fn write_users(&self, text: &mut String) {
        let users = &self.tally.users;
        let rows = users.sorted(OfUser::sum);
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\nby user{}\n{:>15} {:>14} {:>14} {:>14}",
            self.of(rows.len()),
            "newly denied",
            "newly allowed",
            "not reached",
            "cannot be told"
        );
        let others = (users.others.sum() > 0).then_some(("(others)", &users.others));
        let named = rows.iter().take(self.rows_max).map(|(user, count)| (name(user), *count));
        for (user, count) in named.chain(others) {
            let [denied, allowed, ended, untold] =
                [count.denied, count.allowed, count.ended, count.untold].map(grouped);
            let _ = writeln!(text, "{denied:>15} {allowed:>14} {ended:>14} {untold:>14}  {user}");
        }
    }

    fn write_rows(&self, text: &mut String, title: &str, rows: Vec<(u64, String)>, others: u64) {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{title}{}", self.of(rows.len()));
        let others = (others > 0).then(|| (others, "(others)".to_owned()));
        for (count, name) in rows.into_iter().take(self.rows_max).chain(others) {
            let _ = writeln!(text, "{:>15}  {name}", grouped(count));
        }
    }

    /// How many of so many rows there are.
    fn of(&self, rows: usize) -> String {
        if rows > self.rows_max { format!(" (the first {} of {rows})", self.rows_max) } else { String::new() }
    }

    fn write_first(&self, text: &mut String, title: &str, changes: &Changes) {
        let shown = changes.first.len();
        if shown == 0 {
            return;
        }
        let of = if changes.count > shown as u64 {
            format!(" (the first {shown} of {})", grouped(changes.count))
        } else {
            String::new()
        };
        let _ = writeln!(text, "\n{title}{of}");
        changes.first.iter().for_each(|change| text.push_str(&change.render()));
    }

    /// All of it, for programs.
    pub(super) fn to_json(&self) -> Value {
        let tally = self.tally;
        let users = tally.users.sorted(OfUser::sum);
        let doubts =
            tally.untold_by_doubt.iter().map(|(doubt, count)| (word(*doubt).to_owned(), json!(count)));
        json!({
            "records": tally.records,
            "from": tally.period.map(|(first, _)| first.to_string()),
            "to": tally.period.map(|(_, last)| last.to_string()),
            "judged": tally.judged,
            "unchanged": tally.unchanged,
            "newly_denied": self.changes_json(&tally.denied),
            "newly_allowed": self.changes_json(&tally.allowed),
            "cannot_be_told": self.changes_json(&tally.untold),
            "cannot_be_told_for": doubts.collect::<serde_json::Map<_, _>>(),
            "not_reached": { "count": tally.ended, "logins_denied": tally.ended_sessions },
            "observed_denials": tally.observed_denials,
            "judged_as_new_files": tally.new_files,
            "by_unknown_names": tally.strangers,
            "by_gateway": tally.by_gateway,
            "by_limit": tally.by_limit,
            "not_asked": tally.not_asked,
            "other_events": tally.other_events,
            "unreadable": {
                "count": tally.unreadable,
                "first": tally.first_unreadable.iter().map(|line| json!({
                    "log": line.log, "line": line.line, "error": line.why,
                })).collect::<Vec<_>>(),
            },
            "users": users.iter().take(self.rows_max).map(|(user, count)| {
                let mut json = of_user(count);
                json["user"] = (!user.is_empty()).then_some(*user).cloned().into();
                json
            }).collect::<Vec<_>>(),
            "users_beyond": of_user(&rest(&tally.users, self.rows_max)),
        })
    }

    fn changes_json(&self, changes: &Changes) -> Value {
        let causes = changes.causes.sorted(|&count| count);
        let first = changes.first.iter().map(|change: &Change| change.to_json(&self.explain));
        let shown: u64 = causes.iter().take(self.rows_max).map(|(_, count)| **count).sum();
        json!({
            "count": changes.count,
            "rules": causes.iter().take(self.rows_max).map(|((was, becomes), count)| json!({
                "was": was, "becomes": becomes, "count": count,
            })).collect::<Vec<_>>(),
            "rules_beyond": changes.count - shown,
            "first": first.collect::<Vec<_>>(),
        })
    }
}

/// All users that are not shown.
fn rest(users: &Counts<String, OfUser>, rows_max: usize) -> OfUser {
    let mut rest = users.others;
    for (_, count) in users.sorted(OfUser::sum).into_iter().skip(rows_max) {
        rest.denied += count.denied;
        rest.allowed += count.allowed;
        rest.untold += count.untold;
        rest.ended += count.ended;
    }
    rest
}

fn of_user(count: &OfUser) -> Value {
    json!({
        "newly_denied": count.denied,
        "newly_allowed": count.allowed,
        "not_reached": count.ended,
        "cannot_be_told": count.untold,
    })
}

fn name(user: &str) -> &str {
    if user.is_empty() { "(before USER)" } else { user }
}

fn why(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Path => {
            "the record has no path: rules had none then, or it was relative to an unknown directory"
        }
        Doubt::Size => "a rule asks for the size of an upload that did not take place",
        Doubt::Kind => "whether it was a directory, whose content counts, too",
    }
}

fn word(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Path => "path",
        Doubt::Size => "size",
        Doubt::Kind => "kind",
    }
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
