//! The policies: each as the gateway reads it, and a second time as a function that is easily seen to be right.

use ftpsgate_policies::Operation;
use ftpsgate_policies::Operation::{
    Append, Delete, Download, List, Metadata, Mkdir, Overwrite, Rename, Rmdir, Site, Upload,
};

use crate::peers::servers::USER;

/// One policy.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// For messages.
    pub name: &'static str,
    /// `[policy]` and its rules.
    pub toml: &'static str,
    /// Whether an operation is allowed on the file or directory that *is* there, whatever names lead to it.
    pub allows: fn(Operation, &str) -> bool,
    /// Whether links may lead from what is allowed to elsewhere. Where no rule denies something below what is allowed,
    /// the gateway does not walk, and links that lead out are the administrator's own (docs/policy.md).
    pub has_links_out: bool,
    /// Programs, their lines between bars, and whether the last line is done.
    pub control: &'static [(&'static str, bool)],
}

/// Denied trees beneath and beside allowed ones.
pub const BENEATH: Rules = Rules {
    name: "deny beneath",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "secrets"
paths = ["/secret/**", "/pub/secret/**", "/a/**", "/é/a/**", "/home/other/**"]
action = "deny"
"#,
    allows: |_, path| !within(path, &SECRETS),
    has_links_out: true,
    control: &[
        ("RETR /pub/f", true),
        ("CWD /pub/near | RETR f", true),
        ("STOR /pub/new", true),
        ("RNFR /pub/f | RNTO /pub/sub/moved", true),
        ("LIST /pub", true),
        ("DELE /in/f", true),
        ("RETR /pub/secret/f", false),
        ("CWD /pub/link", false),
        ("STOR /pub/link/new", false),
        ("TYPE I | REST 5 | STOR /pub/f", true),
        ("TYPE I | REST 5 | STOR /pub", false),
        (
            r#"MKD /pub/a " | MKD /pub/a "/.\. | MKD /pub/a "/.\./.\. | MKD /pub/a "/.\./.\./secret | STOR /pub/a "/.\./.\./secret/f" | SITE CPFR /pub/a "/.\./.\./secret/f" | SITE CPTO /pub/stolen | RETR /pub/stolen"#,
            false,
        ),
        (r#"STOR /pub/".." | SITE CHMOD 777 /pub/"..""#, false),
        ("MKD /pub/d | SITE CPFR /pub/sub | SITE CPTO /pub/d", false),
    ],
};

/// Nothing but two trees: fast walking.
pub const ONE_TREE: Rules = Rules {
    name: "only two trees",
    toml: r#"
[policy]
default = "deny"
[[rule]]
name = "free"
paths = ["/pub/**", "/é/**"]
action = "allow"
"#,
    allows: |_, path| within(path, &["/pub", "/é"]),
    has_links_out: true,
    control: &[
        ("RETR /pub/secret/f", true),
        ("STOR /é/new", true),
        ("CWD /pub | DELE f", true),
        ("RETR /in/f", false),
        ("LIST /", false),
        ("STOR /new", false),
        ("CWD /pub | LIST .?", false),
        ("CWD /pub | STAT l*", false),
        ("MKD /pub/.. a | CWD /pub/.. a | STAT .", true),
        ("MKD /pub/.. a | CWD /pub/.. a | MKD -x | STAT -R ./-x", false),
    ],
};

/// The same with something denied in each: strict walking.
pub const WALLED: Rules = Rules {
    name: "two trees with holes",
    toml: r#"
[policy]
default = "deny"
[[rule]]
name = "holes"
paths = ["/pub/secret/**", "/é/a/**"]
action = "deny"
[[rule]]
name = "free"
paths = ["/pub/**", "/é/**"]
action = "allow"
"#,
    allows: |_, path| within_exactly(path, &["/pub", "/é"]) && !within(path, &["/pub/secret", "/é/a"]),
    has_links_out: true,
    control: &[
        ("RETR /pub/f", true),
        ("STOR /pub/near/new", true),
        ("LIST /pub/sub", true),
        ("RETR /in/f", false),
        ("RETR /pub/link/f", false),
        ("RETR /pub/inner/f", false),
    ],
};

/// Nothing changes in some trees.
pub const READING: Rules = Rules {
    name: "read only",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "reading"
operations = ["upload", "overwrite", "append", "delete", "rename", "mkdir", "rmdir", "metadata", "site"]
paths = ["/pub/**", "/é/**", "/secret/**"]
action = "deny"
"#,
    allows: |operation, path| {
        matches!(operation, List | Download) || !within(path, &["/pub", "/é", "/secret"])
    },
    has_links_out: true,
    control: &[
        ("RETR /pub/f", true),
        ("CWD /pub | NLST", true),
        ("RETR /in/link/f", true),
        ("STOR /in/new", true),
        ("STOR /pub/new", false),
        ("STOR /in/link/new", false),
        ("DELE /in/link/f", false),
    ],
};

/// What is there stays as it is.
pub const WRITE_ONCE: Rules = Rules {
    name: "write once",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "nothing is lost"
operations = ["overwrite", "append", "delete", "rename", "rmdir", "metadata", "site"]
paths = ["/pub/**", "/é/**", "/in/**"]
action = "deny"
"#,
    allows: |operation, path| {
        matches!(operation, List | Download | Upload | Mkdir) || !within(path, &["/pub", "/é", "/in"])
    },
    has_links_out: true,
    control: &[
        ("STOR /pub/new", true),
        ("MKD /in/new", true),
        ("STOR /pub/f", false),
        ("APPE /pub/f", false),
        ("STOR /in/link/f", false),
        ("DELE /pub/f", false),
        ("RNFR /pub/f | RNTO /pub/g", false),
        ("RNFR /f | RNTO /pub/f", false),
        ("STOR /pub/x_", true),
        ("STOR /pub/x ", false),
    ],
};

/// Blind drop, blind collection, and no uploads: one operation is denied in each place.
pub const SINGLE: Rules = Rules {
    name: "single operations",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "no names"
operations = ["list", "metadata"]
paths = ["/pub/sub/**", "/é/~/**"]
action = "deny"
[[rule]]
name = "no contents"
operations = ["download", "rename", "site"]
paths = ["/in/**", "/secret/**"]
action = "deny"
[[rule]]
name = "no uploads"
operations = ["upload"]
paths = ["/pub/secret/**", "/é/a/**"]
action = "deny"
[[rule]]
name = "no removal"
operations = ["delete", "rmdir", "rename"]
paths = ["/a/**"]
action = "deny"
"#,
    allows: |operation, path| match operation {
        List | Metadata => !within(path, &["/pub/sub", "/é/~"]),
        Download | Site => !within(path, &["/in", "/secret"]),
        Upload => !within(path, &["/pub/secret", "/é/a"]),
        Delete | Rmdir => !within(path, &["/a"]),
        Rename => !within(path, &["/in", "/secret", "/a"]),
        _ => true,
    },
    has_links_out: true,
    control: &[
        ("RETR /pub/sub/f", true),
        ("LIST /pub", true),
        ("STOR /pub/sub/new", true),
        ("DELE /in/f", true),
        ("LIST /pub/sub", false),
        ("LIST /pub/near", false),
        ("RETR /in/f", false),
        ("STOR /pub/inner/new", false),
    ],
};

/// A kind of name, wherever it is.
pub const KEYS: Rules = Rules {
    name: "no keys",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "keys"
paths = ["**/*.key"]
action = "deny"
"#,
    allows: |_, path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.to_lowercase().ends_with(".key")
    },
    has_links_out: true,
    control: &[
        ("RETR /pub/f", true),
        ("RNFR /pub/f | RNTO /pub/f.txt", true),
        ("RETR /pub/x.key", false),
        ("RETR /pub/sub/x.KEY", false),
        ("RNFR /pub/f | RNTO /pub/f.key", false),
        ("CWD /pub/sub/up | RETR x.key", false),
        ("TYPE I | REST 5 | APPE /pub", false),
        ("TYPE I | REST 5 | LIST | STOR /pub", false),
        ("SITE MKDIR /in/new.key/a", false),
        ("MKD /in/new.key/a", false),
    ],
};

/// Everybody at home, and there is something that is not theirs.
pub const HOMES: Rules = Rules {
    name: "own homes",
    toml: r#"
[policy]
default = "deny"
[[rule]]
name = "not theirs"
paths = ["/home/$user/secret/**"]
action = "deny"
[[rule]]
name = "theirs"
paths = ["/home/$user/**"]
action = "allow"
"#,
    allows: |_, path| {
        let home = format!("/home/{USER}");
        within_exactly(path, &[&home]) && !within(path, &[&format!("{home}/secret")])
    },
    has_links_out: true,
    control: &[
        ("RETR /home/tester/f", true),
        ("CWD /home/tester | STOR new", true),
        ("RETR /home/other/f", false),
        ("RETR /home/tester/link/f", false),
        ("RETR /home/tester/secret/f", false),
    ],
};

/// Paths are judged, and nothing is denied that exists.
pub const NOTHING: Rules = Rules {
    name: "nothing that exists",
    toml: r#"
[policy]
default = "allow"
[[rule]]
name = "nothing"
paths = ["/there is nothing here/**"]
action = "deny"
"#,
    allows: |_, path| !within(path, &["/there is nothing here"]),
    has_links_out: true,
    control: &[],
};

impl Rules {
    /// Whether an entry's name may be shown: it stands in the list of its directory.
    pub fn shows(&self, path: &str) -> bool {
        (self.allows)(List, parent(path))
    }

    /// Whether there may be a new entry.
    pub fn may_appear(&self, path: &str, is_directory: bool) -> bool {
        let operations: &[Operation] =
            if is_directory { &[Mkdir, Upload, Rename] } else { &[Upload, Append, Rename] };
        operations.iter().any(|&operation| (self.allows)(operation, path))
    }

    /// Whether an entry may go.
    pub fn may_vanish(&self, path: &str, is_directory: bool) -> bool {
        let removal = if is_directory { Rmdir } else { Delete };
        [removal, Rename].iter().any(|&operation| (self.allows)(operation, path))
    }

    /// Whether an entry may be another than it was.
    pub fn may_change(&self, path: &str, is_directory: bool) -> bool {
        let may = |operation, path: &str| (self.allows)(operation, path);
        if is_directory {
            // Entries come and go in it, which is judged by their own paths.
            let entry = format!("{}/x", path.trim_end_matches('/'));
            let changing = [Upload, Mkdir, Delete, Rmdir, Rename, Append];
            return may(Metadata, path) || changing.iter().any(|&operation| may(operation, &entry));
        }
        [Overwrite, Append, Rename, Metadata].iter().any(|&operation| may(operation, path))
    }
}

/// The directory that a path is in.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}

const SECRETS: [&str; 5] = ["/secret", "/pub/secret", "/a", "/é/a", "/home/other"];

/// Whether a path is one of the trees, or in one. What only a letter's case tells apart is denied together.
fn within(path: &str, trees: &[&str]) -> bool {
    within_exactly(&path.to_lowercase(), trees)
}

fn within_exactly(path: &str, trees: &[&str]) -> bool {
    trees
        .iter()
        .any(|tree| path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
