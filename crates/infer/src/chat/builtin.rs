//! Templates by the names that the field gives them, for files that have none or a wrong one.

/// Names and Jinja texts, by name. The beginning token is put before a text by its tokenizer, and
/// is not in them.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("alpaca", include_str!("templates/alpaca.jinja")),
    ("bailing", include_str!("templates/bailing.jinja")),
    (
        "bailing-think",
        include_str!("templates/bailing-think.jinja"),
    ),
    ("bailing2", include_str!("templates/bailing2.jinja")),
    ("chatglm3", include_str!("templates/chatglm3.jinja")),
    ("chatglm4", include_str!("templates/chatglm4.jinja")),
    ("chatml", include_str!("templates/chatml.jinja")),
    ("command-r", include_str!("templates/command-r.jinja")),
    ("deepseek", include_str!("templates/deepseek.jinja")),
    ("deepseek2", include_str!("templates/deepseek2.jinja")),
    ("deepseek3", include_str!("templates/deepseek3.jinja")),
    ("exaone-moe", include_str!("templates/exaone-moe.jinja")),
    ("exaone3", include_str!("templates/exaone3.jinja")),
    ("exaone4", include_str!("templates/exaone4.jinja")),
    ("falcon3", include_str!("templates/falcon3.jinja")),
    ("gemma", include_str!("templates/gemma.jinja")),
    ("gigachat", include_str!("templates/gigachat.jinja")),
    ("glmedge", include_str!("templates/glmedge.jinja")),
    ("gpt-oss", include_str!("templates/gpt-oss.jinja")),
    ("granite", include_str!("templates/granite.jinja")),
    ("granite-4.0", include_str!("templates/granite.jinja")),
    ("granite-4.1", include_str!("templates/granite.jinja")),
    ("grok-2", include_str!("templates/grok-2.jinja")),
    (
        "hunyuan-dense",
        include_str!("templates/hunyuan-dense.jinja"),
    ),
    ("hunyuan-moe", include_str!("templates/hunyuan-moe.jinja")),
    ("kimi-k2", include_str!("templates/kimi-k2.jinja")),
    ("llama2", include_str!("templates/llama2.jinja")),
    ("llama2-sys", include_str!("templates/llama2-sys.jinja")),
    (
        "llama2-sys-bos",
        include_str!("templates/llama2-sys-bos.jinja"),
    ),
    (
        "llama2-sys-strip",
        include_str!("templates/llama2-sys-strip.jinja"),
    ),
    ("llama3", include_str!("templates/llama3.jinja")),
    ("llama4", include_str!("templates/llama4.jinja")),
    ("megrez", include_str!("templates/megrez.jinja")),
    ("minicpm", include_str!("templates/minicpm.jinja")),
    ("mistral-v1", include_str!("templates/mistral-v1.jinja")),
    ("mistral-v3", include_str!("templates/mistral-v3.jinja")),
    (
        "mistral-v3-tekken",
        include_str!("templates/mistral-v3-tekken.jinja"),
    ),
    ("mistral-v7", include_str!("templates/mistral-v7.jinja")),
    (
        "mistral-v7-tekken",
        include_str!("templates/mistral-v7-tekken.jinja"),
    ),
    ("monarch", include_str!("templates/monarch.jinja")),
    ("openchat", include_str!("templates/openchat.jinja")),
    ("orion", include_str!("templates/orion.jinja")),
    (
        "pangu-embedded",
        include_str!("templates/pangu-embedded.jinja"),
    ),
    ("phi3", include_str!("templates/phi3.jinja")),
    ("phi4", include_str!("templates/phi4.jinja")),
    ("rwkv-world", include_str!("templates/rwkv-world.jinja")),
    ("seed_oss", include_str!("templates/seed_oss.jinja")),
    ("smolvlm", include_str!("templates/smolvlm.jinja")),
    ("solar-open", include_str!("templates/solar-open.jinja")),
    ("vicuna", include_str!("templates/vicuna.jinja")),
    ("vicuna-orca", include_str!("templates/vicuna-orca.jinja")),
    ("yandex", include_str!("templates/yandex.jinja")),
    ("zephyr", include_str!("templates/zephyr.jinja")),
];

/// The built-in template of a name.
pub(super) fn source(name: &str) -> Option<&'static str> {
    let mut all = BUILT_IN.iter();
    all.find(|(own, _)| *own == name).map(|(_, source)| *source)
}
