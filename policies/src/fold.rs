//! The folded form of names: what a server that is blind to case, to Unicode's several spellings of one text, or
//! to a name's trailing dots and spaces may take for the same name. Deny rules judge it (SECURITY.md, "Paths").
//!
//! It never decides what is sent to a server: only the exact bytes are.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

/// Folds a text: Unicode's NFKC_Casefold (Unicode Standard, section 3.13, R5), without the code points that
/// nobody sees.
pub(crate) fn fold_text(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let once = |text: &str| -> String {
        text.chars()
            .filter(|&c| !is_ignorable(c))
            .nfd()
            .default_case_fold()
            .nfkc()
            .default_case_fold()
            .nfkc()
            .collect()
    };
    once(&once(text))
}

/// Folds one component of a path. A name of nothing but dots and spaces keeps them.
pub(crate) fn fold_component(component: &str) -> String {
    let mut folded = fold_text(component);
    let kept = trim_end(&folded).len();
    if kept > 0 {
        folded.truncate(kept);
    }
    folded
}

/// Without trailing dots and spaces, which Windows and some servers drop.
pub(crate) fn trim_end(name: &str) -> &str {
    name.trim_end_matches(['.', ' '])
}

/// Whether a code point has no width and no meaning of its own (Unicode's Default_Ignorable_Code_Point):
/// some file systems leave these out when they compare names.
pub(crate) fn is_ignorable(c: char) -> bool {
    is_variation_selector(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a code point chooses how the one before it looks: ordinary in names that hold an emoji.
pub(crate) fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_fold_alike() {
        for alias in ["SECRET", "Secret.", "secret . ", "ｓｅｃｒｅｔ", "ſecret", "secre\u{fe0f}t"] {
            assert_eq!(fold_component(alias), "secret", "{alias:?}");
        }
        assert_eq!(fold_component("E\u{301}"), fold_component("é"));
        assert_eq!(fold_component("STRASSE"), fold_component("straße"));
    }

    #[test]
    fn a_name_of_dots_and_spaces_stays_a_name() {
        assert_eq!(fold_component("..."), "...");
        assert_eq!(fold_component(" "), " ");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,12}") {
            let folded = fold_component(&text);
            prop_assert_eq!(fold_component(&folded), folded);
        }
    }
}
