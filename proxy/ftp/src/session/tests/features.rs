//! FEAT and OPTS.

use super::harness::{LOGIN, Scene, Wire};
use crate::codec::{FeatureSet, Reply};

/// What a listener's backends last said: UTF8 and MLST.
pub(super) fn utf8() -> FeatureSet {
    FeatureSet::parse(&Reply::multiline(211, "Features:", ["UTF8", "MLST type*;"], "End"))
}

#[test]
fn before_the_login_what_all_backends_have() {
    let mut scene = Scene::explicit();
    scene.features = utf8();
    scene.begin().play(
        "C< 220 ready
         C> FEAT
         C< 211-Features: |  AUTH TLS |  EPSV |  HOST |  MLST type*; |  PBSZ |  PROT |  UTF8 | 211 End",
    );
}

#[test]
fn a_listener_without_tls_offers_none() {
    Scene::plain().begin().play("C< 220 ready\nC> FEAT\nC< 211-Features: |  EPSV |  HOST | 211 End");
}

#[test]
fn eprt_is_offered_where_active_mode_is_on() {
    let mut scene = Scene::plain();
    scene.settings.active = true;
    scene.begin().play("C< 220 ready\nC> FEAT\nC< 211-Features: |  EPRT |  EPSV |  HOST | 211 End");
}

#[test]
fn after_the_login_what_this_backend_has_and_the_gateway_understands() {
    Wire::ready().play(
        "C> FEAT
         B> FEAT
         B< 211-Ext:\\n EPRT\\n MODE Z\\n AUTH SSL\\n SIZE\\n MDTM\\n REST STREAM\\n211 End
         C< 211-Features: |  AUTH TLS |  EPSV |  HOST |  MDTM |  PBSZ |  PROT |  REST STREAM |  SIZE | 211 End
         = features
         = finished FEAT 211",
    );
}

#[test]
fn a_backend_without_feat_leaves_our_own() {
    Wire::ready().play(
        "C> FEAT
         B> FEAT
         B< 100 hm
         B< 500 what?
         C< 211-Features: |  AUTH TLS |  EPSV |  HOST |  PBSZ |  PROT | 211 End",
    );
}

#[test]
fn utf8_promised_before_the_login_is_kept() {
    let mut scene = Scene::plain();
    scene.features = utf8();
    let mut wire = scene.begin();
    wire.play(
        "C< 220 ready
         C> opts utf8 on
         C< 200 …
         C> USER anna
         * connect
         B connected
         B< 220 x
         B> USER anna
         B< 230 Welcome
         B> OPTS UTF8 ON
         C> PWD
         B< 100 hm
         B< 501 what?
         C< 230 Welcome
         = logged in
         B> PWD
         B< 257 \"/\"
         C< 257 \"/\"",
    );
}

#[test]
fn utf8_is_not_promised_for_backends_that_lack_it() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready\nC> OPTS UTF8 ON\nC< 501 …\nC> OPTS MLST type;\nC< 501 …");
    wire.play(LOGIN);
}

#[test]
fn a_backend_that_leaves_at_the_promised_utf8() {
    for (event, answer) in [("B closed", "C< 421 …"), ("B< 421 bye", "C< 421 bye")] {
        let mut scene = Scene::plain();
        scene.features = utf8();
        let mut wire = scene.begin();
        wire.play("C< 220 ready\nC> OPTS UTF8 ON\nC< 200 …\nC> USER a\n* connect\nB connected");
        wire.play("B< 220 x\nB> USER a\nB< 230 x\nB> OPTS UTF8 ON");
        wire.play(&format!("{event}\n{answer}\n* close"));
    }
}

#[test]
fn options_that_are_understood_are_passed_on() {
    Wire::ready().play(
        "C> OPTS utf8 OFF
         B> OPTS utf8 OFF
         B< 200 off
         C< 200 off
         C> OPTS MLST type;size;
         B> OPTS MLST type;size;
         B< 200 ok
         C< 200 ok
         C> OPTS HASH SHA-256
         B> OPTS HASH SHA-256
         B< 500 no
         C< 500 no
         C> OPTS MODE Z LEVEL 9
         C< 504 …
         C> OPTS ***
         C< 501 …",
    );
}
