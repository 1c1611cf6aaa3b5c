//! Patterns over paths: each name by itself, `**` for any number of names.

use crate::pattern::matches;

/// A pattern, name by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    names: Vec<String>,
}

impl Glob {
    /// Reads a pattern.
    pub(crate) fn new(pattern: &str) -> Self {
        Self {
            names: pattern.split('/').map(str::to_owned).collect(),
        }
    }

    /// Whether a text has wildcards.
    pub(crate) fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// Whether the whole path fits.
    pub(crate) fn fits(&self, path: &str) -> bool {
        // reached[i]: the first i names of the pattern fit the names read so far.
        let mut reached = vec![false; self.names.len() + 1];
        reached[0] = true;
        self.skip(&mut reached);
        for name in path.split('/') {
            let mut next = vec![false; reached.len()];
            for (index, pattern) in self.names.iter().enumerate() {
                if reached[index] && pattern == "**" {
                    next[index] = true;
                } else if reached[index] && matches(pattern, name) {
                    next[index + 1] = true;
                }
            }
            self.skip(&mut next);
            reached = next;
        }
        reached.last() == Some(&true)
    }

    /// `**` fits no name at all, too.
    fn skip(&self, reached: &mut [bool]) {
        for (index, pattern) in self.names.iter().enumerate() {
            if reached[index] && pattern == "**" {
                reached[index + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_name_by_name() {
        let fits = |pattern: &str, path: &str| Glob::new(pattern).fits(path);
        assert!(fits("/a/*.txt", "/a/b.txt"));
        assert!(!fits("/a/*.txt", "/a/b/c.txt"));
        assert!(fits("/a/**/*.txt", "/a/b/c/d.txt") && fits("/a/**/*.txt", "/a/d.txt"));
        assert!(fits("/a/**", "/a/b/c") && !fits("/a/**", "/ab/c"));
        assert!(fits("/dev/tpm[0-9]", "/dev/tpm3"));
        assert!(!fits("/a?b", "/a/b"));
        assert!(fits("**", "/a/b"));
    }
}
