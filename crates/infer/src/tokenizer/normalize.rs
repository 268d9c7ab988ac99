//! Unicode's composed form.

use std::borrow::Cow;

use unicode_normalization_alignments::UnicodeNormalization;

/// `text` in NFC: an `e` and an accent after it become `é`. Marks that Unicode added since its version
/// 12 stay where they are, as in the original framework, whose library this is.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    // Nothing below the combining marks, which begin at U+0300 (0xCC 0x80), composes.
    if text.bytes().all(|byte| byte < 0xcc) {
        return Cow::Borrowed(text);
    }
    text.nfc().map(|(c, _)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_join_their_letters() {
        assert_eq!(nfc("e\u{301} \u{212b}"), "\u{e9} \u{c5}");
        assert_eq!(nfc("\u{1100}\u{1161}"), "\u{ac00}");
        assert!(matches!(nfc("caf\u{e9} a"), Cow::Borrowed(_)));
    }
}
