//! What every client has to get done with every server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{ClientKind, How, Listing, Step};
use super::samples::{MEBIBYTE, assert_same, noise, write_noise};
use super::scene::Scene;

/// All of them, one after the other.
///
/// # Panics
///
/// At the first that fails.
pub fn all(scene: &Scene) {
    login(scene);
    folders_and_names(scene);
    lists(scene);
    sizes(scene);
    resume_and_append(scene);
    text(scene);
    abort_and_go_on(scene);
    many_files(scene);
    many_sessions(scene);
}

/// The right password opens the door, a wrong one gets 530.
fn login(scene: &Scene) {
    let list = [list(scene, Listing::Long, "login.txt")];
    scene.run(&list);
    let outcome = scene.attempt_with_password("not the password", &list);
    assert!(!outcome.succeeded() && outcome.output.contains("530"), "a wrong password: {outcome}");
}

/// MKD, RNFR and RNTO, DELE and RMD, on names in ASCII, with blanks, and in UTF-8.
fn folders_and_names(scene: &Scene) {
    let sent = scene.local("name.txt");
    fs::write(&sent, b"a name\n").expect("the scratch folder can be written");
    for name in NAMES {
        let (folder, renamed) = (format!("in {name}"), format!("was {name}"));
        let back = scene.local(name);
        scene.run(&[
            put(scene, &sent, name),
            Step::MakeFolder(scene.remote(&folder)),
            Step::Rename(scene.remote(name), scene.remote(&format!("{folder}/{renamed}"))),
            get(scene, &format!("{folder}/{renamed}"), &back),
        ]);
        assert!(!scene.stored(name).exists(), "{name} was renamed");
        assert_same(&sent, &scene.stored(&format!("{folder}/{renamed}")));
        assert_same(&sent, &back);
        scene.run(&[
            Step::Delete(scene.remote(&format!("{folder}/{renamed}"))),
            Step::RemoveFolder(scene.remote(&folder)),
        ]);
        assert!(!scene.stored(&folder).exists(), "{folder} was removed");
    }
}

/// LIST, NLST and MLSD show what is there. vsftpd has no MLSD and says 500.
fn lists(scene: &Scene) {
    for name in NAMES {
        fs::write(scene.stored(name), b"listed\n").expect("root can write everywhere");
    }
    for (form, file) in [(Listing::Long, "list"), (Listing::Names, "nlst"), (Listing::Facts, "mlsd")] {
        let step = list(scene, form, file);
        // lftp reads FEAT, and uses LIST.
        let unknown =
            form == Listing::Facts && !scene.server().lists_facts() && scene.client() != ClientKind::Lftp;
        if unknown {
            let outcome = scene.attempt(&[step]);
            assert!(!outcome.succeeded() && outcome.output.contains("500"), "an unknown MLSD: {outcome}");
            continue;
        }
        scene.run(&[step]);
        let listed = fs::read_to_string(scene.local(file)).expect("the list is UTF-8");
        for name in NAMES {
            assert!(listed.contains(name), "{name} is missing in {file}: {listed}");
        }
    }
}

/// Empty, tiny, middling and large files, both ways.
fn sizes(scene: &Scene) {
    for length in [0, 1, MEBIBYTE, 200 * MEBIBYTE] {
        let name = format!("{length}.bin");
        let (sent, back) = (scene.local(&name), scene.local("back.bin"));
        write_noise(&sent, length, 1);
        scene.run(&[put(scene, &sent, &name)]);
        assert_same(&sent, &scene.stored(&name));
        scene.run(&[get(scene, &name, &back)]);
        assert_same(&sent, &back);
        for path in [sent, back, scene.stored(&name)] {
            fs::remove_file(path).expect("it was there to be compared");
        }
    }
}

/// Half a file becomes a whole one: uploaded, downloaded, and by APPE.
fn resume_and_append(scene: &Scene) {
    let [whole, tail, back] = ["whole.bin", "tail.bin", "half.bin"].map(|name| scene.local(name));
    let bytes = noise(2).take(MEBIBYTE).collect::<Vec<_>>();
    let (first, rest) = bytes.split_at(300_001);
    fs::write(&whole, &bytes).expect("the scratch folder can be written");
    fs::write(&tail, rest).expect("the scratch folder can be written");
    fs::write(&back, first).expect("the scratch folder can be written");
    for name in ["resumed.bin", "appended.bin"] {
        let sent = scene.local(name);
        fs::write(&sent, first).expect("the scratch folder can be written");
        scene.run(&[put(scene, &sent, name)]);
    }
    scene.run(&[
        Step::Put { how: How::Resume, local: whole.clone(), remote: scene.remote("resumed.bin") },
        Step::Append { tail, whole: whole.clone(), remote: scene.remote("appended.bin") },
        Step::Get { how: How::Resume, remote: scene.remote("resumed.bin"), local: back.clone() },
    ]);
    assert_same(&whole, &scene.stored("resumed.bin"));
    assert_same(&whole, &scene.stored("appended.bin"));
    assert_same(&whole, &back);
}

/// TYPE A: lines end as each side likes them, and are the same lines.
fn text(scene: &Scene) {
    let (sent, back) = (scene.local("text.txt"), scene.local("back.txt"));
    let lines = (0..2000).map(|number| format!("line {number}\n")).collect::<String>();
    fs::write(&sent, lines).expect("the scratch folder can be written");
    scene.run(&[
        Step::Put { how: How::Text, local: sent.clone(), remote: scene.remote("text.txt") },
        Step::Get { how: How::Text, remote: scene.remote("text.txt"), local: back.clone() },
    ]);
    assert_same(&sent, &scene.stored("text.txt"));
    assert_same(&sent, &back);
}

/// A download that was given up does no harm to what follows in the same session; curl takes a new one. (Pure-FTPd itself, hit by lftp's urgent ABOR in plain
/// FTP, falls silent until lftp has waited 20 s and logged in again.)
fn abort_and_go_on(scene: &Scene) {
    let (sent, back) = (scene.local("long.bin"), scene.local("after.bin"));
    write_noise(&sent, 24 * MEBIBYTE, 3);
    scene.run(&[put(scene, &sent, "long.bin")]);
    let abort = Step::Abort(scene.remote("long.bin"));
    let steps = [abort, put(scene, &sent, "after.bin"), get(scene, "after.bin", &back)];
    match scene.client() {
        ClientKind::Curl => scene.run(&steps),
        ClientKind::Lftp | ClientKind::Ftplib => scene.run_in_one_session(&steps),
    }
    assert_same(&sent, &scene.stored("after.bin"));
    assert_same(&sent, &back);
}

/// 300 small files there and back, in one session.
fn many_files(scene: &Scene) {
    let names = (0..MANY_FILES).map(|number| format!("small-{number}")).collect::<Vec<_>>();
    let back = |name: &str| scene.local(&format!("back-{name}"));
    let mut steps = Vec::new();
    for (number, name) in names.iter().enumerate() {
        write_noise(&scene.local(name), 100 + number * 13, 4);
        steps.push(put(scene, &scene.local(name), name));
    }
    steps.extend(names.iter().map(|name| get(scene, name, &back(name))));
    scene.run_in_one_session(&steps);
    for name in &names {
        assert_same(&scene.local(name), &scene.stored(name));
        assert_same(&scene.local(name), &back(name));
    }
}

/// 50 sessions, all of them in the middle of an upload before the first may end.
fn many_sessions(scene: &Scene) {
    // Two tests at once would be a hundred programs, and prove no more.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);

    let bytes = noise(5).take(40_000).collect::<Vec<_>>();
    let sent = scene.local("shared.bin");
    fs::write(&sent, &bytes).expect("the scratch folder can be written");
    let names = (0..MANY_SESSIONS).map(|number| format!("session-{number}")).collect::<Vec<_>>();
    let mut sessions = names
        .iter()
        .map(|name| scene.start(&[put(scene, &PathBuf::from("/dev/stdin"), name)]))
        .collect::<Vec<_>>();
    for session in &mut sessions {
        session.feed(&bytes[..1]);
    }
    let deadline = Instant::now() + MANY_SESSIONS_PATIENCE;
    let under_way = |name: &String| scene.stored(name).exists();
    while !names.iter().all(under_way) && Instant::now() < deadline {
        if sessions.iter_mut().any(|session| session.ended()) {
            break;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let count = names.iter().filter(|name| under_way(name)).count();
    for session in &mut sessions {
        session.feed(&bytes[1..]);
    }
    for (session, name) in sessions.into_iter().zip(&names) {
        let outcome = session.finish();
        assert!(outcome.succeeded(), "{name}: {outcome}");
        assert_same(&sent, &scene.stored(name));
    }
    assert_eq!(count, MANY_SESSIONS, "sessions that were uploading at the same time");
}

/// Pure-FTPd replaces a leading blank by `_`; blanks in the middle are everybody's.
const NAMES: [&str; 3] = ["plain.txt", "two  blanks.txt", "größe-名前.txt"];

const MANY_FILES: usize = 300;
const MANY_SESSIONS: usize = 50;
const MANY_SESSIONS_PATIENCE: Duration = Duration::from_secs(90);

fn put(scene: &Scene, local: &Path, name: &str) -> Step {
    Step::Put { how: How::Whole, local: local.to_owned(), remote: scene.remote(name) }
}

fn get(scene: &Scene, name: &str, local: &Path) -> Step {
    Step::Get { how: How::Whole, remote: scene.remote(name), local: local.to_owned() }
}

fn list(scene: &Scene, form: Listing, file: &str) -> Step {
    Step::List { form, folder: scene.remote_folder(), local: scene.local(file) }
}
