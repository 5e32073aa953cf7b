//! The one place where every verb meets policy, so that none drifts away from it: what each command does, to what.
//!
//! A [`Deed`] is made of the command's words alone. Which paths they mean is seen from the session's directory
//! (`paths`), and whether they are allowed is asked in `judge`. Nothing here asks a server anything.

use ftpsgate_policies::{CanonicalPath, Operation, PathError, PathProfile};

use crate::codec::{Command, Reply, Verb};

use super::judge::split_pattern;
use super::paths::words;

/// What one command does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deed {
    /// Each thing that it does something to. Empty: no operation; rules judge such a command by its verb.
    pub objects: Vec<Object>,
    /// How the words for the server are made of the objects' paths.
    pub(super) spelling: Spelling,
    /// What the client is told where paths count and these words leave open what they mean.
    pub(super) problem: Option<Reply>,
}

/// One thing, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which.
    pub name: Name,
    /// All of these must be allowed.
    pub operations: &'static [Operation],
    /// Where the file is there already an upload is an overwrite, and a rename is one as well.
    pub may_replace: bool,
    /// What must be allowed of everything below it, too…
    pub(super) below: &'static [Operation],
    /// …unless it is proven to be a file.
    pub(super) spares_files: bool,
    /// Written from an offset: no directory, or all of it could be lost. What is not there yet is none.
    pub(super) is_resumed: bool,
    /// What is below is reached by links, too, to wherever they lead.
    pub(super) follows_links: bool,
    /// What is known about it is changed: of a link to a directory that is the directory, wherever it is.
    pub(super) is_changed: bool,
    /// Servers create the directories above it as well, if they are not there. The one directly above must be.
    pub(super) makes_parents: bool,
    /// Servers read patterns in it.
    pub(super) is_pattern: bool,
    /// Servers split it into words at its blanks, and read patterns in each part of it.
    pub(super) is_split: bool,
    /// A directory that is listed: it can be entered to see where it is.
    pub(super) is_listed: bool,
}

/// Which thing a command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// None that has a path.
    Nothing,
    /// The working directory.
    Directory,
    /// What these bytes of the argument name.
    Words(Vec<u8>),
    /// Something; the words do not tell what.
    Hidden,
}

/// The argument for the server: paths between the other words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) before: Vec<u8>,
    pub(super) separator: &'static str,
    pub(super) after: Vec<u8>,
    pub(super) is_quoted: bool,
}

/// What came before a command, and counts for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// RNFR, or SITE CPFR: the first half of a pair.
    pub held: Option<&'a Command>,
    /// REST with another offset than 0.
    pub is_restarted: bool,
    /// STOU was sent in this session. From then on Pure-FTPd's APPE writes a new file over the old one.
    pub has_chosen_names: bool,
}

/// A path as policy is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// There is none.
    Nothing,
    /// There is one, and nobody can say which.
    Unresolved(Option<PathError>),
    /// The working directory, which no word names.
    Here(CanonicalPath),
    /// A path that words name.
    Path(CanonicalPath),
}

impl Deed {
    /// What a command does, whether it is allowed or not.
    pub fn of(command: &Command, context: Context<'_>) -> Self {
        let argument = command.argument_or_empty();
        let path = |operations| Self::path(argument, operations);
        let path_or_directory = |operations| match command.argument() {
            Some(argument) => Self::path(argument, operations),
            None => Self::one(Object::new(Name::Directory, operations)),
        };
        match command.verb() {
            Verb::User | Verb::Pass | Verb::Acct => {
                Self::one(Object::new(Name::Nothing, &[Operation::Login]))
            }
            Verb::Retr => path(&[Operation::Download]),
            Verb::Stor if context.is_restarted => {
                Self::one(Object::resumed(argument, &[Operation::Overwrite]))
            }
            Verb::Stor => {
                Self::one(Object { may_replace: true, ..Object::named(argument, &[Operation::Upload]) })
            }
            Verb::Stou => {
                // What servers make of an argument is anybody's guess.
                let problem = command.argument().map(|_| super::answers::unsupported_argument(Verb::Stou));
                Self { problem, ..Self::one(Object::new(Name::Directory, &[Operation::Upload])) }
            }
            Verb::Appe if context.is_restarted => {
                Self::one(Object::resumed(argument, &[Operation::Append, Operation::Overwrite]))
            }
            Verb::Appe if context.has_chosen_names => path(&[Operation::Append, Operation::Overwrite]),
            Verb::Appe => path(&[Operation::Append]),
            Verb::List | Verb::Nlst => words::listing(command.verb(), argument),
            Verb::Mlsd => {
                let mut deed = path_or_directory(&[Operation::List]);
                deed.objects.iter_mut().for_each(|object| object.is_listed = true);
                deed
            }
            // STAT without a path asks about the session.
            Verb::Stat if command.argument().is_none() => Self::default(),
            Verb::Stat => words::listing(Verb::Stat, argument),
            Verb::Cwd | Verb::Smnt => path(&[Operation::Traverse]),
            Verb::Cdup => Self::path(b"..", &[Operation::Traverse]),
            Verb::Mkd => Self::one(Object::created(argument, &[Operation::Mkdir])),
            Verb::Rmd => path(&[Operation::Rmdir]),
            Verb::Rmda => Self::one(Object::removed_with_all(argument, &[Operation::Rmdir])),
            Verb::Dele => path(&[Operation::Delete]),
            Verb::Rnfr => path(&[Operation::Rename]),
            Verb::Rnto => {
                let half = |command: &Command| Object {
                    below: &[Operation::Rename],
                    spares_files: true,
                    ..Object::named(command.argument_or_empty(), &[Operation::Rename])
                };
                let mut objects: Vec<Object> = context.held.into_iter().map(half).collect();
                // Most servers replace a file that has the new name.
                objects.push(Object { may_replace: true, ..half(command) });
                Self { objects, ..Self::default() }
            }
            Verb::Size | Verb::Md5 => path(&[Operation::Metadata]),
            Verb::Mlst | Verb::Avbl | Verb::Dsiz => path_or_directory(&[Operation::Metadata]),
            Verb::Mdtm => words::dated(argument),
            Verb::Mfmt | Verb::Mfct | Verb::Mff => words::changed_facts(command.verb(), argument),
            Verb::Hash
            | Verb::Xcrc
            | Verb::Xmd5
            | Verb::Xsha
            | Verb::Xsha1
            | Verb::Xsha256
            | Verb::Xsha512 => words::checksum(command.verb(), argument),
            Verb::Mmd5 => words::checksums(argument),
            Verb::Thmb => words::thumbnail(argument),
            Verb::Comb => words::combination(argument),
            Verb::Site => words::site(command, context.held),
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
            | Verb::Noop => Self::default(),
        }
    }

    /// What it does, to which path, seen from a directory: for explanations. Of an upload it is the operation for a
    /// file that is not there yet.
    pub fn accesses(
        &self,
        profile: PathProfile,
        directory: Option<&CanonicalPath>,
    ) -> Vec<(Operation, Place)> {
        let places = self.objects.iter().map(|object| (object, object.place(profile, directory).0));
        places
            .flat_map(|(object, place)| {
                object.operations.iter().map(move |&operation| (operation, place.clone()))
            })
            .collect()
    }

    /// What it does to everything below a path, and whether not if that is a file; for explanations, too.
    /// `has_links`: links may lead out of what is allowed.
    pub fn below(
        &self,
        profile: PathProfile,
        directory: Option<&CanonicalPath>,
        has_links: bool,
    ) -> Vec<(Operation, CanonicalPath, bool)> {
        let mut below = Vec::new();
        for object in &self.objects {
            let (place, is_pattern) = object.place(profile, directory);
            let operations = if is_pattern { object.operations } else { object.below };
            if let Some(path) = place.path() {
                let root = CanonicalPath::root();
                let path = if has_links && object.follows_links { &root } else { path };
                below.extend(
                    operations.iter().map(|&operation| (operation, path.clone(), object.spares_files)),
                );
            }
        }
        below
    }

    /// What the client is told where paths count and the command's words leave open what they mean.
    pub fn problem(&self) -> Option<&Reply> {
        self.problem.as_ref()
    }

    pub(super) fn one(object: Object) -> Self {
        Self { objects: vec![object], ..Self::default() }
    }

    pub(super) fn path(words: &[u8], operations: &'static [Operation]) -> Self {
        Self::one(Object::named(words, operations))
    }
}

impl Object {
    pub(super) fn new(name: Name, operations: &'static [Operation]) -> Self {
        Self {
            name,
            operations,
            may_replace: false,
            below: &[],
            spares_files: false,
            is_resumed: false,
            follows_links: false,
            is_changed: false,
            makes_parents: false,
            is_pattern: false,
            is_split: false,
            is_listed: false,
        }
    }

    /// Where it is; where its name is a pattern, the directory above that.
    pub(super) fn place(&self, profile: PathProfile, directory: Option<&CanonicalPath>) -> (Place, bool) {
        match self.name.resolve(profile, directory) {
            Place::Path(path) if self.is_pattern => match split_pattern(&path) {
                Some((directory, _)) => (Place::Path(directory), true),
                None => (Place::Path(path), false),
            },
            place @ (Place::Nothing | Place::Unresolved(_) | Place::Here(_) | Place::Path(_)) => {
                (place, false)
            }
        }
    }

    /// A directory that is removed with all that is below it; ProFTPD follows links on the way.
    pub(super) fn removed_with_all(words: &[u8], operations: &'static [Operation]) -> Self {
        let below = &[Operation::Delete, Operation::Rmdir];
        Self { below, follows_links: true, ..Self::named(words, operations) }
    }

    /// A file that is written from an offset. Pure-FTPd renames whatever has that name before it looks what it is: a
    /// directory goes on as `.pureftpd-upload.*` beside where it was, with all that is below it.
    fn resumed(words: &[u8], operations: &'static [Operation]) -> Self {
        Self {
            below: &[Operation::Rename],
            spares_files: true,
            is_resumed: true,
            follows_links: true,
            ..Self::named(words, operations)
        }
    }

    /// A directory that is created. FileZilla Server's MKD and ProFTPD's SITE MKDIR create all that it is in.
    pub(super) fn created(words: &[u8], operations: &'static [Operation]) -> Self {
        Self { makes_parents: true, ..Self::named(words, operations) }
    }

    pub(super) fn named(words: &[u8], operations: &'static [Operation]) -> Self {
        Self::new(Name::Words(words.to_vec()), operations)
    }
}

impl Name {
    /// Which path that is, seen from a directory; `None`: nobody knows in which one.
    pub(super) fn resolve(&self, profile: PathProfile, directory: Option<&CanonicalPath>) -> Place {
        match self {
            Self::Nothing => Place::Nothing,
            Self::Hidden => Place::Unresolved(None),
            Self::Directory => {
                let unknown = || Place::Unresolved(Some(PathError::UnknownDirectory));
                directory.cloned().map_or_else(unknown, Place::Here)
            }
            Self::Words(words) => match CanonicalPath::resolve(profile, directory, words) {
                Ok(path) => Place::Path(path),
                Err(error) => Place::Unresolved(Some(error)),
            },
        }
    }
}

impl Place {
    /// The path, if there is one and it is known.
    pub fn path(&self) -> Option<&CanonicalPath> {
        match self {
            Self::Here(path) | Self::Path(path) => Some(path),
            Self::Nothing | Self::Unresolved(_) => None,
        }
    }
}
