//! The secret that tells the Hub who is asking.

use crate::Error;
use reqwest::header::HeaderValue;
use std::fmt;
use std::path::Path;

/// An access token. It can be sent, never shown: there is no `Display`, and `Debug` hides it.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// The token in `text`, without the white space around it.
    ///
    /// # Errors
    /// [`Error::Setting`], which names `origin` and not the text, if it is empty or holds
    /// characters that no token has.
    pub fn new(text: &str, origin: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bad = |why: &str| Error::Setting {
            name: origin.to_owned(),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(bad("holds no token"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad(
                "holds more than a token: characters that are not printable ASCII",
            ));
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| bad("holds characters that cannot be sent"))?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The token in a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Setting`] if it holds no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::new(&text, &path.display().to_string())
    }

    /// The value of an `Authorization` header, marked as sensitive.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_the_token() {
        let token = Token::new(" hf_secret\n", "HF_TOKEN").unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer hf_secret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("secret"));
        let error = Token::new("hf_secret with more", "HF_TOKEN").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }

    #[test]
    fn a_file_without_a_token_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "\n").unwrap();
        let error = Token::from_file(&path).unwrap_err().to_string();
        assert!(
            error.contains("token") && error.contains("holds no token"),
            "{error}"
        );
    }
}
