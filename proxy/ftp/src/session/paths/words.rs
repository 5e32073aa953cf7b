//! Arguments that hold more than one path, or a path and something else.
//!
//! Where servers read such an argument in more than one way, every reading is judged, or the words are refused. Nothing
//! here resolves a path.

use ftpsgate_policies::Operation;

use crate::codec::{Command, Verb};

use super::super::answers;
use super::super::authorize::{Deed, Name, Object, Spelling};

/// LIST, NLST and STAT: options as of `ls`, and a pattern. Only options that change how names are shown pass, and R,
/// which lists everything below.
pub(in super::super) fn listing(verb: Verb, argument: &[u8]) -> Deed {
    let mut rest = argument;
    let mut before = Vec::new();
    let mut is_recursive = false;
    let mut is_odd = false;
    while rest.first() == Some(&b'-') {
        let (word, behind) = split_word(rest);
        is_recursive |= word.contains(&b'R');
        is_odd |= word.len() == 1 || !word[1..].iter().all(|letter| LIST_OPTIONS.contains(letter));
        before.extend_from_slice(word);
        before.push(b' ');
        rest = behind;
        while rest.first() == Some(&b' ') {
            rest = &rest[1..];
        }
    }
    // Servers that call `ls` take options from anywhere.
    is_odd |= rest.windows(3).any(|three| three.starts_with(b" -") && three[2] != b' ');
    // Pure-FTPd takes each word for a name of its own and drops backslashes: what is judged would not be what is listed.
    // CWD and a listing without a name reach every directory.
    is_odd |= rest.contains(&b' ') || rest.contains(&b'\\');
    // Options of NLST are names to ProFTPD and Pure-FTPd: in part, for Pure-FTPd answers `NLST -a xyz` with what is in
    // `yz`, and `NLST -a` with what is in `a`.
    is_odd |= verb == Verb::Nlst && !before.is_empty();
    // Pure-FTPd's `.*` and `.?` are the directory itself and the one above it, too.
    let is_hidden_pattern = |part: &[u8]| {
        part.first().is_some_and(|first| b".[{".contains(first))
            && part.iter().any(|byte| b"*?[{".contains(byte))
    };
    is_odd |= rest.split(|&byte| byte == b'/').any(is_hidden_pattern);
    let name = if rest.is_empty() { Name::Directory } else { Name::Words(rest.to_vec()) };
    let object = Object {
        below: if is_recursive { &[Operation::List] } else { &[] },
        // It enters each directory that a pattern matches, and with `-b` all of `-R`, links as well. Of NLST these are
        // names.
        follows_links: verb != Verb::Nlst,
        is_pattern: true,
        is_split: true,
        is_listed: true,
        ..Object::new(name, &[Operation::List])
    };
    Deed {
        spelling: Spelling { before, ..Spelling::default() },
        problem: is_odd.then(|| answers::bad_argument(verb)),
        ..Deed::one(object)
    }
}

/// MDTM: with a time before the path it sets what it else asks for.
pub(in super::super) fn dated(argument: &[u8]) -> Deed {
    let (time, path) = split_word(argument);
    if is_time(time) && !path.is_empty() {
        changed_facts(Verb::Mdtm, argument)
    } else {
        Deed::path(argument, &[Operation::Metadata])
    }
}

/// A path behind the word that says what is to be.
pub(in super::super) fn changed_facts(verb: Verb, argument: &[u8]) -> Deed {
    changed(prefixed(verb, argument, split_word(argument).1, &[Operation::Metadata]))
}

fn changed(mut deed: Deed) -> Deed {
    deed.objects.iter_mut().for_each(|object| object.is_changed = true);
    deed
}

fn prefixed(verb: Verb, argument: &[u8], rest: &[u8], operations: &'static [Operation]) -> Deed {
    let before = argument[..argument.len() - rest.len()].to_vec();
    Deed {
        problem: rest.is_empty().then(|| answers::bad_argument(verb)),
        spelling: Spelling { before, ..Spelling::default() },
        ..Deed::path(rest, operations)
    }
}

/// XCRC and its like: some servers read one or two numbers behind the path as a range, and take the path out of
/// quotes. What is meant without the numbers is judged as well.
///
/// The sums of single bytes are these bytes: with a range it is a download.
pub(in super::super) fn checksum(verb: Verb, argument: &[u8]) -> Deed {
    let mut rest = argument;
    let mut names = vec![argument];
    for _ in 0..2 {
        rest = without_number(rest);
        names.push(rest);
    }
    names.dedup();
    let operations: &'static [Operation] = match names.len() {
        1 => &[Operation::Metadata],
        _ => &[Operation::Metadata, Operation::Download],
    };
    let objects = names.into_iter().map(|name| Object::named(name, operations)).collect();
    let mut deed = Deed { objects, ..Deed::default() };
    if argument.first() == Some(&b'"') {
        deed.problem = Some(answers::bad_argument(verb));
    }
    deed
}

/// What stands before one or two numbers.
pub(in super::super) fn without_range(words: &[u8]) -> &[u8] {
    without_number(without_number(words))
}

fn without_number(words: &[u8]) -> &[u8] {
    match words.iter().rposition(|&byte| byte == b' ') {
        Some(space) if space > 0 && is_number(&words[space + 1..]) => &words[..space],
        Some(_) | None => words,
    }
}

/// MMD5: paths between commas (draft-twine-ftpmd5).
pub(in super::super) fn checksums(argument: &[u8]) -> Deed {
    let objects: Vec<Object> = argument
        .split(|&byte| byte == b',')
        .map(|words| Object::named(words.trim_ascii(), &[Operation::Metadata]))
        .collect();
    let is_odd = argument.contains(&b'"')
        || objects.len() > OBJECTS_MAX
        || objects.iter().any(|object| object.name == Name::Words(Vec::new()));
    Deed {
        objects,
        spelling: Spelling { separator: ", ", ..Spelling::default() },
        problem: is_odd.then(|| answers::bad_argument(Verb::Mmd5)),
    }
}

/// THMB: format, perhaps width and height, path (draft-peterson-streamlined-ftp-command-extensions).
pub(in super::super) fn thumbnail(argument: &[u8]) -> Deed {
    let mut rest = split_word(argument).1;
    for _ in 0..2 {
        let (word, behind) = split_word(rest);
        if is_number(word) && !behind.is_empty() {
            rest = behind;
        }
    }
    prefixed(Verb::Thmb, argument, rest, &[Operation::Metadata])
}

/// COMB: the parts are put at the end of the first, and are gone. Paths may be quoted.
pub(in super::super) fn combination(argument: &[u8]) -> Deed {
    let is_quoted = argument.contains(&b'"');
    let paths = if is_quoted { quoted_words(argument) } else { Some(spaced_words(argument)) };
    let is_whole = paths.as_ref().is_some_and(|paths| (2..=OBJECTS_MAX).contains(&paths.len()));
    let objects = paths
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, path)| match index {
            0 => Object::named(path, &[Operation::Overwrite]),
            _part => Object::named(path, &[Operation::Download, Operation::Delete]),
        })
        .collect();
    if !is_whole {
        let hidden = Object::new(Name::Hidden, &[Operation::Overwrite]);
        return Deed { problem: Some(answers::bad_argument(Verb::Comb)), ..Deed::one(hidden) };
    }
    Deed { objects, spelling: Spelling { separator: " ", is_quoted, ..Spelling::default() }, problem: None }
}

/// SITE, by its sub-command: what is not known here may do anything.
pub(in super::super) fn site(command: &Command, held: Option<&Command>) -> Deed {
    let argument = command.argument_or_empty();
    let (word, rest) = split_word(argument);
    let before = &argument[..argument.len() - rest.len()];
    let spelled = |deed: Deed| Deed {
        spelling: Spelling { before: before.to_vec(), ..deed.spelling.clone() },
        problem: deed.problem.clone().or_else(|| rest.is_empty().then(|| answers::bad_argument(Verb::Site))),
        ..deed
    };
    match word.to_ascii_uppercase().as_slice() {
        b"CPFR" => spelled(Deed::path(rest, &[Operation::Site, Operation::Download])),
        b"CPTO" => {
            // ProFTPD copies a directory with the links in it, and writes through those that are there.
            let source = held.map(|command| Object {
                below: &[Operation::Download],
                spares_files: true,
                follows_links: true,
                ..Object::named(
                    split_word(command.argument_or_empty()).1,
                    &[Operation::Site, Operation::Download],
                )
            });
            let target = Object {
                may_replace: true,
                below: &[Operation::Upload, Operation::Overwrite, Operation::Mkdir],
                spares_files: true,
                follows_links: true,
                makes_parents: true,
                ..Object::named(rest, &[Operation::Site, Operation::Upload])
            };
            spelled(Deed { objects: source.into_iter().chain([target]).collect(), ..Deed::default() })
        }
        b"CHMOD" | b"CHGRP" | b"CHOWN" => {
            let mut deed = changed(prefixed(Verb::Site, argument, split_word(rest).1, CHANGE));
            deed.objects.iter_mut().for_each(|object| object.is_pattern = true);
            deed
        }
        b"UTIME" => changed_times(argument, rest),
        b"SYMLINK" => {
            let paths = spaced_words(rest);
            let [source, link] = paths.as_slice() else {
                let problem = Some(answers::bad_argument(Verb::Site));
                return Deed { problem, ..Deed::one(Object::new(Name::Hidden, ANYTHING)) };
            };
            // A link gives everything below another name, by which no rule knows it.
            let source = Object { below: ANYTHING, ..Object::named(source, &[Operation::Site]) };
            let link = Object::named(link, &[Operation::Site, Operation::Upload]);
            let mut deed = spelled(Deed { objects: vec![source, link], ..Deed::default() });
            deed.spelling.separator = " ";
            deed
        }
        b"MKDIR" => spelled(Deed::one(Object::created(rest, &[Operation::Site, Operation::Mkdir]))),
        b"RMDIR" => spelled(Deed::one(Object::removed_with_all(rest, &[Operation::Site, Operation::Rmdir]))),
        // The mode of all that is made from now on.
        b"UMASK" => Deed::one(Object::new(Name::Hidden, CHANGE)),
        b"HELP" | b"IDLE" | b"WHO" | b"VERSION" | b"PSWD" | b"ZONE" => {
            Deed::one(Object::new(Name::Nothing, &[Operation::Site]))
        }
        _unknown => Deed::one(Object::new(Name::Hidden, ANYTHING)),
    }
}

/// `UTIME time path`, or `UTIME path time time time UTC`.
fn changed_times(argument: &[u8], rest: &[u8]) -> Deed {
    let (first, behind) = split_word(rest);
    let leads = is_time(first) && !behind.is_empty();
    let tail: Vec<&[u8]> = rest.rsplitn(5, |&byte| byte == b' ').collect();
    let trails = match tail.as_slice() {
        [zone, c, b, a, path] => {
            let is_dated = zone.eq_ignore_ascii_case(b"UTC") && is_time(a) && is_time(b) && is_time(c);
            is_dated.then_some(path.len())
        }
        _fewer => None,
    };
    // Pure-FTPd cuts four words off wherever the last one is UTC.
    let is_zoned = tail.first().is_some_and(|zone| zone.eq_ignore_ascii_case(b"UTC"));
    match (leads, trails) {
        (true, None) if !is_zoned => changed(prefixed(Verb::Site, argument, behind, CHANGE)),
        (false, Some(length)) if length > 0 => changed(Deed {
            spelling: Spelling {
                before: argument[..argument.len() - rest.len()].to_vec(),
                after: rest[length..].to_vec(),
                ..Spelling::default()
            },
            ..Deed::path(&rest[..length], CHANGE)
        }),
        (true, _) | (false, Some(_) | None) => Deed {
            problem: Some(answers::bad_argument(Verb::Site)),
            ..Deed::one(Object::new(Name::Hidden, CHANGE))
        },
    }
}

/// The first word, and what stands behind its space.
pub(in super::super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

fn spaced_words(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Words of which each is in quotes; `None`: they are not.
fn quoted_words(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b'"').collect();
    let (last, pairs) = parts.split_last()?;
    let is_even = pairs.len().is_multiple_of(2) && last.iter().all(|&byte| byte == b' ');
    let mut words = Vec::new();
    for pair in pairs.chunks(2) {
        let &[gap, word] = pair else { return None };
        if !gap.iter().all(|&byte| byte == b' ') || word.is_empty() {
            return None;
        }
        words.push(word.to_vec());
    }
    is_even.then_some(words)
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// `YYYYMMDDhhmm`, perhaps with seconds and their fraction (RFC 3659 §2.3).
fn is_time(word: &[u8]) -> bool {
    let digits = word.split(|&byte| byte == b'.').next().unwrap_or_default();
    matches!(digits.len(), 12 | 14)
        && is_number(digits)
        && (digits.len() == word.len() || is_number(&word[digits.len() + 1..]))
}

/// How names are shown: all, long, one a line, with marks; R lists what is below as well.
const LIST_OPTIONS: &[u8] = b"alA1FR";
/// What is changed by a server's own command.
const CHANGE: &[Operation] = &[Operation::Site, Operation::Metadata];
/// Whatever can be done to files.
const ANYTHING: &[Operation] = &[
    Operation::Site,
    Operation::List,
    Operation::Download,
    Operation::Upload,
    Operation::Overwrite,
    Operation::Append,
    Operation::Delete,
    Operation::Rename,
    Operation::Mkdir,
    Operation::Rmdir,
    Operation::Traverse,
    Operation::Metadata,
];

/// Files that one command may name: each is resolved, judged, and walked to.
const OBJECTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Context;

    fn deed(line: &str) -> Deed {
        Deed::of(&Command::parse(line.as_bytes()).unwrap(), Context::default())
    }

    /// The names that a command is judged by, `.` for the directory and `?` for what is hidden.
    fn names(line: &str) -> Vec<String> {
        let names = deed(line).objects.into_iter().map(|object| match object.name {
            Name::Words(words) => String::from_utf8(words).unwrap(),
            Name::Directory => ".".into(),
            Name::Hidden => "?".into(),
            Name::Nothing => "-".into(),
        });
        names.collect()
    }

    #[test]
    fn paths_are_found_between_other_words() {
        for (line, expected) in [
            ("LIST", vec!["."]),
            ("LIST -la", vec!["."]),
            ("LIST -l -a files", vec!["files"]),
            ("MDTM 20200101000000 a b", vec!["a b"]),
            ("MDTM 2020 a", vec!["2020 a"]),
            ("MFMT 20200101000000.5 a b", vec!["a b"]),
            ("MFF Modify=1;Perm=r; a b", vec!["a b"]),
            ("XCRC a b", vec!["a b"]),
            ("XCRC a 0 100", vec!["a 0 100", "a 0", "a"]),
            ("MMD5 a b, c", vec!["a b", "c"]),
            ("THMB JPG 100 200 a", vec!["a"]),
            ("THMB JPG 100", vec!["100"]),
            ("COMB a b c", vec!["a", "b", "c"]),
            ("COMB \"a b\" \"c\"", vec!["a b", "c"]),
            ("SITE CHMOD 644 a b", vec!["a b"]),
            ("SITE utime 20200101000000 a b", vec!["a b"]),
            ("SITE UTIME a b 20200101000000 20200101000000 20200101000000 UTC", vec!["a b"]),
            ("SITE SYMLINK a b", vec!["a", "b"]),
            ("SITE CPFR a b", vec!["a b"]),
            ("SITE HELP", vec!["-"]),
            ("SITE EXEC ls", vec!["?"]),
            ("SITE FROB x", vec!["?"]),
            ("CDUP", vec![".."]),
            ("STOU", vec!["."]),
        ] {
            assert_eq!(names(line), expected, "{line}");
            assert_eq!(deed(line).problem, None, "{line}");
        }
    }

    #[test]
    fn words_that_can_be_read_in_two_ways_are_refused() {
        for line in [
            "LIST -t",
            "LIST --",
            "LIST -",
            "LIST -la -x a",
            "LIST a -R",
            "LIST -l -a my files",
            "NLST Photos - 2024",
            "LIST /secre\\t",
            "STAT a /secret",
            "MFMT 20200101000000",
            "XCRC \"a\" 1",
            "MMD5 a,,b",
            "MMD5 a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
            "COMB a a a a a a a a a a a a a a a a a",
            "COMB a",
            "COMB \"a\" b",
            "COMB \"a",
            "SITE CHMOD 644",
            "SITE CPFR",
            "SITE UTIME a",
            "SITE UTIME 20200101000000 a 20200101000000 x y UTC",
            "SITE UTIME 20200101000000 a 20200101000000 20200101000000 20200101000000 UTC",
            "SITE SYMLINK a",
            "SITE SYMLINK a b c",
            "STOU x",
            "THMB JPG",
        ] {
            assert!(deed(line).problem.is_some(), "{line}");
        }
    }
}
