//! SPDX licence expressions: `OR`, `AND`, `WITH`, parentheses, and the old `/` for `OR`.

/// Whether the licences that `allowed` knows satisfy the expression. One that cannot be understood
/// is not satisfied.
pub(super) fn holds(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        words: &words,
        allowed,
    };
    let value = parser.alternatives();
    parser.words.is_empty() && value == Some(true)
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn accept(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn alternatives(&mut self) -> Option<bool> {
        let mut value = self.conjunction()?;
        while self.accept("OR") {
            value |= self.conjunction()?;
        }
        Some(value)
    }

    fn conjunction(&mut self) -> Option<bool> {
        let mut value = self.licence()?;
        while self.accept("AND") {
            value &= self.licence()?;
        }
        Some(value)
    }

    fn licence(&mut self) -> Option<bool> {
        if self.accept("(") {
            let value = self.alternatives()?;
            return self.accept(")").then_some(value);
        }
        let (name, rest) = self.words.split_first()?;
        self.words = rest;
        if self.accept("WITH") {
            let (exception, rest) = self.words.split_first()?;
            self.words = rest;
            return Some((self.allowed)(&format!("{name} WITH {exception}")));
        }
        Some((self.allowed)(name))
    }
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn an_expression_holds_by_its_allowed_parts() {
        let allowed = |id: &str| ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].contains(&id);
        let cases = [
            ("MIT", true),
            ("GPL-2.0", false),
            ("GPL-2.0 OR MIT", true),
            ("GPL-2.0/MIT", true),
            ("GPL-2.0 AND MIT", false),
            ("(GPL-2.0 OR Zlib) AND MIT", true),
            ("GPL-2.0 OR Zlib AND MIT", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(holds(expression, &allowed), expected, "{expression}");
        }
    }
}
