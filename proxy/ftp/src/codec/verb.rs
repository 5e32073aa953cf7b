//! The verb table: every command that the gateway knows, one row each.
//!
//! RFC 959, 697 (CWD), 775 (X aliases), 2228, 2389, 2428, 2640, 3659, 4217 and 7151, and the drafts and vendors'
//! verbs that clients send. A verb that is not here gets 500 and is never forwarded.

/// Whether a verb takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// None; one that is given anyway is a 501.
    None,
    /// May have one.
    Optional,
    /// Must have one.
    Required,
}

macro_rules! verbs {
    ($($variant:ident $name:literal $(| $alias:literal)* , $arity:ident, $usage:literal;)*) => {
        /// A known command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = concat!("`", $name, " ", $usage, "`")] $variant,)*
        }

        impl Verb {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Verb] = &[$(Verb::$variant,)*];

            /// Finds a verb by name or alias, in any case.
            pub fn find(name: &[u8]) -> Option<Verb> {
                $(if name.eq_ignore_ascii_case($name.as_bytes()) $(|| name.eq_ignore_ascii_case($alias.as_bytes()))* {
                    return Some(Verb::$variant);
                })*
                None
            }

            /// The canonical name, in capitals: this is what a backend gets, also for an alias.
            pub fn name(self) -> &'static str {
                match self { $(Verb::$variant => $name,)* }
            }

            /// Whether it takes an argument.
            pub fn arity(self) -> Arity {
                match self { $(Verb::$variant => Arity::$arity,)* }
            }

            /// What its argument looks like, for HELP and for 501 replies.
            pub fn usage(self) -> &'static str {
                match self { $(Verb::$variant => $usage,)* }
            }
        }
    };
}

verbs! {
    // Security: RFC 2228, 4217.
    Auth "AUTH", Required, "mechanism";
    Pbsz "PBSZ", Required, "size";
    Prot "PROT", Required, "level";
    Ccc "CCC", None, "";
    Adat "ADAT", Optional, "data";
    Mic "MIC", Optional, "data";
    Conf "CONF", Optional, "data";
    Enc "ENC", Optional, "data";
    Sscn "SSCN", Optional, "state";
    Cpsv "CPSV", None, "";
    // Login: RFC 959, 7151.
    User "USER", Required, "name";
    Pass "PASS", Optional, "password";
    Acct "ACCT", Required, "account";
    Host "HOST", Required, "name";
    Rein "REIN", None, "";
    Quit "QUIT", None, "";
    // Parameters: RFC 959, 2389, 2640.
    Type "TYPE", Required, "code";
    Mode "MODE", Required, "code";
    Stru "STRU", Required, "code";
    Feat "FEAT", None, "";
    Opts "OPTS", Required, "command [options]";
    Lang "LANG", Optional, "[tag]";
    Clnt "CLNT", Required, "name";
    Csid "CSID", Required, "facts";
    // Data connections: RFC 959, 1639, 2428.
    Pasv "PASV", None, "";
    Epsv "EPSV", Optional, "[family | ALL]";
    Lpsv "LPSV", None, "";
    Port "PORT", Required, "h1,h2,h3,h4,p1,p2";
    Eprt "EPRT", Required, "|family|address|port|";
    Lprt "LPRT", Required, "address";
    // Transfers: RFC 959, 3659.
    Retr "RETR", Required, "path";
    Stor "STOR", Required, "path";
    Stou "STOU", Optional, "[path]";
    Appe "APPE", Required, "path";
    List "LIST", Optional, "[path]";
    Nlst "NLST", Optional, "[path]";
    Mlsd "MLSD", Optional, "[path]";
    Rest "REST", Required, "offset";
    Allo "ALLO", Required, "bytes";
    Abor "ABOR", None, "";
    // Files and directories: RFC 959, 775, 3659.
    Cwd "CWD" | "XCWD", Required, "path";
    Cdup "CDUP" | "XCUP", None, "";
    Pwd "PWD" | "XPWD", None, "";
    Mkd "MKD" | "XMKD", Required, "path";
    Rmd "RMD" | "XRMD", Required, "path";
    Rmda "RMDA", Required, "path";
    Dele "DELE", Required, "path";
    Rnfr "RNFR", Required, "path";
    Rnto "RNTO", Required, "path";
    Size "SIZE", Required, "path";
    Mdtm "MDTM", Required, "[time] path";
    Mlst "MLST", Optional, "[path]";
    Smnt "SMNT", Required, "path";
    // Metadata: draft-somers-ftp-mfxx, draft-bryan-ftp-hash, and vendors' verbs.
    Mfmt "MFMT", Required, "time path";
    Mfct "MFCT", Required, "time path";
    Mff "MFF", Required, "facts path";
    Hash "HASH", Required, "path";
    Rang "RANG", Required, "first last";
    Md5 "MD5", Required, "path";
    Mmd5 "MMD5", Required, "paths";
    Xcrc "XCRC", Required, "path";
    Xmd5 "XMD5", Required, "path";
    Xsha "XSHA", Required, "path";
    Xsha1 "XSHA1", Required, "path";
    Xsha256 "XSHA256", Required, "path";
    Xsha512 "XSHA512", Required, "path";
    Avbl "AVBL", Optional, "[path]";
    Dsiz "DSIZ", Optional, "[path]";
    Thmb "THMB", Required, "format path";
    Comb "COMB", Required, "paths";
    // Information.
    Site "SITE", Required, "command";
    Syst "SYST", None, "";
    Stat "STAT", Optional, "[path]";
    Help "HELP" | "XHLP", Optional, "[command]";
    Noop "NOOP", Optional, "";
}

impl Verb {
    /// Whether the argument is never to be logged or kept: it is a password, belongs to a login (RFC 2228), or means
    /// nothing, so that a password may have strayed into it (NOOP).
    pub fn is_secret(self) -> bool {
        matches!(self, Verb::Pass | Verb::Acct | Verb::Adat | Verb::Mic | Verb::Conf | Verb::Enc | Verb::Noop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_found_by_its_name_in_any_case() {
        for &verb in Verb::ALL {
            assert_eq!(Verb::find(verb.name().as_bytes()), Some(verb));
            assert_eq!(Verb::find(verb.name().to_lowercase().as_bytes()), Some(verb));
        }
    }

    #[test]
    fn x_aliases_become_their_modern_names() {
        for (alias, name) in
            [("XCWD", "CWD"), ("xcup", "CDUP"), ("XPWD", "PWD"), ("XMKD", "MKD"), ("XRMD", "RMD")]
        {
            assert_eq!(Verb::find(alias.as_bytes()).map(Verb::name), Some(name));
        }
        assert_eq!(Verb::find(b"XFOO"), None);
        assert_eq!(Verb::find(b""), None);
    }
}
