//! What a record says was done, and by whom, in the words of policy; or why it is no record.

use std::borrow::Cow;

use ftpsgate_policies::request::{Certificate, Tls, TlsVersion};
use ftpsgate_policies::{Access, CanonicalPath, Operation, PathProfile, Subject, Target};

use crate::audit::record::{Command, Record};
use crate::audit::text::unescape;
use crate::config::Choice;

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("its `{0}` is none")]
    Field(&'static str),
    #[error("it has no `{0}`")]
    Missing(&'static str),
}

/// What a command did.
pub(super) struct Done {
    pub(super) accesses: Vec<DoneAccess>,
}

/// One thing that it did.
pub(super) struct DoneAccess {
    pub(super) operation: Operation,
    pub(super) path: Option<CanonicalPath>,
    pub(super) is_unresolved: bool,
    pub(super) is_below: bool,
}

impl Done {
    /// `None`: the client connected.
    pub(super) fn read(command: Option<&Command<'_>>, profile: PathProfile) -> Result<Self, Fault> {
        let Some(command) = command else {
            let connect = DoneAccess {
                operation: Operation::Connect,
                path: None,
                is_unresolved: false,
                is_below: false,
            };
            return Ok(Self { accesses: vec![connect] });
        };
        let mut accesses = Vec::with_capacity(command.accesses.len());
        for access in &command.accesses {
            let operation = Operation::find(&access.operation).ok_or(Fault::Field("operation"))?;
            let mut path = None;
            if let Some(text) = &access.path {
                let bytes = unescape(text).ok_or(Fault::Field("path"))?;
                path = CanonicalPath::from_server(profile, &bytes).ok();
            }
            // A path that this backend could not be sent is one that nobody resolves.
            let is_unresolved = access.unresolved || (access.path.is_some() && path.is_none());
            accesses.push(DoneAccess { operation, path, is_unresolved, is_below: access.below });
        }
        Ok(Self { accesses })
    }

    pub(super) fn is_writing(&self) -> bool {
        let is_writing =
            |operation| matches!(operation, Operation::Upload | Operation::Overwrite | Operation::Append);
        self.accesses.iter().any(|done| is_writing(done.operation))
    }
}

impl<'a> From<&'a DoneAccess> for Access<'a> {
    fn from(done: &'a DoneAccess) -> Self {
        let target = match &done.path {
            _ if done.is_unresolved => Target::Unresolved,
            Some(path) => Target::Path(path),
            None => Target::Nothing,
        };
        Self { operation: done.operation, target }
    }
}

/// Who asked. A connection is judged before there is TLS or a user.
pub(super) fn subject(record: &Record<'_>, is_command: bool) -> Result<Subject, Fault> {
    let address = record.client_address().ok_or(Fault::Missing("client"))?;
    let listener = record.listener.as_deref().ok_or(Fault::Missing("listener"))?.to_owned();
    let mut subject =
        Subject { address, user: None, listener, backend: String::new(), tls: None, certificate: None };
    if !is_command {
        return Ok(subject);
    }
    if let Some(user) = &record.user {
        subject.user = Some(unescape(user).ok_or(Fault::Field("user"))?.into_owned());
    }
    subject.backend = record.backend.as_deref().unwrap_or_default().to_owned();
    if let Some(tls) = &record.tls {
        let version = Option::<TlsVersion>::from_word(&tls.version).flatten();
        let version = version.ok_or(Fault::Field("tls.version"))?;
        subject.tls = Some(Tls { version, is_resumed: tls.resumed });
    }
    if let Some(certificate) = &record.certificate {
        subject.certificate = Some(Box::new(Certificate {
            subject: plain(&certificate.subject),
            names: certificate.names.iter().map(|name| plain(name)).collect(),
            key: certificate.key.clone().into_owned(),
        }));
    }
    Ok(subject)
}

/// A text of a certificate, as it stood in it.
fn plain(text: &str) -> String {
    let bytes = unescape(text).unwrap_or(Cow::Borrowed(text.as_bytes()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Longer lines are no records: a command has 4 KiB, and names in a certificate are few.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
