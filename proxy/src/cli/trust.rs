//! How clients are made to trust the local CA. `ca root`, `run --backend` and `demo` all say it with these words.

use std::fmt::Write;

/// What the instructions are about.
#[derive(Debug, Clone)]
pub struct Trust<'t> {
    /// The file that holds the CA's certificate, as the reader would name it.
    pub ca_file: &'t str,
    /// The host name or address under which clients reach the gateway.
    pub host: &'t str,
    /// The port of explicit FTPS.
    pub explicit: Option<u16>,
    /// The port of implicit FTPS.
    pub implicit: Option<u16>,
    /// SHA-256 of the CA's certificate, as people compare it.
    pub fingerprint: &'t str,
}

impl Trust<'_> {
    /// The curl command for a listing, explicit FTPS where there is a choice.
    #[must_use]
    pub fn curl(&self) -> String {
        let url = match (self.explicit, self.implicit) {
            (None, Some(port)) => format!("ftps://{}/", self.authority(port, 990)),
            (explicit, _) => format!("ftp://{}/", self.authority(explicit.unwrap_or(21), 21)),
        };
        format!("curl --ssl-reqd --cacert {} --user NAME {url}", self.ca_file)
    }

    /// The lftp command, explicit FTPS where there is a choice.
    #[must_use]
    pub fn lftp(&self) -> String {
        let settings = format!("set ssl:ca-file \"{}\"; set ftp:ssl-force true", self.ca_file);
        let url = match (self.explicit, self.implicit) {
            (None, Some(port)) => format!("ftps://{}", self.authority(port, 990)),
            (explicit, _) => format!("ftp://{}", self.authority(explicit.unwrap_or(21), 21)),
        };
        format!("lftp -e '{settings}' -u NAME {url}")
    }

    /// Instructions for the clients that people use, several lines.
    #[must_use]
    pub fn instructions(&self) -> String {
        let mut text = String::new();
        let mut line = |line: &str| writeln!(text, "{line}").expect("writing to a String cannot fail");
        line("To trust this gateway, a client needs the certificate of its local CA.");
        line(&format!(
            "Save it as {}, and compare its SHA-256 fingerprint over another channel:",
            self.ca_file
        ));
        line("");
        line(&format!("  {}", self.fingerprint));
        line("");
        line(&format!("  curl       {}", self.curl()));
        line(&format!("  lftp       {}", self.lftp()));
        line("  FileZilla  It asks about the certificate itself. Give the gateway one that stays with");
        line("             `ftpsgate ca issue`, compare the fingerprint that FileZilla shows with the one");
        line("             printed then, and tick \"Always trust this certificate in future sessions\".");
        line("  WinSCP     Import the CA into the Windows store, as administrator:");
        line(&format!("             certutil -addstore -f Root {}", self.ca_file));
        line("  Debian     For all programs that use the system's CAs, as root:");
        line(&format!("             cp {} /usr/local/share/ca-certificates/ftpsgate-ca.crt", self.ca_file));
        line("             update-ca-certificates");
        text
    }

    /// `HOST` or `HOST:PORT`, as it stands in an URL.
    fn authority(&self, port: u16, default: u16) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_owned() };
        if port == default { host } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_port_where_it_is_not_the_usual_one() {
        let trust = Trust {
            ca_file: "ca.pem",
            host: "gw",
            explicit: Some(21),
            implicit: Some(990),
            fingerprint: "AA:BB",
        };
        assert_eq!(trust.curl(), "curl --ssl-reqd --cacert ca.pem --user NAME ftp://gw/");
        let trust = Trust { explicit: Some(2121), host: "::1", ..trust };
        assert_eq!(trust.curl(), "curl --ssl-reqd --cacert ca.pem --user NAME ftp://[::1]:2121/");
        let trust = Trust { explicit: None, implicit: Some(2990), ..trust };
        assert_eq!(trust.curl(), "curl --ssl-reqd --cacert ca.pem --user NAME ftps://[::1]:2990/");
        assert!(trust.lftp().ends_with("-u NAME ftps://[::1]:2990"));
        assert!(trust.instructions().contains("AA:BB"));
    }
}
