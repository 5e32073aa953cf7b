//! Records of refusals: each of the first few in a time, and then how many more there were.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ftpsgate_policies::Subject;
use ftpsgate_policies::compile::RuleRef;
use ftpsgate_policies::limit::{Exceeded, Key, Lockout};
use tracing::warn;

use super::{exhausted_key, key_text};

/// What was recorded lately, by limit and by what of it was exceeded.
#[derive(Debug, Default)]
pub(super) struct Reports {
    windows: Mutex<HashMap<(RuleRef, &'static str), Window>>,
}

#[derive(Debug)]
struct Window {
    began: Duration,
    recorded: u32,
    unrecorded: u64,
}

impl Reports {
    pub(super) fn refused(&self, exceeded: &Exceeded, subject: &Subject, now: Duration) {
        self.record(&exceeded.limit, exhausted_key(exceeded), Some(&exceeded.key), subject, now);
    }

    pub(super) fn locked(&self, lockout: &Lockout, subject: &Subject, now: Duration) {
        self.record(&lockout.limit, "failed_logins", Some(&lockout.key), subject, now);
    }

    pub(super) fn file_size(&self, limit: &RuleRef, subject: &Subject, now: Duration) {
        self.record(limit, "file_size", None, subject, now);
    }

    fn record(
        &self,
        limit: &RuleRef,
        what: &'static str,
        key: Option<&Key>,
        subject: &Subject,
        now: Duration,
    ) {
        if !self.may_record(limit, what, now) {
            return;
        }
        warn!(
            target: "audit",
            limit = limit.name(),
            origin = %limit.origin(),
            what,
            key = key.map(key_text),
            address = %subject.address,
            listener = subject.listener,
            user = subject.user.as_deref().map(|user| user.escape_ascii().to_string()),
            "refused by a limit"
        );
    }

    fn may_record(&self, limit: &RuleRef, what: &'static str, now: Duration) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window { began: now, recorded: 0, unrecorded: 0 };
        let window = windows.entry((limit.clone(), what)).or_insert(fresh);
        let is_recorded = window.recorded < RECORDED_MAX;
        if is_recorded {
            window.recorded += 1;
        } else {
            window.unrecorded += 1;
        }
        is_recorded
    }

    /// Ends the windows that are over, and says what they left out. There are as many windows as limits, at most, for
    /// each thing that they limit; those of limits that are gone go, too.
    pub(super) fn summarise(&self, now: Duration) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|(limit, what), window| {
            let is_over = now.saturating_sub(window.began) >= WINDOW;
            if is_over && window.unrecorded > 0 {
                warn!(
                    target: "audit",
                    limit = limit.name(),
                    origin = %limit.origin(),
                    what,
                    count = window.unrecorded,
                    "more were refused by a limit"
                );
            }
            !is_over
        });
    }
}

/// In a window.
const RECORDED_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use ftpsgate_policies::limit::{Limit, Limits};

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_recorded_singly() {
        let limit: Limit = super::super::tests::limit("l");
        let limits = Limits::new(vec![Limit { file_bytes_max: Some(1), ..limit }], Vec::new()).unwrap();
        let subject = super::super::tests::subject(None);
        let party = ftpsgate_policies::limit::Party { subject: &subject, session: 1 };
        let (_, reference) = limits.file_bytes_max(party).unwrap();
        let reports = Reports::default();
        let now = Duration::from_secs(5);
        let recorded = (0..1000).filter(|_| reports.may_record(reference, "sessions", now)).count();
        assert_eq!(recorded, 20);
        assert_eq!(reports.windows.lock().unwrap().values().next().unwrap().unrecorded, 980);
        reports.summarise(now + Duration::from_secs(9));
        assert!(!reports.may_record(reference, "sessions", now));
        reports.summarise(now + Duration::from_secs(10));
        assert!(reports.may_record(reference, "sessions", now + Duration::from_secs(10)));
    }
}
