//! Marks of what should not be seen: contents, names, sizes and times that occur nowhere else.
//!
//! Nothing that a client of these tests says holds any of them, so that no echo is taken for a leak.

use ftpsgate_policies::Operation;

use super::rules::Rules;
use super::tree;

/// What is searched for under one policy.
#[derive(Debug)]
pub struct Marks {
    rules: Rules,
    /// By number.
    paths: Vec<String>,
}

impl Marks {
    /// Of the tree that suits the policy.
    pub fn of(rules: Rules) -> Self {
        Self { paths: tree::numbered(&rules), rules }
    }

    /// What these bytes show that they should not.
    pub fn leak(&self, received: &[u8]) -> Option<String> {
        let mut rest = received;
        while let Some(at) = find(rest, MARK) {
            rest = &rest[at + MARK.len()..];
            let Some((number, is_name)) = read_mark(rest) else { continue };
            let path = self.paths.get(number).map_or("", String::as_str);
            if is_name && !self.rules.shows(path) {
                return Some(format!("the name of {path}"));
            }
            if !is_name && !(self.rules.allows)(Operation::Download, path) {
                return Some(format!("the content of {path}"));
            }
        }
        if let Some(size) = hidden_size(received) {
            let path = self.paths.get(size).map_or("", String::as_str);
            return Some(format!("the size of {path}"));
        }
        let time = HIDDEN_TIMES.into_iter().find(|time| find(received, time).is_some());
        time.map(|_| "the time of something hidden".to_owned())
    }
}

/// What a file holds. It may be moved, and is known by this.
pub(super) fn content(number: usize) -> Vec<u8> {
    format!("mark-{number}-content\n").into_bytes()
}

/// A name that nobody says.
pub(super) fn name(number: usize) -> String {
    format!("mark-{number}-name")
}

/// A size that nothing else has; no port and no year.
pub(super) fn bytes(number: usize) -> u64 {
    SIZES_FROM + number as u64
}

/// The number in a file's content.
pub(super) fn number(content: &[u8]) -> Option<usize> {
    read_mark(content.strip_prefix(MARK)?).map(|(number, _)| number)
}

/// 1987-06-05 04:03:21
pub(super) const HIDDEN_TIME_S: u64 = 549_864_201;

const HIDDEN_TIMES: [&[u8]; 3] = [b"19870605", b" 1987 ", b"Jun  5  1987"];
const MARK: &[u8] = b"mark-";
const SIZES_FROM: u64 = 910_000;

/// The number behind `mark-`, and whether it is that of a name.
fn read_mark(rest: &[u8]) -> Option<(usize, bool)> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((number, rest[digits..].starts_with(b"-name")))
}

/// A number of six digits that is one of the sizes.
fn hidden_size(received: &[u8]) -> Option<usize> {
    let mut numbers = received.split(|byte| !byte.is_ascii_digit()).filter(|digits| digits.len() == 6);
    numbers.find_map(|digits| {
        let number: usize = str::from_utf8(digits).ok()?.parse().ok()?;
        number.checked_sub(SIZES_FROM as usize).filter(|&offset| offset < 200)
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted[0];
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::rules::BENEATH;
    use super::*;

    #[test]
    fn every_kind_of_leak_is_noticed() {
        let marks = Marks::of(BENEATH);
        let number = |path: &str| marks.paths.iter().position(|one| one == path).unwrap();
        let hidden = number("/secret/f");
        let shown = marks.paths.iter().position(|path| path.contains("/pub/sub/mark-")).unwrap();
        let unseen = marks.paths.iter().position(|path| path.contains("/secret/d/mark-")).unwrap();
        for (text, is_leak) in [
            (format!("xx{}", String::from_utf8(content(hidden)).unwrap()), true),
            (String::from_utf8(content(number("/pub/f"))).unwrap(), false),
            (marks.paths[unseen].clone(), true),
            (marks.paths[shown].clone(), false),
            (format!("213 {}\r\n", bytes(hidden)), true),
            (format!("mark-x {}", marks.paths[unseen]), true),
            ("213 17\r\n229 (|||61010|)\r\n".to_owned(), false),
            ("213 19870605040321".to_owned(), true),
            ("-rw-r--r-- 1 a b 4 Jun 05  1987 f".to_owned(), true),
            ("213 20010909014640".to_owned(), false),
        ] {
            assert_eq!(marks.leak(text.as_bytes()).is_some(), is_leak, "{text}");
        }
    }
}
