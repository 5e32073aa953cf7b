//! Every line of the algorithm of SECURITY.md, "Paths": fast and strict, allowed, denied, and what servers answer.

use ftpsgate_policies::PathProfile;

use super::harness::{ARM, LEASE, Scene, Wire};
use super::policy::policy;

/// Some directory is denied in a tree that is allowed: every directory is walked to.
pub(super) const STRICT: &str = "deny * /secret/**\nallow";
/// One tree is allowed, so whatever a link in it leads to is not: walked to as well.
pub(super) const TREE: &str = "allow * /in/**\ndeny";
/// Uploads are told apart, which takes paths, and nothing depends on where they are.
const FAST: &str = "allow overwrite\nallow";

/// From the greeting to a login whose home is a directory.
pub(super) fn login(home: &str) -> String {
    format!(
        "C< 220 ready
         C> USER anna
         * connect
         B connected
         B< 220 old server
         B> USER anna
         B< 331 Password?
         C< 331 Password?
         C> PASS hunter2
         B> PASS hunter2
         B< 230 Welcome
         B> PWD
         B< {home}
         C< 230 Welcome
         = logged in"
    )
}

pub(super) fn at(rules: &str, home: &str) -> Wire {
    of(Scene::plain().policy(policy(rules)), home)
}

pub(super) fn of(scene: Scene, home: &str) -> Wire {
    let mut wire = scene.begin();
    wire.play(&login(&format!("257 \"{home}\"")));
    wire
}

pub(super) fn strict() -> Wire {
    at(STRICT, "/home")
}

pub(super) fn fast() -> Wire {
    at(FAST, "/in")
}

pub(super) fn tree() -> Wire {
    at(TREE, "/in")
}

/// A strict session whose client has its port.
fn strict_leased() -> Wire {
    let mut wire = strict();
    wire.play(LEASE);
    wire
}

#[test]
fn login_asks_for_the_directory_before_the_client_hears_of_it() {
    let mut wire = fast();
    wire.play("C> PWD\nC< 257 \"/in\" is the current directory.\n= finished PWD 257");
}

#[test]
fn without_path_rules_nothing_is_asked() {
    for rules in ["allow", "deny site\nallow", "deny delete users=bob\nallow"] {
        let mut wire = Scene::plain().policy(policy(rules)).log_in();
        wire.play("C> CWD ~/x\nB> CWD ~/x\nB< 250 x\nC< 250 x\nC> PWD\nB> PWD\nB< 257 \"/\"\nC< 257 \"/\"");
        wire.play(ARM);
        wire.play("C> LIST -R ../*\nB> LIST -R ../*");
    }
}

#[test]
fn an_opaque_backend_has_no_view() {
    let mut scene = Scene::plain().policy(policy("deny download /secret/**\nallow"));
    scene.upstream().paths = PathProfile::Opaque;
    let mut wire = scene.log_in();
    wire.play("C> DELE 'A.B'\nB> DELE 'A.B'\nB< 250 x\nC< 250 x");
    wire.play(ARM);
    wire.play("C> RETR 'A.B'\nC< 550 …");
}

#[test]
fn a_home_that_is_not_canonical_is_unknown_and_unknown_denies() {
    for home in [
        "257 /in",
        "257 \"in\"",
        "257 \"/in/\"",
        "257 \"/in/../x\"",
        "257 \"/in\\xff\"",
        "257 \"/in\"x\" is it",
        "257 \"/in\\x01\"",
        "257-\"/in\"\\n257 end",
        "550 no",
        "500 what",
        "200 ok",
    ] {
        let mut wire = Scene::plain().policy(policy(TREE)).begin();
        wire.play(&login(home));
        wire.play("C> DELE x\nC< 550 Not allowed: the working directory is not known.");
        wire.play(LEASE);
        wire.play("C> LIST\nC< 550 …");
        let mut wire = Scene::plain().policy(policy("deny overwrite\nallow")).begin();
        wire.play(&login(home));
        wire.play("C> DELE /in/x\nB> DELE /in/x\nB< 250 x\nC< 250 x");
    }
}

/// Where no rule speaks of paths, words that nobody can resolve are still sent; only an upload counts as either kind.
#[test]
fn an_unknown_home_denies_only_uploads_where_no_rule_has_paths() {
    for home in ["257 \"/in\\xff\"", "257 \"in\"", "550 no"] {
        let mut wire = Scene::plain().policy(policy("deny upload\nallow")).begin();
        wire.play(&login(home));
        wire.play("C> DELE x\nB> DELE x\nB< 250 x\nC< 250 x");
        wire.play(ARM);
        wire.play("C> STOR x\nC< 553 …\nC> LIST\nB> LIST");
    }
}

#[test]
fn an_unknown_home_can_be_left_for_a_known_directory() {
    let mut wire = Scene::plain().policy(policy(TREE)).begin();
    wire.play(&login("257 \"/in\\xff\""));
    wire.play("C> CWD /in\nB> CWD /in\nB< 250 x\nB> PWD\nB< 257 \"/in\"\nC< 250 x\nC> DELE x\nB> DELE x");
    let mut wire = Scene::plain().policy(policy(TREE)).begin();
    wire.play(&login("550 no"));
    // It could not say where that is.
    wire.play("C> CWD /in\nC< 550 …\nC> PWD\nC< 550 …");
}

#[test]
fn a_backend_that_is_silent_or_leaves_at_the_first_pwd() {
    for (event, reason) in [
        ("B closed", "backend_gone"),
        ("B< 421 x", "backend_gone"),
        ("+60s", "login_timeout"),
        ("B desynchronised", "backend_violation"),
    ] {
        let mut wire = Scene::plain().policy(policy(FAST)).begin();
        let login = login("x");
        let (login, _) = login.split_once("B< x").unwrap();
        wire.play(login);
        wire.play(&format!("{event}\nC< 421 …\n* close\n= closed {reason}"));
    }
}

#[test]
fn cwd_is_absolute_and_confirmed() {
    let mut wire = fast();
    wire.play(
        "C> CWD a/../b//c/.
         B> CWD /in/b/c
         B< 250 there
         B> PWD
         B< 257 \"/in/b/c\" x
         C< 250 there
         = finished CWD 250
         C> CDUP
         B> CWD /in/b
         B< 200 there
         B> PWD
         B< 257 \"/in/b\"
         C< 200 there
         = finished CDUP 200
         C> PWD
         C< 257 \"/in/b\" is the current directory.
         C> DELE x
         B> DELE /in/b/x
         B< 250 gone
         C< 250 gone",
    );
}

#[test]
fn cwd_that_is_denied_reaches_no_backend() {
    let mut wire = tree();
    for command in ["CWD /", "CWD /out", "CWD ../out"] {
        let allowed = if command == "CWD /" { continue } else { command };
        wire.play(&format!("C> {allowed}\nC< 550 …\n= denied {allowed} 550"));
    }
    let mut wire = strict();
    wire.play("C> CWD /secret\nC< 550 …\n= denied CWD /secret 550 by deny * /secret/** (rules:1)");
}

#[test]
fn cwd_that_fails_leaves_everything_as_it_was() {
    for refusal in ["550 No such directory", "450 Busy"] {
        let mut wire = fast();
        wire.play(&format!("C> CWD x\nB> CWD /in/x\nB< {refusal}\nB> PWD\nB< 257 \"/in\"\nC< {refusal}"));
        wire.play("C> DELE x\nB> DELE /in/x");
    }
    let mut wire = fast();
    wire.play("C> CWD x\nB> CWD /in/x\nB< 350 hm\nB> PWD\nB< 257 \"/in\"\nC< 550 …");
}

/// Somebody else has removed or renamed the directory that the server was in; or it moved, and said that it did not.
#[test]
fn a_server_that_is_nowhere_is_led_to_the_root() {
    for directory in ["257 \"/\"", "257 \"/in/x\"", "257 \"\"", "550 what", "257 \"/in\"x\""] {
        let lost = format!("C> CWD x\nB> CWD /in/x\nB< 550 no\nB> PWD\nB< {directory}\nB> CWD /");
        let mut wire = fast();
        wire.play(&lost);
        wire.play("B< 250 x\nB> PWD\nB< 257 \"/\"\nC< 550 no\nC> DELE y\nB> DELE /in/y\nB< 250 x\nC< 250 x");
        wire.play("C> PWD\nC< 257 \"/in\" …\nC> MLSD\nC< 425 …");
        for answer in ["B< 550 no", "B< 250 x\nB> PWD\nB< 257 \"/in/x\"", "B< 250 x\nB> PWD\nB< 550 no"] {
            let mut wire = fast();
            wire.play(&format!("{lost}\n{answer}\nC< 421 …\n* close\n= closed backend_violation"));
        }
    }
    // What has no name means where the client believes to be.
    let mut wire = fast();
    wire.play(
        "C> CWD x\nB> CWD /in/x\nB< 550 no\nB> PWD\nB< 550 what\nB> CWD /\nB< 250 x\nB> PWD\nB< 257 \"/\"\nC< 550 no
         C> MLST\nB> CWD /in\nB< 250 x\nB> PWD\nB< 257 \"/in\"\nB> MLST",
    );
}

#[test]
fn a_symbolic_link_to_what_is_allowed_is_followed_and_known() {
    let mut wire = fast();
    wire.play(
        "C> CWD link
         B> CWD /in/link
         B< 250 x
         B> PWD
         B< 257 \"/in/real\"
         C< 250 x
         = symlink /in/link /in/real
         C> PWD
         C< 257 \"/in/real\" is the current directory.
         C> DELE ../x
         B> DELE /in/x",
    );
}

#[test]
fn a_symbolic_link_to_what_is_denied_is_left_at_once() {
    let mut wire = strict();
    wire.play(
        "C> CWD link
         B> CWD /home/link
         B< 250 x
         B> PWD
         B< 257 \"/secret/x\"
         B> CWD /home
         B< 250 x
         B> PWD
         B< 257 \"/home\"
         C< 550 …
         = denied CWD link 550 by deny * /secret/** (rules:1)
         C> PWD
         C< 257 \"/home\" is the current directory.",
    );
}

#[test]
fn a_directory_that_does_not_say_what_it_is_is_left_at_once() {
    for directory in ["257 \"x\"", "550 no", "257 \"/home/a\"b\"", "257 \"/home/\\xff\"", "257 \"/home/a?b\""]
    {
        let mut wire = strict();
        wire.play(&format!(
            "C> CWD link\nB> CWD /home/link\nB< 250 x\nB> PWD\nB< {directory}\nB> CWD /home\nB< 250 x
             B> PWD\nB< 257 \"/home\"\nC< 550 …"
        ));
    }
}

#[test]
fn a_server_that_cannot_be_led_back_is_led_to_the_root() {
    for answers in ["550 no", "250 x\nB> PWD\nB< 257 \"/secret/x\"", "250 x\nB> PWD\nB< 550 no", "331 hm"] {
        let lost = format!(
            "C> CWD link\nB> CWD /home/link\nB< 250 x\nB> PWD\nB< 257 \"/secret/x\"\nB> CWD /home\nB< {answers}
             B> CWD /"
        );
        let mut wire = strict();
        wire.play(&format!("{lost}\nB< 250 x\nB> PWD\nB< 257 \"/\"\nC< 550 …\nC> PWD\nC< 257 \"/home\" …"));
        for answer in ["550 no", "250 x\nB> PWD\nB< 257 \"/secret/x\"", "250 x\nB> PWD\nB< 550 no"] {
            let mut wire = strict();
            wire.play(&format!("{lost}\nB< {answer}\nC< 421 …\n* close\n= closed backend_violation"));
        }
    }
}

#[test]
fn a_backend_that_leaves_lies_or_is_silent_in_mid_walk() {
    let walk = ["C> CWD link\nB> CWD /home/link", "B< 250 x\nB> PWD", "B< 257 \"/secret\"\nB> CWD /home"];
    let walk = [walk[0], walk[1], walk[2], "B< 250 x\nB> PWD"];
    for length in 1..=walk.len() {
        for (event, reason) in [
            ("B closed", "backend_gone"),
            ("B< 421 x", "backend_gone"),
            ("+60s", "backend_timeout"),
            ("B desynchronised", "backend_violation"),
            ("C closed", "client_gone"),
        ] {
            let mut wire = strict();
            wire.play(&walk[..length].join("\n"));
            let reply = if event.starts_with('C') { "" } else { "C< 421 …\n" };
            wire.play(&format!("{event}\n{reply}* close\n= closed {reason}"));
        }
    }
}

#[test]
fn a_reply_too_many_ends_the_session() {
    let mut wire = fast();
    wire.play("C> CWD x\nB> CWD /in/x\nB< 250 x\nB> PWD\nB< 257 \"/in/x\"\nC< 250 x");
    wire.play("B< 257 \"/in/x\"\nC< 421 …\n* close\n= closed backend_violation");
}

#[test]
fn preliminary_replies_in_a_walk_are_waited_out() {
    let mut wire = fast();
    wire.play("C> CWD x\nB> CWD /in/x\nB< 120 hm\nB< 250 x\nB> PWD\nB< 120 hm\nB< 257 \"/in/x\"\nC< 250 x");
}

#[test]
fn fast_sends_are_absolute() {
    for (command, sent) in [
        ("DELE x", "DELE /in/x"),
        ("MKD a/./b", "MKD /in/a/b"),
        ("RMD ../in/x", "RMD /in/x"),
        ("SIZE x", "SIZE /in/x"),
        ("MDTM x", "MDTM /in/x"),
        ("MDTM 20200101000000 x", "MDTM 20200101000000 /in/x"),
        ("MFMT 20200101000000 x", "MFMT 20200101000000 /in/x"),
        ("MFF modify=1; x", "MFF modify=1; /in/x"),
        ("MLST x", "MLST /in/x"),
        ("MLST", "MLST"),
        ("HASH x", "HASH /in/x"),
        ("XCRC x 0 9", "XCRC /in/x 0 9"),
        ("MMD5 x,y", "MMD5 /in/x, /in/y"),
        ("THMB JPG 1 2 x", "THMB JPG 1 2 /in/x"),
        ("COMB x y", "COMB /in/x /in/y"),
        ("COMB \"x\" \"y z\"", "COMB \\\"/in/x\\\" \\\"/in/y z\\\""),
        ("AVBL", "AVBL"),
        ("STAT -l x", "STAT -l /in/x"),
        ("SITE CHMOD 644 x", "SITE CHMOD 644 /in/x"),
        ("SITE UTIME 20200101000000 x", "SITE UTIME 20200101000000 /in/x"),
        ("SITE SYMLINK x y", "SITE SYMLINK /in/x /in/y"),
        ("RMDA x", "RMDA /in/x"),
        ("DELE  x ", "DELE /in/ x "),
        ("DELE a[1].pdf", "DELE /in/a[1].pdf"),
        ("DELE ~$doc.docx", "DELE /in/~$doc.docx"),
        ("DELE C:x", "DELE /in/C:x"),
    ] {
        let mut wire = fast();
        wire.play(&format!("C> {command}\nB> {sent}\nB< 250 done\nC< 250 done"));
    }
}

#[test]
fn fast_transfers_are_absolute() {
    for (command, sent) in [
        ("RETR x", "RETR /in/x"),
        ("STOR x", "STOR /in/x"),
        ("APPE x", "APPE /in/x"),
        ("STOU", "STOU"),
        ("LIST", "LIST"),
        ("LIST -la", "LIST -la"),
        ("LIST -la a", "LIST -la /in/a"),
        ("NLST *.txt", "NLST /in/*.txt"),
        ("MLSD x", "MLSD /in/x"),
        ("LIST -R", "LIST -R"),
    ] {
        let mut wire = fast();
        wire.play(ARM);
        wire.play(&format!("C> {command}\nB> {sent}\nB< 550 no\n* withdraw\nC< 550 no"));
    }
}

#[test]
fn strict_sends_are_names_in_a_confirmed_directory() {
    let mut wire = strict();
    wire.play(
        "C> DELE a/b
         B> CWD /home/a
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         B> DELE b
         B< 250 gone
         C< 250 gone
         C> DELE /home/a/c
         B> DELE c
         B< 250 gone
         C< 250 gone
         C> PWD
         C< 257 \"/home\" is the current directory.
         C> SIZE d
         B> CWD /home
         B< 250 x
         B> PWD
         B< 257 \"/home\"
         B> SIZE d
         B< 213 1
         C< 213 1",
    );
}

#[test]
fn strict_sends_are_judged_by_where_links_lead() {
    let mut wire = strict();
    wire.play(
        "C> DELE link/b
         B> CWD /home/link
         B< 250 x
         B> PWD
         B< 257 \"/home/real\"
         B> DELE b
         = symlink /home/link /home/real",
    );
    let mut wire = at("deny delete /other/**\nallow", "/home");
    wire.play(
        "C> DELE link/b
         B> CWD /home/link
         B< 250 x
         B> PWD
         B< 257 \"/other\"
         C< 550 …
         = denied DELE link/b 550 by deny delete /other/** (rules:1)
         C> SIZE c
         B> CWD /home
         B< 250 x
         B> PWD
         B< 257 \"/home\"
         B> SIZE c",
    );
}

#[test]
fn a_strict_walk_that_fails_is_the_answer() {
    let mut wire = strict();
    wire.play("C> DELE a/b\nB> CWD /home/a\nB< 550 No such directory\nB> PWD\nB< 257 \"/home\"\nC< 550 No such directory");
    let mut wire = strict_leased();
    wire.play("C> RETR a/b\nB> CWD /home/a\nB< 550 No such directory\nB> PWD\nB< 257 \"/home\"\nC< 550 …");
    wire.play("= transfer RETR 550 0B 0s none\nC> RETR c\nreach\nB> RETR c");
}

#[test]
fn names_that_servers_misread_are_sent_with_their_directory() {
    for name in ["~root", "-l", " x"] {
        let mut wire = strict();
        wire.play(&format!("C> DELE ./{name}\nB> DELE /home/{name}"));
    }
}

#[test]
fn strict_listings_enter_the_directory() {
    let mut wire = strict_leased();
    wire.play("C> LIST -l a\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nreach\nB> LIST -l\nB< 550 no\n* withdraw\nC< 550 no");
    wire.play(LEASE);
    // The client is still where it was.
    wire.play(
        "C> LIST\nB> CWD /home\nB< 250 x\nB> PWD\nB< 257 \"/home\"\nreach\nB> LIST\nB< 550 no\n* withdraw\nC< 550 no",
    );
    wire.play(LEASE);
    wire.play(
        "C> LIST link\nB> CWD /home/link\nB< 250 x\nB> PWD\nB< 257 \"/secret\"\nB> CWD /home\nB< 250 x\nB> PWD
         B< 257 \"/home\"\nC< 550 …",
    );
    wire.play("C> STAT a\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nB> STAT /home/a");
}

#[test]
fn a_strict_listing_of_a_file_names_it() {
    let mut wire = strict_leased();
    wire.play("C> LIST a/f\nB> CWD /home/a/f\nB< 550 x\nB> PWD\nB< 257 \"/home\"\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nreach\nB> LIST f");
}

#[test]
fn a_pattern_and_r_need_all_of_the_directory() {
    let mut wire = strict_leased();
    wire.play("C> NLST *.txt\nreach\nB> NLST *.txt\nB< 550 x\n* withdraw\nC< 550 x");
    // Pure-FTPd enters the directories that match, links too; with an option of its own also those below.
    for command in ["NLST /*", "LIST *.txt", "LIST /s*", "LIST -R", "LIST -R /", "LIST -laR /", "STAT /*"] {
        wire.play(&format!("C> {command}\nC< 550 …"));
    }
    let mut wire = fast();
    wire.play(ARM);
    wire.play("C> LIST -R\nB> LIST -R\nB< 550 x\n* withdraw\nC< 550 x\nC> STAT *.txt\nB> STAT /in/*.txt");
    // Links between could lead anywhere.
    let mut wire = strict();
    wire.play(LEASE);
    wire.play("C> NLST */x\nC< 550 …");
}

#[test]
fn options_that_are_not_known_are_refused() {
    let mut wire = fast();
    wire.play(ARM);
    for command in ["LIST -t", "LIST --help", "NLST -la -X", "LIST x -R", "LIST -"] {
        wire.play(&format!("C> {command}\nC< 501 …"));
    }
}

#[test]
fn rest_comes_right_before_its_transfer() {
    let mut wire = strict_leased();
    wire.play(
        "C> REST 7
         C< 350 …
         C> RETR a/b
         B> CWD /home/a
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         reach
         B> REST 7
         B< 350 x
         B> RETR b",
    );
}

#[test]
fn an_active_backend_is_told_where_to_dial_after_the_walk() {
    let mut wire = of(Scene::plain().active_backend().policy(policy(STRICT)), "/home");
    wire.play(
        "C> EPSV
         * lease
         lease ok
         C< 229 …
         C> RETR a/b
         B> CWD /home/a
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         * lease upstream
         lease upstream 198.51.100.9:62000
         B> PORT 198,51,100,9,242,48
         B< 200 ok
         B> RETR b",
    );
}

#[test]
fn a_transfer_without_setup_is_not_walked_for() {
    strict().play("C> RETR a/b\nC< 425 …\nC> RETR /secret/x\nC< 550 …");
}

#[test]
fn abor_in_mid_walk() {
    let mut wire = strict_leased();
    wire.play(
        "C> RETR a/b
         B> CWD /home/a
         C> ABOR
         * discard
         C< 426 Transfer aborted.
         = transfer RETR 426 0B 0s none
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         C< 226 …
         C> DELE x
         B> CWD /home",
    );
}

#[test]
fn commands_wait_for_a_walk() {
    let mut wire = strict();
    wire.play("C> DELE a/b\nB> CWD /home/a\nC> NOOP\nC> QUIT\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nB> DELE b\nB< 250 x\nC< 250 x\nB> NOOP\nB< 200 x\nC< 200 x\nC< 221 …\nB> QUIT\n* close");
}

#[test]
fn a_drain_waits_for_a_walk() {
    let mut wire = strict();
    wire.play("C> DELE a/b\nB> CWD /home/a\ndrain\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nB> DELE b\nB< 250 x\nC< 250 x\nC< 421 …\n* close");
}

#[test]
fn a_lease_that_expires_in_mid_walk() {
    let mut wire = strict_leased();
    wire.play("C> RETR a/b\nB> CWD /home/a\nlease expired\n* discard\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nC< 425 …");
}

#[test]
fn a_client_that_closes_in_mid_walk() {
    let mut wire = strict_leased();
    wire.play(
        "C> RETR a/b\nB> CWD /home/a\nC ended\n* close\n= transfer RETR 421 0B 0s none\n= closed client_gone",
    );
}

#[test]
fn feat_and_parameters_go_as_they_did() {
    let mut wire = strict();
    wire.play("C> FEAT\nB> FEAT\nB< 500 x\nC< 211-…");
    for command in ["TYPE I", "SYST", "OPTS UTF8 ON", "NOOP", "ALLO 9", "SITE HELP"] {
        wire.play(&format!("C> {command}\nB> {command}\nB< 200 x\nC< 200 x"));
    }
}
