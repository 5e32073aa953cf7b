//! What is odd about an identity that still works: worth a line in the log and in `check`, never a refusal.
//!
//! A certificate that ended yesterday still encrypts, and many FTPS clients take it; a gateway that refused to
//! start over it would turn a warning into an outage.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// One oddity of an [`Identity`](crate::Identity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The certificate has ended.
    Expired {
        /// For how many whole days.
        days: u64,
    },
    /// The certificate will end within two weeks.
    ExpiresSoon {
        /// In how many whole days.
        days: u64,
    },
    /// The certificate has not begun.
    NotYetValid {
        /// In how many whole days it will.
        days: u64,
    },
    /// The certificate is for no DNS name and no address, so clients that check names refuse it.
    Nameless,
    /// The certificate has no subjectAltName; its common name is used here, but no longer by most clients.
    CommonNameOnly,
    /// The certificate's extended key usage leaves out TLS servers, so clients that check it refuse it.
    NotForServers,
    /// A certificate of the chain was not issued by the next one.
    ChainGap {
        /// Which one, from 1.
        position: usize,
    },
    /// Users outside the key file's group can read it.
    KeyExposed {
        /// Its permission bits.
        mode: u32,
    },
}

impl Warning {
    /// What the dates of a certificate are worth a warning for, at `now`.
    pub(crate) fn of_dates(not_before: SystemTime, not_after: SystemTime, now: SystemTime) -> Option<Self> {
        if let Ok(early) = not_before.duration_since(now)
            && !early.is_zero()
        {
            return Some(Self::NotYetValid { days: days(early) });
        }
        match not_after.duration_since(now) {
            Ok(left) if left < SOON => Some(Self::ExpiresSoon { days: days(left) }),
            Ok(_) => None,
            Err(past) => Some(Self::Expired { days: days(past.duration()) }),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { days } => write!(formatter, "the certificate ended {days} days ago"),
            Self::ExpiresSoon { days } => write!(formatter, "the certificate ends in {days} days"),
            Self::NotYetValid { days } => {
                write!(formatter, "the certificate begins in {days} days: is this machine's clock right?")
            }
            Self::Nameless => formatter
                .write_str("the certificate is for no DNS name and no address: it needs a subjectAltName"),
            Self::CommonNameOnly => formatter
                .write_str("the certificate has only a common name: most clients want a subjectAltName"),
            Self::NotForServers => {
                formatter.write_str("the certificate's extended key usage leaves out serverAuth")
            }
            Self::ChainGap { position } => write!(
                formatter,
                "certificate {position} of the chain was not issued by the one after it: \
                 each must be followed by its issuer"
            ),
            Self::KeyExposed { mode } => {
                write!(formatter, "every user can read the private key (mode {mode:04o}): `chmod 0600` it")
            }
        }
    }
}

fn days(duration: Duration) -> u64 {
    duration.as_secs() / DAY.as_secs()
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Renewal by ACME happens 30 days before the end; two weeks before it something is wrong.
const SOON: Duration = Duration::from_secs(14 * DAY.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let (past, future) = (now - 100 * DAY, now + 100 * DAY);
        let of = |not_before, not_after| Warning::of_dates(not_before, not_after, now);
        assert_eq!(of(past, future), None);
        assert_eq!(of(now, future), None);
        assert_eq!(of(past, now + 3 * DAY), Some(Warning::ExpiresSoon { days: 3 }));
        assert_eq!(of(past, now - 3 * DAY), Some(Warning::Expired { days: 3 }));
        assert_eq!(of(now + 3 * DAY, future), Some(Warning::NotYetValid { days: 3 }));
    }
}
