//! Whether policy treats a whole directory alike: needed where one command reaches things that it does not name
//! (a directory's rename, `LIST -R`, globs).
//!
//! It answers for all paths that could be, not for those that are, and says `Mixed` whenever it is not sure.

use crate::compile::{Policy, user_name};
use crate::path::{CanonicalPath, components};
use crate::pattern::UserName;
use crate::request::{Operation, Request};
use crate::rule::{Action, Mode};

/// What policy says of a directory and everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// All of it is allowed.
    All,
    /// Nothing of it is allowed.
    None,
    /// Some may be, and some not.
    Mixed,
}

impl Policy {
    /// Judges an operation on a directory and on everything below it. Of the request, subject, verb, sub-command and
    /// times count; its accesses and its size do not.
    ///
    /// This is no [`Permit`](crate::Permit): the command's own accesses are still to be authorised. Under observation, where nothing
    /// is enforced, everything is allowed.
    pub fn authorize_subtree(
        &self,
        request: &Request<'_>,
        operation: Operation,
        directory: &CanonicalPath,
    ) -> Extent {
        match self.mode {
            Mode::Enforce => {}
            Mode::Observe => return Extent::All,
        }
        let index = self.index();
        let user = user_name(request.subject);
        let of_subject = index.of_subject(request);
        let mut own = of_subject.clone();
        index.narrow_to_command(request, Some(operation), &mut own);

        let (mut touched, mut covered) = (index.none(), index.none());
        let exact = index.paths.exact.walk(directory.components(), user.as_ref().map(UserName::exact));
        exact.reaches(&mut touched);
        exact.covers(&mut covered);
        let folded =
            index.paths.folded.walk(components(directory.folded()), user.as_ref().map(UserName::folded));
        folded.reaches(&mut touched);
        folded.covers(&mut covered);
        let mut candidates = own.clone();
        candidates.narrow(&index.paths.asked, &touched);
        let mut implied = index.none();
        if operation == Operation::Traverse {
            implied.union(&of_subject);
            implied.intersect(&index.implies_traverse);
            implied.narrow(&index.paths.asked, &touched);
            candidates.union(&implied);
        }

        let (mut may_allow, mut may_deny) = (false, false);
        let extent = |action, may_allow, may_deny| match (action, may_allow, may_deny) {
            (Action::Allow, _, false) => Extent::All,
            (Action::Deny, false, _) => Extent::None,
            (Action::Allow, _, true) | (Action::Deny, true, _) => Extent::Mixed,
        };
        for number in candidates.iter().filter(|&number| !index.observed.contains(number)) {
            let rule = &self.rules[number].rule;
            let holds_everywhere = !index.paths.asked.contains(number) || covered.contains(number);
            let holds_for_every_size = rule.matchers.larger_than_bytes.is_none() || implied.contains(number);
            if holds_everywhere && holds_for_every_size {
                return extent(rule.action, may_allow, may_deny);
            }
            match rule.action {
                Action::Allow => may_allow = true,
                Action::Deny => may_deny = true,
            }
        }
        extent(self.default_for(Some(operation)), may_allow, may_deny)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rule::Matchers;
    use crate::tests::{anna, compile, model, path, patterns, rule};
    use crate::{Access, Target};

    fn extent(rules: &[(Action, &[&str])], default: Action, directory: &str) -> Extent {
        let rules = rules
            .iter()
            .map(|(action, paths)| rule(*action, Matchers { paths: patterns(paths), ..Matchers::default() }))
            .collect();
        let subject = anna();
        let request = Request::new(&subject, "RNTO", &[]);
        compile(rules, default).authorize_subtree(&request, Operation::Rename, &path(directory))
    }

    #[test]
    fn a_directory_is_judged_with_what_may_be_below_it() {
        use Action::{Allow, Deny};
        assert_eq!(extent(&[(Allow, &["/in/**"])], Deny, "/in/a"), Extent::All);
        assert_eq!(extent(&[(Allow, &["/in/**"])], Deny, "/"), Extent::Mixed);
        assert_eq!(extent(&[(Allow, &["/in/**"])], Deny, "/out"), Extent::None);
        assert_eq!(extent(&[(Allow, &["/in/*"])], Deny, "/in"), Extent::Mixed);
        assert_eq!(
            extent(&[(Deny, &["/in/x/secret/**"]), (Allow, &["/in/**"])], Deny, "/in/x"),
            Extent::Mixed
        );
        assert_eq!(
            extent(&[(Deny, &["/in/x/secret/**"]), (Allow, &["/in/**"])], Deny, "/in/X"),
            Extent::Mixed
        );
        assert_eq!(extent(&[(Deny, &["/in/x/secret/**"]), (Allow, &["/in/**"])], Deny, "/in/y"), Extent::All);
        assert_eq!(extent(&[(Deny, &["/in/**"]), (Allow, &["/in/x/**"])], Deny, "/in/x"), Extent::None);
        assert_eq!(extent(&[(Deny, &["**/*.exe"])], Allow, "/in"), Extent::Mixed);
        assert_eq!(extent(&[], Allow, "/"), Extent::All);
        assert_eq!(extent(&[], Deny, "/"), Extent::None);
    }

    #[test]
    fn a_rule_about_large_files_holds_for_some() {
        let large = Matchers { larger_than_bytes: Some(5), ..Matchers::default() };
        let policy = compile(vec![rule(Action::Deny, large)], Action::Allow);
        let subject = anna();
        let request = Request { size_bytes: Some(9), ..Request::new(&subject, "RNTO", &[]) };
        assert_eq!(policy.authorize_subtree(&request, Operation::Rename, &path("/")), Extent::Mixed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_path_below_disagrees(
            policy in prop_oneof![model::policy(), model::sparse_policy()],
            subject in model::subject(),
            directory in model::some_path(),
            below in proptest::collection::vec(model::some_path(), 40),
            operation in proptest::sample::select(Operation::ALL.to_vec()),
            size_bytes in proptest::sample::select(vec![None, Some(50), Some(500)]),
        ) {
            let request = Request { size_bytes, ..Request::new(&subject, "SITE", &[]) };
            let extent = policy.authorize_subtree(&request, operation, &directory);
            for name in below.iter().map(|path| path.as_str().trim_start_matches('/')) {
                let path = path(&format!("{directory}/{name}"));
                let accesses = [Access { operation, target: Target::Path(&path) }];
                let is_allowed = policy.authorize(&Request { accesses: &accesses, ..request }).is_ok();
                match extent {
                    Extent::All => prop_assert!(is_allowed, "{path}"),
                    Extent::None => prop_assert!(!is_allowed, "{path}"),
                    Extent::Mixed => {}
                }
            }
        }
    }
}
