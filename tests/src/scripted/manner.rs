//! How servers differ while they behave: the wording, the order, and what they leave out. The presets are those of
//! servers that are not to be had on a Debian system.

use super::Script;

/// What a server that behaves says, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// When a data connection is there.
    pub(super) opening: &'static [u8],
    /// Behind a download.
    pub(super) sent: &'static [u8],
    /// Behind an upload.
    pub(super) stored: &'static [u8],
    /// To FEAT.
    pub(super) features: &'static [u8],
    /// In the 229.
    pub(super) delimiter: char,
    /// Whether a download's final reply comes before its end.
    pub(super) is_early: bool,
    /// Whether a TLS upload's close_notify is answered; else the server waits for the end of the TCP connection.
    pub(super) answers_close_notify: bool,
    /// Whether PROT C is taken.
    pub(super) takes_clear_data: bool,
}

impl Manner {
    pub(super) const ORDINARY: Self = Self {
        opening: b"150 Here it comes\r\n",
        sent: b"226 Sent\r\n",
        stored: b"226 Stored\r\n",
        features:
            b"211-Features\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n MLST type*;size*;\r\n UTF8\r\n211 End\r\n",
        delimiter: '|',
        is_early: false,
        answers_close_notify: true,
        takes_clear_data: true,
    };
}

impl Script {
    /// IBM z/OS: a multi-line 125, transfers that end with a multi-line 250, quoted names of data sets.
    pub fn zos() -> Self {
        Self::new()
            .with_manner(Manner {
                opening: b"125-Tagged EBCDIC file translated with current table\r\n\
                    125 Sending data set ANNA.DATA FIXrecfm 80\r\n",
                sent: b"250-Transfer completed:\r\n250 Transfer completed successfully.\r\n",
                stored: b"250-Transfer completed:\r\n  data set ANNA.DATA\r\n250 Transfer completed successfully.\r\n",
                features: b"211- Extensions supported\r\n SIZE\r\n REST STREAM\r\n UTF8\r\n211 End\r\n",
                ..Manner::ORDINARY
            })
            .greeting(
                b"220-FTPSERVE IBM FTP CS V2R4 at MVS.EXAMPLE, 09:00:00 on 2026-11-22.\r\n\
                  220 Connection will close if idle for more than 5 minutes.\r\n",
            )
            .answer(
                "SYST",
                b"215 MVS is the operating system of this server. FTP Server is running on z/OS.\r\n",
            )
            .answer("PWD", b"257 \"'ANNA.'\" is working directory.\r\n")
            .answer("CWD", b"250 \"'ANNA.DATA.'\" is the working directory name prefix.\r\n")
            .answer("PASS", b"230 ANNA is logged on.  Working directory is \"ANNA.\".\r\n")
    }

    /// IBM i (AS/400): `!` in the 229, 125 and 250 around transfers.
    pub fn as400() -> Self {
        Self::new()
            .with_manner(Manner {
                opening: b"125 List started.\r\n",
                sent: b"250 List completed.\r\n",
                stored: b"250 File transfer completed successfully.\r\n",
                features: b"211-Extensions supported\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n211 End\r\n",
                delimiter: '!',
                ..Manner::ORDINARY
            })
            .greeting(
                b"220-QTCP at AS400.EXAMPLE.\r\n220 Connection will close if idle more than 5 minutes.\r\n",
            )
            .answer(
                "SYST",
                b"215  OS/400 is the remote operating system. The TCP/IP version is \"V7R4M0\".\r\n",
            )
            .answer("PWD", b"257 \"ANNA\" is current library.\r\n")
            .answer("PASS", b"230 ANNA logged on.\r\n")
    }

    /// Microsoft IIS: 125 at once, and under TLS no answer to an upload's close_notify: it waits for the end of the TCP
    /// connection.
    pub fn iis() -> Self {
        Self::new()
            .with_manner(Manner {
                opening: b"125 Data connection already open; Transfer starting.\r\n",
                sent: b"226 Transfer complete.\r\n",
                stored: b"226 Transfer complete.\r\n",
                features: b"211-Extended features supported:\r\n LANG EN*\r\n UTF8\r\n AUTH TLS;TLS-C;SSL;TLS-P;\r\n \
                    PBSZ\r\n PROT C;P;\r\n CCC\r\n HOST\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n211 END\r\n",
                answers_close_notify: false,
                ..Manner::ORDINARY
            })
            .greeting(b"220 Microsoft FTP Service\r\n")
            .answer("SYST", b"215 Windows_NT\r\n")
    }

    /// FileZilla Server 1.x: PROT C refused, no PASV in FEAT. With [`super::ScriptTls::demanding_reuse`] it is as strict
    /// as the real one; an upload without close_notify is 426 on every scripted server.
    pub fn filezilla_server() -> Self {
        Self::new()
            .with_manner(Manner {
                opening: b"150 Starting data transfer.\r\n",
                sent: b"226 Operation successful\r\n",
                stored: b"226 Operation successful\r\n",
                features: b"211-Features:\r\n MDTM\r\n REST STREAM\r\n SIZE\r\n MLST type*;size*;modify*;perm*;\r\n \
                    MLSD\r\n AUTH SSL\r\n AUTH TLS\r\n PROT\r\n PBSZ\r\n UTF8\r\n TVFS\r\n EPSV\r\n EPRT\r\n MFMT\r\n211 End\r\n",
                takes_clear_data: false,
                ..Manner::ORDINARY
            })
            .greeting(b"220-FileZilla Server 1.8.2\r\n220 Please visit https://filezilla-project.org/\r\n")
            .answer("SYST", b"215 UNIX emulated by FileZilla.\r\n")
    }

    /// Says 226 before a download's end.
    pub fn early(mut self) -> Self {
        self.manner.is_early = true;
        self
    }

    fn with_manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }
}
