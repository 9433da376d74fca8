//! Parses the text of a condition; errors say what is wrong and where.

use std::str::FromStr;

use crate::expression::{Comparison, Expression, Function, Variable};

/// Deeper nesting is nobody's condition, and would take the stack of the evaluation.
const DEEPEST: usize = 32;
/// So does what is not nested, but long: each operator is a level.
const LONGEST: usize = 1_000;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 17] = [
    "==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "%",
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expression, String>;

impl FromStr for Expression {
    type Err = String;

    fn from_str(text: &str) -> Parsed {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
        };
        let expression = parser.either()?;
        match parser.tokens.get(parser.at) {
            None => Ok(expression),
            Some(token) => Err(format!("{token:?} was not expected")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '0'..='9' => {
                let length = rest
                    .find(|c: char| !(c.is_ascii_digit() || c == '.'))
                    .unwrap_or(rest.len());
                tokens.push(Token::Number(rest[..length].parse().map_err(|_| {
                    format!("expected a number, found {}", &rest[..length])
                })?));
                length
            }
            '\'' | '"' => {
                let end = rest[1..]
                    .find(first)
                    .ok_or_else(|| format!("{rest} does not end"))?;
                tokens.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            _ => {
                let sign = SIGNS
                    .iter()
                    .find(|sign| rest.starts_with(**sign))
                    .ok_or_else(|| format!("{first} is unknown"))?;
                tokens.push(Token::Sign(sign));
                sign.len()
            }
        };

        rest = rest[length..].trim_start();
    }

    Ok(tokens)
}

impl Parser {
    fn takes(&mut self, token: &Token) -> bool {
        let is = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(is);
        is
    }

    fn sign(&mut self, sign: &'static str) -> bool {
        self.takes(&Token::Sign(sign))
    }

    fn word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn wants(&mut self, sign: &'static str) -> Result<(), String> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(format!("{sign} is missing"))
        }
    }

    fn either(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deep".to_owned());
        }
        let mut all = vec![self.both()?];
        while self.word("or") {
            all.push(self.both()?);
        }
        self.depth -= 1;
        Ok(one_or(all, Expression::Or))
    }

    fn both(&mut self) -> Parsed {
        let mut all = vec![self.negation()?];
        while self.word("and") {
            all.push(self.negation()?);
        }
        Ok(one_or(all, Expression::And))
    }

    fn negation(&mut self) -> Parsed {
        let mut negations = 0;
        while self.word("not") {
            negations += 1;
        }
        let inner = self.comparison()?;
        Ok((0..negations).fold(inner, |inner, _| Expression::Unary('!', Box::new(inner))))
    }

    fn comparison(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut others = Vec::new();
        while let Some(comparison) = self.comparator()? {
            others.push((comparison, self.sum()?));
        }
        Ok(if others.is_empty() {
            first
        } else {
            Expression::Comparison(Box::new(first), others)
        })
    }

    fn comparator(&mut self) -> Result<Option<Comparison>, String> {
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];

        if let Some((_, comparison)) = signs.into_iter().find(|(sign, _)| self.sign(sign)) {
            return Ok(Some(comparison));
        }
        if self.word("is") {
            return Ok(Some(if self.word("not") {
                Comparison::Unequal
            } else {
                Comparison::Equal
            }));
        }

        if self.word("in") {
            return Ok(Some(Comparison::In));
        }
        match self.word("not") {
            true if self.word("in") => Ok(Some(Comparison::NotIn)),
            true => Err("`in` is missing after `not`".to_owned()),
            false => Ok(None),
        }
    }

    fn sum(&mut self) -> Parsed {
        self.operators(&[("+", '+'), ("-", '-')], Self::product)
    }

    fn product(&mut self) -> Parsed {
        self.operators(&[("*", '*'), ("/", '/'), ("%", '%')], Self::signed)
    }

    fn operators(
        &mut self,
        signs: &[(&'static str, char)],
        part: fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let mut left = part(self)?;
        while let Some((_, operator)) = signs.iter().find(|(sign, _)| self.sign(sign)) {
            left = Expression::Arithmetic(*operator, Box::new(left), Box::new(part(self)?));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        let mut minus = false;
        while self.sign("-") {
            minus = !minus;
        }
        let inner = self.suffixed()?;
        Ok(if minus {
            Expression::Unary('-', Box::new(inner))
        } else {
            inner
        })
    }

    fn suffixed(&mut self) -> Parsed {
        let mut inner = self.atom()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > DEEPEST {
                return Err("it is nested too deep".to_owned());
            }
            if self.sign("[") {
                let index = self.either()?;
                self.wants("]")?;
                inner = Expression::Index(Box::new(inner), Box::new(index));
            } else if self.sign(".") {
                inner = self.method(inner)?;
            } else {
                return Ok(inner);
            }
        }
    }

    fn method(&mut self, of: Expression) -> Parsed {
        let Some(Token::Word(name)) = self.tokens.get(self.at).cloned() else {
            return Err("a method is missing".to_owned());
        };
        self.at += 1;
        let (function, counts) = match name.as_str() {
            "get" => (Function::Get, 2..=3),
            "lower" => (Function::Lower, 1..=1),
            "upper" => (Function::Upper, 1..=1),
            "strip" => (Function::Strip, 1..=1),
            "startswith" => (Function::StartsWith, 2..=2),
            "endswith" => (Function::EndsWith, 2..=2),
            _ => return Err(format!("there is no method {name}")),
        };

        self.wants("(")?;
        self.call(&name, function, counts, vec![of])
    }

    fn call(
        &mut self,
        name: &str,
        function: Function,
        counts: std::ops::RangeInclusive<usize>,
        mut arguments: Vec<Expression>,
    ) -> Parsed {
        while !self.sign(")") {
            arguments.push(self.either()?);
            if !self.sign(",") {
                self.wants(")")?;
                break;
            }
        }

        if counts.contains(&arguments.len()) {
            Ok(Expression::Call(function, arguments))
        } else {
            Err(format!("{name} takes other arguments"))
        }
    }

    fn atom(&mut self) -> Parsed {
        let token = self
            .tokens
            .get(self.at)
            .cloned()
            .ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Word(word) => self.name(&word),
            Token::Sign("(") => {
                let inner = self.either()?;
                self.wants(")").map(|()| inner)
            }
            Token::Sign(sign) => Err(format!("{sign} was not expected")),
        }
    }

    fn name(&mut self, word: &str) -> Parsed {
        if self.sign("(") {
            let function = match word {
                "is_on" => Function::IsOn,
                "is_off" => Function::IsOff,
                "float" => Function::Float,
                "abs" => Function::Abs,
                "len" => Function::Len,
                _ => return Err(format!("there is no function {word}")),
            };

            return self.call(word, function, 1..=1, Vec::new());
        }

        Ok(match word {
            "value" => Expression::Variable(Variable::Value),
            "value_float" => Expression::Variable(Variable::Float),
            "value_json" => Expression::Variable(Variable::Json),
            "True" | "true" => Expression::Bool(true),
            "False" | "false" => Expression::Bool(false),
            "None" | "null" => Expression::None,
            _ => {
                return Err(format!(
                    "there is no value {word}; there are value, value_float and value_json"
                ));
            }
        })
    }
}

fn one_or(mut all: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            several(all)
        }
        None => Expression::None,
    }
}
