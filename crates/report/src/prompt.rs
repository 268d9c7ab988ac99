//! How a prompt is written for a model, found out from its chat template.

/// Longest prompt text that is shown, in bytes.
const MAX_BYTES: usize = 16 << 10;
const SYSTEM: &str = "{system_message}";
const PROMPT: &str = "{prompt}";

/// A prompt with places for what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The text with `{prompt}` and, where the template takes one, `{system_message}`.
    pub template: String,
    /// What such prompts are called, if known: `Zephyr`.
    pub name: Option<&'static str>,
    /// There is a place for a system message.
    pub system: bool,
}

impl Prompt {
    /// Renders a chat template with placeholders. `render` gets turns of (role, content) and
    /// ends with the place where the assistant speaks; `None` if the template refuses.
    ///
    /// `None` if no rendering holds the user's words.
    pub fn find(mut render: impl FnMut(&[(&str, &str)]) -> Option<String>) -> Option<Self> {
        let mut attempt = |turns: &[(&str, &str)]| {
            render(turns).filter(|text| {
                text.len() <= MAX_BYTES && turns.iter().all(|(_, content)| text.contains(content))
            })
        };
        let (template, system) = match attempt(&[("system", SYSTEM), ("user", PROMPT)]) {
            Some(text) => (text, true),
            None => (attempt(&[("user", PROMPT)])?, false),
        };
        Some(Self {
            name: style(&template),
            template,
            system,
        })
    }
}

/// The family of a prompt, by its marks.
fn style(text: &str) -> Option<&'static str> {
    // The first whose marks are all there.
    const STYLES: [(&str, &[&str]); 9] = [
        ("Zephyr", &["<|user|>\n", "<|assistant|>", "</s>"]),
        ("ChatML", &["<|im_start|>user", "<|im_end|>"]),
        ("Llama-2-Chat", &["[INST]", "<<SYS>>"]),
        ("Mistral", &["[INST]", "[/INST]"]),
        ("Llama-3", &["<|start_header_id|>user<|end_header_id|>"]),
        ("Gemma", &["<start_of_turn>user"]),
        ("Phi-3", &["<|user|>", "<|end|>"]),
        ("Alpaca", &["### Instruction:", "### Response:"]),
        ("Vicuna", &["USER: ", "ASSISTANT:"]),
    ];
    let has = |marks: &&[&str]| marks.iter().all(|mark| text.contains(mark));
    STYLES
        .iter()
        .find(|(_, marks)| has(marks))
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zephyr(turns: &[(&str, &str)]) -> Option<String> {
        let turns = turns
            .iter()
            .map(|(role, text)| format!("<|{role}|>\n{text}</s>\n"));
        Some(turns.collect::<String>() + "<|assistant|>\n")
    }

    #[test]
    fn a_template_becomes_a_prompt() {
        let prompt = Prompt::find(zephyr).unwrap();
        assert_eq!(prompt.name, Some("Zephyr"));
        assert!(prompt.system);
        assert_eq!(
            prompt.template,
            "<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n<|assistant|>\n"
        );
    }

    #[test]
    fn a_template_without_system_turn_still_gives_one() {
        let refuses = |turns: &[(&str, &str)]| {
            (turns[0].0 == "user").then(|| format!("[INST] {} [/INST]", turns[0].1))
        };
        let prompt = Prompt::find(refuses).unwrap();
        assert_eq!((prompt.name, prompt.system), (Some("Mistral"), false));
        let drops = |turns: &[(&str, &str)]| Some(format!("USER: {} ASSISTANT:", turns.last()?.1));
        let prompt = Prompt::find(drops).unwrap();
        assert_eq!((prompt.name, prompt.system), (Some("Vicuna"), false));
    }

    #[test]
    fn hostile_templates_give_nothing() {
        assert_eq!(Prompt::find(|_| None), None);
        assert_eq!(Prompt::find(|_| Some(String::new())), None);
        assert_eq!(Prompt::find(|_| Some("{prompt}".repeat(10_000))), None);
    }
}
