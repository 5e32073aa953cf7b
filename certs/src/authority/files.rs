//! The local CA's two files: `ca/root.pem` and `ca/root.key` in the state directory.
//!
//! The CA is made in a temporary directory beside its place, written through to the disk, and moved there by
//! one `rename`, which fails where a CA already is. So there is never half a CA, never a moment in which
//! somebody else could read the key, and of processes that start at once one wins and the others use its CA.
//! A process that is killed in between leaves a `.ca-…` directory, which nobody reads.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::certificate;
use crate::{
    Error,
    identity::{parse, system_time},
    pem,
};

/// What the files hold: a key and the certificate of a CA that belongs to it.
pub(super) struct Authority {
    pub(super) directory: PathBuf,
    pub(super) key: KeyPair,
    pub(super) root: CertificateDer<'static>,
    pub(super) root_pem: String,
    pub(super) not_after: SystemTime,
}

/// Where the CA of a state directory is.
pub(super) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("ca")
}

impl Authority {
    /// Reads the CA of `state_dir`, or makes it.
    pub(super) fn open_or_create(state_dir: &Path, now: SystemTime) -> Result<Self, Error> {
        let directory = directory(state_dir);
        if let Some(authority) = Self::open(&directory)? {
            return Ok(authority);
        }
        create(state_dir, &directory, now)?;
        // Ours, or that of a process which was faster; neither, if the directory was there and holds other files.
        Self::open(&directory)?.ok_or(Error::AuthorityIncomplete { directory, missing: KEY })
    }

    /// Reads the CA in `directory`; none if neither of its files is there.
    pub(super) fn open(directory: &Path) -> Result<Option<Self>, Error> {
        let (root_file, key_file) = (directory.join(ROOT), directory.join(KEY));
        let incomplete = |missing| Error::AuthorityIncomplete { directory: directory.into(), missing };
        let mut present = (exists(&root_file)?, exists(&key_file)?);
        if present.0 != present.1 {
            // They come at once, and so perhaps between the two looks: the second pair of looks tells.
            present = (exists(&root_file)?, exists(&key_file)?);
        }
        match present {
            (false, false) => return Ok(None),
            (true, false) => return Err(incomplete(KEY)),
            (false, true) => return Err(incomplete(ROOT)),
            (true, true) => {}
        }
        // Who can write to the directory could put another key there.
        refuse_exposed(directory, 0o022, 0o700)?;
        refuse_exposed(&key_file, 0o077, 0o600)?;

        let unusable = |reason: String| Error::UnusableKey { file: key_file.clone(), reason };
        let key = match pem::private_key(&key_file)? {
            PrivateKeyDer::Pkcs8(key) => {
                KeyPair::try_from(&key).map_err(|error| unusable(error.to_string()))?
            }
            _ => return Err(unusable("it is not PKCS#8".into())),
        };
        let (root, root_pem) = pem::certificate_and_text(&root_file)?;
        let not_after = check(&root, &key, &root_file, &key_file)?;
        Ok(Some(Self { directory: directory.into(), key, root, root_pem, not_after }))
    }
}

/// Makes a CA in `directory`, unless one comes to be there in the meantime.
fn create(state_dir: &Path, directory: &Path, now: SystemTime) -> Result<(), Error> {
    let failed = |action, path: &Path| {
        let path = path.into();
        move |source| Error::Write { action, path, source }
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(state_dir).map_err(failed("create", state_dir))?;

    let key = certificate::new_key()?;
    let root = certificate::root(&key, now)?;
    let key_pem = Zeroizing::new(key.serialize_pem());

    let temporary = tempfile::Builder::new()
        .prefix(".ca-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(state_dir)
        .map_err(failed("create a directory in", state_dir))?;
    for (name, mode, text) in [(KEY, 0o600, key_pem.as_str()), (ROOT, 0o644, &root.pem())] {
        let file = temporary.path().join(name);
        write_through(&file, mode, text).map_err(failed("write", &file))?;
    }
    sync(temporary.path()).map_err(failed("write", temporary.path()))?;

    match fs::rename(temporary.path(), directory) {
        Ok(()) => {
            // Its name has gone with the rename: there is nothing left to remove.
            let _ = temporary.keep();
            sync(state_dir).map_err(failed("write", state_dir))
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
        {
            Ok(())
        }
        Err(error) => Err(failed("create", directory)(error)),
    }
}

/// A new file with `mode` from its first moment, on the disk when this returns.
fn write_through(file: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes a directory's entries durable.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether a file is there; a directory that may not be searched is an error, not an absence.
fn exists(file: &Path) -> Result<bool, Error> {
    file.try_exists().map_err(|source| Error::Read { file: file.into(), source })
}

fn refuse_exposed(path: &Path, forbidden: u32, wanted: u32) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { file: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(Error::Exposed { path: path.into(), mode, wanted }),
    }
}

/// Proves that `root` is the certificate of a CA with this key; returns its end.
fn check(
    root: &CertificateDer<'_>,
    key: &KeyPair,
    root_file: &Path,
    key_file: &Path,
) -> Result<SystemTime, Error> {
    let certificate = parse(root).map_err(|reason| Error::UnusableCertificate {
        file: root_file.into(),
        position: 1,
        reason,
    })?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(Error::Mismatch { chain: root_file.into(), key: key_file.into() });
    }
    let reason = match certificate.key_usage() {
        _ if !certificate.is_ca() => Some("its basic constraints do not say so"),
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            Some("its key usage leaves out signing certificates")
        }
        Ok(_) => None,
        Err(_) => Some("its key usage cannot be read"),
    };
    match reason {
        Some(reason) => Err(Error::NotAnAuthority { file: root_file.into(), reason }),
        None => Ok(system_time(certificate.validity().not_after.timestamp())),
    }
}

/// The CA's certificate.
const ROOT: &str = "root.pem";

/// The CA's private key.
const KEY: &str = "root.key";
