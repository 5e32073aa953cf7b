//! docs/audit.md says what records hold.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::Value;

use super::record::*;

const GUIDE: &str = include_str!("../../../docs/audit.md");

/// A record in which nothing is left out.
fn full() -> Record<'static> {
    let address: SocketAddr = "192.0.2.1:21".parse().unwrap();
    let rule = || Some(Rule { name: "r".into(), file: "f".into(), line: 1 });
    let data_tls =
        || Some(DataTls { version: "1.3".into(), suite: "s".into(), resumed: true, close_notify: true });
    let Record { seq, time, gateway, .. } = Record::new(Event::Command, "gw1", SystemTime::UNIX_EPOCH);
    // Without `..`: a new field must come here, and so into the guide.
    Record {
        seq,
        time,
        gateway,
        event: Event::Command,
        session: Some("id".into()),
        client: Some(address),
        dialled: Some(address),
        listener: Some("l".into()),
        tls: Some(Tls { version: "1.3".into(), suite: "s".into(), resumed: false, sni: Some("n".into()) }),
        certificate: Some(Certificate { subject: "CN=a".into(), names: vec!["a".into()], key: "k".into() }),
        user: Some("anna".into()),
        backend: Some("b".into()),
        server: Some(address),
        command: Some(Command {
            verb: "SITE".into(),
            subcommand: Some("CHMOD".into()),
            argument: Some("a".into()),
            accesses: vec![Access {
                operation: "metadata".into(),
                path: Some("/a".into()),
                unresolved: true,
                below: true,
            }],
            size_bytes: Some(1),
        }),
        decision: Some(Decision {
            allowed: true,
            by: By::Rule,
            rule: rule(),
            observed: vec![Observed { allowed: false, rule: rule() }],
        }),
        code: Some(200),
        transfer: Some(Transfer {
            direction: "upload".into(),
            bytes: 1,
            duration_ms: 1,
            end: Some("complete".into()),
            downstream: data_tls(),
            upstream: data_tls(),
            unique_name: Some("u".into()),
        }),
        reason: Some("r".into()),
        found: Some("/b".into()),
        uploaded_bytes: Some(1),
        downloaded_bytes: Some(1),
    }
}

fn collect(name: &str, value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            collect(&name, value, keys);
        }),
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            elements.iter().for_each(|element| collect(&format!("{name}[]"), element, keys));
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            keys.insert(name.to_owned());
        }
    }
}

#[test]
fn the_guide_lists_every_field_and_no_other() {
    let mut keys = BTreeSet::new();
    collect("", &serde_json::to_value(full()).unwrap(), &mut keys);
    let (_, table) = GUIDE.split_once("<!-- fields begin -->").expect("the guide has a table");
    let (table, _) = table.split_once("<!-- fields end -->").expect("it ends");
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, keys);
}

#[test]
fn the_examples_of_the_guide_are_records_of_every_event() {
    let blocks = GUIDE.split("```json\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut events = Vec::new();
    for line in blocks.flat_map(|(block, _)| block.lines()) {
        let record: Record<'_> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(serde_json::to_string(&record).unwrap(), line, "as it would be written");
        events.push(record.event);
    }
    for event in [
        Event::Connect,
        Event::Command,
        Event::Revoked,
        Event::Symlink,
        Event::Violation,
        Event::Limit,
        Event::Disconnect,
    ] {
        assert!(events.contains(&event), "{event:?}");
    }
}
