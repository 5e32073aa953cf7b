//! What z/OS and AS/400 servers say: 125 in several lines, 250 at the end, `!` in a 229, early last replies.

use super::harness::{ARM, Wire};

#[test]
fn a_session_with_z_os() {
    let mut wire = Wire::ready();
    wire.play(ARM);
    wire.play(
        "C> LIST
         B> LIST
         B< 125 List started OK
         C< 125 List started OK
         * relay download private
         relay complete 40
         B< 250 List completed successfully.
         * finish download
         download ended
         C< 250 List completed successfully.
         = transfer LIST 250 40B 0s Complete",
    );
    wire.play(ARM);
    wire.play(
        "C> RETR 'PROD.DATA'
         B> RETR 'PROD.DATA'
         B< 125-Tape is being mounted\\n125-UNIT=3490\\n125 Sending data set PROD.DATA FIXrecfm 80
         C< 125-Tape is being mounted | 125-UNIT=3490 | 125 Sending data set PROD.DATA FIXrecfm 80
         * relay download private
         B< 250 Transfer completed successfully.
         relay complete 800
         * finish download
         download ended
         C< 250 Transfer completed successfully.
         = transfer RETR 250 800B 0s Complete",
    );
    wire.play(ARM);
    wire.play(
        "C> STOR 'PROD.NEW(MEM)'
         B> STOR 'PROD.NEW(MEM)'
         B< 125-Data set is catalogued\\n125 Storing data set PROD.NEW(MEM)
         C< 125-Data set is catalogued | 125 Storing data set PROD.NEW(MEM)
         * relay upload private
         progress 9 ended
         relay complete 9
         B< 250-Truncated 1 record\\n250 Transfer completed successfully.
         C< 250-Truncated 1 record | 250 Transfer completed successfully.
         = transfer STOR 250 9B 0s Complete",
    );
    wire.play(ARM);
    wire.play(
        "C> STOU
         B> STOU
         B< 125-Unique name follows\\n125 FILE: PROD.U1
         C< 125-Unique name follows | 125 FILE: PROD.U1
         * relay upload private
         relay complete 9
         B< 250 ok
         C< 250 ok
         = transfer STOU 250 9B 0s Complete as PROD.U1",
    );
}

#[test]
fn a_download_whose_last_reply_comes_early_is_good_only_with_its_last_byte() {
    for code in [226, 250] {
        let early = format!("B< {code} Done");
        Wire::relaying("RETR a").play(&format!(
            "{early}\n+3s\nprogress 9\nrelay complete 9\n* finish download\ndownload ended\nC< {code} Done"
        ));
        Wire::relaying("RETR a").play(&format!("{early}\nrelay backend-failed 9\nC< 426 …"));
        Wire::relaying("RETR a").play(&format!("{early}\nrelay stalled 9\nC< 426 …"));
        Wire::relaying("RETR a")
            .play(&format!("{early}\nrelay complete 9\n* finish download\ndownload broken\nC< 426 …"));
    }
}

#[test]
fn a_session_with_an_as_400() {
    Wire::ready().play(
        "C> EPSV
         * lease
         B> EPSV
         lease ok
         C< 229 …
         B< 229 Entering Extended Passive Mode (!!!10452!).
         * dial 10452
         dial ok
         C> RETR QGPL/FILE.MBR
         B> RETR QGPL/FILE.MBR
         B< 150 Retrieving member MBR in file FILE in library QGPL.
         C< 150 Retrieving member MBR in file FILE in library QGPL.
         * relay download private
         relay complete 80
         B< 250 File transfer completed successfully.
         * finish download
         download ended
         C< 250 File transfer completed successfully.",
    );
}
