//! Patterns as fnmatch(3) has them, without flags: `*`, `?`, `[a-z]`, `[!a-z]`; every other
//! character stands for itself (also the backslash, as with `FNM_NOESCAPE`).

/// Whether `pattern` stands for all of `text`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut on) = (0, 0);
    // Where to try again after the last star: behind it, and one character further on.
    let mut retry = None;
    loop {
        let step = match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, on));
                at += 1;
                continue;
            }
            None if on == text.len() => return true,
            None => None,
            Some(_) => text.get(on).and_then(|byte| one(&pattern[at..], *byte)),
        };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                on += 1;
            }
            (None, Some((behind, from))) if from < text.len() => {
                retry = Some((behind, from + 1));
                (at, on) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

/// How long the first part of a pattern is, if it stands for that byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => match bracket(set, byte) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            // Without an end it is no set.
            None => (byte == b'[').then_some(1),
        },
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

/// Whether a set (behind its `[`) has that byte, and how long it is with its `]`.
fn bracket(set: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let first = at;
    let mut found = false;
    loop {
        let low = *set.get(at)?;
        if low == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        match (set.get(at + 1), set.get(at + 2)) {
            (Some(b'-'), Some(high)) if *high != b']' => {
                found |= (low..=*high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abcbc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]a]", "]"),
            ("[a", "[a"),
            ("[a-]", "-"),
            ("usb:v*p*d*dc*", "usb:v1D6Bp0002d0606dc09"),
            ("a\\*", "a\\b"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*c", "abcb"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
