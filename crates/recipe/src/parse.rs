//! What a user types for a tensor: a block type, or a rule `REGEX=TYPE`.

use crate::{Error, FileType, near};
use aeolus_gguf::TensorType;
use regex::Regex;

/// The types that a tensor of a plan can have: those that there is an encoder for.
pub fn tensor_types() -> impl Iterator<Item = TensorType> {
    TensorType::all().filter(|ty| aeolus_quant::is_encodable(*ty))
}

/// The type of one tensor by its name, in any letter case: one of [`tensor_types`]. Here `Q4_K`
/// is the block format; [`FileType::parse`] takes the same word for the mix Q4_K_M.
///
/// # Errors
/// [`Error::FileTypeForTensor`] for a file type that is no block type, [`Error::NotWritable`]
/// for a block type that a plan cannot have, [`Error::UnknownTensorType`] for anything else,
/// with the names nearest to it.
pub fn parse_tensor_type(name: &str) -> Result<TensorType, Error> {
    let given = name.trim();
    if let Some(ty) = TensorType::from_name(given) {
        return writable(ty);
    }
    if let Ok(file_type) = FileType::parse(given) {
        return Err(Error::FileTypeForTensor {
            file_type,
            base: file_type.base(),
        });
    }
    let names = tensor_types().map(TensorType::name);
    Err(Error::UnknownTensorType {
        found: name.to_owned(),
        near: near::nearest(given, names),
    })
}

/// `ty`, if a plan can have it.
pub(crate) fn writable(ty: TensorType) -> Result<TensorType, Error> {
    if aeolus_quant::is_encodable(ty) {
        Ok(ty)
    } else {
        Err(Error::NotWritable { ty })
    }
}

/// A rule `REGEX=TYPE` for [`Options::tensor_types`](crate::Options::tensor_types). The type is
/// what follows the last `=`; the pattern is found anywhere in a tensor's GGUF name unless `^`
/// and `$` tie it down. Letter case counts in the pattern and not in the type.
///
/// # Errors
/// [`Error::RuleSyntax`] if there is no `=` or nothing on one side of it, [`Error::RulePattern`]
/// if the left is no regular expression, and the errors of [`parse_tensor_type`].
pub fn parse_tensor_rule(rule: &str) -> Result<(Regex, TensorType), Error> {
    let (pattern, ty) = rule
        .rsplit_once('=')
        .filter(|(pattern, ty)| !pattern.is_empty() && !ty.trim().is_empty())
        .ok_or_else(|| Error::RuleSyntax {
            found: rule.to_owned(),
        })?;
    let regex = Regex::new(pattern).map_err(|error| Error::RulePattern {
        pattern: pattern.to_owned(),
        problem: in_one_line(&error),
    })?;
    Ok((regex, parse_tensor_type(ty)?))
}

/// What is wrong with a pattern. Syntax errors are drawn over several lines, the pattern with a
/// mark below it, and the last line is the reason.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text
        .lines()
        .rev()
        .find_map(|l| l.trim().strip_prefix("error: "));
    reason.map_or_else(
        || text.split_whitespace().collect::<Vec<_>>().join(" "),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_pattern_and_a_block_type() {
        let (regex, ty) = parse_tensor_rule(r"blk\.[0-3]\.ffn_(up|down)=q6_k").unwrap();
        assert_eq!(ty, TensorType::Q6_K);
        assert!(regex.is_match("blk.2.ffn_down.weight"));
        assert!(!regex.is_match("blk.4.ffn_down.weight"));
        let (regex, _) = parse_tensor_rule("a=b=Q4_K").unwrap();
        assert_eq!(regex.as_str(), "a=b", "the last = divides");
    }

    #[test]
    fn wrong_rules_say_what_is_wrong() {
        for (rule, expected) in [
            (
                "ffn_down",
                r#"tensor rule "ffn_down" is not of the form REGEX=TYPE, as in ffn_down=Q6_K"#,
            ),
            ("=Q4_K", r#"tensor rule "=Q4_K" is not"#),
            ("ffn=", r#"tensor rule "ffn=" is not"#),
            (
                "ffn(=Q4_K",
                r#"tensor rule pattern "ffn(" is not a regular expression: unclosed group"#,
            ),
            (
                "a{1000}{1000}{1000}=Q4_K",
                r#"tensor rule pattern "a{1000}{1000}{1000}" is not a regular expression: "#,
            ),
            (
                "ffn=Q4_L",
                r#"unknown tensor type "Q4_L", did you mean Q4_0, Q4_1 or Q4_K?"#,
            ),
            (
                "ffn=what",
                r#"unknown tensor type "what", expected one of F32, F16, Q4_0,"#,
            ),
            (
                "ffn=Q4_K_M",
                "Q4_K_M is a file type, a mix of block types, and no type of one tensor; its main block type is Q4_K",
            ),
            (
                "ffn=Q8_K",
                "tensors cannot be written as Q8_K, expected one of F32, F16,",
            ),
        ] {
            let message = parse_tensor_rule(rule).unwrap_err().to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.starts_with(expected), "{rule}: {message}");
        }
    }

    #[test]
    fn words_that_name_both_are_block_types_here() {
        for name in ["Q3_K", "q4_k", "Q5_K", "Q2_K", "Q8_0"] {
            let ty = parse_tensor_type(name).unwrap();
            assert!(ty.name().eq_ignore_ascii_case(name));
        }
    }
}
