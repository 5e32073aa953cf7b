//! All strings of up to so many symbols.

/// The symbols: separators, what means a directory, what servers read in ways of their own, and letters.
pub const SYMBOLS: [&str; 11] = ["/", ".", "..", "~", "\\", "-", "*", " ", "a", "A", "é"];

/// How many there are of `length` symbols.
pub fn count(length: u32) -> usize {
    SYMBOLS.len().pow(length)
}

/// The string with this number among those of `length` symbols.
pub fn string(length: u32, number: usize) -> String {
    let mut rest = number;
    let mut symbols = Vec::new();
    for _ in 0..length {
        symbols.push(SYMBOLS[rest % SYMBOLS.len()]);
        rest /= SYMBOLS.len();
    }
    symbols.reverse();
    symbols.concat()
}

/// All of 1 to `longest` symbols.
pub fn up_to(longest: u32) -> impl Iterator<Item = String> {
    (1..=longest).flat_map(|length| (0..count(length)).map(move |number| string(length, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_counted_once() {
        let all: Vec<String> = up_to(3).collect();
        assert_eq!(all.len(), 1463);
        assert_eq!((all[0].as_str(), all[11].as_str(), all[1462].as_str()), ("/", "//", "ééé"));
        assert!(all.iter().any(|string| string == "../a"));
    }
}
