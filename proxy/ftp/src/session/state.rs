//! Where a session stands with its client, and with its backend.

use std::net::SocketAddrV4;

use crate::codec::{Command, Reply, Verb};

use super::measure;
use super::paths;
use super::renewal::Asked;

/// Where a session stands, named for what it expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In clear, and TLS is offered.
    ExpectAuth,
    /// The TLS handshake with the client.
    Handshake,
    /// Nobody has given a name.
    ExpectUser,
    /// A server that may hear USER: its connection, its 220, and TLS where it is configured.
    ConnectUpstream,
    /// The backend's answer to USER.
    UpstreamUser,
    /// The client's PASS.
    ExpectPassword,
    /// The backend's answer to PASS or ACCT.
    UpstreamPassword,
    /// The client's ACCT.
    ExpectAccount,
    /// Logged in.
    Ready,
    /// Over.
    Closed,
}

/// What makes a login of a name.
#[derive(Debug)]
pub(super) enum Tried {
    /// PASS or ACCT; the backend has not heard it.
    Command(Command),
    /// The name alone: so the backend replied to it, and the client has not heard this.
    Name(Reply),
}

/// The one exchange with the backend that has no final reply yet.
#[derive(Debug)]
pub(super) enum Expecting {
    /// None: whatever comes was not asked for.
    Nothing,
    /// The driver's word that a server is reached; that nobody speaks before.
    Connection,
    /// 220.
    Greeting,
    /// 234 to AUTH TLS.
    Auth,
    /// The driver's word that the handshake with the server stands.
    Tls,
    /// To PBSZ. With the reply to the login, where the server wants that first.
    Pbsz {
        login: Option<Reply>,
    },
    /// To PROT; likewise.
    Prot {
        login: Option<Reply>,
    },
    /// The driver's word that the client may stay, now that its TLS is known.
    Entrance,
    User,
    /// The driver's word that this login may be tried.
    Verdict {
        tried: Tried,
    },
    Password,
    /// The driver's word that the user may have one more session; the client has not heard this.
    Admission {
        login: Reply,
    },
    /// Nothing: a login failed, and the client is told when it is time.
    Refusal {
        reply: Reply,
    },
    /// To our OPTS UTF8 ON; then the client gets the reply to its login.
    Utf8 {
        login: Reply,
    },
    Features,
    /// The client gets what the backend says.
    Forwarded(Verb),
    /// 350 to RNFR, then RNTO is sent.
    RenameFrom {
        rename_to: Command,
    },
    /// 350 to REST, then the transfer begins.
    Restart,
    /// 350 to the REST 0 after a REST whose transfer did not begin.
    RestartUndone,
    /// 229, then the data connection is dialled.
    Epsv,
    Pasv,
    /// 200 to PORT, or a refusal of that one verb: then EPRT says the same.
    Port {
        address: SocketAddrV4,
    },
    /// 200 to EPRT, then the transfer begins.
    Eprt,
    /// To a step of a fresh login.
    Renewal(Asked),
    /// To what is asked for the sake of paths.
    Paths(paths::Asked),
    /// To what is asked for the size of a file.
    Measure(measure::Asked),
    /// 1yz, then the final reply, of a transfer command; ABOR's too.
    Transfer,
}
