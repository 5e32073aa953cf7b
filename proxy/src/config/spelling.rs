//! Words of the operator: shown safely, and compared with the words that were probably meant.

/// User text as it may stand in a message: short, without control characters.
pub(super) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that was probably meant.
pub(super) fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let length = written.chars().count();
    if length > COMPARED_CHARACTERS_MAX {
        return None;
    }
    let near = length / 3 + 1;
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words are no misspelling of anything.
const COMPARED_CHARACTERS_MAX: usize = 64;

const SHOWN_CHARACTERS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let words = || ["idle_timeout", "login_timeout", "max_line", "tls"].into_iter();
        assert_eq!(nearest("idle-timeout", words()), Some("idle_timeout"));
        assert_eq!(nearest("idletimeout", words()), Some("idle_timeout"));
        assert_eq!(nearest("tsl", words()), Some("tls"));
        assert_eq!(nearest("banner", words()), None);
        assert_eq!(nearest("", words()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), words()), None);
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(printable("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(printable(&"x".repeat(100)).chars().count(), 61);
    }
}
