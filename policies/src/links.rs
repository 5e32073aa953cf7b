//! Whether a link on a server could lead a command out of what policy allows.
//!
//! A directory link gives everything in a directory another path with the same last name: `/pub/link/x` may be
//! `/secret/x`. Who sends a path that was judged by its text has policy circumvented wherever the two are not judged
//! alike; who walks to the directory first, and asks the server where that is, has not, at the cost of two round trips
//! for each change of directory.
//!
//! Answered for a policy as a whole, of all users and times at once: it is never less than one session needs.

use crate::compile::{CompiledRule, Policy, names_operation};
use crate::pattern::{Component, PathPattern};
use crate::request::Operation;
use crate::rule::Mode;

/// What directory links can do to the decisions of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Links {
    /// Nothing: whatever is reached through one is judged as it would be by its own path.
    Harmless,
    /// Give a directory itself another name than the one that it is judged by. What is in it is judged alike. Only
    /// where a directory is listed, or created together with those above it, does the way to it count.
    Rename,
    /// Lead to what is judged otherwise.
    Mislead,
}

impl Policy {
    /// What directory links can do to its decisions; rules under observation decide nothing.
    ///
    /// A rule with paths takes part as soon as something behind it, another rule or the default, decides otherwise
    /// about what it does not match. One whose patterns look at nothing but a last name (`**/*.exe`) matches a file
    /// whatever the way to it; only a directory can be listed by the name of a link instead of its own, or be created
    /// on the way to another.
    pub fn links(&self) -> Links {
        let rules: Vec<&CompiledRule> =
            self.rules.iter().filter(|rule| rule.rule.mode == Mode::Enforce).collect();
        let effects = rules.iter().enumerate().map(|(number, rule)| {
            let matters = self.default != rule.rule.action
                || rules[number + 1..].iter().any(|later| opposes(rule, later));
            match sight(rule) {
                Sight::Directories if matters => Links::Mislead,
                Sight::Names if matters && LISTED_OR_CREATED.iter().any(|&done| touches(rule, done)) => {
                    Links::Rename
                }
                Sight::Directories | Sight::Names | Sight::Nothing => Links::Harmless,
            }
        });
        effects.max().unwrap_or(Links::Harmless)
    }
}

/// What is done to directories by their names.
const LISTED_OR_CREATED: [Operation; 2] = [Operation::List, Operation::Mkdir];

/// What of a path a rule looks at.
enum Sight {
    Nothing,
    /// The last name.
    Names,
    /// The way to it.
    Directories,
}

fn sight(rule: &CompiledRule) -> Sight {
    let choices = || rule.rule.matchers.paths.iter().flat_map(|pattern: &PathPattern| &pattern.exact);
    let is_any = |choice: &[Component]| {
        !choice.is_empty() && choice.iter().all(|component| *component == Component::Any)
    };
    if choices().next().is_none() || choices().any(|choice| is_any(choice)) {
        return Sight::Nothing;
    }
    let is_name = |choice: &Vec<Component>| match choice.split_last() {
        Some((Component::Name(_), before)) => is_any(before),
        Some((Component::Any, _)) | None => false,
    };
    if choices().all(is_name) { Sight::Names } else { Sight::Directories }
}

/// Whether two rules may decide one access, and not alike.
fn opposes(rule: &CompiledRule, other: &CompiledRule) -> bool {
    rule.rule.action != other.rule.action
        && Operation::ALL.iter().any(|&operation| touches(rule, operation) && touches(other, operation))
}

/// Whether a rule may decide about an operation that has a path. A command may be any of them.
fn touches(rule: &CompiledRule, operation: Operation) -> bool {
    let matchers = &rule.rule.matchers;
    !operation.is_admission()
        && (names_operation(matchers, operation)
            || !matchers.commands.is_empty()
            || (operation == Operation::Traverse && rule.implies_traverse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Action, CommandName, Matchers, Rule};
    use crate::tests::{compile, patterns, rule};

    /// `deny download,list /a **/b`: an action, operations, commands or `*`, patterns, perhaps `observe`. The last
    /// line is the default.
    fn links(text: &str) -> Links {
        let action = |word: &str| match word {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            _ => panic!("no action: {word}"),
        };
        let lines: Vec<&str> = text.split("; ").collect();
        let (default, rules) = lines.split_last().unwrap();
        let read = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut matchers = Matchers::default();
            for name in words[1].split(',').filter(|name| *name != "*") {
                match Operation::find(name) {
                    Some(operation) => matchers.operations.push(operation),
                    None => matchers.commands.push(CommandName::parse(name).unwrap()),
                }
            }
            let is_observed = words.last() == Some(&"observe");
            let paths = words[2..].iter().filter(|word| **word != "observe");
            matchers.paths = patterns(&paths.copied().collect::<Vec<_>>());
            let mode = if is_observed { Mode::Observe } else { Mode::Enforce };
            Rule { mode, ..rule(action(words[0]), matchers) }
        };
        compile(rules.iter().map(read).collect(), action(default)).links()
    }

    #[test]
    fn links_matter_where_directories_are_judged_otherwise_than_others() {
        for text in [
            // What an admin writes: this tree, and nothing else.
            "allow * /pub/**; deny",
            "allow list,download /reports/**; deny",
            "allow * /home/$user/**; deny",
            "allow * /*; deny",
            // A directory that is denied in what is allowed.
            "deny * /secret/**; allow",
            "deny * /pub/secret/**; allow * /pub/**; deny",
            "deny * /secret/**; allow *; deny",
            "deny download /secret/*.key; allow",
            "deny * **/private/**; allow",
            "deny * **/*.exe /secret/**; allow",
            // A tree that is allowed before others are not.
            "allow * /pub/**; deny download; allow",
            "allow * /pub/**; deny * /**; allow",
            // Who may not be there may not be led there.
            "deny traverse /secret/**; allow download; deny",
            "allow download /pub/**; deny traverse; allow",
            "deny RETR /secret/**; allow",
            "allow RETR /pub/**; deny download; allow",
        ] {
            assert_eq!(links(text), Links::Mislead, "{text}");
        }
    }

    #[test]
    fn a_directory_may_be_listed_by_the_name_of_a_link_or_created_on_the_way() {
        for text in [
            "deny * **/*.exe; allow",
            "deny list **/private; allow",
            "deny LIST **/private; allow",
            "deny mkdir **/*.exe; allow",
        ] {
            assert_eq!(links(text), Links::Rename, "{text}");
        }
    }

    #[test]
    fn links_do_not_matter_where_all_ways_to_a_name_are_alike() {
        for text in [
            "allow",
            "deny",
            "deny delete; allow",
            // No link gives a file another last name.
            "deny upload,overwrite,download **/*.exe; allow",
            "deny download **/*.key **/{a,b}; deny upload **/*.exe; allow",
            "allow download **/*.csv; deny",
            // All paths are none.
            "allow * /**; deny",
            "deny delete /** /x/**; allow",
            // Nothing behind decides otherwise.
            "allow * /pub/**; allow",
            "deny * /secret/**; deny",
            "allow * /pub/**; deny login; allow",
            "deny download /secret/**; allow upload; deny",
            // Nor do rules that decide nothing.
            "deny * /secret/** observe; allow",
            "deny * /secret/**; allow * observe; deny",
        ] {
            assert_eq!(links(text), Links::Harmless, "{text}");
        }
    }
}
