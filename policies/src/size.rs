//! How large an upload may grow until policy says otherwise (`larger_than`), so that whoever moves the bytes can stop
//! before the first one too many.

use crate::authorize::Matching;
use crate::compile::{Policy, user_name};
use crate::index::Bits;
use crate::pattern::UserName;
use crate::request::{Access, Request};
use crate::rule::{Action, Mode};

impl Policy {
    /// The smallest size with which a request would be denied; `None`: it is denied with no size. The request's own size
    /// does not count.
    pub fn denied_from_bytes(&self, request: &Request<'_>) -> Option<u64> {
        match self.mode {
            Mode::Enforce => {}
            Mode::Observe => return None,
        }
        let of_subject = self.index().of_subject(request);
        let user = user_name(request.subject);
        let accesses = request.accesses.iter().copied().map(Some);
        let without_operation = request.accesses.is_empty().then_some(None);
        accesses
            .chain(without_operation)
            .filter_map(|access| self.access_denied_from(request, access, &of_subject, user.as_ref()))
            .min()
    }

    /// The same for one access.
    fn access_denied_from(
        &self,
        request: &Request<'_>,
        access: Option<Access<'_>>,
        of_subject: &Bits,
        user: Option<&UserName>,
    ) -> Option<u64> {
        let Matching { own, implied } = self.matching(request, access, of_subject, user);
        let mut matching = implied.clone();
        matching.union(&own);
        let mut denied_from = None;
        // Each rule decides all sizes above its own that are still open: open are always those up to some size.
        let mut open_to = u64::MAX;
        for number in matching.iter().filter(|&number| !self.index().observed.contains(number)) {
            let rule = &self.rules[number].rule;
            let least = rule.matchers.larger_than_bytes.filter(|_| !implied.contains(number));
            let decided_from = match least {
                Some(least) if least >= open_to => continue,
                Some(least) => least + 1,
                None => 0,
            };
            match rule.action {
                Action::Deny => denied_from = Some(decided_from),
                Action::Allow => {}
            }
            match decided_from.checked_sub(1) {
                Some(rest) => open_to = rest,
                None => return denied_from,
            }
        }
        match self.default_for(access.map(|access| access.operation)) {
            Action::Deny => Some(0),
            Action::Allow => denied_from,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::{Operation, Target};
    use crate::rule::Matchers;
    use crate::tests::{anna, compile, model, rule};

    fn larger(action: Action, bytes: Option<u64>) -> crate::rule::Rule {
        rule(action, Matchers { larger_than_bytes: bytes, ..Matchers::default() })
    }

    #[test]
    fn the_smallest_size_that_is_denied_is_found_in_any_order() {
        use Action::{Allow, Deny};
        for (rules, default, expected) in [
            (vec![], Allow, None),
            (vec![], Deny, Some(0)),
            (vec![larger(Deny, Some(100))], Allow, Some(101)),
            (vec![larger(Deny, Some(100)), larger(Deny, Some(10))], Allow, Some(11)),
            (vec![larger(Deny, Some(10)), larger(Deny, Some(100))], Allow, Some(11)),
            (vec![larger(Allow, Some(10)), larger(Deny, Some(5)), larger(Allow, None)], Deny, Some(6)),
            (vec![larger(Allow, Some(10)), larger(Deny, Some(100))], Allow, None),
            (vec![larger(Allow, Some(10))], Deny, Some(0)),
            (vec![larger(Allow, None), larger(Deny, Some(1))], Deny, None),
            (vec![larger(Deny, Some(u64::MAX))], Allow, None),
            (vec![larger(Deny, Some(u64::MAX - 1))], Allow, Some(u64::MAX)),
        ] {
            let policy = compile(rules, default);
            let subject = anna();
            let accesses = [Access { operation: Operation::Upload, target: Target::Unresolved }];
            let request = Request::new(&subject, "STOR", &accesses);
            assert_eq!(policy.denied_from_bytes(&request), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn it_is_what_asking_with_every_size_says(
            policy in prop_oneof![model::policy(), model::sparse_policy()],
            subject in model::subject(),
            accesses in model::accesses(),
            verb in proptest::sample::select(vec!["STOR", "NOOP"]),
        ) {
            let accesses = model::borrowed(&accesses);
            let mut request = Request::new(&subject, verb, &accesses);
            let sizes = policy.rules.iter().filter_map(|rule| rule.rule.matchers.larger_than_bytes);
            let mut sizes: Vec<u64> = sizes.flat_map(|size| [size, size + 1]).chain([0, 1, u64::MAX]).collect();
            sizes.sort_unstable();
            let denied = sizes.into_iter().find(|&size| {
                request.size_bytes = Some(size);
                policy.authorize(&request).is_err()
            });
            prop_assert_eq!(policy.denied_from_bytes(&request), denied);
        }
    }
}
