//! The files of the CA, what it issues, and the bounds of what it mints.

use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt, sync::Barrier, thread};

use tempfile::tempdir;

use super::*;
use crate::identity::parse;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn name(text: &str) -> SubjectName {
    text.parse().unwrap()
}

#[test]
fn what_was_created_is_opened_again() {
    let folder = tempdir().unwrap();
    let state_dir = folder.path().join("a/state");
    assert!(matches!(Authority::open(&state_dir), Err(Error::AuthorityMissing { .. })));
    let created = Authority::open_or_create(&state_dir).unwrap();
    let opened = Authority::open_or_create(&state_dir).unwrap();
    assert_eq!(created.fingerprint(), opened.fingerprint());
    assert_eq!(created.root_pem(), opened.root_pem());
    assert_eq!(Authority::open(&state_dir).unwrap().fingerprint(), created.fingerprint());

    assert_eq!(mode(&state_dir), 0o700);
    assert_eq!(mode(created.directory()), 0o700);
    assert_eq!(mode(&created.directory().join("root.key")), 0o600);
    let left: Vec<_> = fs::read_dir(&state_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ca"], "nothing temporary stays");
}

#[test]
fn who_starts_at_the_same_time_gets_the_same_authority() {
    let folder = tempdir().unwrap();
    let barrier = Barrier::new(8);
    let fingerprints: HashSet<Fingerprint> = thread::scope(|scope| {
        let start = || {
            barrier.wait();
            Authority::open_or_create(folder.path()).unwrap().fingerprint()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(fingerprints.len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary stays");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let key = authority.directory().join("root.key");
    for exposed in [0o640, 0o604, 0o620] {
        fs::set_permissions(&key, fs::Permissions::from_mode(exposed)).unwrap();
        let error = Authority::open_or_create(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Exposed { mode, .. } if mode == exposed), "{error}");
        assert!(error.to_string().contains("`chmod 0600` it"), "{error}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    Authority::open_or_create(folder.path()).unwrap();
    fs::set_permissions(authority.directory(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(Authority::open_or_create(folder.path()), Err(Error::Exposed { mode: 0o770, .. })));
}

#[test]
fn half_an_authority_is_not_made_whole_behind_the_operators_back() {
    for missing in ["root.key", "root.pem"] {
        let folder = tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path()).unwrap();
        fs::remove_file(authority.directory().join(missing)).unwrap();
        let error = Authority::open_or_create(folder.path()).unwrap_err();
        assert!(
            matches!(error, Error::AuthorityIncomplete { missing: named, .. } if named == missing),
            "{error}"
        );
    }
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("ca")).unwrap();
    fs::write(folder.path().join("ca/note"), "mine").unwrap();
    assert!(matches!(Authority::open_or_create(folder.path()), Err(Error::AuthorityIncomplete { .. })));
}

#[test]
fn a_strange_pair_is_refused() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (first, second) =
        (Authority::open_or_create(one.path()).unwrap(), Authority::open_or_create(other.path()).unwrap());
    let root = first.directory().join("root.pem");
    fs::copy(second.directory().join("root.pem"), &root).unwrap();
    assert!(matches!(Authority::open(one.path()), Err(Error::Mismatch { .. })));

    // A server's certificate and its key do not make a CA.
    let issued = first.issue(&[name("a.example")], 1).unwrap();
    fs::write(&root, &issued.chain_pem).unwrap();
    fs::write(first.directory().join("root.key"), issued.key_pem.expose()).unwrap();
    assert!(matches!(Authority::open(one.path()), Err(Error::NotAnAuthority { .. })));
}

#[test]
fn only_the_certificate_is_handed_out_as_the_root() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let root = authority.directory().join("root.pem");
    let key = fs::read_to_string(authority.directory().join("root.key")).unwrap();
    fs::write(&root, format!("{key}{}{key}", authority.root_pem())).unwrap();
    let again = Authority::open(folder.path()).unwrap();
    assert_eq!(again.root_pem(), authority.root_pem());
}

#[test]
fn the_root_is_a_root() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let root = parse(authority.root()).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    let years =
        (root.validity().not_after.timestamp() - root.validity().not_before.timestamp()) / (365 * 86400);
    assert_eq!(years, 10);
}

#[test]
fn what_is_issued_is_a_pair_for_its_names() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let names = [name("ftp.example.com"), name("*.example.org"), name("192.0.2.1"), name("ftp.example.com")];
    let issued = authority.issue(&names, 30).unwrap();
    let (chain, key) = (folder.path().join("ftp.pem"), folder.path().join("ftp.key"));
    fs::write(&chain, &issued.chain_pem).unwrap();
    fs::write(&key, issued.key_pem.expose()).unwrap();
    let identity = crate::Identity::load(&chain, &key).unwrap();
    assert_eq!(identity.names(), &names[..3]);
    assert_eq!(identity.fingerprint(), issued.fingerprint);
    assert!(!format!("{issued:?}").contains("PRIVATE KEY"));

    assert!(matches!(authority.issue(&[], 30), Err(Error::Nameless)));
    let many = vec![name("a.example"); ISSUED_NAMES_MAX + 1];
    assert!(matches!(authority.issue(&many, 30), Err(Error::TooManyNames { .. })));
    for days in [0, 3653, u32::MAX] {
        assert!(matches!(authority.issue(&names, days), Err(Error::InvalidValidity { .. })), "{days}");
    }
    // A name that is too long for a common name is one all the same.
    let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
    authority.issue(&[name(&long)], 3000).unwrap();
}

#[test]
fn a_minted_certificate_is_kept_and_renewed() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let (wall, monotonic) = (SystemTime::now(), Instant::now());
    let at = |days: u32| authority.mint_at(&name("ftp.example.com"), wall + days * DAY, monotonic).unwrap();
    let first = at(0);
    assert!(Arc::ptr_eq(&first, &at(0)));
    assert!(Arc::ptr_eq(&first, &at(59)));
    let second = at(61);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &at(62)));
    // A clock that was set back by years makes a certificate of the future useless.
    assert!(!Arc::ptr_eq(&second, &at(0)));

    let other = authority.mint(&name("192.0.2.1")).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
}

#[test]
fn minting_has_a_rate() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let (wall, start) = (SystemTime::now(), Instant::now());
    let mint = |index: usize, at: Instant| authority.mint_at(&name(&format!("n{index}.example")), wall, at);
    for index in 0..20 {
        mint(index, start).unwrap();
    }
    assert!(matches!(mint(20, start), Err(Error::MintingTooFast { .. })));
    mint(7, start).expect("what is kept costs nothing");
    let later = start + Duration::from_millis(50);
    mint(20, later).expect("one more every 50 ms");
    assert!(matches!(mint(21, later), Err(Error::MintingTooFast { .. })));

    // Over the rate, an ageing certificate serves on; one that has ended does not.
    let renewal = |days: u32| authority.mint_at(&name("n0.example"), wall + days * DAY, later);
    renewal(70).unwrap();
    assert!(matches!(renewal(91), Err(Error::MintingTooFast { .. })));
}

#[test]
fn the_name_that_was_not_asked_for_the_longest_is_dropped() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let (wall, start) = (SystemTime::now(), Instant::now());
    let mint = |index: u32| {
        let at = start + index * Duration::from_millis(50);
        authority.mint_at(&name(&format!("n{index}.example")), wall, at).unwrap()
    };
    let first = mint(0);
    let second = mint(1);
    for index in 2..=minted::NAMES_MAX as u32 + 10 {
        mint(index);
        assert!(Arc::ptr_eq(&first, &mint(0)), "it is asked for all the time");
    }
    assert_eq!(authority.minted.lock().unwrap().len(), minted::NAMES_MAX);
    let at = start + Duration::from_secs(60);
    assert!(!Arc::ptr_eq(&second, &authority.mint_at(&name("n1.example"), wall, at).unwrap()));
}

#[test]
fn an_authority_that_has_ended_mints_nothing() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let at =
        |days: u32| authority.mint_at(&name("a.example"), SystemTime::now() + days * DAY, Instant::now());
    let late = at(3640).unwrap();
    let end = parse(&late.cert[0]).unwrap().validity().not_after.timestamp();
    let root_end = parse(authority.root()).unwrap().validity().not_after.timestamp();
    assert_eq!(end, root_end, "no certificate outlives its issuer");
    assert!(matches!(at(3653), Err(Error::AuthorityExpired { .. })));
}

#[test]
fn debug_output_holds_no_key() {
    let folder = tempdir().unwrap();
    let authority = Authority::open_or_create(folder.path()).unwrap();
    let key = fs::read_to_string(authority.directory().join("root.key")).unwrap();
    let issued = authority.issue(&[name("a.example")], 1).unwrap();
    let text = format!("{authority:?} {issued:?} {:?}", authority.mint(&name("a.example")).unwrap());
    assert!(!text.contains(key.lines().nth(1).unwrap()));
    assert!(!text.contains(issued.key_pem.expose().lines().nth(1).unwrap()));
}
