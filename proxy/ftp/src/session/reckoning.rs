//! Where the client is, as far as can be told without asking: for records alone, never for policy.
//!
//! Policies without paths have no path view, and cost no round trips. The server's replies to the client's own PWD and
//! CWD tell most of the time where it is; a link on the way is not seen. Whatever leaves it open makes it unknown.

use ftpsgate_policies::CanonicalPath;

use crate::codec::{Kind, Reply, Verb, path};

use super::Session;
use super::record::{AccessRecord, AccessTarget};

impl Session {
    /// The backend gave its last reply to the command under way, which was forwarded.
    pub(super) fn reckon(&mut self, reply: &Reply) {
        if !self.settings.is_audited || self.view.is_some() || reply.kind() != Kind::Completion {
            return;
        }
        let Some(record) = &self.open else { return };
        let argument = record.argument.as_deref();
        let profile = self.upstream_settings().paths;
        let directory = self.directory.as_deref();
        let next = match record.verb {
            Some(Verb::Pwd) => said(reply).and_then(|said| CanonicalPath::from_server(profile, &said).ok()),
            Some(Verb::Cwd) => {
                argument.and_then(|words| CanonicalPath::resolve(profile, directory, words).ok())
            }
            Some(Verb::Cdup) => directory.map(CanonicalPath::parent),
            // The directory may be below what was renamed.
            Some(Verb::Rnto) => match (directory, record.accesses.first().map(|access| &access.target)) {
                (Some(directory), Some(AccessTarget::Path(from) | AccessTarget::Reckoned(from)))
                    if !directory.is_within(from) =>
                {
                    return;
                }
                (Some(_) | None, _) => None,
            },
            Some(Verb::Site) if record.accesses.iter().all(is_known) => return,
            // Nobody knows what these do to it.
            Some(Verb::Site | Verb::Acct) => None,
            Some(_) | None => return,
        };
        self.directory = next.map(Box::new);
    }
}

fn is_known(access: &AccessRecord) -> bool {
    access.target != AccessTarget::Unresolved
}

/// What PWD says. Control bytes were replaced by `?`, and not every server doubles its quotes.
fn said(reply: &Reply) -> Option<Vec<u8>> {
    let is_plain = |said: &Vec<u8>| !said.iter().any(|byte| matches!(byte, b'?' | b'"'));
    path::quoted_path(reply).filter(|said| is_plain(said) && reply.lines().count() == 1)
}
