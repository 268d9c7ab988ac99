//! Vocabularies that contradict themselves or grow beyond measure, and templates that mean harm.

use crate::gguf::{
    Gguf, U32, VOCAB, array, floats, good, ints, kinds, pieces, string, strings, u32_value,
};
use crate::run::{CHAT, COMPUTE, Case, Content, MODEL, file, files};

const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const TYPES: &str = "tokenizer.ggml.token_type";
const TEMPLATE: &str = "tokenizer.chat_template";

pub fn all() -> Vec<Case> {
    let mut cases = lists();
    cases.extend(tokens());
    cases.extend(byte_pairs());
    cases.extend(bombs());
    cases.extend(templates());
    cases
}

fn case(name: impl Into<String>, spoilt: Gguf, by: u8, words: &[&str]) -> Case {
    file(name, spoilt.bytes(), by, words)
}

fn lists() -> Vec<Case> {
    let mut cases = Vec::new();
    for count in [0usize, 1, 261] {
        let fewer = good().set(TOKENS, strings(&pieces()[..count]));
        cases.push(case(
            format!("{count} tokens"),
            fewer,
            MODEL,
            &["bad.gguf", "262"],
        ));
        let fewer = good().set(SCORES, floats(&vec![0.0; count]));
        cases.push(case(format!("{count} scores"), fewer, COMPUTE, &[SCORES]));
        let fewer = good().set(TYPES, ints(&kinds()[..count]));
        cases.push(case(
            format!("{count} token types"),
            fewer,
            COMPUTE,
            &[TYPES],
        ));
    }
    let more: Vec<String> = pieces().into_iter().chain(["more".into()]).collect();
    cases.push(case(
        "a token more than rows",
        good().set(TOKENS, strings(&more)),
        MODEL,
        &["bad.gguf", "263"],
    ));
    cases.push(case(
        "a vocabulary larger than the model in all lists",
        good()
            .set(TOKENS, strings(&more))
            .set(SCORES, floats(&[0.0; 263]))
            .set(TYPES, ints(&[&kinds()[..], &[1]].concat())),
        MODEL,
        &["bad.gguf", "263"],
    ));
    let numbers = array(U32, VOCAB, &[0; 4 * VOCAB as usize]);
    cases.push(case(
        "tokens that are numbers",
        good().set(TOKENS, numbers.clone()),
        COMPUTE,
        &[TOKENS],
    ));
    cases.push(case(
        "scores as UINT32",
        good().set(SCORES, numbers.clone()),
        COMPUTE,
        &[SCORES],
    ));
    cases.push(case(
        "token types as UINT32",
        good().set(TYPES, numbers),
        COMPUTE,
        &[TYPES],
    ));
    cases.push(case(
        "no scores",
        good().without(SCORES),
        COMPUTE,
        &[SCORES],
    ));
    cases.push(case(
        "no tokenizer model",
        good().without("tokenizer.ggml.model"),
        COMPUTE,
        &["tokenizer.ggml.model"],
    ));
    for model in ["bert", "", "none"] {
        cases.push(case(
            format!("tokenizer model {model:?}"),
            good().set("tokenizer.ggml.model", string(model)),
            COMPUTE,
            &["tokenizer model"],
        ));
    }
    cases
}

fn tokens() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [-1, 7, i32::MIN, i32::MAX] {
        let mut kinds = kinds();
        kinds[260] = kind;
        let spoilt = good().set(TYPES, ints(&kinds));
        cases.push(case(
            format!("a token of type {kind}"),
            spoilt,
            COMPUTE,
            &[TYPES],
        ));
    }
    for piece in ["", "<0x>", "<0xZZ>", "<0x100>", "<0x+A>", "\u{1f600}"] {
        let mut all = pieces();
        all[9] = piece.into();
        let spoilt = good().set(TOKENS, strings(&all));
        let words = ["byte token", "<0x0A>"];
        cases.push(case(
            format!("a byte token written {piece:?}"),
            spoilt,
            COMPUTE,
            &words,
        ));
    }
    let mut all = pieces();
    all[261] = "b".repeat(100_000);
    let spoilt = good().set(TOKENS, strings(&all));
    cases.push(case(
        "a token of 100,000 bytes",
        spoilt,
        COMPUTE,
        &["261", "100000", "512"],
    ));
    // Strange, but what files in the wild have: to be taken or refused in good order.
    for (name, key, id) in [
        (
            "a start token beyond the last",
            "tokenizer.ggml.bos_token_id",
            u32::MAX,
        ),
        (
            "an end token beyond the last",
            "tokenizer.ggml.eos_token_id",
            VOCAB as u32,
        ),
    ] {
        cases.push(case(name, good().set(key, u32_value(id)), 0, &[]));
    }
    let same = good().set(TOKENS, strings(&vec!["same"; VOCAB as usize]));
    cases.push(case("all tokens alike", same, COMPUTE, &["byte token"]));
    let texts = good()
        .set(TOKENS, strings(&vec![""; VOCAB as usize]))
        .set(TYPES, ints(&[1; VOCAB as usize]));
    cases.push(case("all tokens empty", texts, 0, &[]));
    let scores = good().set(SCORES, floats(&[f32::NAN; VOCAB as usize]));
    cases.push(case("all scores NaN", scores, 0, &[]));
    cases
}

/// A byte-pair vocabulary with two tokens that can be merged.
fn byte_pair_file() -> Gguf {
    let mut all = pieces();
    all[20] = "ab".into();
    good()
        .set("tokenizer.ggml.model", string("gpt2"))
        .add("tokenizer.ggml.pre", string("qwen2"))
        .set(TOKENS, strings(&all))
        .set(TYPES, ints(&[1; VOCAB as usize]))
        .add(MERGES, strings(&["a b"]))
}

fn byte_pairs() -> Vec<Case> {
    let mut cases = vec![
        case("byte pairs", byte_pair_file(), 0, &[]),
        case(
            "byte pairs without merges",
            byte_pair_file().without(MERGES),
            COMPUTE,
            &[MERGES],
        ),
        case(
            "byte pairs without a pre-tokenizer",
            byte_pair_file().without("tokenizer.ggml.pre"),
            COMPUTE,
            &["tokenizer.ggml.pre"],
        ),
        case(
            "an unknown pre-tokenizer",
            byte_pair_file().set("tokenizer.ggml.pre", string("qwen3")),
            COMPUTE,
            &["\"qwen3\"", "\"qwen2\""],
        ),
        case(
            "merges that are numbers",
            byte_pair_file().set(MERGES, ints(&[1, 2])),
            COMPUTE,
            &[MERGES],
        ),
    ];
    let merges: [(&str, &[&str], &str); 4] = [
        ("a merge of one token", &["ab"], "expected two tokens"),
        ("a merge of no token", &["a zz"], "no token \"zz\""),
        ("a merge into no token", &["b a"], "no token \"ba\""),
        ("a merge that comes twice", &["a b", "a b"], "merge 0"),
    ];
    for (name, merges, words) in merges {
        let spoilt = byte_pair_file().set(MERGES, strings(merges));
        cases.push(case(name, spoilt, COMPUTE, &[words]));
    }
    let none = byte_pair_file().set(MERGES, strings::<&str>(&[]));
    cases.push(case("byte pairs with no merge", none, 0, &[]));
    cases
}

/// More merges than any vocabulary has.
fn too_many_merges() -> Vec<u8> {
    byte_pair_file()
        .set(MERGES, strings(&vec!["a b"; 1 << 20]))
        .bytes()
}

/// A file whose vocabulary is these pieces, all ordinary ones, and none of whose tensors fit.
fn vocabulary(pieces: &[String]) -> Vec<u8> {
    let count = pieces.len();
    let mut file = good();
    file.tensors.truncate(0);
    file.set(TOKENS, strings(pieces))
        .set(SCORES, floats(&vec![0.0; count]))
        .set(TYPES, ints(&vec![1; count]))
        .set("llama.vocab_size", u32_value(count as u32))
        .bytes()
}

/// Every cut of every piece is a merge: a^i b^j for all i + j <= 280.
fn merges() -> Vec<u8> {
    let mut pieces = Vec::new();
    for letters in 1..=280usize {
        for a in 0..=letters {
            pieces.push(["a".repeat(a), "b".repeat(letters - a)].concat());
        }
    }
    model_of_words(&pieces)
}

/// Pieces in which every pair of 1901 characters are neighbours once: a step of each size through
/// a circle of prime length.
fn neighbours() -> Vec<u8> {
    const LETTERS: u32 = 1901;
    let (mut letters, mut at) = (Vec::new(), 0);
    for step in 1..LETTERS {
        for _ in 0..LETTERS {
            letters.extend(char::from_u32(0x80 + at));
            at = (at + step) % LETTERS;
        }
    }
    let pieces = letters.chunks(200).map(|piece| piece.iter().collect());
    model_of_words(&pieces.collect::<Vec<String>>())
}

/// A model with hidden size 32 in F16, all zeros, for this vocabulary.
fn model_of_words(pieces: &[String]) -> Vec<u8> {
    let count = pieces.len();
    let mut file = good()
        .set(TOKENS, strings(pieces))
        .set(SCORES, floats(&vec![0.0; count]))
        .set(TYPES, ints(&vec![1; count]))
        .set("llama.vocab_size", u32_value(count as u32));
    let embedding = &mut file.tensors[0];
    embedding.dims[1] = count as u64;
    // Q4_0: 18 bytes for a row of 32.
    embedding.ty = 2;
    embedding.data = vec![0; 18 * count];
    file.place().bytes()
}

fn too_many() -> Vec<u8> {
    vocabulary(&vec![String::new(); (1 << 20) + 1])
}

fn too_long() -> Vec<u8> {
    let word = "x".repeat(500);
    model_of_words(&vec![word; 34_000])
}

fn bombs() -> Vec<Case> {
    let made = |name: &str, make: fn() -> Vec<u8>, by: u8, words: &[&str]| {
        files(name, vec![("bad.gguf", Content::Made(make))], by, words)
    };
    vec![
        made("1,048,577 tokens", too_many, MODEL, &["bad.gguf"]),
        made(
            "1,048,576 merges",
            too_many_merges,
            COMPUTE,
            &["1048576", "917504"],
        ),
        made("tokens of 17 MB together", too_long, COMPUTE, &["16777216"]),
        made(
            "a merge at every cut of every token",
            merges,
            COMPUTE,
            &["merge"],
        ),
        made(
            "millions of neighbours",
            neighbours,
            COMPUTE,
            &["pairs", "917504"],
        ),
    ]
}

/// Two lists that hold one list twice, which holds one list twice, and so on.
const LISTS: &str = "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(39) %}\
    {% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";

fn templates() -> Vec<Case> {
    let mut cases = Vec::new();
    let nested = |open: &str, close: &str, n: usize| open.repeat(n) + "x" + &close.repeat(n);
    let many = |text: &str, n: usize| text.repeat(n);
    for (name, template) in [
        ("a template cut short", "{% for m in messages %}".to_owned()),
        (
            "a template with an unknown tag",
            "{% import_everything %}".to_owned(),
        ),
        (
            "a template with an unknown filter",
            "{{ messages|shell }}".to_owned(),
        ),
        (
            "a template that includes a file",
            "{% include '/etc/passwd' %}".to_owned(),
        ),
        (
            "a template that extends itself",
            "{% extends 'chat_template' %}".to_owned(),
        ),
        (
            "a template that raises",
            "{{ raise_exception('no\x1b[2J') }}".to_owned(),
        ),
        (
            "a template that never ends",
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"
                .into(),
        ),
        (
            "a template that calls itself",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        ),
        (
            "a template that doubles a text",
            "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}\
             {% endfor %}{{ ns.x }}"
                .to_owned(),
        ),
        (
            "a template that repeats a text",
            "{{ 'x' * 4000000000 }}".to_owned(),
        ),
        (
            "a template that makes a list",
            "{{ range(4000000000)|list|length }}".to_owned(),
        ),
        (
            "a template that fills a field",
            "{{ 'x'|center(4000000000) }}{{ '%4000000000d'|format(1) }}".to_owned(),
        ),
        (
            "a template that joins what it doubled",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}\
             {% endfor %}{{ ns.x|join('xxxxxxxxxxxxxxxx') }}"
                .to_owned(),
        ),
        (
            "a template that writes one list many times",
            LISTS.to_owned() + "{{ ns.a }}",
        ),
        (
            "a template that turns one list many times into text",
            LISTS.to_owned() + "{{ ns.a|string|length }}",
        ),
        (
            "a template that names one list many times",
            LISTS.to_owned() + "{{ {ns.a: 1} }}",
        ),
        (
            "a template of 100,000 brackets",
            "{{ ".to_owned() + &nested("(", ")", 100_000) + " }}",
        ),
        (
            "a template of 100,000 lists",
            "{{ ".to_owned() + &nested("[", "]", 100_000) + " }}",
        ),
        (
            "a template of 10,000 conditions",
            nested("{% if 1 %}", "{% endif %}", 10_000),
        ),
        (
            "a template of 100,000 nots",
            "{{ ".to_owned() + &many("not ", 100_000) + "1 }}",
        ),
        (
            "a template of 100,000 minus signs",
            "{{ ".to_owned() + &many("-", 100_000) + "1 }}",
        ),
        (
            "a template of 100,000 sums",
            "{{ 1".to_owned() + &many("+1", 100_000) + " }}",
        ),
        (
            "a template of 100,000 texts",
            "{{ 1".to_owned() + &many("~1", 100_000) + " }}",
        ),
        (
            "a template of 50,000 filters",
            "{{ 1".to_owned() + &many("|string", 50_000) + " }}",
        ),
        (
            "a template of 100,000 attributes",
            "{{ a".to_owned() + &many(".a", 100_000) + " }}",
        ),
        (
            "a template of 50,000 choices",
            "{{ 1".to_owned() + &many(" if 1 else 1", 50_000) + " }}",
        ),
        (
            "a template of 1,000 nots in each of 200 tags",
            many(&("{{ ".to_owned() + &many("not ", 1000) + "1 }}"), 200) + "{{ (( }}",
        ),
        (
            "a template of 4,000 minus signs",
            "{{ ".to_owned() + &many("-", 4000) + "1|nothing }}",
        ),
        (
            "a template of 50,000 alternatives",
            "{% if 0 %}".to_owned() + &many("{% elif 0 %}", 50_000) + "{% endif %}",
        ),
        (
            "a template of 4,000 alternatives and a mistake",
            "{% if 0 %}".to_owned() + &many("{% elif 0 %}", 4000) + "{% else %}",
        ),
        ("a template of 1,100,000 bytes", many("x", 1_100_000)),
    ] {
        let spoilt = good().set(TEMPLATE, string(&template));
        cases.push(case(name, spoilt, CHAT, &["chat template"]));
    }
    // What such lists need a stack for: all of it, and then much of the budget's lists are dropped.
    for (name, last) in [
        (
            "a template that drops lists in lists",
            "{{ raise_exception('reached') }}",
        ),
        (
            "a template that writes lists in lists",
            "{{ ns.a }}{{ raise_exception('reached') }}",
        ),
        (
            "a template that dumps lists in lists",
            "{{ ns.a|tojson }}{{ raise_exception('reached') }}",
        ),
        (
            "a template that compares lists in lists",
            "{{ ns.a == ns.b }}{{ raise_exception('reached') }}",
        ),
    ] {
        // JSON is written to a depth of its own.
        let end = match last.contains("tojson") {
            true => "nested more than",
            false => "reached",
        };
        // The last ones may also end by their memory.
        for (many, times, end) in [
            (1, 40_000, end),
            (70, 600, end),
            (70, 4300, "chat template"),
        ] {
            let (open, close) = ("[".repeat(many), "]".repeat(many));
            let template = format!(
                "{{% set ns = namespace(a=1, b=1) %}}{{% for i in range({times}) %}}\
                 {{% set ns.a = {open}ns.a{close} %}}{{% set ns.b = {open}ns.b{close} %}}\
                 {{% endfor %}}{last}"
            );
            let spoilt = good().set(TEMPLATE, string(&template));
            let name = format!("{name}, {} deep", many * times);
            cases.push(case(&name, spoilt, CHAT, &["chat template", end]));
        }
    }
    let wordy = good().set(TEMPLATE, string("{{ 'x' * 8000000 }}"));
    cases.push(case(
        "a template that writes 8 MB",
        wordy,
        CHAT,
        &["chat template", "writes 8000000 bytes"],
    ));
    // Comparing takes no memory, only time.
    for (name, comparison) in [
        (
            "a template that compares one list many times",
            "ns.a == ns.b",
        ),
        (
            "a template that looks for one list many times",
            "ns.a in [ns.b]",
        ),
    ] {
        let spoilt = good().set(TEMPLATE, string(format!("{LISTS}{{{{ {comparison} }}}}")));
        cases.push(case(
            name,
            spoilt,
            CHAT,
            &["chat template", "more than 1 s"],
        ));
    }
    cases.push(case(
        "a template that is a number",
        good().set(TEMPLATE, u32_value(1)),
        CHAT,
        &[TEMPLATE],
    ));
    cases.push(case(
        "no template",
        good().without(TEMPLATE),
        CHAT,
        &[TEMPLATE],
    ));
    cases
}
