//! Who may do what over HTTP: two kinds of bearer tokens.

use std::fmt;

use subtle::ConstantTimeEq;

/// What a token gives, or a request needs. The later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To read and write documents, and to see which workers there are.
    Use,
    /// To do everything: crash, clear, control, and see what happened.
    Administer,
}

/// The tokens that count at the moment. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    app: Vec<String>,
    admin: Vec<String>,
}

/// A token that no request could carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token consists of letters, digits and -._~+/=, and each has a line to itself")]
pub struct InvalidToken;

/// The same token for both rights: the lesser one would give everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token for applications is one for administrators too")]
pub struct AmbiguousToken;

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It shows no token.
    Missing,
    /// Its token does not count, or not any more.
    Unknown,
    /// Its token does not go that far.
    Insufficient,
}

/// The tokens of a text: one a line, so that the next can stand beside the last until everybody
/// has it.
///
/// # Errors
/// When a line could not be sent as a bearer token (RFC 6750).
pub fn parse_tokens(text: &str) -> Result<Vec<String>, InvalidToken> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| is_token(line).then(|| line.to_owned()).ok_or(InvalidToken)).collect()
}

fn is_token(text: &str) -> bool {
    let unpadded = text.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !unpadded.is_empty() && unpadded.bytes().all(fits)
}

impl Tokens {
    /// Both kinds together.
    ///
    /// # Errors
    /// When one token is of both kinds.
    pub fn new(app: Vec<String>, admin: Vec<String>) -> Result<Self, AmbiguousToken> {
        if app.iter().any(|token| admin.contains(token)) {
            return Err(AmbiguousToken);
        }
        Ok(Self { app, admin })
    }

    /// The token to show to others for a right: the first that gives it.
    #[must_use]
    pub fn to_show(&self, right: Right) -> Option<&str> {
        let admin = self.admin.first().map(String::as_str);
        match right {
            Right::Use => self.app.first().map(String::as_str).or(admin),
            Right::Administer => admin,
        }
    }

    /// Whether a request with this token may do what needs the right.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, shown: Option<&str>, needed: Right) -> Result<(), Denial> {
        let right = self.right(shown.ok_or(Denial::Missing)?).ok_or(Denial::Unknown)?;
        if right >= needed { Ok(()) } else { Err(Denial::Insufficient) }
    }

    /// What a token gives. Compares with every token, each to its end: how long it takes tells
    /// nothing of them but their lengths.
    #[must_use]
    pub fn right(&self, shown: &str) -> Option<Right> {
        let among = |tokens: &[String]| {
            tokens.iter().fold(false, |found, token| {
                found | bool::from(token.as_bytes().ct_eq(shown.as_bytes()))
            })
        };
        let (is_app, is_admin) = (among(&self.app), among(&self.admin));
        if is_admin { Some(Right::Administer) } else { is_app.then_some(Right::Use) }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tokens({} app, {} admin)", self.app.len(), self.admin.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(app: &str, admin: &str) -> Tokens {
        Tokens::new(parse_tokens(app).unwrap(), parse_tokens(admin).unwrap()).unwrap()
    }

    #[test]
    fn each_token_gives_its_right_and_what_is_below_it() {
        use Denial::{Insufficient, Missing, Unknown};
        use Right::{Administer, Use};
        // One that stands there twice counts all the same.
        let tokens = tokens("app-1\napp-2\n", "admin-1\r\n\r\n admin-2\nadmin-2");
        for (shown, needed, expected) in [
            (Some("app-1"), Use, Ok(())),
            (Some("app-2"), Use, Ok(())),
            (Some("app-1"), Administer, Err(Insufficient)),
            (Some("admin-1"), Use, Ok(())),
            (Some("admin-2"), Administer, Ok(())),
            (None, Use, Err(Missing)),
            (Some(""), Use, Err(Unknown)),
            (Some("app"), Use, Err(Unknown)),
            (Some("app-11"), Use, Err(Unknown)),
            (Some("APP-1"), Administer, Err(Unknown)),
        ] {
            assert_eq!(tokens.judge(shown, needed), expected, "{shown:?} for {needed:?}");
        }
    }

    #[test]
    fn without_tokens_nobody_may_do_anything() {
        for shown in [None, Some(""), Some("x")] {
            assert!(Tokens::default().judge(shown, Right::Use).is_err(), "{shown:?}");
        }
    }

    #[test]
    fn first_token_is_the_one_that_is_shown() {
        let both = tokens("a\nb", "c");
        assert_eq!(both.to_show(Right::Use), Some("a"));
        assert_eq!(both.to_show(Right::Administer), Some("c"));
        assert_eq!(tokens("", "c").to_show(Right::Use), Some("c"));
        assert_eq!(tokens("a", "").to_show(Right::Administer), None);
    }

    #[test]
    fn what_no_header_can_carry_is_no_token() {
        for text in ["two words", "ümlaut", "a,b", "==", "a=b", "a\0"] {
            assert_eq!(parse_tokens(text), Err(InvalidToken), "{text:?}");
        }
        assert_eq!(parse_tokens("aZ09-._~+/=="), Ok(vec!["aZ09-._~+/==".to_owned()]));
        assert_eq!(parse_tokens("\n \r\n"), Ok(Vec::new()));
    }

    #[test]
    fn one_token_for_both_rights_is_refused() {
        let same = || vec!["x".to_owned()];
        assert_eq!(Tokens::new(same(), same()), Err(AmbiguousToken));
    }

    #[test]
    fn no_token_is_shown() {
        assert_eq!(format!("{:?}", tokens("hidden", "secret")), "Tokens(1 app, 1 admin)");
    }
}
