//! The one place where every verb meets policy, so that none drifts away from it.

use ftpsgate_policies::{Access, Denial, Operation, Permit, Policy, Request, Subject, Target};

use crate::codec::{Command, Reply, Verb};

/// Asks policy about a command, with every access that the command makes.
///
/// # Errors
///
/// The denial, and the reply that tells the client.
pub(super) fn authorize(
    policy: &Policy,
    subject: &Subject,
    command: &Command,
    rename_from: Option<&Command>,
) -> Result<Permit, (Denial, Reply)> {
    let accesses = accesses(command, rename_from);
    let request = Request::new(subject, command.verb().name(), &accesses);
    policy.authorize(&request).map_err(|denial| {
        let reply = refusal(&denial);
        (denial, reply)
    })
}

/// What a command would do, to what.
fn accesses(command: &Command, rename_from: Option<&Command>) -> Vec<Access<'static>> {
    let one = |operation| vec![Access { operation, target: Target::Unresolved }];
    match command.verb() {
        Verb::User | Verb::Pass | Verb::Acct => {
            vec![Access { operation: Operation::Login, target: Target::Nothing }]
        }
        Verb::Retr => one(Operation::Download),
        Verb::Stor | Verb::Stou => one(Operation::Upload),
        Verb::Appe => one(Operation::Append),
        Verb::List | Verb::Nlst | Verb::Mlsd => one(Operation::List),
        // STAT without a path asks about the session.
        Verb::Stat => command.argument().map(|_| one(Operation::List)).unwrap_or_default(),
        Verb::Cwd | Verb::Smnt => one(Operation::Traverse),
        Verb::Cdup => one(Operation::Traverse),
        Verb::Mkd => one(Operation::Mkdir),
        Verb::Rmd | Verb::Rmda => one(Operation::Rmdir),
        Verb::Dele => one(Operation::Delete),
        Verb::Rnfr => one(Operation::Rename),
        Verb::Rnto => rename_from
            .into_iter()
            .chain([command])
            .map(|_| Access { operation: Operation::Rename, target: Target::Unresolved })
            .collect(),
        Verb::Size
        | Verb::Mdtm
        | Verb::Mlst
        | Verb::Mfmt
        | Verb::Mfct
        | Verb::Mff
        | Verb::Hash
        | Verb::Md5
        | Verb::Mmd5
        | Verb::Xcrc
        | Verb::Xmd5
        | Verb::Xsha
        | Verb::Xsha1
        | Verb::Xsha256
        | Verb::Xsha512
        | Verb::Avbl
        | Verb::Dsiz
        | Verb::Thmb => one(Operation::Metadata),
        Verb::Comb => one(Operation::Overwrite),
        Verb::Site => one(Operation::Site),
        Verb::Auth
        | Verb::Pbsz
        | Verb::Prot
        | Verb::Ccc
        | Verb::Adat
        | Verb::Mic
        | Verb::Conf
        | Verb::Enc
        | Verb::Sscn
        | Verb::Cpsv
        | Verb::Host
        | Verb::Rein
        | Verb::Quit
        | Verb::Type
        | Verb::Mode
        | Verb::Stru
        | Verb::Feat
        | Verb::Opts
        | Verb::Lang
        | Verb::Clnt
        | Verb::Csid
        | Verb::Pasv
        | Verb::Epsv
        | Verb::Lpsv
        | Verb::Port
        | Verb::Eprt
        | Verb::Lprt
        | Verb::Rest
        | Verb::Rang
        | Verb::Allo
        | Verb::Abor
        | Verb::Pwd
        | Verb::Syst
        | Verb::Help
        | Verb::Noop => Vec::new(),
    }
}

fn refusal(denial: &Denial) -> Reply {
    match denial.operation {
        Some(Operation::Connect | Operation::Login) => Reply::new(530, "Login not allowed."),
        Some(
            Operation::Upload
            | Operation::Overwrite
            | Operation::Append
            | Operation::Mkdir
            | Operation::Rename,
        ) => Reply::new(553, "Not allowed by policy."),
        Some(
            Operation::List
            | Operation::Download
            | Operation::Delete
            | Operation::Rmdir
            | Operation::Traverse
            | Operation::Metadata
            | Operation::Site,
        )
        | None => Reply::new(550, "Not allowed by policy."),
    }
}
