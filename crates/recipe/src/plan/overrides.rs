//! The user's own decisions, and whether each had an effect.

use super::Options;
use crate::{Error, Role, near};
use aeolus_gguf::TensorType;
use regex::Regex;

/// The user's rules and options, with what became of each.
pub(super) struct Overrides<'a> {
    rules: Vec<RuleUse<'a>>,
    output: OptionUse,
    embedding: OptionUse,
    tied: bool,
}

struct RuleUse<'a> {
    pattern: &'a Regex,
    ty: TensorType,
    /// Weight matrices whose names hold the pattern.
    matched: usize,
    /// Those of them that no earlier rule took.
    decided: usize,
    /// One of the tensors that keep their type all the same, and why.
    passed_over: Option<(String, &'static str)>,
}

/// The type for one tensor, and what became of it.
struct OptionUse {
    option: &'static str,
    ty: Option<TensorType>,
    decided: bool,
    /// A rule took the tensor first.
    taken: bool,
}

impl OptionUse {
    fn new(option: &'static str, ty: Option<TensorType>) -> Self {
        Self {
            option,
            ty,
            decided: false,
            taken: false,
        }
    }
}

impl<'a> Overrides<'a> {
    pub(super) fn new(options: &'a Options, tied: bool) -> Self {
        let rule = |(pattern, ty): &'a (Regex, TensorType)| RuleUse {
            pattern,
            ty: *ty,
            matched: 0,
            decided: 0,
            passed_over: None,
        };
        Self {
            rules: options.tensor_types.iter().map(rule).collect(),
            output: OptionUse::new("output", options.output_type),
            embedding: OptionUse::new("embedding", options.embedding_type),
            tied,
        }
    }

    /// Notes the rules that would have a say in a tensor that stays `ty`. One that asks for this
    /// type has what it wants.
    pub(super) fn pass_over(&mut self, name: &str, ty: TensorType, why: &'static str) {
        for rule in &mut self.rules {
            if !rule.pattern.is_match(name) {
                continue;
            }
            if rule.ty == ty {
                rule.matched += 1;
                rule.decided += 1;
            } else {
                rule.passed_over
                    .get_or_insert_with(|| (name.to_owned(), why));
            }
        }
    }

    /// The type the user wants for a weight matrix, and the rule or option in words.
    pub(super) fn decide(&mut self, name: &str, role: Role) -> Option<(TensorType, String)> {
        let mut decided = None;
        for (i, rule) in self.rules.iter_mut().enumerate() {
            if rule.pattern.is_match(name) {
                rule.matched += 1;
                if decided.is_none() {
                    rule.decided += 1;
                    let text = format!("tensor rule {}: {}={}", i + 1, rule.pattern, rule.ty);
                    decided = Some((rule.ty, text));
                }
            }
        }
        let option = match role {
            Role::Output => &mut self.output,
            Role::TokenEmbd if self.embedding.ty.is_some() || !self.tied => &mut self.embedding,
            Role::TokenEmbd => &mut self.output,
            _ => return decided,
        };
        if decided.is_some() {
            option.taken = true;
            return decided;
        }
        let ty = option.ty?;
        option.decided = true;
        Some((ty, format!("{} type: {ty}", option.option)))
    }

    /// Every rule and option decided something; `names` are those of all tensors.
    pub(super) fn check_effect<'n>(
        &self,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) -> Result<(), Error> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.decided == 0) {
            return Err(rule.no_effect(names));
        }
        for option in [&self.output, &self.embedding] {
            let Some(ty) = option.ty.filter(|_| !option.decided) else {
                continue;
            };
            let why = match option.option {
                _ if option.taken => "a tensor rule matches its tensor first",
                "output" if self.tied && self.embedding.ty.is_some() => {
                    "the model has no output.weight, and the embedding type is given for \
                     token_embd.weight"
                }
                "output" => "the model has neither output.weight nor token_embd.weight",
                _ => "the model has no token_embd.weight",
            };
            return Err(Error::OptionDecidesNothing {
                option: option.option,
                ty,
                why,
            });
        }
        Ok(())
    }
}

impl RuleUse<'_> {
    fn no_effect<'n>(&self, names: impl ExactSizeIterator<Item = &'n str>) -> Error {
        let pattern = self.pattern.as_str().to_owned();
        let ty = self.ty;
        if self.matched > 0 {
            return Error::RuleShadowed {
                pattern,
                ty,
                matched: self.matched,
            };
        }
        match &self.passed_over {
            Some((example, why)) => Error::RuleMatchesKept {
                pattern,
                ty,
                example: example.clone(),
                why,
            },
            None => Error::RuleMatchesNothing {
                tensors: names.len(),
                near: near::near_tensors(&pattern, names),
                pattern,
                ty,
            },
        }
    }
}
