//! The row filter of a grant: read into a tree of allow-listed comparisons and written again from the tree, so that no
//! character of what people write reaches the database as SQL.

use super::quote::{identifier, literal};

/// How deep parentheses and NOT may nest.
const DEEPEST: usize = 32;

/// Which rows a grant lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A column compared with a constant by `=`, `<>`, `<`, `<=`, `>` or `>=`.
    Compare(String, Operator, String),
    /// A column that has one of the constants.
    In(String, Vec<String>),
    /// A column that is NULL.
    IsNull(String),
    /// The opposite.
    Not(Box<Filter>),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// One of them.
    Or(Box<Filter>, Box<Filter>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        ("<>", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn sql(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, one)| *one == self)
            .map_or("=", |(text, _)| text)
    }
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row filter cannot be read at character {at}: {expected} is expected there")]
pub struct FilterError {
    /// The place, in characters from 1.
    pub at: usize,
    /// What would be right.
    pub expected: &'static str,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { text, at: 0 };
        let filter = parser.either(0)?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.wrong("AND, OR or the end"));
        }
        Ok(filter)
    }

    /// The columns that it asks, in the order of the text.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Compare(column, ..) | Self::In(column, _) | Self::IsNull(column) => vec![column],
            Self::Not(inner) => inner.columns(),
            Self::And(a, b) | Self::Or(a, b) => [a.columns(), b.columns()].concat(),
        }
    }

    /// The filter in SQL, its columns those of `t` and its operators those of `pg_catalog`; nothing if a name or a constant cannot be
    /// written.
    pub fn sql(&self) -> Option<String> {
        let column = |name: &str| Some(format!("t.{}", identifier(name)?));
        Some(match self {
            Self::Compare(name, operator, value) => {
                format!(
                    "({} OPERATOR(pg_catalog.{}) {})",
                    column(name)?,
                    operator.sql(),
                    literal(value)?
                )
            }
            Self::In(name, values) => {
                let one =
                    |value: &String| Some(format!("{} OPERATOR(pg_catalog.=) {}", column(name)?, literal(value)?));
                format!("({})", values.iter().map(one).collect::<Option<Vec<_>>>()?.join(" OR "))
            }
            Self::IsNull(name) => format!("({} IS NULL)", column(name)?),
            Self::Not(inner) => format!("(NOT {})", inner.sql()?),
            Self::And(a, b) => format!("({} AND {})", a.sql()?, b.sql()?),
            Self::Or(a, b) => format!("({} OR {})", a.sql()?, b.sql()?),
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, expected: &'static str) -> FilterError {
        FilterError {
            at: self.text[..self.at].chars().count() + 1,
            expected,
        }
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// A run of letters, digits and underscores that begins with no digit.
    fn word(&mut self) -> Option<&'a str> {
        self.space();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() || word.starts_with(|c: char| c.is_numeric()) {
            return None;
        }
        self.at += end;
        Some(word)
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.at;
        let found = self.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        if !found {
            self.at = before;
        }
        found
    }

    /// What stands between two of the quotes, which stand double inside.
    fn quoted(&mut self, quote: char) -> Option<String> {
        self.space();
        let mut value = String::new();
        let mut letters = self.rest().char_indices().peekable();
        letters.next_if(|(_, c)| *c == quote)?;
        while let Some((place, c)) = letters.next() {
            if c != quote {
                value.push(c);
            } else if letters.next_if(|(_, next)| *next == quote).is_some() {
                value.push(quote);
            } else {
                self.at += place + 1;
                return Some(value);
            }
        }
        None
    }

    fn either(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filter = self.both(depth)?;
        while self.keyword("OR") {
            filter = Filter::Or(Box::new(filter), Box::new(self.both(depth)?));
        }
        Ok(filter)
    }

    fn both(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filter = self.one(depth)?;
        while self.keyword("AND") {
            filter = Filter::And(Box::new(filter), Box::new(self.one(depth)?));
        }
        Ok(filter)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth > DEEPEST {
            return Err(self.wrong("a filter that nests less deep"));
        }
        if self.keyword("NOT") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let filter = self.either(depth + 1)?;
            return if self.sign(")") {
                Ok(filter)
            } else {
                Err(self.wrong("AND, OR or ')'"))
            };
        }
        let column = match self.quoted('"') {
            Some(name) => name,
            // Without quotes a name means the same in lower case, as in SQL.
            None => self
                .word()
                .map(str::to_lowercase)
                .ok_or_else(|| self.wrong("a column"))?,
        };
        self.comparison(column)
    }

    fn comparison(&mut self, column: String) -> Result<Filter, FilterError> {
        for (sign, operator) in Operator::ALL {
            if self.sign(sign) {
                return Ok(Filter::Compare(column, operator, self.constant()?));
            }
        }
        if self.keyword("IS") {
            let negated = self.keyword("NOT");
            return if self.keyword("NULL") {
                Ok(negate(negated, Filter::IsNull(column)))
            } else {
                Err(self.wrong("NULL or NOT NULL"))
            };
        }
        let negated = self.keyword("NOT");
        if self.keyword("IN") {
            return Ok(negate(negated, Filter::In(column, self.list()?)));
        }
        if !self.keyword("BETWEEN") {
            return Err(self.wrong("=, <>, <, <=, >, >=, IS, IN or BETWEEN"));
        }
        let low = Filter::Compare(column.clone(), Operator::GreaterOrEqual, self.constant()?);
        if !self.keyword("AND") {
            return Err(self.wrong("AND"));
        }
        let high = Filter::Compare(column, Operator::LessOrEqual, self.constant()?);
        Ok(negate(negated, Filter::And(Box::new(low), Box::new(high))))
    }

    fn list(&mut self) -> Result<Vec<String>, FilterError> {
        if !self.sign("(") {
            return Err(self.wrong("'('"));
        }
        let mut values = vec![self.constant()?];
        while self.sign(",") {
            values.push(self.constant()?);
        }
        if self.sign(")") {
            Ok(values)
        } else {
            Err(self.wrong("',' or ')'"))
        }
    }

    /// A text in single quotes, a number, TRUE or FALSE.
    fn constant(&mut self) -> Result<String, FilterError> {
        if let Some(text) = self.quoted('\'') {
            return Ok(text);
        }
        for word in ["true", "false"] {
            if self.keyword(word) {
                return Ok(word.to_owned());
            }
        }
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
            .unwrap_or(rest.len());
        let number = &rest[..end];
        let digits = number.strip_prefix('-').unwrap_or(number);
        let is_number = digits.split('.').count() <= 2
            && digits
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_number {
            return Err(self.wrong("a number, a text in single quotes, TRUE or FALSE"));
        }
        self.at += end;
        Ok(number.to_owned())
    }
}

fn negate(negated: bool, filter: Filter) -> Filter {
    if negated { Filter::Not(Box::new(filter)) } else { filter }
}
