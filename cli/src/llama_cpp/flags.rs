//! The flags of llama.cpp's tools that this program does not have, or has under another name.

use super::{Fate, Flag, Takes};
use Fate::{Idle, Is, Keyless, NeutralOr, OwnUnless, Refused};
use Takes::{Nothing, Switch, Value};

// Which commands a row is for: `run` and `chat` stand for llama-cli and llama-completion, the others
// for the tool of their name.
pub(super) const RUN: u8 = 1;
pub(super) const CHAT: u8 = 2;
pub(super) const PERPLEXITY: u8 = 4;
pub(super) const TOKENIZE: u8 = 8;
pub(super) const QUANTIZE: u8 = 16;
/// Commands that score without being one of their tools.
pub(super) const TASKS: u8 = 32;
pub(super) const LOGITS: u8 = 64;
pub(super) const IMATRIX: u8 = 128;
pub(super) const SCORE: u8 = PERPLEXITY | TASKS | LOGITS;
pub(super) const TALK: u8 = RUN | CHAT;
const MODEL: u8 = TALK | SCORE | TOKENIZE | IMATRIX;

const fn row(names: &'static [&'static str], takes: Takes, on: u8, fate: Fate) -> Flag {
    Flag {
        names,
        takes,
        on,
        fate,
    }
}

const CPU: Fate = Idle("everything runs on the CPU");
const MEMORY: Fate = Idle("the weights stay in the mapped file");
const THREADS: Fate = Idle("-t sets the threads");
const ATTENTION: Fate = Idle("attention is computed in one way here");
const LOG: Fate = Idle("there is no log");
const DRAFT: Fate = Idle("a draft model changes the speed only, and none is used");
const XTC: Fate = Idle("XTC is off");
const DRY: Fate = Idle("DRY is off");
const ADAPTIVE: Fate = Idle("adaptive-p is off");
const MIROSTAT: Fate = Idle("Mirostat is off");
const CACHED_PROMPT: Fate = Idle("prompts are not cached in files");
const POSITIONS: &str = "positions are scaled as the file says (`aeolus inspect --keys` shows it)";
const NO_SAMPLER: &str = "there is no such sampler; those there are: --repeat-penalty, --top-k, --top-p, --min-p, --temp";
const NO_GRAMMAR: &str = "answers cannot be bound to a grammar";
const TEXT_ONLY: &str = "models take text only";
const NO_ADAPTERS: &str = "adapters are not applied; merge the adapter into its model first";
const SORTED: &str = "the samplers run in a fixed order: penalties, top_k, top_p, min_p, temperature; --top-k 0, \
     --top-p 1, --min-p 0 and --repeat-penalty 1 switch one off";
const BY_TEMPLATE: &str = "a chat is framed by the model's template";
const NO_SERVER: &str = "there is no server";
const ON_THE_HUB: &str = "fetch the file first; one on the Hub is named hf:owner/name/FILE";

pub(super) static FLAGS: &[Flag] = &[
    // Where it is computed.
    row(
        &["-ngl", "--gpu-layers", "--n-gpu-layers", "--n_gpu_layers"],
        Value,
        MODEL,
        CPU,
    ),
    row(&["-dev", "--device"], Value, MODEL, CPU),
    row(&["-sm", "--split-mode"], Value, MODEL, CPU),
    row(&["-ts", "--tensor-split"], Value, MODEL, CPU),
    row(&["-mg", "--main-gpu"], Value, MODEL, CPU),
    row(&["-ot", "--override-tensor"], Value, MODEL, CPU),
    row(&["-cmoe", "--cpu-moe"], Nothing, MODEL, CPU),
    row(&["-ncmoe", "--n-cpu-moe"], Value, MODEL, CPU),
    row(
        &["-kvo", "--kv-offload", "-nkvo", "--no-kv-offload"],
        Nothing,
        MODEL,
        CPU,
    ),
    row(
        &["--op-offload", "--no-op-offload", "--no-host"],
        Nothing,
        MODEL,
        CPU,
    ),
    row(&["-fit", "--fit"], Switch, MODEL, CPU),
    row(
        &["-fitt", "--fit-target", "-fitc", "--fit-ctx", "--rpc"],
        Value,
        MODEL,
        CPU,
    ),
    row(
        &["--list-devices"],
        Nothing,
        MODEL,
        Refused("there is no device but the CPU"),
    ),
    row(&["-fa", "--flash-attn"], Switch, MODEL, ATTENTION),
    row(&["--swa-full"], Nothing, MODEL, ATTENTION),
    row(
        &["-gan", "--grp-attn-n"],
        Value,
        MODEL,
        NeutralOr(is_one, "there is no group attention"),
    ),
    row(&["-gaw", "--grp-attn-w"], Value, MODEL, ATTENTION),
    // Memory and threads.
    row(
        &["--mlock", "--mmap", "--no-mmap", "-dio", "--direct-io"],
        Nothing,
        MODEL,
        MEMORY,
    ),
    row(
        &["-ndio", "--no-direct-io", "--repack", "-nr", "--no-repack"],
        Nothing,
        MODEL,
        MEMORY,
    ),
    row(&["-lm", "--load-mode", "--numa"], Value, MODEL, MEMORY),
    row(
        &["--check-tensors"],
        Nothing,
        MODEL,
        Idle("damaged weights are an error anyway"),
    ),
    row(
        &["--warmup", "--no-warmup"],
        Nothing,
        MODEL,
        Idle("there is no warm-up"),
    ),
    row(
        &["-ub", "--ubatch-size"],
        Value,
        MODEL,
        Idle("-b sets the tokens computed at a time"),
    ),
    row(
        &["-b", "--batch-size"],
        Value,
        SCORE | IMATRIX,
        Idle("a window is computed at once"),
    ),
    row(
        &["-np", "--parallel", "-dt", "--defrag-thold"],
        Value,
        MODEL,
        Idle("there is one sequence"),
    ),
    row(
        &[
            "-ctxcp",
            "--ctx-checkpoints",
            "--swa-checkpoints",
            "-cram",
            "--cache-ram",
        ],
        Value,
        MODEL,
        Idle("there is one sequence"),
    ),
    row(
        &[
            "-cb",
            "--cont-batching",
            "-nocb",
            "--no-cont-batching",
            "-kvu",
            "--kv-unified",
        ],
        Nothing,
        MODEL,
        Idle("there is one sequence"),
    ),
    row(
        &["-ctk", "--cache-type-k", "-ctv", "--cache-type-v"],
        Value,
        TALK,
        NeutralOr(
            |v| v == "f16",
            "--cache-type f16, f32 or q8_0 sets how keys and values are kept, both alike",
        ),
    ),
    row(
        &["-ctk", "--cache-type-k", "-ctv", "--cache-type-v"],
        Value,
        SCORE,
        NeutralOr(
            |v| v == "f16" || v == "f32",
            "keys and values are kept in f32",
        ),
    ),
    row(
        &["-t", "--threads"],
        Value,
        TALK | SCORE,
        OwnUnless(|v| v == "-1" || v == "0"),
    ),
    row(
        &[
            "-tb",
            "--threads-batch",
            "-C",
            "--cpu-mask",
            "-Cr",
            "--cpu-range",
        ],
        Value,
        MODEL,
        THREADS,
    ),
    row(
        &[
            "-Cb",
            "--cpu-mask-batch",
            "-Crb",
            "--cpu-range-batch",
            "--cpu-strict",
        ],
        Value,
        MODEL,
        THREADS,
    ),
    row(
        &[
            "--cpu-strict-batch",
            "--prio",
            "--prio-batch",
            "--poll",
            "--poll-batch",
        ],
        Value,
        MODEL,
        THREADS,
    ),
    row(&["--prompt-cache"], Value, TALK, CACHED_PROMPT),
    row(
        &["--prompt-cache-all", "--prompt-cache-ro"],
        Nothing,
        TALK,
        CACHED_PROMPT,
    ),
    // What is shown.
    row(
        &["-v", "--verbose", "--log-verbose", "--log-disable"],
        Nothing,
        MODEL,
        LOG,
    ),
    row(
        &[
            "--log-prefix",
            "--no-log-prefix",
            "--log-timestamps",
            "--no-log-timestamps",
        ],
        Nothing,
        MODEL,
        LOG,
    ),
    row(
        &[
            "-lv",
            "--verbosity",
            "--log-verbosity",
            "--log-file",
            "--log-prompts-dir",
        ],
        Value,
        MODEL,
        LOG,
    ),
    row(&["--log-colors"], Switch, MODEL, LOG),
    row(
        &["-co", "--color"],
        Switch,
        TALK,
        Idle("the answer has no colours"),
    ),
    row(
        &["--simple-io"],
        Nothing,
        TALK,
        Idle("input and output are plain"),
    ),
    row(
        &["--perf", "--no-perf", "--show-timings"],
        Nothing,
        MODEL,
        Idle("timings go to stderr"),
    ),
    row(&["--no-show-timings"], Nothing, CHAT, Is("--quiet")),
    row(
        &["--no-show-timings"],
        Nothing,
        RUN,
        Idle("timings go to stderr"),
    ),
    row(
        &["-ptc", "--print-token-count"],
        Value,
        TALK,
        Idle("the timings say how many tokens there are"),
    ),
    row(
        &["--verbose-prompt"],
        Nothing,
        TALK,
        Idle("`aeolus tokenize` shows a prompt's tokens"),
    ),
    row(
        &["--no-display-prompt"],
        Nothing,
        TALK,
        Idle("the prompt is not printed without --echo"),
    ),
    row(&["--display-prompt"], Nothing, RUN, Is("--echo")),
    row(
        &["--display-prompt"],
        Nothing,
        CHAT,
        Idle("what was typed is on the screen"),
    ),
    row(
        &["-sp", "--special"],
        Nothing,
        TALK,
        Refused("control tokens are not shown; --json has their ids"),
    ),
    row(
        &["-o", "--output", "--output-file"],
        Value,
        TALK,
        Refused("redirect stdout: > FILE"),
    ),
    // The model.
    row(
        &["-m", "--model"],
        Value,
        SCORE | TOKENIZE | IMATRIX,
        Keyless,
    ),
    row(
        &["-mu", "--model-url", "-dr", "--docker-repo"],
        Value,
        MODEL,
        Refused(ON_THE_HUB),
    ),
    row(
        &["-hft", "--hf-token"],
        Value,
        MODEL,
        Refused("the token comes from HF_TOKEN or a file, never from a command line"),
    ),
    row(
        &["--offline"],
        Nothing,
        MODEL,
        Refused("set HF_HUB_OFFLINE=1"),
    ),
    row(
        &["--lora", "--lora-scaled"],
        Value,
        MODEL,
        Refused(NO_ADAPTERS),
    ),
    row(
        &[
            "--control-vector",
            "--control-vector-scaled",
            "--control-vector-layer-range",
        ],
        Value,
        MODEL,
        Refused("control vectors are not applied"),
    ),
    row(
        &["--override-kv"],
        Value,
        MODEL | QUANTIZE,
        Refused("the file's metadata is used as it is"),
    ),
    row(
        &[
            "-mm",
            "--mmproj",
            "-mmu",
            "--mmproj-url",
            "--image",
            "--audio",
            "--video",
        ],
        Value,
        TALK,
        Refused(TEXT_ONLY),
    ),
    row(
        &[
            "--mmproj-auto",
            "--no-mmproj",
            "--no-mmproj-auto",
            "--mmproj-offload",
            "--no-mmproj-offload",
        ],
        Nothing,
        TALK,
        Idle(TEXT_ONLY),
    ),
    row(&["--server-base"], Value, TALK, Refused(NO_SERVER)),
    row(
        &[
            "--host",
            "--port",
            "--path",
            "--api-prefix",
            "--api-key",
            "--api-key-file",
            "-a",
            "--alias",
        ],
        Value,
        MODEL,
        Refused(NO_SERVER),
    ),
    row(
        &[
            "--ssl-key-file",
            "--ssl-cert-file",
            "-to",
            "--timeout",
            "--threads-http",
            "--slot-save-path",
            "-sps",
            "--slot-prompt-similarity",
            "--pooling",
        ],
        Value,
        MODEL,
        Refused(NO_SERVER),
    ),
    row(
        &[
            "--embedding",
            "--embeddings",
            "--rerank",
            "--reranking",
            "--metrics",
            "--props",
            "--slots",
            "--no-slots",
            "--webui",
            "--no-webui",
        ],
        Nothing,
        MODEL,
        Refused(NO_SERVER),
    ),
    row(&["--rope-scaling"], Value, MODEL, Refused(POSITIONS)),
    row(
        &[
            "--rope-scale",
            "--rope-freq-base",
            "--rope-freq-scale",
            "--yarn-orig-ctx",
        ],
        Value,
        MODEL,
        NeutralOr(is_zero, POSITIONS),
    ),
    row(
        &[
            "--yarn-ext-factor",
            "--yarn-attn-factor",
            "--yarn-beta-slow",
            "--yarn-beta-fast",
        ],
        Value,
        MODEL,
        NeutralOr(is_negative, POSITIONS),
    ),
    // Drafts.
    row(
        &[
            "-md",
            "--model-draft",
            "--spec-draft-model",
            "-hfd",
            "-hfrd",
            "--hf-repo-draft",
            "--spec-draft-hf",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &[
            "--draft",
            "--draft-n",
            "--draft-max",
            "--draft-min",
            "--draft-n-min",
            "--draft-p-min",
            "--draft-p-split",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &[
            "--spec-type",
            "--spec-draft-n-max",
            "--spec-draft-n-min",
            "--spec-draft-p-split",
            "--spec-draft-p-min",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &[
            "-ngld",
            "--gpu-layers-draft",
            "--n-gpu-layers-draft",
            "--spec-draft-ngl",
            "-devd",
            "--device-draft",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &[
            "-td",
            "--threads-draft",
            "-tbd",
            "--threads-batch-draft",
            "-cd",
            "--ctx-size-draft",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &[
            "-ctkd",
            "--cache-type-k-draft",
            "-ctvd",
            "--cache-type-v-draft",
            "-otd",
            "--override-tensor-draft",
        ],
        Value,
        TALK,
        DRAFT,
    ),
    row(
        &["-cmoed", "--cpu-moe-draft", "--spec-default"],
        Nothing,
        TALK,
        DRAFT,
    ),
    row(&["-ncmoed", "--n-cpu-moe-draft"], Value, TALK, DRAFT),
    // How tokens are chosen.
    row(&["--temperature"], Value, TALK, Is("--temp")),
    row(
        &["--samplers"],
        Value,
        TALK,
        NeutralOr(is_our_order, SORTED),
    ),
    row(
        &["--sampler-seq", "--sampling-seq"],
        Value,
        TALK,
        NeutralOr(is_our_sequence, SORTED),
    ),
    row(&["-bs", "--backend-sampling"], Nothing, TALK, CPU),
    row(
        &["--top-nsigma", "--top-n-sigma", "--adaptive-target"],
        Value,
        TALK,
        NeutralOr(is_negative, NO_SAMPLER),
    ),
    row(
        &[
            "--xtc-probability",
            "--presence-penalty",
            "--frequency-penalty",
            "--dry-multiplier",
        ],
        Value,
        TALK,
        NeutralOr(is_zero, NO_SAMPLER),
    ),
    row(
        &[
            "--presence_penalty",
            "--frequency_penalty",
            "--dynatemp-range",
            "--mirostat",
        ],
        Value,
        TALK,
        NeutralOr(is_zero, NO_SAMPLER),
    ),
    row(
        &["--typical", "--typical-p", "--tfs"],
        Value,
        TALK,
        NeutralOr(is_one, NO_SAMPLER),
    ),
    row(&["--xtc-threshold"], Value, TALK, XTC),
    row(
        &[
            "--dry-base",
            "--dry-allowed-length",
            "--dry-penalty-last-n",
            "--dry-sequence-breaker",
        ],
        Value,
        TALK,
        DRY,
    ),
    row(&["--adaptive-decay"], Value, TALK, ADAPTIVE),
    row(
        &["--dynatemp-exp"],
        Value,
        TALK,
        Idle("the temperature does not change"),
    ),
    row(
        &[
            "--mirostat-lr",
            "--mirostat_lr",
            "--mirostat-ent",
            "--mirostat_ent",
        ],
        Value,
        TALK,
        MIROSTAT,
    ),
    row(
        &["-l", "--logit-bias"],
        Value,
        TALK,
        Refused("scores are not biased"),
    ),
    row(
        &[
            "--grammar",
            "--grammar-file",
            "-j",
            "--json-schema",
            "-jf",
            "--json-schema-file",
        ],
        Value,
        TALK,
        Refused(NO_GRAMMAR),
    ),
    // Prompts, contexts and chats.
    row(
        &["--no-escape"],
        Nothing,
        TALK | TOKENIZE,
        Idle("escapes are read with -e only"),
    ),
    row(
        &["-bf", "--binary-file"],
        Value,
        MODEL,
        Refused("-f FILE reads a text"),
    ),
    row(
        &["--keep"],
        Value,
        MODEL,
        Idle("a full context ends the answer; nothing is dropped from it"),
    ),
    row(
        &["--no-context-shift"],
        Nothing,
        MODEL,
        Idle("a full context ends the answer"),
    ),
    row(
        &["--context-shift"],
        Nothing,
        TALK,
        Refused("a full context ends the answer; -c takes a larger one"),
    ),
    row(
        &[
            "-ins",
            "-cnv",
            "--conversation",
            "-if",
            "--interactive-first",
        ],
        Nothing,
        RUN,
        Is("--interactive"),
    ),
    row(
        &[
            "-i",
            "--interactive",
            "-ins",
            "--instruct",
            "-cnv",
            "--conversation",
            "-if",
            "--interactive-first",
        ],
        Nothing,
        CHAT,
        Idle("`chat` is one"),
    ),
    row(
        &["-no-cnv", "--no-conversation"],
        Nothing,
        RUN,
        Idle("`run` continues the prompt as it stands"),
    ),
    row(
        &["-no-cnv", "--no-conversation"],
        Nothing,
        CHAT,
        Refused("`aeolus run` continues a prompt without a chat"),
    ),
    row(&["-st"], Nothing, TALK, Is("--single-turn")),
    row(&["-sys", "--system-prompt"], Value, TALK, Is("--system")),
    row(
        &["-sysf", "--system-prompt-file"],
        Value,
        TALK,
        Refused("--system TEXT takes the text itself"),
    ),
    row(
        &["-mli", "--multiline-input"],
        Nothing,
        TALK,
        Refused("a line that ends in \\ continues in the next one"),
    ),
    row(
        &["--in-prefix", "--in-suffix"],
        Value,
        TALK,
        Refused(BY_TEMPLATE),
    ),
    row(&["--in-prefix-bos"], Nothing, TALK, Refused(BY_TEMPLATE)),
    row(
        &["--jinja"],
        Nothing,
        TALK,
        Idle("templates are always run as Jinja"),
    ),
    row(
        &["--no-jinja"],
        Nothing,
        TALK,
        Refused("templates are always run as Jinja"),
    ),
    row(
        &["--chat-template-kwargs"],
        Value,
        TALK,
        Refused("templates get no further values"),
    ),
    row(
        &["--skip-chat-parsing", "--no-skip-chat-parsing"],
        Nothing,
        TALK,
        Idle("answers are shown as the model writes them"),
    ),
    row(
        &["--reasoning-format"],
        Value,
        TALK,
        NeutralOr(
            |v| v == "none" || v == "auto",
            "answers are shown as the model writes them",
        ),
    ),
    row(
        &["-rea", "--reasoning"],
        Switch,
        TALK,
        NeutralOr(|v| v == "auto", "the template decides about reasoning"),
    ),
    row(
        &["--reasoning-effort"],
        Value,
        TALK,
        NeutralOr(|v| v == "default", "the template decides about reasoning"),
    ),
    row(
        &["--reasoning-budget"],
        Value,
        TALK,
        NeutralOr(is_negative, "reasoning has no budget of its own"),
    ),
    row(
        &["--reasoning-budget-message"],
        Value,
        TALK,
        Idle("reasoning has no budget of its own"),
    ),
    row(
        &["--reasoning-preserve", "--no-reasoning-preserve"],
        Nothing,
        TALK,
        Refused("answers stay in the conversation as they are"),
    ),
    // llama-perplexity.
    row(
        &["-s", "--seed"],
        Value,
        SCORE | IMATRIX,
        Idle("nothing is drawn at random"),
    ),
    row(
        &["-p", "--prompt"],
        Value,
        PERPLEXITY | IMATRIX,
        Refused("-f FILE names the text, or - for stdin"),
    ),
    row(
        &["-p", "--prompt", "-f", "--file"],
        Value,
        LOGITS,
        Refused("--ids takes tokens; `aeolus tokenize FILE TEXT --ids` prints those of a text"),
    ),
    row(
        &["-p", "--prompt", "-f", "--file"],
        Value,
        TASKS,
        Refused("--hellaswag, --arc, --mmlu or --winogrande FILE names the questions"),
    ),
    row(&["--ppl-stride"], Value, PERPLEXITY, OwnUnless(is_zero)),
    row(
        &["--ppl-output-type"],
        Value,
        SCORE,
        NeutralOr(is_zero, "--json and --csv print for programs"),
    ),
    row(
        &["--kl-divergence"],
        Nothing,
        SCORE,
        Refused("`aeolus compare BASE FILE -f TEXT` measures it"),
    ),
    row(
        &["--kl-divergence-base", "--save-all-logits"],
        Value,
        SCORE,
        Refused(
            "`aeolus compare BASE FILE -f TEXT --save-base OUT --base-format llama-cpp` writes one",
        ),
    ),
    row(
        &[
            "--hellaswag-tasks",
            "--winogrande-tasks",
            "--multiple-choice-tasks",
        ],
        Value,
        SCORE,
        Refused("`aeolus tasks FILE --limit N` takes as many questions"),
    ),
    row(
        &["--hellaswag", "--winogrande", "--multiple-choice"],
        Nothing,
        PERPLEXITY,
        Refused(
            "`aeolus tasks FILE` asks questions, with --hellaswag, --arc, --mmlu or --winogrande QUESTIONS",
        ),
    ),
    // llama-imatrix.
    row(&["--output-file"], Value, IMATRIX, Is("--output")),
    row(
        &["-ofreq", "--output-frequency"],
        Value,
        IMATRIX,
        Idle("what is finished is kept every 10 seconds"),
    ),
    row(
        &["--save-frequency"],
        Value,
        IMATRIX,
        NeutralOr(is_zero, "no copies are kept on the way"),
    ),
    row(
        &["--ppl", "--no-ppl"],
        Nothing,
        IMATRIX,
        Idle("`aeolus perplexity` measures how well a model predicts"),
    ),
    row(
        &["--chunk", "--from-chunk"],
        Value,
        IMATRIX,
        NeutralOr(
            is_zero,
            "the same command continues a run that was interrupted",
        ),
    ),
    // llama-tokenize.
    row(&["-p", "--prompt"], Value, TOKENIZE, Keyless),
    row(
        &["-f", "--file"],
        Value,
        TOKENIZE,
        Refused("the text comes from stdin: < FILE"),
    ),
    row(
        &["--stdin", "--no-parse-special"],
        Nothing,
        TOKENIZE,
        Idle("it is so without the flag"),
    ),
    row(
        &["--show-count"],
        Nothing,
        TOKENIZE,
        Refused("--json lists the tokens"),
    ),
    // llama-quantize.
    row(
        &["--output-tensor-type"],
        Value,
        QUANTIZE,
        Is("--output-type"),
    ),
    row(
        &["--token-embedding-type"],
        Value,
        QUANTIZE,
        Is("--embedding-type"),
    ),
    row(
        &["--leave-output-tensor"],
        Nothing,
        QUANTIZE,
        Refused("--output-type TYPE sets the type of the output tensor"),
    ),
    row(
        &["--tensor-type-file", "--prune-layers"],
        Value,
        QUANTIZE,
        Refused("--tensor-type 'REGEX=TYPE' sets the type of tensors"),
    ),
    row(
        &["--keep-split"],
        Nothing,
        QUANTIZE,
        Refused("an output is one file"),
    ),
    row(
        &["--dry-run"],
        Nothing,
        QUANTIZE,
        Refused("`aeolus forecast` shows the sizes"),
    ),
];

fn number(value: &str) -> Option<f64> {
    value.trim().parse().ok()
}

fn is_zero(value: &str) -> bool {
    number(value) == Some(0.0)
}

fn is_one(value: &str) -> bool {
    number(value) == Some(1.0)
}

fn is_negative(value: &str) -> bool {
    number(value).is_some_and(|n| n < 0.0)
}

/// Our samplers in our order, among those that are off where nothing switches them on.
fn is_our_order(value: &str) -> bool {
    let off = ["dry", "top_n_sigma", "typ_p", "typical_p", "xtc"];
    let named = value.split(';').map(str::trim);
    let on: Vec<&str> = named.filter(|name| !off.contains(name)).collect();
    let on = on.join(";").replace("temperature", "temp");
    on == "penalties;top_k;top_p;min_p;temp" || on == "top_k;top_p;min_p;temp"
}

/// The same in letters.
fn is_our_sequence(value: &str) -> bool {
    let on: String = value.chars().filter(|c| !"dsyx".contains(*c)).collect();
    on == "ekpmt" || on == "kpmt"
}
