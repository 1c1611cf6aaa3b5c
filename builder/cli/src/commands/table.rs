//! Plain tables, for terminals of 80 columns.

/// How wide lines are to be, in characters.
pub(super) const WIDTH: usize = 80;
/// A last column narrower than this is not folded: it would only grow long.
const NARROWEST: usize = 24;

/// Prints rows: columns as wide as their widest cell, the last one folded where it is too long.
pub(super) fn print(rows: &[Vec<String>]) {
    print!("{}", render(rows));
}

pub(super) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let Some((last, cells)) = row.split_last() else {
            continue;
        };
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        let indent = line.chars().count();
        for (at, part) in folded(last, WIDTH.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            if at > 0 {
                line.push_str(&format!("\n{:indent$}", ""));
            }
            line.push_str(part);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text in lines of at most so many characters, folded at blanks. Words stay whole.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let width = width.max(NARROWEST);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.len() - 1;
        let line = &mut lines[line];
        let fits = line.chars().count() + 1 + word.chars().count() <= width;
        match (line.is_empty(), fits) {
            (true, _) => line.push_str(word),
            (false, true) => {
                line.push(' ');
                line.push_str(word);
            }
            (false, false) => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_last_column_is_folded() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let long = "word ".repeat(30);
        let text = render(&[row(["NAME", "DETAIL"]), row(["a", long.trim_end()])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME  DETAIL");
        assert!(lines[1].starts_with("a     word word"), "{text}");
        assert!(lines[2].starts_with("      word"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 30);
    }

    #[test]
    fn words_stay_whole() {
        let address = "http://example.org/".repeat(6);
        assert_eq!(folded(&address, 40), [address]);
        assert_eq!(folded("", 40), [""]);
    }
}
