//! Every name that GGUF files use, in groups that cut text alike.
//!
//! Within a group the first name is the one that a tokenizer.json goes by when no mark decides. Whether
//! a family composes its text (NFC) and takes whole pieces first is the original tokenizer.json's
//! say; where it could not be seen, the name has neither.

use super::Alphabet::{Characters, PlainCharacters};
use super::PreTokenizer;
use super::patterns::*;

const GPT_2: &[&str] = &[GPT2];
const DIGITS_GPT_2: &[&str] = &[NUMBER, GPT2];
const DEEPSEEK_V3: &[&str] = &[THREE_NUMBERS, DEEPSEEK3_SCRIPTS, DEEPSEEK3];
const TINY_AYA: &[&str] = &[DIGITS_TO_WORD_END, GPT4O];

const fn pre(name: &'static str, splits: &'static [&'static str]) -> PreTokenizer {
    PreTokenizer::new(name, splits)
}

/// All of them.
pub static ALL: &[PreTokenizer] = &[
    // Llama 3: pieces that are a token stay whole.
    pre("llama-bpe", &[LLAMA3]).ignore_merges().add_bos(),
    pre("llama3", &[LLAMA3]).ignore_merges().add_bos(),
    pre("llama-v3", &[LLAMA3]).ignore_merges().add_bos(),
    pre("falcon3", &[LLAMA3]).ignore_merges().add_bos(),
    pre("falcon-h1", &[LLAMA3]).ignore_merges().add_bos(),
    pre("pixtral", &[LLAMA3]).ignore_merges().add_bos(),
    pre("midm-2.0", &[LLAMA3]).ignore_merges().add_bos(),
    pre("lfm2", &[LLAMA3])
        .ignore_merges()
        .add_bos()
        .marks(&["<|startoftext|>", "<|tool_list_start|>"]),
    pre("jina-v5-nano", &[LLAMA3]).ignore_merges().add_bos(),
    pre("glm4", &[LLAMA3])
        .ignore_merges()
        .marks(&["[gMASK]", "<sop>"]),
    pre("glm5", &[LLAMA3]).ignore_merges(),
    // The same pattern, always merged.
    pre("dbrx", &[LLAMA3]),
    pre("smaug-bpe", &[LLAMA3]),
    pre("chatglm-bpe", &[LLAMA3]).marks(&["[gMASK]", "<sop>"]),
    // Qwen 2 and 3: digits one by one.
    pre("qwen2", &[QWEN2]).nfc(),
    pre("deepseek-r1-qwen", &[QWEN2])
        .nfc()
        .marks(&["<｜User｜>", "<｜Assistant｜>"]),
    pre("kormo", &[QWEN2]).nfc(),
    pre("f2llmv2", &[QWEN2]).nfc(),
    pre("megrez", &[QWEN2]).nfc(),
    pre("stablelm2", &[QWEN2])
        .nfc()
        .marks(&["<|reg_extra|>", "<|endofprompt|>"]),
    pre("hunyuan", &[QWEN2]),
    pre("solar-open", &[QWEN2]),
    pre("grok-2", &[QWEN2]),
    pre("bailingmoe", &[QWEN2]).marks(&["<role>", "</role>"]),
    pre("bailingmoe2", &[QWEN2]),
    pre("llada-moe", &[QWEN2]),
    pre("ufakzeka", &[UFAKZEKA]),
    pre("seed-coder", &[SEED_CODER]),
    pre("laguna", &[LINES, QWEN2]),
    pre("qwen35", &[QWEN35]).nfc(),
    // GPT-4o: words end where lower case does.
    pre("gpt-4o", &[GPT4O]).ignore_merges().any_ignore_merges(),
    pre("llama4", &[GPT4O])
        .ignore_merges()
        .any_ignore_merges()
        .marks(&["<|begin_of_text|>", "<|header_start|>"]),
    pre("kanana2", &[GPT4O]).ignore_merges(),
    pre("talkie", &[GPT4O]).ignore_merges(),
    pre("minimax-m2", &[GPT4O])
        .ignore_merges()
        .any_ignore_merges()
        .marks(&["]~b]", "[e~["]),
    pre("granite-embed-multi-97m", &[GPT4O]).ignore_merges(),
    pre("tiny_aya", TINY_AYA),
    pre("cohere2moe", TINY_AYA),
    pre("youtu", &[YOUTU_SCRIPTS, YOUTU]).ignore_merges(),
    pre("tekken", &[TEKKEN]).ignore_merges().add_bos(),
    pre("kimi-k2", &[KIMI_K2]),
    // DeepSeek.
    pre("deepseek-v3", DEEPSEEK_V3).always_adds_bos(),
    pre("hunyuan-dense", DEEPSEEK_V3).marks(&["<｜hy_User｜>"]),
    pre("joyai-llm", DEEPSEEK_V3),
    pre("hy_v4", DEEPSEEK_V3),
    pre(
        "spark2_5",
        &[THREE_NUMBERS, DEEPSEEK3_SCRIPTS, SPARK, NUMBER],
    ),
    pre("afmoe", &[NUMBERS_FROM_THE_RIGHT, AFMOE_SCRIPTS, DEEPSEEK3]),
    pre(
        "deepseek-llm",
        &[
            LINE_END,
            DEEPSEEK_LLM_LETTERS,
            DEEPSEEK_LLM_PUNCTUATION,
            DEEPSEEK_LLM_END,
            DEEPSEEK_SCRIPTS,
            NUMBER,
        ],
    )
    .always_adds_bos(),
    pre(
        "deepseek-coder",
        &[
            LINE_END,
            DEEPSEEK_CODER_LETTERS,
            DEEPSEEK_CODER_PUNCTUATION,
            DEEPSEEK_SCRIPTS,
            NUMBER,
        ],
    ),
    // GPT-2 with digits one by one.
    pre("smollm", DIGITS_GPT_2).marks(&["<|im_start|>", "<repo_name>"]),
    pre("starcoder", DIGITS_GPT_2),
    pre("refact", DIGITS_GPT_2).marks(&["<fim_prefix>", "<filename>"]),
    pre("codeshell", DIGITS_GPT_2),
    pre("minerva-7b", DIGITS_GPT_2),
    pre("mellum2", DIGITS_GPT_2),
    pre("command-r", DIGITS_GPT_2).nfc(),
    pre("exaone", DIGITS_GPT_2)
        .nfc()
        .marks(&["[|assistant|]", "[|endofturn|]"]),
    // GPT-2.
    pre("gpt-2", GPT_2),
    pre("phi-2", GPT_2),
    pre("jais", GPT_2),
    pre("gigachat", GPT_2),
    pre("exaone4", GPT_2),
    pre("a.x-4.0", GPT_2),
    pre("mellum", GPT_2),
    pre("modern-bert", GPT_2),
    pre("trillion", GPT_2),
    pre("granite-docling", GPT_2),
    pre("jina-es", GPT_2),
    pre("jina-de", GPT_2),
    pre("jina-v2-es", GPT_2),
    pre("jina-v2-de", GPT_2),
    pre("jina-v1-en", GPT_2),
    pre("jina-v2-code", GPT_2),
    pre("roberta-bpe", GPT_2),
    pre("mpt", GPT_2).nfc(),
    pre("olmo", GPT_2).nfc().marks(&["|||IP_ADDRESS|||"]),
    // Ways of one family each.
    pre("falcon", &[PUNCTUATION_RUN, GPT2]).byte_splits(&[NUMBERS, THREE_DIGITS]),
    pre("minicpm5", &[THREE_NUMBERS, MINICPM5]).ignore_merges(),
    pre("superbpe", &[NUMBERS, DIGITS_FROM_THE_RIGHT]),
    pre("exaone-moe", &[EXAONE_MOE]),
    pre("jais-2", &[JAIS2]),
    pre("bloom", &[BLOOM]),
    pre("poro-chat", &[BLOOM]),
    pre("gpt3-finnish", &[BLOOM]),
    pre("viking", &[BLOOM, NUMBER]),
    pre(
        "chameleon",
        &[
            CHAMELEON_SENTINEL,
            CHAMELEON_IMAGE,
            CHAMELEON_SPACES,
            NUMBER,
            CHAMELEON_PUNCTUATION,
            GPT2,
        ],
    )
    .add_bos(),
    pre("whitespace", &[NOT_SPACES]).alphabet(PlainCharacters),
    // No cutting at all: the merges run over the whole text.
    pre("gemma4", &[]).alphabet(Characters).add_bos(),
    pre("granite-embed-multi-311m", &[]).alphabet(Characters),
    pre("sarvam-moe", &[]).alphabet(Characters),
    // What llama.cpp does with a file that names none.
    pre(
        "default",
        &[DEFAULT_PUNCTUATION, GPT2, NUMBERS, THREE_DIGITS],
    ),
];
