//! Whole files in, whole configurations or rendered diagnostics out.

use std::path::Path;

use super::*;

#[test]
fn scratch() {
    for text in [
        "",
        MINIMAL,
        r#"version = 2
idle_timeout = "5m"
[gateway]
nme = "x"
drain_timeout = 10
[tls]
certificates = []
[tls.a]
min_version = "1.3"
max_version = "1.2"
client_crl = "x"
client_certificates = "require"
fallback = "none"
[[listener]]
mode = "plain"
require_tls = "data"
tls = "b"
idle_timout = "5m"
intercept = "off"
bind = ["21", "127.0.0.1:2121", 3]
max_line = "1B"
backend = "legcy"
login_attempts = 0
handshake_timeout = "0s"
[listener.passive]
ports = "32000-62000"
advertise = "::1"
[[listener]]
[[backend]]
servers = ["127.0.0.1:2121", "b:22"]
tls = "explicit"
[[rule]]
name = "x"
[[rule]]
"#,
        "[[listener]]\nidle_timeout = 5m\nbind = [0.0.0.0:21]\nfoo = 1\nmode =\n\n[[backend]\nname = 'a\n",
        "[listener]\nname=1\n[backend]\nservers=\"x\"\n[[gateway]]\n",
    ] {
        match parse(text, "gate.toml", Path::new("/etc/ftpsgate")) {
            Ok(loaded) => {
                println!("{}\n{}", to_toml(&loaded.config), Diagnostics::new(loaded.warnings).render(false))
            }
            Err(all) => println!("{}=====", all.render(false)),
        }
    }
}
