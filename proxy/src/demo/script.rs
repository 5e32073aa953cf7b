//! The scripted run: what the demo's client does, and what must then be so.

use std::path::Path;

use ftpsgate_ftp::client::{Login, Plan};
use ftpsgate_ftp::codec::{Command, Protection, Verb};

use super::backend::SAMPLES;
use super::report::{Check, PASSWORD, Rewritten, USER};
use super::visitor::{Harvest, VisitError, Visitor};

/// Logs in under TLS, uploads, lists, downloads what it uploaded and a sample, and leaves.
pub(super) async fn play(visitor: &Visitor) -> Result<Harvest, VisitError> {
    visitor.visit(plan(), [upload()]).await
}

fn plan() -> Plan {
    let (sample, _) = SAMPLES[0];
    Plan::new()
        .secure()
        .protect(Protection::Private)
        .login(Login::new(USER, PASSWORD).expect("literals fit in a line"))
        .command(Command::bare(Verb::Pwd))
        .command(own(Verb::Type, "I"))
        .upload(own(Verb::Stor, UPLOAD_NAME))
        .download(Command::bare(Verb::List))
        .download(own(Verb::Retr, UPLOAD_NAME))
        .download(own(Verb::Retr, sample))
        .quit()
}

/// Judges a run by what the client got and by what the backend has in `folder`.
pub(super) fn judge(harvest: &Harvest, folder: &Path, rewritten: &[Rewritten]) -> Vec<Check> {
    let (sample, content) = SAMPLES[0];
    let sent = upload();
    let stored = std::fs::read(folder.join(UPLOAD_NAME)).unwrap_or_default();
    let empty = Vec::new();
    let mut downloads = harvest.downloads.iter().chain(std::iter::repeat(&empty));
    let mut next = || downloads.next().unwrap_or(&empty);
    let (listing, returned, readme) = (next(), next(), next());
    let names = SAMPLES.iter().map(|(name, _)| *name).chain([UPLOAD_NAME]);
    let listed = names.filter(|name| contains(listing, name.as_bytes())).count();
    let resumed = harvest.data.iter().filter(|connection| connection.resumed).count();
    let moved = rewritten.iter().filter(|ports| ports.gateway != ports.backend).count();
    let used = |port: u16| rewritten.iter().any(|ports| ports.gateway == port);
    vec![
        Check {
            what: "upload",
            ok: stored == sent,
            found: format!("the backend has {} of {} bytes, byte for byte", same(&stored, &sent), sent.len()),
        },
        Check {
            what: "listing",
            ok: listed == SAMPLES.len() + 1,
            found: format!("{listed} of {} files", SAMPLES.len() + 1),
        },
        Check {
            what: "download",
            ok: *returned == sent && readme == content,
            found: format!(
                "{} of {} bytes came back, and {} of {} of {sample}",
                same(returned, &sent),
                sent.len(),
                same(readme, content),
                content.len()
            ),
        },
        Check {
            what: "rewriting",
            ok: moved == DATA_CONNECTIONS && harvest.data.iter().all(|connection| used(connection.port)),
            found: format!(
                "{moved} of {DATA_CONNECTIONS} data connections went to a port of the gateway's own"
            ),
        },
        Check {
            what: "data TLS",
            ok: harvest.data.len() == DATA_CONNECTIONS,
            found: format!(
                "{} of {DATA_CONNECTIONS} data connections encrypted, {resumed} resumed the control connection's session",
                harvest.data.len()
            ),
        },
    ]
}

/// Bytes from the start that are alike.
fn same(one: &[u8], two: &[u8]) -> usize {
    one.iter().zip(two).take_while(|(one, two)| one == two).count()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// All byte values, no short period, larger than every buffer on the way.
fn upload() -> Vec<u8> {
    (0..UPLOAD_BYTES).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn own(verb: Verb, argument: &'static str) -> Command {
    Command::with(verb, argument).expect("a literal argument fits in a line")
}

const UPLOAD_NAME: &str = "upload.bin";
const UPLOAD_BYTES: u32 = 1_500_000;
/// Of the plan.
const DATA_CONNECTIONS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::visitor::DataConnection;

    fn good() -> (tempfile::TempDir, Harvest, Vec<Rewritten>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(UPLOAD_NAME), upload()).unwrap();
        let listing = b"readme.txt\r\norders.csv\r\nempty.dat\r\nupload.bin\r\n".to_vec();
        let ports = [2101, 2102, 2103, 2104];
        let harvest = Harvest {
            downloads: vec![listing, upload(), SAMPLES[0].1.to_vec()],
            data: ports.map(|port| DataConnection { port, resumed: true }).to_vec(),
        };
        (folder, harvest, ports.map(|gateway| Rewritten { gateway, backend: gateway + 1000 }).to_vec())
    }

    fn failed(harvest: &Harvest, folder: &Path, rewritten: &[Rewritten]) -> Vec<&'static str> {
        judge(harvest, folder, rewritten).iter().filter(|check| !check.ok).map(|check| check.what).collect()
    }

    #[test]
    fn a_good_run_passes_and_each_fault_is_named() {
        let (folder, harvest, rewritten) = good();
        assert_eq!(failed(&harvest, folder.path(), &rewritten), [""; 0]);
        assert_eq!(failed(&harvest, folder.path(), &rewritten[1..]), ["rewriting"]);

        let (folder, mut harvest, rewritten) = good();
        harvest.downloads[0].clear();
        harvest.downloads[1].pop();
        harvest.data.pop();
        std::fs::write(folder.path().join(UPLOAD_NAME), b"truncated").unwrap();
        let faults = ["upload", "listing", "download", "data TLS"];
        assert_eq!(failed(&harvest, folder.path(), &rewritten), faults);
        assert_eq!(judge(&Harvest::default(), folder.path(), &[]).iter().filter(|check| check.ok).count(), 0);
    }
}
