//! Bounded reading of PEM files (RFC 7468).
//!
//! A file is read whole and sorted into what it holds; its text, in which a private key may stand, is wiped from
//! memory, and no error quotes it.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject, SectionKind},
};
use zeroize::Zeroizing;

use crate::Error;

/// What a PEM file holds, as far as this crate has a use for it.
#[derive(Default)]
pub(crate) struct Contents {
    /// Certificates in the file's order.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The first private key.
    pub(crate) key: Option<PrivateKeyDer<'static>>,
    /// Whether there is a private key behind a pass phrase.
    pub(crate) encrypted_key: bool,
    /// Revocation lists in the file's order.
    pub(crate) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

/// The certificates in `file`, at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let contents = read(file, CERTIFICATE_FILE_BYTES_MAX)?;
    if contents.certificates.is_empty() {
        return Err(match contents.key.is_some() || contents.encrypted_key {
            true => Error::KeyInsteadOfCertificate { file: file.into() },
            false => Error::NoCertificate { file: file.into() },
        });
    }
    Ok(contents.certificates)
}

/// The first certificate in `file`, and its PEM section alone: nothing else in the file is handed on.
pub(crate) fn certificate_and_text(file: &Path) -> Result<(CertificateDer<'static>, String), Error> {
    let bytes = read_bounded(file, CERTIFICATE_FILE_BYTES_MAX)?;
    let section = || {
        let text = str::from_utf8(&bytes).ok()?;
        let start = text.find(CERTIFICATE_BEGIN)?;
        let end = start + text[start..].find(CERTIFICATE_END)? + CERTIFICATE_END.len();
        Some(format!("{}\n", &text[start..end]))
    };
    let text = section().ok_or_else(|| Error::NoCertificate { file: file.into() })?;
    let mut contents = sort(text.as_bytes()).map_err(|reason| Error::Syntax { file: file.into(), reason })?;
    match contents.certificates.pop() {
        Some(certificate) => Ok((certificate, text)),
        None => Err(Error::NoCertificate { file: file.into() }),
    }
}

/// The private key in `file`; the first, if there are several.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let contents = read(file, CERTIFICATE_FILE_BYTES_MAX)?;
    match contents.key {
        Some(key) => Ok(key),
        None if contents.encrypted_key => Err(Error::EncryptedKey { file: file.into() }),
        None if contents.certificates.is_empty() => Err(Error::NoKey { file: file.into() }),
        None => Err(Error::CertificateInsteadOfKey { file: file.into() }),
    }
}

/// The revocation lists in `file`, at least one. CAs publish theirs as DER, so a single list in DER is taken, too.
pub(crate) fn revocation_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let bytes = read_bounded(file, REVOCATION_FILE_BYTES_MAX)?;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let contents = sort(&bytes).map_err(|reason| Error::Syntax { file: file.into(), reason })?;
    match contents.revocation_lists.is_empty() {
        true => Err(Error::NoRevocationList { file: file.into() }),
        false => Ok(contents.revocation_lists),
    }
}

fn read(file: &Path, bytes_max: u64) -> Result<Contents, Error> {
    let bytes = read_bounded(file, bytes_max)?;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Err(Error::NotPem { file: file.into() });
    }
    sort(&bytes).map_err(|reason| Error::Syntax { file: file.into(), reason })
}

/// A regular file's bytes. The type is looked at first, because opening a pipe would wait for its writer.
fn read_bounded(file: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = |source| Error::Read { file: file.into(), source };
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { file: file.into() });
    }
    let too_large = || Error::TooLarge { file: file.into(), bytes_max };
    if metadata.len() > bytes_max {
        return Err(too_large());
    }
    // Room for all of it at once: a buffer that grew would leave copies of a key behind.
    let room = usize::try_from(metadata.len()).map_err(|_| too_large())? + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let open = File::open(file).map_err(unreadable)?;
    open.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Sorts the sections of a PEM text; sections of other kinds (`EC PARAMETERS`, `DH PARAMETERS`) are skipped.
fn sort(bytes: &[u8]) -> Result<Contents, &'static str> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // RFC 1421 headers of OpenSSL's old form stand inside the section, where they spoil its base64.
    let mut contents = Contents {
        encrypted_key: contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || contains(text, b"Proc-Type: 4,ENCRYPTED"),
        ..Contents::default()
    };
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        match section {
            Ok((SectionKind::Certificate, der)) => contents.certificates.push(der.into()),
            Ok((SectionKind::Crl, der)) => contents.revocation_lists.push(der.into()),
            Ok((kind, der)) => {
                if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
                    contents.key.get_or_insert(key);
                }
            }
            Err(_) if contents.encrypted_key => {}
            Err(error) => return Err(describe(&error)),
        }
    }
    Ok(contents)
}

/// Says what is wrong without the library's own text, which quotes the file.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end; the file may be only half written",
        pem::Error::IllegalSectionStart { .. } => "a `-----BEGIN …-----` line is malformed",
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        _ => "it cannot be decoded",
    }
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    text.windows(pattern.len()).any(|window| window == pattern)
}

/// Chains, keys and client CAs: a megabyte holds some five hundred certificates.
const CERTIFICATE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Revocation lists of large CAs reach megabytes.
const REVOCATION_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Every certificate, key and revocation list in DER, and every PKCS#12 file, begins with this byte; no PEM does.
const DER_SEQUENCE: u8 = 0x30;

const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";

/// Windows editors put it before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_harmless() {
        let pair = fixture::Pair::new(&["ftp.example.com"]);
        let text = format!("\u{FEFF}{}", pair.chain.replace('\n', "\r\n"));
        assert_eq!(sort(text.as_bytes()).unwrap().certificates.len(), 1);
    }

    #[test]
    fn encrypted_keys_of_both_forms_are_recognised() {
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let contents = sort(text.as_bytes()).unwrap();
            assert!(contents.encrypted_key && contents.key.is_none());
        }
    }

    #[test]
    fn a_file_over_the_bound_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("large.pem");
        File::create(&file).unwrap().set_len(CERTIFICATE_FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(certificates(&file), Err(Error::TooLarge { .. })));
        assert!(matches!(certificates(folder.path()), Err(Error::NotAFile { .. })));
    }

    #[test]
    fn der_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ftp.der");
        fs::write(&file, [0x30, 0x82, 0x01, 0x00]).unwrap();
        assert!(matches!(certificates(&file), Err(Error::NotPem { .. })));
        assert!(matches!(private_key(&file), Err(Error::NotPem { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = sort(&bytes);
        }

        #[test]
        fn a_cut_file_never_yields_a_certificate_that_is_not_there(cut in 0usize..800) {
            let pair = fixture::Pair::new(&["ftp.example.com"]);
            let text = &pair.chain.as_bytes()[..cut.min(pair.chain.len() - 2)];
            if let Ok(contents) = sort(text) {
                prop_assert!(contents.certificates.is_empty());
            }
        }
    }
}
