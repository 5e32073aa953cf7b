//! Three FTP clients, each told the same list of [`Step`]s, to be done in one session.
//!
//! Every client writes its steps into a script of its own language, in a scratch folder, and runs with a
//! deadline. None of them prints the password.

mod curl;
mod ftplib;
mod lftp;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// curl, on OpenSSL.
    Curl,
    /// lftp, on GnuTLS.
    Lftp,
    /// Python's ftplib, on OpenSSL; it never resumes a TLS session.
    Ftplib,
}

/// How the client protects its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    Off,
    /// AUTH TLS, then PROT P.
    Explicit(TlsVersion),
    /// TLS from the first byte.
    Implicit(TlsVersion),
}

/// Who makes the data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataWay {
    /// The client.
    Passive,
    /// The gateway. curl 7.88 forgets TLS on connections that it accepts, so there they are in clear (PROT C), which the
    /// listener has to allow.
    Active,
}

/// The one version of TLS that a client is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Where a client logs in, and how.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where the control connection goes.
    pub address: SocketAddr,
    /// How it is protected.
    pub protection: Protection,
    /// The PEM file of the root that the server's certificate leads to.
    pub ca_file: PathBuf,
    /// Who makes the data connections.
    pub data: DataWay,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: String,
}

/// One thing to do. Remote paths are absolute.
#[derive(Clone, Debug)]
pub enum Step {
    /// Upload.
    Put {
        /// Which form of upload.
        how: How,
        /// The file that is sent.
        local: PathBuf,
        /// The file that is written.
        remote: String,
    },
    /// Upload to the end of a file. lftp knows no APPE, and resumes the upload of a longer file instead.
    Append {
        /// The bytes to be appended.
        tail: PathBuf,
        /// What the remote file shall be.
        whole: PathBuf,
        /// The file that grows.
        remote: String,
    },
    /// Download.
    Get {
        /// Which form of download.
        how: How,
        /// The file that is sent.
        remote: String,
        /// The file that is written.
        local: PathBuf,
    },
    /// List a folder into a file.
    List {
        /// Which command lists it.
        form: Listing,
        /// The folder.
        folder: String,
        /// The file that gets the list.
        local: PathBuf,
    },
    /// MKD.
    MakeFolder(String),
    /// RMD.
    RemoveFolder(String),
    /// RNFR and RNTO.
    Rename(String, String),
    /// DELE.
    Delete(String),
    /// Begin a download of this file, give it up at once, and go on.
    Abort(String),
    /// Expect this reply code where a download of the file would begin, and go on in the same session. ftplib only.
    Refused(String, u16),
}

/// Forms of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The whole file, TYPE I.
    Whole,
    /// What is missing of it.
    Resume,
    /// The whole file, TYPE A.
    Text,
}

/// Forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// LIST.
    Long,
    /// NLST.
    Names,
    /// MLSD, where the client can be told so; lftp uses it where FEAT has it.
    Facts,
}

impl ClientKind {
    /// The client's program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp",
            // Not the first on the path, which may be a shim that starts slowly.
            Self::Ftplib => "/usr/bin/python3",
        }
    }

    /// The command line that does all of `steps`; its script is written into `scratch`.
    ///
    /// # Panics
    ///
    /// If the script cannot be written.
    pub fn command(self, login: &Login, steps: &[Step], scratch: &Path) -> Command {
        match self {
            Self::Curl => curl::command(login, steps, scratch),
            Self::Lftp => lftp::command(login, steps, scratch),
            Self::Ftplib => ftplib::command(login, steps, scratch),
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp",
            Self::Ftplib => "ftplib",
        })
    }
}

impl TlsVersion {
    /// The version's number.
    pub fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Writes a script of its own name into `scratch`, which only its owner can read.
fn write_script(scratch: &Path, text: &str) -> PathBuf {
    let file = tempfile::Builder::new().prefix("script-").tempfile_in(scratch).expect("a script file");
    std::fs::write(file.path(), text).expect("the script can be written");
    file.into_temp_path().keep().expect("the script can be kept")
}

/// Puts `text` in double quotes, with backslashes before what would end them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
