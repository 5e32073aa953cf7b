//! Wire transcripts. `<` the server says, `>` the client says; `?` the client asks of its driver, `!` the driver
//! reports; `=` the end.

use super::*;

/// Plays a transcript and returns the answers that were passed on.
fn play(plan: Plan, transcript: &str) -> Vec<String> {
    let mut client = Client::new(plan);
    let mut answers = Vec::new();
    for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (mark, text) = line.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        if matches!(mark, "<" | "!") {
            assert_eq!(next(&mut client, &mut answers), None, "before: {line}");
        }
        match (mark, text) {
            // `⏎` stands for an end of line, `\` for a missing one.
            ("<", text) => match text.strip_suffix('\\') {
                Some(piece) => client.handle_bytes(piece.as_bytes()),
                None => client.handle_bytes(format!("{}\r\n", text.replace('⏎', "\r\n")).as_bytes()),
            },
            ("!", "secured") => client.handle_secured(),
            ("!", "opened") => client.handle_data_opened(),
            ("!", "finished") => client.handle_data_finished(),
            ("!", "closed") => client.handle_fault(Fault::ControlClosed),
            ("!", "refused") => client.handle_fault(Fault::DataRefused),
            ("!", "broke") => client.handle_fault(Fault::DataBroken),
            ("!", "timeout") => client.handle_fault(Fault::TimedOut),
            _ => assert_eq!(next(&mut client, &mut answers).as_deref(), Some(line)),
        }
    }
    assert_eq!(next(&mut client, &mut answers), None, "at the end");
    assert_eq!(client.stage(), Stage::End);
    answers
}

fn next(client: &mut Client, answers: &mut Vec<String>) -> Option<String> {
    loop {
        return Some(match client.poll_action()? {
            Action::Answered(stage, reply) => {
                answers.push(format!("{stage} {}", reply.code()));
                continue;
            }
            Action::Send(command) => format!("> {command:?}"),
            Action::SecureControl => "? secure".into(),
            Action::OpenData { port } => format!("? open {port}"),
            Action::ReceiveData(protection) => format!("? receive {protection:?}"),
            Action::SendData(protection) => format!("? send {protection:?}"),
            Action::Done(Ok(())) => "= done".into(),
            Action::Done(Err(failure)) => format!("= {failure}"),
        });
    }
}

fn command(line: &str) -> Command {
    Command::parse(line.as_bytes()).unwrap()
}

fn login() -> Plan {
    Plan::new().login(Login::new("jo", "secret").unwrap())
}

fn listing() -> Plan {
    Plan::new().download(command("LIST"))
}

#[test]
fn a_greeting_is_a_plan() {
    assert_eq!(play(Plan::new(), "< 220 ready\n= done"), ["greeting 220"]);
    play(Plan::new(), "< 120 soon\n< 220-Hello⏎220 ready\n= done");
    play(Plan::new(), "< 421 full\n= greeting: refused with \"421 full\"");
    play(Plan::new(), "< 331 what\n= greeting: unexpected \"331 what\"");
    play(Plan::new(), "< SSH-2.0-x\n= greeting: not a reply");
    play(Plan::new(), "! closed\n= greeting: control connection closed");
    play(Plan::new(), "< 22\\\n! timeout\n= greeting: timed out");
}

#[test]
fn a_gateway_asks_its_backend_for_features() {
    let answers = play(
        Plan::features(),
        "< 220 ready
         > FEAT
         < 211-Features:⏎ SIZE⏎211 End
         > QUIT
         < 221 bye
         = done",
    );
    assert_eq!(answers, ["greeting 220", "FEAT 211", "QUIT 221"]);
    // No features, and no good manners.
    play(Plan::features(), "< 220 ready\n> FEAT\n< 500 what?\n> QUIT\n! closed\n= done");
    play(Plan::features(), "< 220 ready\n> FEAT\n< 421 bye\n= FEAT: refused with \"421 bye\"");
}

#[test]
fn a_login_goes_as_far_as_the_server_asks() {
    play(login(), "< 220 ready\n> USER jo\n< 331 password\n> PASS ***\n< 230 in\n= done");
    play(login(), "< 220 ready\n> USER jo\n< 230 in\n= done");
    play(login(), "< 220 ready\n> USER jo\n< 331 pw\n> PASS ***\n< 202 in already\n= done");
    play(login(), "< 220 r\n> USER jo\n< 331 pw\n> PASS ***\n< 530 no\n= PASS: refused with \"530 no\"");
    play(login(), "< 220 r\n> USER jo\n< 331 pw\n> PASS ***\n< 331 pw\n= PASS: unexpected \"331 pw\"");
    play(login(), "< 220 ready\n> USER jo\n< 332 account\n= USER: an account is wanted");
    let account = || Plan::new().login(Login::new("jo", "").unwrap().with_account("staff").unwrap());
    play(account(), "< 220 r\n> USER jo\n< 332 acct\n> ACCT ***\n< 230 in\n= done");
    play(account(), "< 220 r\n> USER jo\n< 331 pw\n> PASS\n< 332 acct\n> ACCT ***\n< 230 in\n= done");
}

#[test]
fn tls_comes_before_anything_else_that_the_plan_wants() {
    let plan = || Plan::new().secure().protect(Protection::Private).command(command("NOOP"));
    play(
        plan(),
        "< 220 ready
         > AUTH TLS
         < 234 go
         ? secure
         ! secured
         > PBSZ 0
         < 200 PBSZ=0
         > PROT P
         < 200 private
         > NOOP
         < 200 ok
         = done",
    );
    play(plan(), "< 220 r\n> AUTH TLS\n< 502 no\n= AUTH: refused with \"502 no\"");
    play(plan(), "< 220 r\n> AUTH TLS\n< 200 ok\n= AUTH: unexpected \"200 ok\"");
    play(plan(), "< 220 r\n> AUTH TLS\n< 234 go⏎331 injected\n= AUTH: bytes behind the reply");
    play(plan(), "< 220 r\n> AUTH TLS\n< 234 go\n? secure\n< 331 x\n= TLS handshake: bytes behind the reply");
    play(
        plan(),
        "< 220 r\n> AUTH TLS\n< 234 go\n? secure\n! secured\n> PBSZ 0\n! closed\n= PBSZ: control connection closed",
    );
}

#[test]
fn data_connections_are_as_the_plan_protects_them() {
    play(
        Plan::new().upload(command("STOR a")).protect(Protection::Private).download(command("RETR a")).quit(),
        "< 220 ready
         > EPSV
         < 229 ok (|||2100|)
         ? open 2100
         ! opened
         > STOR a
         < 150 go
         ? send Clear
         ! finished
         < 226 done
         > PBSZ 0
         < 200 ok
         > PROT P
         < 200 ok
         > EPSV
         < 229 ok (|||2101|)
         ? open 2101
         ! opened
         > RETR a
         < 125 go
         ? receive Private
         < 250 done
         ! finished
         > QUIT
         < 221 bye
         = done",
    );
}

#[test]
fn pasv_can_be_asked_for() {
    let mut client = Client::new(Plan::new().download(command("LIST"))).with_pasv();
    client.handle_bytes(b"220 ready\r\n");
    let sent = std::iter::from_fn(|| client.poll_action())
        .find_map(|action| if let Action::Send(command) = action { Some(command) } else { None });
    assert_eq!(sent, Some(Command::bare(Verb::Pasv)));
}

#[test]
fn pasv_follows_an_epsv_that_is_unknown_and_is_remembered() {
    let twice = Plan::new().download(command("NLST")).download(command("MLSD"));
    play(
        twice,
        "< 220 ready
         > EPSV
         < 500 what?
         > PASV
         < 227 ok (10,0,0,1,8,52)
         ? open 2100
         ! opened
         > NLST
         < 150 go
         ? receive Clear
         ! finished
         < 226 done
         > PASV
         < 227 ok (10,0,0,1,8,53)
         ? open 2101
         ! opened
         > MLSD
         < 500 what?
         = MLSD: refused with \"500 what?\"",
    );
    play(listing(), "< 220 r\n> EPSV\n< 229 odd\n> PASV\n< 425 no\n= PASV: refused with \"425 no\"");
    play(listing(), "< 220 r\n> EPSV\n< 425 no\n= EPSV: refused with \"425 no\"");
    // Some servers answer EPSV with 227.
    play(
        listing(),
        "< 220 r\n> EPSV\n< 227 (10,0,0,1,8,52)\n? open 2100\n! timeout
         = data connection to port 2100: timed out",
    );
}

#[test]
fn a_server_names_no_port_but_its_own_data_ports() {
    play(listing(), "< 220 r\n> EPSV\n< 229 (|||22|)\n= EPSV: no usable port in \"229 (|||22|)\"");
    play(
        listing(),
        "< 220 r\n> EPSV\n< 502 no\n> PASV\n< 227 (10,0,0,1,0,22)
         = PASV: no usable port in \"227 (10,0,0,1,0,22)\"",
    );
}

#[test]
fn a_transfer_ends_when_both_connections_say_so() {
    let start = "< 220 r\n> EPSV\n< 229 (|||2100|)\n? open 2100\n! opened\n> LIST\n";
    let plays = |rest: &str| play(listing(), &format!("{start}{rest}"));
    plays("< 150 go\n? receive Clear\n! finished\n< 226 ok\n= done");
    plays("< 150 go\n? receive Clear\n< 226 ok\n! finished\n= done");
    plays("< 550 no\n= LIST: refused with \"550 no\"");
    plays("< 226 ok\n= LIST: unexpected \"226 ok\"");
    plays("< 150 go\n? receive Clear\n! broke\n= LIST: data connection broke");
    plays("< 150 go\n? receive Clear\n< 426 broke\n= LIST: refused with \"426 broke\"");
    plays("< 150 go\n? receive Clear\n! finished\n< 451 disk\n= LIST: refused with \"451 disk\"");
    plays("< 150 go\n? receive Clear\n< 226 ok\n< 226 ok\n= LIST: unexpected \"226 ok\"");
    plays("< 150 go\n? receive Clear\n< 226 ok\n< 2\\\n! finished\n= done");
    plays("< 150 go\n? receive Clear\n< 226 ok\n! closed\n= LIST: control connection closed");
}

#[test]
fn a_firewalled_data_port_is_named() {
    play(
        listing(),
        "< 220 r\n> EPSV\n< 229 (|||2100|)\n? open 2100\n! refused
         = data connection to port 2100: could not be opened",
    );
}

#[test]
fn one_reply_too_many_ends_it() {
    let plan = || Plan::new().command(command("CWD /a")).command(command("PWD"));
    play(plan(), "< 220 r⏎220 r\n= greeting: bytes behind the reply");
    play(plan(), "< 220 r\n> CWD /a\n< 250 ok⏎257 forged\n= CWD: bytes behind the reply");
    play(plan(), "< 220 r\n> CWD /a\n< 550 no\n= CWD: refused with \"550 no\"");
}

#[test]
fn preliminary_replies_are_counted() {
    let mut transcript = String::from("< 220 ready\n> NOOP\n");
    transcript.push_str(&"< 150 wait\n".repeat(17));
    transcript.push_str("= NOOP: more than 16 preliminary replies");
    play(Plan::new().command(command("NOOP")), &transcript);
}

#[test]
fn byte_at_a_time_is_the_same() {
    let mut client = Client::new(Plan::features());
    for byte in b"220-hello\r\n220 ready\r\n" {
        client.handle_bytes(&[*byte]);
    }
    let mut answers = Vec::new();
    assert_eq!(next(&mut client, &mut answers).as_deref(), Some("> FEAT"));
    assert_eq!(answers, ["greeting 220"]);
}

#[test]
fn nothing_wakes_a_client_that_is_done() {
    let mut client = Client::new(Plan::new());
    client.handle_fault(Fault::TimedOut);
    assert!(matches!(client.poll_action(), Some(Action::Done(Err(_)))));
    client.handle_bytes(b"220 ready\r\n");
    client.handle_secured();
    client.handle_data_opened();
    client.handle_data_finished();
    client.handle_fault(Fault::ControlClosed);
    assert_eq!(client.poll_action(), None);
}
