//! Ways around a policy (SECURITY.md, "Catalogue: policy bypass"), a test each: none reaches the backend.

use ftpsgate_policies::PathProfile;

use super::harness::{ARM, LEASE, Scene, Wire};
use super::policy::policy;

/// Everything but one tree.
const RULES: &str = "deny * /secret/**\nallow";

/// A session of that policy, in `/home`.
fn session() -> Wire {
    session_with(RULES)
}

fn session_with(rules: &str) -> Wire {
    start(Scene::plain(), rules)
}

fn start(scene: Scene, rules: &str) -> Wire {
    let mut wire = scene.policy(policy(rules)).begin();
    wire.play(
        "C< 220 ready
         C> USER anna
         * connect
         B connected
         B< 220 x
         B> USER anna
         B< 230 x
         B> PWD
         B< 257 \"/home\"
         C< 230 x",
    );
    wire
}

/// Each of these is refused, and the backend hears nothing.
#[track_caller]
fn refused(commands: &[&str]) {
    let mut wire = session();
    wire.play(LEASE);
    for command in commands {
        wire.play(&format!("C> {command}\nC< 55…"));
    }
}

/// The same under a policy that allows one tree.
#[track_caller]
fn refused_outside(commands: &[&str]) {
    let mut wire = session_with("allow * /home/**\ndeny");
    wire.play(LEASE);
    for command in commands {
        wire.play(&format!("C> {command}\nC< 55…"));
    }
}

/// Pure-FTPd lists each word of LIST and STAT, and drops backslashes.
#[test]
fn listings_of_several_words() {
    for rules in [RULES, "allow * /home/**\ndeny"] {
        let mut wire = session_with(rules);
        wire.play(LEASE);
        for command in
            ["LIST x secret", "LIST a /secret", "LIST /secre\\x5ct", "LIST -R /secre\\x5ct", "STAT x /secret"]
        {
            wire.play(&format!("C> {command}\nC< 501 …"));
        }
    }
}

#[test]
fn dots_above_the_root() {
    refused(&["RETR ../secret/x", "RETR ../../../../secret/x", "RETR /../secret/x", "CWD ../../secret"]);
    refused_outside(&["RETR ../x", "RETR /home/../x", "RETR /home/a/../../x", "RETR /../../x"]);
}

#[test]
fn double_slashes_dots_and_slashes_at_the_end() {
    refused(&[
        "RETR //secret//x",
        "RETR /./secret/./x",
        "CWD /secret/",
        "CWD //secret/.",
        "RETR .//..//secret/x",
    ]);
}

#[test]
fn backslashes() {
    let mut scene = Scene::plain();
    scene.upstream().paths = PathProfile::Windows;
    let mut wire = start(scene, RULES);
    wire.play(LEASE);
    for command in ["RETR \\x5csecret\\x5cx", "RETR ..\\x5csecret\\x5cx", "CWD a\\x5c..\\x5csecret"] {
        wire.play(&format!("C> {command}\nC< 550 …"));
    }
    // On Unix it is a letter of a name.
    let mut wire = session();
    wire.play("C> DELE a\\x5cb\nB> DELE a\\\\b");
}

#[test]
fn a_leading_tilde() {
    refused(&["RETR ~", "RETR ~/f", "RETR ~root/f", "CWD ~", "CWD ~root", "LIST ~", "NLST ~/*", "STOR ~/x"]);
}

#[test]
fn cwd_without_argument() {
    session().play("C> CWD\nC< 501 …\nC> CWD \nC< 501 …\nC> XCWD\nC< 501 …");
}

#[test]
fn invalid_and_overlong_utf_8() {
    refused(&[
        "RETR /secre\\xff",
        "RETR /\\xc1\\xb3ecret/x",
        "RETR \\xc0\\xae\\xc0\\xae/secret/x",
        "RETR /a\\xe0\\x80\\xafb",
        "CWD \\xed\\xa0\\x80",
    ]);
}

#[test]
fn look_alikes_of_dots_and_slashes() {
    refused(&[
        "RETR ．．/secret/x",
        "RETR /home／../secret/x",
        "RETR ‥/secret/x",
        "RETR a＼b",
        "RETR ․․/secret/x",
    ]);
}

#[test]
fn look_alikes_and_case_aliases_of_names() {
    refused(&[
        "RETR /SECRET/x",
        "RETR /Secret/x",
        "RETR /ｓecret/x",
        "RETR /ſecret/x",
        "RETR /secret./x",
        "RETR /secret /x",
    ]);
    let mut wire = session_with("deny * /caf\u{e9}/**\nallow");
    wire.play(LEASE);
    wire.play(
        "C> RETR /cafe\u{301}/x\nC< 550 …\nC> RETR /CAFE\u{301}/x\nC< 550 …\nC> RETR /caf\u{e9}/x\nC< 550 …",
    );
}

#[test]
fn names_of_windows() {
    let mut scene = Scene::plain();
    scene.upstream().paths = PathProfile::Windows;
    let mut wire = start(scene, RULES);
    wire.play(LEASE);
    for name in ["f::$DATA", "f:x", "f.", "f\\x20", "SECRET~1/x", "CON", "nul.txt", "C:/secret/x"] {
        wire.play(&format!("C> RETR {name}\nC< 550 …"));
    }
}

#[test]
fn spaces_at_both_ends() {
    refused(&["RETR /secret /x", "RETR  /../ ../secret/x", "RETR .. /secret/x", "RETR  ./x"]);
    // Beside them there are ordinary names.
    session().play("C> DELE  x\nB> DELE /home/ x");
}

#[test]
fn aliases_of_verbs() {
    let mut wire = session();
    for command in ["XCWD /secret", "XMKD /secret/x", "XRMD /secret/x", "xcwd ../secret"] {
        wire.play(&format!("C> {command}\nC< 55…"));
    }
    wire.play("C> XPWD\nC< 257 \"/home\" …");
    wire.play("C> XCUP\nB> CWD /\nB< 250 x\nB> PWD\nB< 257 \"/\"\nC< 250 x\nC> XPWD\nC< 257 \"/\" …");
}

#[test]
fn recursive_listings() {
    refused(&["LIST -aR /", "LIST -R ..", "STAT -R /", "LIST -lR /secret"]);
    let mut wire = session();
    wire.play(LEASE);
    wire.play("C> NLST -R /\nC< 501 …");
}

/// Pure-FTPd answers `NLST -a xsecret` with the names in `secret`, and `NLST -a` with those in `a`.
#[test]
fn options_of_nlst_that_are_names() {
    for rules in [RULES, "allow * /home/**\ndeny"] {
        let mut wire = session_with(rules);
        wire.play(LEASE);
        wire.play("C> NLST -a xsecret\nC< 501 …\nC> NLST -a /home\nC< 501 …\nC> NLST -a\nC< 501 …");
    }
}

/// Pure-FTPd splits what it lists at blanks, drops backslashes, and reads patterns: also in what a name led to.
#[test]
fn listings_in_directories_whose_names_are_several_words() {
    let directory = "/home/.. a";
    for rules in [RULES, "deny * **/*.exe\nallow", "deny overwrite\nallow"] {
        let mut wire = session_with(rules);
        let entered = |name: &str| format!("B> CWD {name}\nB< 250 x\nB> PWD\nB< 257 \"{directory}\"");
        wire.play(&format!("C> CWD x\n{}\nC< 250 x", entered("/home/x")));
        wire.play(&format!(
            "C> STAT -l sub\nB> CWD {directory}/sub\nB< 250 x\nB> PWD\nB< 257 \"{directory}/sub\"
             B> STAT -l .\nB< 213 x\nC< 213 x"
        ));
        wire.play(&format!("C> STAT .\n{}\nB> STAT .\nB< 213 x\nC< 213 x", entered(directory)));
        // What is no directory is said as it is called there, or not at all.
        let stayed = format!("B< 550 no\nB> PWD\nB< 257 \"{directory}\"");
        wire.play(&format!("C> STAT f\nB> CWD {directory}/f\n{stayed}\nB> STAT f\nB< 213 x\nC< 213 x"));
        wire.play(&format!("C> STAT ./-x\nB> CWD {directory}/-x\n{stayed}\nC< 501 …"));
    }
}

/// Pure-FTPd forgets the offset of a REST only when a file is read or written.
#[test]
fn offsets_for_what_begins_nowhere() {
    for command in ["LIST", "NLST", "MLSD", "STOU"] {
        let mut wire = session_with("deny * **/*.exe\nallow");
        wire.play(ARM);
        wire.play(&format!("C> REST 5\nC< 350 …\nC> {command}\nB> {command}"));
    }
    for refusal in ["450 no", "521 no"] {
        let mut wire = session();
        wire.play("C> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x");
        wire.play(LEASE);
        wire.play("C> REST 5\nC< 350 …\nC> RETR x\nreach\nB> REST 5\nB< 350 x\nB> RETR x");
        let release = if refusal.starts_with('4') { "* discard" } else { "* withdraw" };
        wire.play(&format!(
            "B< {refusal}\n{release}\nC< {refusal}\nB> REST 0\nC> DELE x\nB< 350 x\nB> DELE x"
        ));
    }
}

/// Pure-FTPd's APPE writes a new file over the old one as soon as its session has stored one under a name of its own.
#[test]
fn appending_after_a_name_was_chosen() {
    let mut wire = session_with("deny overwrite /home/**\nallow");
    wire.play(LEASE);
    wire.play("C> APPE x\nreach\nB> APPE x\nB< 550 no\n* withdraw\nC< 550 no");
    wire.play(LEASE);
    wire.play("C> STOU\nreach\nB> STOU\nB< 550 no\n* withdraw\nC< 550 no");
    wire.play(LEASE);
    wire.play("C> APPE x\nC< 553 …");
}

/// Pure-FTPd writes `_` for a blank at the end of a new name, and is asked for the name as it is.
#[test]
fn new_names_that_end_with_a_blank() {
    for (rules, data) in [(RULES, LEASE), ("deny overwrite\nallow", ARM)] {
        let mut wire = session_with(rules);
        wire.play(data);
        for command in
            ["STOR x\\x20", "APPE x\\x20", "MKD x\\x20", "STOR x\\x20/", "STOR x\\x20/.", "MKD y/x\\x20"]
        {
            wire.play(&format!("C> {command}\nC< 553 …"));
        }
        wire.play("C> RNFR y\nC< 350 …\nC> RNTO x\\x20\nC< 553 …");
    }
}

/// A LIST with options lists what has their name: on ProFTPD, and of a second word on vsftpd.
#[test]
fn new_names_that_would_be_options() {
    let mut wire = session();
    wire.play("C> MKD -a\nC< 553 …\nC> RNFR link\nC< 350 …\nC> RNTO -la\nC< 553 …");
    wire.play("C> SITE SYMLINK x -a\nC< 55…\nC> SITE MKDIR /home/-a\nC< 553 …\nC> SITE CPFR x\nC< 350 …\nC> SITE CPTO -R\nC< 553 …");
    wire.play("C> DELE -a\nB> DELE /home/-a");
}

/// Most servers replace what has the new name.
#[test]
fn renames_to_what_is_there() {
    let mut wire = session_with("deny overwrite\nallow");
    let pair = "C> RNFR y\nC< 350 …\nC> RNTO x\nB> MLST /home/x";
    wire.play(&format!("{pair}\nB< 250-x\\n type=file; x\\n250 x\nC< 553 …"));
    wire.play(&format!(
        "{pair}\nB< 550 No such file\nB> RNFR /home/y\nB< 350 x\nB> RNTO /home/x\nB< 250 x\nC< 250 x"
    ));
    // Who cannot be asked may replace it.
    let mut wire = session_with("deny overwrite\nallow");
    wire.play(&format!("{pair}\nB< 500 what\nB> TYPE I\nB< 200 x\nB> SIZE /home/x\nB< 500 what\nB> TYPE A\nB< 200 x\nC< 553 …"));
}

/// vsftpd's `cmds_allowed`, ProFTPD's `<Limit>`, pyftpdlib's permissions: a 550 that is not about the file.
#[test]
fn uploads_where_nobody_may_ask_what_is_there() {
    for refusal in ["Permission denied.", "/home/x: Operation not permitted", "Not enough privileges."] {
        let mut wire = session_with("deny overwrite\nallow");
        wire.play("C> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x");
        wire.play(ARM);
        wire.play(&format!(
            "C> STOR x\nB> MLST /home/x\nB< 550 {refusal}\nB> SIZE /home/x\nB< 550 {refusal}\nC< 553 …"
        ));
    }
    let mut wire = session_with("deny overwrite\nallow");
    wire.play(ARM);
    wire.play(
        "C> STOR access\nB> MLST /home/access\nB< 550 /home/access: No such file\nB> STOR /home/access",
    );
}

/// Apache FtpServer takes a backslash for a slash.
#[test]
fn backslashes_that_lead_up() {
    refused(&["RETR ..\\x5csecret\\x5cx", "RETR /home/..\\x5csecret", "CWD a\\x5c..\\x5c..\\x5csecret"]);
    session().play("C> DELE a\\x5cb\nB> DELE a\\\\b");
}

/// What it sets is the mode of all that is made later.
#[test]
fn the_mode_of_new_files() {
    for command in ["SITE UMASK 000", "SITE UMASK"] {
        session_with("deny metadata /home/**\nallow").play(&format!("C> {command}\nC< 55…"));
    }
}

/// ProFTPD takes SITE apart into words, where a quote begins one: `a "b"` is `a b`, and `"/.\./x` another path.
#[test]
fn quotes_in_site() {
    let mut wire = session_with("deny overwrite\nallow");
    for command in ["SITE CHMOD 644", "SITE UTIME 20200101000000", "SITE RMDIR", "SITE CHGRP x"] {
        for path in ["\"..\"", "a \"b", "x\"", "a\\x20\\x20b", "a\\x20"] {
            wire.play(&format!("C> {command} {path}\nC< 501 …"));
        }
    }
    wire.play(
        "C> SITE CPFR a \"b\"\nC< 350 …\nC> SITE CPTO c\nB> MLST /home/c\nB< 550 none
         B> MLST /home/a \\\"b\\\"\nB< 250-x\\n type=file; x\\n250 x\nC< 501 …",
    );
}

/// ProFTPD's XCRC and its like take the first word for the path, or what is in quotes; with a range they tell bytes.
#[test]
fn checksums_of_the_first_word() {
    for verb in ["XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512"] {
        let mut wire = session_with("deny * **/*.key\nallow");
        for words in ["x.key 0 +1", "x.key 0 1 j", "x \"y\"", "./\"x.key\"", "a b"] {
            wire.play(&format!("C> {verb} {words}\nC< 501 …"));
        }
        wire.play(&format!("C> {verb} x 0 9\nB> {verb} /home/x 0 9\nB< 250 x\nC< 250 x"));
        let mut wire = session_with("deny download /home/**\nallow");
        wire.play(&format!("C> {verb} x 0 9\nC< 550 …\nC> {verb} x\nB> {verb} x"));
    }
}

/// ProFTPD's SITE RMDIR goes through links to directories while it removes what is below.
#[test]
fn removals_that_follow_links() {
    refused(&["SITE RMDIR /in", "RMDA /in", "RMDA x"]);
}

/// Pure-FTPd's STOR behind a REST renames a directory of that name to `.pureftpd-upload.*`, then fails.
#[test]
fn directories_that_are_uploaded_to_from_an_offset() {
    let answers = [
        ("B< 250-x\\n type=dir; x\\n250 x", "C< 550 …"),
        ("B< 250-x\\n type=file; x\\n250 x", "{sent}"),
        ("B< 550 none", "{sent}"),
        ("B< 502 x\nB> SIZE /home/x\nB< 213 9", "{sent}"),
        ("B< 502 x\nB> SIZE /home/x\nB< 550 not a plain file", "C< 550 …"),
    ];
    for verb in ["STOR", "APPE"] {
        for (answer, then) in answers {
            let mut wire = session();
            wire.play("C> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x");
            wire.play(LEASE);
            let then = then.replace("{sent}", &format!("reach\nB> REST 5\nB< 350 x\nB> {verb} x"));
            wire.play(&format!("C> REST 5\nC< 350 …\nC> {verb} x\nB> MLST /home/x\n{answer}\n{then}"));
        }
    }
    // Where everything may be renamed there is nothing to be asked.
    let mut wire = session_with("deny download /secret/**\nallow");
    wire.play(LEASE);
    wire.play("C> REST 5\nC< 350 …\nC> STOR x\nreach\nB> REST 5\nB< 350 x\nB> STOR x");
}

/// The mode and the times that servers change are those of the directory to which a link leads.
#[test]
fn changes_of_a_directory_through_a_link_to_it() {
    for command in [
        "SITE CHMOD 777",
        "SITE CHGRP users",
        "SITE UTIME 20200101000000",
        "MFMT 20200101000000",
        "MFF Modify=20200101000000;",
        "MDTM 20200101000000",
    ] {
        let mut wire = session();
        wire.play(&format!(
            "C> {command} link
             B> MLST /home/link
             B< 250-x\\n type=dir; link\\n250 x
             B> CWD /home/link
             B< 250 x
             B> PWD
             B< 257 \"/secret\"
             B> CWD /home
             B< 250 x
             B> PWD
             B< 257 \"/home\"
             C< 55…"
        ));
        // vsftpd and Pure-FTPd take some names for a part of the time before them, or the reverse.
        let sent = if command.starts_with("MDTM") { "/home/file" } else { "file" };
        wire.play(&format!(
            "C> {command} file
             B> MLST /home/file
             B< 250-x\\n type=file; file\\n250 x
             B> {command} {sent}
             B< 200 x
             C< 200 x"
        ));
        wire.play(&format!(
            "C> {command} directory
             B> MLST /home/directory
             B< 250-x\\n type=dir; directory\\n250 x
             B> CWD /home/directory
             B< 250 x
             B> PWD
             B< 257 \"/home/directory\"
             B> {command} /home/directory
             B< 200 x
             C< 200 x"
        ));
    }
    // What is neither a file nor a directory that can be entered stays as it is.
    session().play(
        "C> SITE CHMOD 777 x\nB> MLST /home/x\nB< 250-x\\n type=OS.unix=symlink; x\\n250 x
         B> CWD /home/x\nB< 550 no\nB> PWD\nB< 257 \"/home\"\nC< 550 no",
    );
    session().play(
        "C> SITE CHMOD 777 l*\nB> MLST /home/l*\nB< 250-x\\n type=dir; x\\n250 x\nC< 550 …
         C> SITE CHMOD 777 a[1]\nB> MLST /home/a[1]\nB< 250-x\\n type=file; x\\n250 x
         B> SITE CHMOD 777 a[1]\nB< 200 x\nC< 200 x",
    );
}

#[test]
fn listings_with_a_path() {
    refused(&[
        "LIST /secret",
        "NLST /secret/",
        "MLSD /secret",
        "STAT /secret",
        "LIST -la /secret",
        "STAT /secret/x",
    ]);
}

#[test]
fn patterns() {
    refused(&["LIST /*", "NLST /s*", "STAT /secre?", "LIST /secre[t]", "NLST ../s*/x"]);
    let mut wire = session();
    wire.play(LEASE);
    for verb in ["LIST", "NLST", "STAT"] {
        // Of these some match the directory above.
        for pattern in [".*", ".?", "/home/.*", "a/.?", "[.]*", "[s]ecret", "{..,x}", "/{secret,home}"] {
            wire.play(&format!("C> {verb} {pattern}\nC< 501 …"));
        }
    }
    refused(&["SITE CHMOD 777 /s*", "SITE CHMOD 777 ../secre?"]);
}

#[test]
fn metadata() {
    for verb in [
        "SIZE", "MDTM", "MLST", "HASH", "MD5", "XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512", "AVBL",
        "DSIZ",
    ] {
        refused(&[&format!("{verb} /secret/x"), &format!("{verb} ../secret")]);
    }
    refused(&["MMD5 a, /secret/x", "THMB JPG /secret/x", "THMB JPG 1 2 /secret/x"]);
    refused(&["COMB a /secret/x", "COMB /secret/x a", "COMB \"a\" \"/secret/x\""]);
    let mut wire = session_with("deny metadata /home/f\nallow");
    wire.play("C> XCRC f 0 9\nC< 550 …\nC> XMD5 f 3\nC< 550 …\nC> HASH f\nC< 550 …\nC> XCRC \"f\"\nC< 501 …");
}

#[test]
fn a_held_rnfr() {
    // Only the last of two counts, and it is judged with the RNTO.
    let mut wire = session();
    wire.play("C> RNFR /secret/x\nC< 553 …\nC> RNTO y\nC< 503 …");
    wire.play("C> RNFR a\nC< 350 …\nC> RNFR /secret/x\nC< 553 …\nC> RNTO y\nC< 503 …");
    wire.play("C> RNFR a\nC< 350 …\nC> RNTO /secret/a\nC< 553 …\nC> RNTO y\nC< 503 …");
}

#[test]
fn renaming_a_directory_with_denied_children() {
    let mut wire = session();
    wire.play("C> RNFR /\nC< 350 …\nC> RNTO /home/x\nB> MLST /\nB< 250-x\\n Type=dir; /\\n250 x\nC< 55…");
    let mut wire = session_with("deny * /home/in/secret/**\nallow");
    wire.play(
        "C> RNFR in\nC< 350 …\nC> RNTO out\nB> MLST /home/in\nB< 250-x\\n Type=dir; /x\\n250 x\nC< 55…",
    );
    // Nor into a place where they would be allowed, or denied.
    let mut wire = session_with("deny * /home/in/secret/**\nallow");
    wire.play(
        "C> RNFR out\nC< 350 …\nC> RNTO in\nB> MLST /home/out\nB< 250-x\\n Type=dir; /x\\n250 x\nC< 55…",
    );
}

#[test]
fn stou() {
    let mut wire = session_with("deny upload /home/*\nallow");
    wire.play(LEASE);
    wire.play(
        "C> STOU
         reach
         B> STOU
         B< 150 FILE: x.1
         * cancel
         C< 553 …
         B>! ABOR
         = denied STOU 553 by deny upload /home/* (rules:1)
         B< 426 x
         B< 226 x",
    );
    let mut wire = session_with("deny upload /home/**\nallow");
    wire.play(LEASE);
    wire.play("C> STOU\nC< 553 …\nC> STOU x\nC< 504 …");
    let mut wire = session_with("deny upload /home/*.exe\nallow");
    wire.play(LEASE);
    wire.play("C> STOU\nreach\nB> STOU\nB< 150 FILE: x.1\nC< 150 FILE: x.1\n* relay upload clear");
}

#[test]
fn appe_and_rest_stor_as_overwrite() {
    let mut wire = session_with("deny overwrite,append /home/**\nallow");
    wire.play(LEASE);
    wire.play("C> APPE x\nC< 553 …\nC> REST 1\nC< 350 …\nC> STOR x\nC< 553 …");
    wire.play("C> STOR x\nB> MLST /home/x\nB< 250-x\\n type=file; x\\n250 x\nC< 553 …");
}

/// No rule speaks of paths; the server is asked all the same whether there is a file.
#[test]
fn new_files_and_files_that_are_there() {
    const THERE: &str = "B< 250-x\\n type=file; x\\n250 x";
    const NEW: &str = "B< 550 x";
    for (rules, denied, allowed) in [
        ("deny upload\nallow", NEW, THERE),
        ("deny overwrite\nallow", THERE, NEW),
        ("allow overwrite,login,connect\ndeny", NEW, THERE),
        ("allow upload,login,connect\ndeny", THERE, NEW),
        ("deny upload larger=9\nallow", NEW, THERE),
        ("deny overwrite larger=9\nallow", THERE, NEW),
    ] {
        let refusal = if rules.contains("larger") { "C< 552 …" } else { "C< 553 …" };
        for (answer, outcome) in [(denied, refusal), (allowed, "B> STOR /home/x")] {
            let mut wire = session_with(rules);
            wire.play(ARM);
            if rules.contains("larger") {
                wire.play("C> ALLO 10\nB> ALLO 10\nB< 200 x\nC< 200 x");
            }
            wire.play(&format!("C> STOR x\nB> MLST /home/x\n{answer}\n{outcome}"));
        }
        // A server that does not tell counts as either.
        if !rules.contains("larger") {
            let mut wire = session_with(rules);
            wire.play(ARM);
            wire.play("C> STOR x\nB> MLST /home/x\nB< 502 x\nB> TYPE I\nB< 504 x\nC< 553 …");
            wire.play(
                "C> STOR x\nB> TYPE I\nB< 200 x\nB> SIZE /home/x\nB< 450 x\nB> TYPE A\nB< 200 x\nC< 553 …",
            );
            // Words that nobody can read, and no data connection for it.
            wire.play("C> STOR \\xff\nC< 553 …");
            session_with(rules).play("C> STOR x\nC< 553 …");
        }
    }
}

/// A copy of a directory over one that is there makes new files, too.
#[test]
fn a_copied_directory_makes_new_files_and_replaces_others() {
    for operation in ["upload", "overwrite"] {
        let mut wire = session_with(&format!("deny {operation}\nallow"));
        let answer = if operation == "upload" { "B< 250-x\\n type=dir; y\\n250 x" } else { "B< 550 x" };
        wire.play(&format!(
            "C> SITE CPFR x\nC< 350 …\nC> SITE CPTO y\nB> MLST /home/y\n{answer}\nB> MLST /home/x"
        ));
        wire.play("B< 250-x\\n type=dir; x\\n250 x\nC< 55…");
    }
}

#[test]
fn new_files_and_files_that_are_there_where_nobody_can_look() {
    for operation in ["upload", "overwrite"] {
        for rules in [format!("deny {operation}\nallow"), format!("allow {operation},login,connect\ndeny")] {
            let mut scene = Scene::plain().policy(policy(&rules));
            scene.upstream().paths = PathProfile::Opaque;
            let mut wire = scene.log_in();
            wire.play(ARM);
            wire.play("C> STOR 'A.B'\nC< 553 …");
        }
        let mut scene = Scene::plain().policy(policy(&format!("deny {operation} larger=9\nallow")));
        scene.upstream().paths = PathProfile::Opaque;
        let mut wire = scene.log_in();
        wire.play(ARM);
        wire.play("C> ALLO 10\nB> ALLO 10\nB< 200 x\nC< 200 x\nC> STOR 'A.B'\nC< 552 …");
    }
    let mut scene = Scene::plain().policy(policy("allow upload,overwrite,login,connect\ndeny"));
    scene.upstream().paths = PathProfile::Opaque;
    let mut wire = scene.log_in();
    wire.play(ARM);
    wire.play("C> STOR 'A.B'\nB> STOR 'A.B'");
}

#[test]
fn offsets_that_are_none() {
    session().play("C> REST -1\nC< 501 …\nC> REST 99999999999999999999\nC< 501 …\nC> REST x\nC< 501 …");
}

#[test]
fn site_commands() {
    refused(&[
        "SITE CPFR /secret/x",
        "SITE CHMOD 777 /secret/x",
        "SITE UTIME 20200101000000 /secret/x",
        "SITE UTIME /secret/x 20200101000000 20200101000000 20200101000000 UTC",
        "SITE SYMLINK /secret/x y",
        "SITE SYMLINK y /secret/x",
        "SITE SYMLINK / y",
        "SITE EXEC cat /secret/x",
        "SITE EXEC",
        "SITE CHDIR /secret",
        "SITE MKDIR /secret/x",
        "SITE RMDIR /secret",
        "SITE RMDIR /",
    ]);
    let mut wire = session();
    wire.play("C> SITE CPFR x\nC< 350 …\nC> SITE CPTO /secret/x\nC< 55…\nC> SITE CPTO y\nC< 503 …");
    wire.play("C> RNFR x\nC< 350 …\nC> SITE CPTO y\nC< 503 …\nC> SITE CPFR x\nC< 350 …\nC> RNTO y\nC< 503 …");
    wire.play("C> SITE CPFR /\nC< 350 …\nC> SITE CPTO y\nB> MLST /\nB< 250-x\\n type=dir; /\\n250 x\nC< 55…");
    wire.play("C> SITE CPFR x\nC< 350 …\nC> SITE CPTO y\nB> MLST /home/x\nB< 250-x\\n type=file; x\\n250 x\nB> SITE CPFR /home/x\nB< 350 x\nB> SITE CPTO /home/y\nB< 250 x\nC< 250 x");
}

#[test]
fn times_and_facts_as_writes() {
    refused(&[
        "MFMT 20200101000000 /secret/x",
        "MFCT 20200101000000 /secret/x",
        "MFF Modify=20200101000000; /secret/x",
        "MDTM 20200101000000 /secret/x",
    ]);
}

#[test]
fn symbolic_links_to_directories() {
    let to_secret =
        "B< 250 x\nB> PWD\nB< 257 \"/secret\"\nB> CWD /home\nB< 250 x\nB> PWD\nB< 257 \"/home\"\nC< 55…";
    for command in
        ["CWD link", "RETR link/x", "STOR link/x", "DELE link/x", "LIST link", "MLSD link", "SIZE link/x"]
    {
        let mut wire = session();
        wire.play(LEASE);
        wire.play(&format!("C> {command}\nB> CWD /home/link\n{to_secret}"));
    }
}

#[test]
fn quotes_in_the_backends_pwd() {
    for directory in [
        "257 \"/home\"/../secret\"",
        "257 \"/home\" \"/secret\"",
        "257 \"/home/\"\"\"",
        "257 \"/home/a\"b\" x",
    ] {
        let mut wire = session();
        wire.play(&format!(
            "C> CWD a\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< {directory}\nB> CWD /home\nB< 250 x\nB> PWD
             B< 257 \"/home\"\nC< 55…"
        ));
    }
    let mut wire = session();
    wire.play("C> CWD a\"b\nB> CWD /home/a\\\"b\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\"b\"\nC< 250 x");
    wire.play("C> PWD\nC< 257 \"/home/a\"\"b\" is the current directory.");
}

#[test]
fn another_policy_in_mid_session() {
    let mut wire = session_with("deny * /other/**\nallow");
    wire.play(LEASE);
    wire.play("C> SIZE /secret/x\nB> CWD /secret\nB< 250 x\nB> PWD\nB< 257 \"/secret\"\nB> SIZE x\nB< 213 1\nC< 213 1");
    wire.change_policy(policy(RULES));
    wire.play("C> SIZE /secret/x\nC< 550 …\nC> RETR /secret/x\nC< 550 …");
}

#[test]
fn host_rein_user_and_acct() {
    let mut wire = session();
    wire.play("C> HOST x\nC< 503 …\nC> REIN\nC< 502 …\nC> USER bob\nC< 503 …");
    // What an account changes nobody knows: the server is asked where it is.
    wire.play("C> ACCT x\nB> ACCT x\nB< 230 x\nC< 230 x\nC> DELE y\nB> PWD\nB< 257 \"/secret\"\nC< 550 …");
    let mut wire = session();
    wire.play(
        "C> DELE a/x\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nB> DELE x\nB< 250 x\nC< 250 x",
    );
    wire.play("C> ACCT x\nB> CWD /home\nB< 250 x\nB> PWD\nB< 257 \"/home\"\nB> ACCT x");
}

#[test]
fn lang_and_opts() {
    let mut wire = session();
    wire.play(
        "C> LANG en\nB> LANG en\nB< 200 x\nC< 200 x\nC> OPTS UTF8 OFF\nB> OPTS UTF8 OFF\nB< 200 x\nC< 200 x",
    );
    wire.play("C> DELE /s\\xe9cret\nC< 550 …\nC> OPTS HASH x\nB> OPTS HASH x");
}

#[test]
fn the_end_of_a_time_window_in_mid_transfer() {
    super::revocation::an_hour_passes();
}

/// Nobody can say where the words lead: what they would do below is asked about all the same.
#[test]
fn what_is_done_below_words_that_cannot_be_resolved() {
    session_with("deny delete /secret/**\nallow").play(
        "C> RMDA /secret
         C< 55…
         C> RMDA /home/\\xff/../../secret
         C< 55…
         C> SITE RMDIR /home/\\xff/../../secret
         C< 55…",
    );
    session_with("deny download,list /secret/**\nallow").play(
        "C> SITE SYMLINK /secret/k /home/l
         C< 55…
         C> SITE SYMLINK /home/\\xff/../../secret/k /home/l
         C< 55…",
    );
}

/// A rule that says nobody deletes means whole directories, too.
#[test]
fn recursive_removal_where_deleting_is_denied_everywhere() {
    let mut wire = Scene::plain().policy(policy("deny delete\nallow")).log_in();
    wire.play("C> DELE /x\nC< 550 …\nC> RMDA /x\nC< 550 …\nC> SITE RMDIR /x\nC< 550 …");
    wire.play("C> RMD /x\nB> RMD /x");
}
