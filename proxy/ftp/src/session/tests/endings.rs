//! How relays end, in both directions, and what the client is told: never a 2yz for data that is not complete.

use super::harness::Wire;

/// Every way to fail but the backend's own, and its code.
const FAILURES: [(&str, u16); 8] = [
    ("not-connected", 425),
    ("tls-failed", 522),
    ("not-resumed", 522),
    ("truncated", 426),
    ("client-failed", 426),
    ("stalled", 426),
    ("too-slow", 426),
    ("violation", 426),
];

#[test]
fn a_relay_that_fails_is_answered_and_the_backend_told_to_abort() {
    for command in ["RETR a", "STOR a"] {
        for (end, code) in FAILURES {
            Wire::relaying(command).play(&format!(
                "relay {end} 7
                 C< {code} …
                 B>! ABOR
                 C> PWD
                 B< 426 aborted
                 B< 226 ok
                 B> PWD
                 B< 257 x
                 C< 257 x"
            ));
        }
    }
}

#[test]
fn a_download_that_fails_when_the_backend_is_done_needs_no_abort() {
    for (end, code) in FAILURES {
        let mut wire = Wire::relaying("RETR a");
        wire.play(&format!("B< 226 Done\nrelay {end} 7\nC< {code} …\nC> PWD\nB> PWD"));
    }
}

#[test]
fn an_upload_that_fails_after_its_confirmation_is_a_failure() {
    for (end, code) in FAILURES {
        let mut wire = Wire::relaying("STOR a");
        wire.play(&format!("progress 7 ended\nB< 226 Done\nrelay {end} 7\nC< {code} …\nC> PWD\nB> PWD"));
    }
}

#[test]
fn the_record_says_how_a_relay_ended() {
    let mut wire = Wire::relaying("STOR a");
    wire.play("+2s\nrelay truncated 7\nC< 426 …\nB>! ABOR\n= transfer STOR 426 7B 2s Truncated");
}

#[test]
fn a_truncated_upload_names_the_key() {
    Wire::relaying("STOR a").play(
        "relay truncated 0
         C< 426 The upload ended without TLS close_notify and counts as truncated (upload_end = \"strict\").
         B>! ABOR",
    );
}

#[test]
fn when_the_backends_data_breaks_its_own_word_is_passed_on() {
    Wire::relaying("RETR a").play("relay backend-failed 7\nB< 451 disk\nC< 451 disk\nC> PWD\nB> PWD");
    Wire::relaying("STOR a").play("relay backend-failed 7\nB< 150 hm\nB< 452 full\nC< 452 full");
    Wire::relaying("RETR a").play("B< 551 disk\nrelay backend-failed 7\nC< 551 disk");
}

#[test]
fn a_download_cut_off_by_a_backend_that_says_all_is_well() {
    Wire::relaying("RETR a").play("relay backend-failed 7\nB< 226 Done\nC< 426 …\nC> PWD\nB> PWD");
    Wire::relaying("RETR a").play("B< 226 Done\nrelay backend-failed 7\nC< 426 …\nC> PWD\nB> PWD");
}

#[test]
fn an_upload_cut_off_by_a_backend_that_says_all_is_well() {
    Wire::relaying("STOR a").play(
        "relay backend-failed 7
         B< 226 Done
         * cancel
         C< 426 …
         C< 421 …
         * close
         = violation backend.early_completion",
    );
}

#[test]
fn an_upload_whose_connection_broke_at_its_end_is_a_failure_and_no_lie() {
    for events in ["relay backend-failed 7\nB< 226 Done", "B< 226 Done\nrelay backend-failed 7"] {
        Wire::relaying("STOR a").play(&format!("progress 7 ended\n{events}\nC< 426 …\nC> PWD\nB> PWD"));
    }
}

#[test]
fn a_backend_whose_data_broke_and_that_says_nonsense_silence_or_goodbye() {
    for command in ["RETR a", "STOR a"] {
        for event in ["B< 350 hm", "B< what", "+60s", "B closed", "B< 421 bye", "kill"] {
            let mut wire = Wire::relaying(command);
            wire.play(&format!("relay backend-failed 7\n{event}\n* cancel\nC< 426 …\nC< 421 …\n* close"));
        }
    }
}

#[test]
fn a_client_that_does_not_take_the_end_of_its_download() {
    Wire::relaying("RETR a").play(
        "relay complete 7
         B< 226 Done
         * finish download
         download broken
         C< 426 …
         = transfer RETR 426 7B 0s Complete
         C> PWD
         B> PWD",
    );
}

#[test]
fn a_backend_that_never_confirms() {
    for command in ["RETR a", "STOR a"] {
        Wire::relaying(command).play(
            "relay complete 7
             +59s
             +1s
             * cancel
             C< 426 …
             C< 421 …
             * close
             = closed backend_timeout",
        );
    }
}

#[test]
fn the_backend_may_take_its_time_for_the_data() {
    // How long data may rest is the relay's to judge.
    Wire::relaying("RETR a")
        .play("+3600s\nB< 226 x\n+3600s\nrelay complete 1\n* finish download\ndownload ended\nC< 226 x");
}

#[test]
fn a_backend_that_does_not_begin() {
    for command in ["RETR a", "STOR a"] {
        Wire::opening(command).play("+60s\n* cancel\nC< 421 …\n* close\n= closed backend_timeout");
    }
}

#[test]
fn reports_of_a_relay_that_was_cancelled_are_nobodys() {
    let mut wire = Wire::relaying("RETR a");
    wire.play("C> ABOR\n* cancel\nC< 426 …\nB>! ABOR\nrelay complete 9\ndownload ended\nprogress 10");
    wire.play("B< 426 x\nB< 226 x\nC< 226 …");
}

#[test]
fn a_client_that_ends_behind_its_commands_gets_their_answers() {
    Wire::ready().play(
        "C> PWD
         B> PWD
         C> NOOP
         C ended
         B< 257 x
         C< 257 x
         B> NOOP
         B< 200 Fine
         C< 200 Fine
         B> QUIT
         * close
         = closed client_gone",
    );
    let mut wire = Wire::ready();
    wire.play_partly("C> PWD\nB> PWD\nC> QUIT\nC ended");
    assert!(!wire.session.wants_command());
    wire.play("B< 257 x\nC< 257 x\nC< 221 …\nB> QUIT\n* close\n= closed quit");
}

#[test]
fn a_transfer_goes_on_behind_the_clients_end_only_if_a_quit_waits_there() {
    Wire::relaying("STOR a").play(
        "C> QUIT
         C ended
         progress 7 ended
         relay complete 7
         B< 226 Done
         C< 226 Done
         C< 221 …
         B> QUIT
         * close
         = closed quit",
    );
    Wire::relaying("STOR a").play("C> PWD\nC ended\n* cancel\nC< 426 …\n* close\n= closed client_gone");
}

#[test]
fn an_aborted_transfer_holds_nobody_who_has_ended() {
    let mut wire = Wire::relaying("RETR a");
    wire.play("relay client-failed 7\nC< 426 …\nB>! ABOR\nC ended\n* close\n= closed client_gone");
}

#[test]
fn a_backends_data_connection_that_cannot_be_secured() {
    for command in ["RETR a", "STOR a"] {
        // Its own word, where it has one.
        for reply in ["522 no session reuse", "425 TLS failed", "426 cut", "550 no"] {
            Wire::relaying(command)
                .play(&format!("relay backend-tls-failed 0\nB< {reply}\nC< {reply}\nC> PWD\nB> PWD"));
        }
        // It may think that all is well, and has stored an empty file or sent nothing.
        for reply in ["226 Done", "250 Done"] {
            let mut wire = Wire::relaying(command);
            wire.play(&format!(
                "relay backend-tls-failed 0
                 B< 150 hm
                 B< {reply}
                 C< 425 The server's data connection could not be secured.
                 C> PWD
                 B> PWD"
            ));
            wire.play(&format!("= transfer {} 425 0B 0s BackendTlsFailed", &command[..4]));
        }
        Wire::relaying(command)
            .play("relay backend-tls-failed 0\nB< 350 hm\n* cancel\nC< 426 …\nC< 421 …\n* close");
        Wire::relaying(command)
            .play("relay backend-tls-failed 0\n+60s\n* cancel\nC< 426 …\nC< 421 …\n* close");
    }
    // The reply was there before.
    Wire::relaying("RETR a").play("B< 226 Done\nrelay backend-tls-failed 0\nC< 425 …\nC> PWD\nB> PWD");
    Wire::relaying("RETR a").play("B< 522 reuse\nrelay backend-tls-failed 0\nC< 522 reuse");
}

#[test]
fn the_record_shows_the_tls_of_both_legs() {
    for (down, up) in [("1.3", "1.2"), ("-", "1.2"), ("1.3", "-")] {
        let mut wire = Wire::relaying("STOR a");
        wire.play(&format!("relay complete 7 tls {down} {up}\nB< 226 Done\nC< 226 Done"));
        wire.play(&format!("= transfer STOR 226 7B 0s Complete tls {down} {up}"));
        let mut wire = Wire::relaying("RETR a");
        wire.play(&format!("relay backend-failed 7 tls {down} {up}\nB< 451 disk\nC< 451 disk"));
        wire.play(&format!("= transfer RETR 451 7B 0s BackendFailed tls {down} {up}"));
    }
}
