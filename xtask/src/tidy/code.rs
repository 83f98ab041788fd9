//! Rust text with comments and the insides of literals blanked, so that rules about code do not
//! stumble over what is merely written about. Line breaks stay where they are.

/// Blanks comments and literals.
pub(crate) fn only_code(text: &str) -> String {
    let mut scanner = Scanner {
        rest: text,
        code: String::with_capacity(text.len()),
    };
    while scanner.step() {}
    scanner.code
}

struct Scanner<'a> {
    rest: &'a str,
    code: String,
}

impl Scanner<'_> {
    /// Takes one token or character; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment_length(self.rest));
        } else if first == '"' {
            self.blank(string_length(self.rest));
        } else if first == '\'' {
            match character_length(self.rest) {
                Some(length) => self.blank(length),
                None => self.keep(1),
            }
        } else if first.is_alphanumeric() || first == '_' {
            self.word();
        } else {
            self.keep(first.len_utf8());
        }
        true
    }

    /// A word, which may turn out to be the prefix of a literal.
    fn word(&mut self) {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let length = end.unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(length);
        let raw = matches!(word, "r" | "br" | "cr");
        if raw && let Some(literal) = raw_string_length(after) {
            self.blank(length + literal);
        } else if matches!(word, "b" | "c") && after.starts_with('"') {
            self.blank(length + string_length(after));
        } else {
            self.keep(length);
        }
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.code.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.code
            .extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// The length of a quoted string, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of what follows the prefix of a raw string: `#"..."#`.
fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let (signs, quoted) = text.split_at(hashes);
    let inside = quoted.strip_prefix('"')?;
    let end = inside.find(&format!("\"{signs}"))?;
    Some(hashes + 1 + end + 1 + hashes)
}

/// The length of a character literal; none when the quote opens a lifetime.
fn character_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        characters.next()?;
        return characters
            .find(|(_, c)| *c == '\'')
            .map(|(index, _)| index + 1);
    }
    let (index, second) = characters.next()?;
    (second == '\'').then_some(index + 1)
}

/// The length of a block comment, which may hold others.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut index = 0;
    while index < text.len() {
        let rest = text.get(index..).unwrap_or_default();
        if rest.starts_with("/*") {
            depth += 1;
            index += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::only_code;

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_kept() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("b \" c", d)"#, "f(        , d)"),
            (r##"f(r#"b " c"#, d)"##, "f(          , d)"),
            (r#"f(b"x", c"y")"#, "f(    ,     )"),
            ("fn f<'a>(x: &'a str) -> 'b'", "fn f<'a>(x: &'a str) ->    "),
            (r"['\'', '\u{41}', 'é']", "[    ,         ,    ]"),
            ("bar\"x\"", "bar   "),
            ("\"open", "     "),
        ];
        for (text, expected) in cases {
            assert_eq!(only_code(text).trim_end(), expected.trim_end(), "{text}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n\"x\ny\"\n/* z\n */ b\n";
        assert_eq!(only_code(text).lines().count(), text.lines().count());
    }
}
