//! Transfers that go well, and all that may be injected at each of their steps.

use super::harness::{ARM, Wire};

#[test]
fn a_download() {
    Wire::relaying("RETR a").play(
        "progress 40
         +3s
         relay complete 100
         B< 226 Done
         * finish download
         download ended
         C< 226 Done
         = transfer RETR 226 100B 3s Complete
         C> PWD
         B> PWD",
    );
}

#[test]
fn a_download_whose_reply_overtakes_its_bytes() {
    Wire::relaying("LIST").play(
        "B< 226 Done
         relay complete 100
         * finish download
         download ended
         C< 226 Done",
    );
}

#[test]
fn an_upload() {
    Wire::relaying("STOR a").play(
        "progress 100 ended
         relay complete 100
         B< 226 Done
         C< 226 Done
         = transfer STOR 226 100B 0s Complete
         C> PWD
         B> PWD",
    );
}

#[test]
fn an_upload_that_is_confirmed_while_its_connection_lingers() {
    Wire::relaying("STOR a").play("progress 100 ended\nB< 226 Done\nrelay complete 100\nC< 226 Done");
}

#[test]
fn every_transfer_command_in_its_direction() {
    for command in ["RETR a b", "LIST", "LIST -la", "NLST", "MLSD a", "STOR a", "STOU", "APPE a"] {
        Wire::relaying(command);
    }
}

#[test]
fn transfers_that_end_with_another_2yz() {
    Wire::relaying("RETR a")
        .play("B< 250 Done\nrelay complete 1\n* finish download\ndownload ended\nC< 250 Done");
    Wire::relaying("STOR a").play("relay complete 1\nB< 250 Done\nC< 250 Done");
}

#[test]
fn one_transfer_after_the_other() {
    let mut wire = Wire::relaying("STOR a");
    for _ in 0..3 {
        wire.play("relay complete 1\nB< 226 Done\nC< 226 Done");
        wire.play(ARM);
        wire.play("C> STOR b\nB> STOR b\nB< 125 Go\nC< 125 Go\n* relay upload private");
    }
}

#[test]
fn the_backend_refuses_before_the_data() {
    let refusals = [
        ("550 No such file", "withdraw"),
        ("450 Busy", "discard"),
        ("425 no", "discard"),
        ("553 no", "withdraw"),
    ];
    for (reply, end) in refusals {
        Wire::opening("RETR a").play(&format!("B< {reply}\n* {end}\nC< {reply}\nC> PWD\nB> PWD"));
    }
    Wire::opening("STOR a").play("B< 553 no\n* withdraw\nC< 553 no\n= transfer STOR 553 0B 0s none");
}

#[test]
fn a_reply_that_skips_the_150_ends_the_session() {
    for command in ["RETR a", "STOR a"] {
        for reply in ["226 Done", "200 x", "350 hm"] {
            let mut wire = Wire::opening(command);
            wire.play(&format!(
                "B< {reply}\n* cancel\nC< 421 …\n* close\n= violation backend.impossible_reply"
            ));
        }
    }
}

#[test]
fn the_150_may_be_repeated() {
    Wire::relaying("RETR a").play(
        "B< 150 again
         relay complete 1
         B< 150 and again
         B< 226 Done
         * finish download
         download ended
         C< 226 Done",
    );
}

#[test]
fn the_backend_refuses_after_the_150() {
    Wire::relaying("RETR a").play("B< 551 broken\nrelay complete 9\n* reset download\nC< 551 broken");
    Wire::relaying("RETR a").play("relay complete 9\nB< 451 broken\n* reset download\nC< 451 broken");
    Wire::relaying("STOR a")
        .play("relay complete 9\nB< 452 full\nC< 452 full\n= transfer STOR 452 9B 0s Complete");
}

#[test]
fn an_upload_that_is_refused_early_is_cut_off() {
    Wire::relaying("STOR a").play(
        "progress 7
         B< 552 too big
         * cancel
         C< 552 too big
         = transfer STOR 552 7B 0s none
         C> PWD
         B> PWD
         relay client-failed 9",
    );
}

#[test]
fn a_refused_transfer_has_moved_none_of_the_bytes_of_the_one_before() {
    let refused = |transfer: &str, fact: &str| {
        let mut wire = Wire::relaying("STOR a");
        wire.play("progress 9 ended\nrelay complete 9\nprogress 9 ended\nB< 226 Done\nC< 226 Done");
        wire.play("= transfer STOR 226 9B 0s Complete");
        wire.play(ARM);
        // The driver looks at the last relay before each event, until there is another.
        wire.play(&format!("progress 9 ended\nC> STOR b\nB> STOR b\nprogress 9 ended\n{transfer}\n{fact}"));
    };
    refused("B< 553 no\n* withdraw\nC< 553 no", "= transfer STOR 553 0B 0s none");
    refused("C closed\n* cancel\n* close", "= transfer STOR 421 0B 0s none");
    // Nor has the upload ended: a confirmation is still early.
    refused(
        "B< 150 x\nC< 150 x\n* relay upload private\nB< 226 Done\n* cancel\nC< 426 …\nC< 421 …\n* close",
        "= transfer STOR 426 0B 0s none",
    );
}

#[test]
fn an_upload_that_is_confirmed_early_ends_the_session() {
    Wire::relaying("STOR a").play(
        "progress 7
         B< 226 Done
         * cancel
         C< 426 …
         C< 421 …
         * close
         = violation backend.early_completion
         = transfer STOR 426 7B 0s none
         = closed backend_violation",
    );
}

#[test]
fn two_final_replies_end_the_session() {
    Wire::relaying("RETR a").play(
        "B< 226 Done
         B< 226 Done
         * cancel
         C< 426 …
         C< 421 …
         * close
         = violation backend.unsolicited_reply",
    );
    let mut wire = Wire::relaying("STOR a");
    wire.play("relay complete 1\nB< 226 Done\\n226 Done\nC< 226 Done\nC< 421 …\n* close");
    wire.play("= violation backend.unsolicited_reply");
}

#[test]
fn an_extra_reply_never_answers_the_next_command() {
    let mut wire = Wire::relaying("RETR a");
    wire.play("relay complete 1\nB< 226 Done\n* finish download\ndownload ended\nC< 226 Done");
    wire.play("B< 257 forged\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
}

#[test]
fn an_intermediate_reply_to_a_transfer_ends_the_session() {
    for command in ["RETR a", "STOR a"] {
        Wire::relaying(command).play("B< 350 hm\n* cancel\nC< 426 …\nC< 421 …\n* close");
        let mut wire = Wire::relaying(command);
        wire.play("relay complete 1\nB< 350 hm\n* cancel\nC< 426 …\nC< 421 …\n* close");
        wire.play("= violation backend.impossible_reply");
    }
}

#[test]
fn a_malformed_reply_to_a_transfer_ends_the_session() {
    for command in ["RETR a", "STOR a"] {
        Wire::opening(command).play("B< what\n* cancel\nC< 421 …\n* close");
        Wire::relaying(command).play("B< what\n* cancel\nC< 426 …\nC< 421 …\n* close");
        Wire::relaying(command).play("relay complete 1\nB< what\n* cancel\nC< 426 …\nC< 421 …\n* close");
    }
}

#[test]
fn the_backend_leaves_at_any_step_of_a_transfer() {
    for event in ["B closed", "B< 421 bye"] {
        for command in ["RETR a", "STOR a"] {
            let mut wire = Wire::opening(command);
            wire.play(&format!("{event}\n* cancel\nC< 421 …\n* close\n= closed backend_gone"));
            let mut wire = Wire::relaying(command);
            wire.play(&format!("{event}\n* cancel\nC< 426 …\nC< 421 …\n* close\n= closed backend_gone"));
            let mut wire = Wire::relaying(command);
            wire.play(&format!("relay complete 1\n{event}\n* cancel\nC< 426 …\nC< 421 …\n* close"));
        }
        Wire::armed().play(&format!("{event}\nC< 421 …\n* close"));
        let mut wire = Wire::relaying("RETR a");
        wire.play("relay complete 1\nB< 226 x\n* finish download");
        wire.play(&format!("{event}\n* cancel\nC< 426 …\nC< 421 …\n* close"));
    }
}

#[test]
fn the_client_leaves_at_any_step_of_a_transfer() {
    Wire::armed().play("C closed\nB> QUIT\n* close\n= closed client_gone");
    for command in ["RETR a", "STOR a"] {
        Wire::opening(command).play("C closed\n* cancel\n* close\n= closed client_gone");
        let mut wire = Wire::relaying(command);
        wire.play("progress 5\nC closed\n* cancel\nC< 426 …\n* close");
        wire.play(&format!("= transfer {} 426 5B 0s none\n= closed client_gone", &command[..4]));
        Wire::relaying(command).play("relay complete 1\nC closed\n* cancel\nC< 426 …\n* close");
    }
}

#[test]
fn the_gateway_stops_at_any_step_of_a_transfer() {
    Wire::armed().play("kill\nC< 421 …\n* close");
    for command in ["RETR a", "STOR a"] {
        Wire::opening(command).play("kill\n* cancel\nC< 421 …\n* close");
        Wire::relaying(command).play("kill\n* cancel\nC< 426 …\nC< 421 …\n* close\n= closed draining");
        Wire::relaying(command).play("relay complete 1\nkill\n* cancel\nC< 426 …\nC< 421 …\n* close");
    }
}

#[test]
fn draining_lets_a_transfer_finish() {
    Wire::armed().play("drain\nC< 421 …\n* close\n= closed draining");
    Wire::opening("STOR a").play(
        "drain
         B< 150 x
         C< 150 x
         * relay upload private
         relay complete 1
         B< 226 x
         C< 226 x
         C< 421 …
         * close",
    );
    Wire::relaying("RETR a").play(
        "drain
         C> PWD
         relay complete 1
         B< 226 x
         * finish download
         download ended
         C< 226 x
         C< 421 …
         * close
         = closed draining",
    );
}

#[test]
fn the_name_of_a_stou_is_kept() {
    for (text, name) in [("FILE: a name.", "a name."), ("Opening data connection for up.2.", "up.2")] {
        let mut wire = Wire::opening("STOU");
        wire.play(&format!("B< 150 {text}\nC< 150 {text}\n* relay upload private"));
        wire.play("relay complete 3\nB< 226 x\nC< 226 x");
        wire.play(&format!("= transfer STOU 226 3B 0s Complete as {name}"));
    }
    // Pure-FTPd says it in the first of two lines.
    let mut wire = Wire::opening("STOU");
    wire.play(
        "B< 150-FILE: up.3\\n150 Accepted data connection
         C< 150-FILE: up.3 | 150 Accepted data connection
         * relay upload private
         relay complete 3
         B< 226 x
         C< 226 x
         = transfer STOU 226 3B 0s Complete as up.3",
    );
}
