//! Model cards: golden, read by parsers of YAML and Markdown, and unbroken by hostile models.

mod support;

use aeolus_gguf::{Endian, Metadata, Shape, TensorInfo, TensorType, Value};
use aeolus_recipe::PlanFile;
use aeolus_report::{
    Card, Collection, File, HeaderFacts, Prompt, Provenance, Readme, SourceCard, Style, yaml,
};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use support::{HOSTILE, assert_golden, collection, quality};

/// A table as rows of cell texts.
type Table = Vec<Vec<String>>;

/// Front matter, and what the Markdown after it holds.
struct Read {
    front: Vec<(String, yaml::Yaml)>,
    tables: Vec<Table>,
    headings: Vec<String>,
    /// Code blocks with their language.
    blocks: Vec<(String, String)>,
    /// Raw HTML, and the targets of links.
    html: Vec<String>,
    links: Vec<String>,
}

fn read(card: &str) -> Read {
    let parts = SourceCard::parse(card).unwrap();
    let mut read = Read {
        front: parts.front_matter,
        tables: Vec::new(),
        headings: Vec::new(),
        blocks: Vec::new(),
        html: Vec::new(),
        links: Vec::new(),
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let (mut in_heading, mut in_cell) = (false, false);
    for event in Parser::new_ext(&parts.body, options) {
        match event {
            Event::Start(Tag::Table(_)) => read.tables.push(Vec::new()),
            Event::Start(Tag::TableHead | Tag::TableRow) => {
                read.tables.last_mut().unwrap().push(Vec::new());
            }
            Event::Start(Tag::TableCell) => {
                in_cell = true;
                read.tables
                    .last_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap()
                    .push(String::new());
            }
            Event::End(TagEnd::TableCell) => in_cell = false,
            Event::Start(Tag::Heading { .. }) => {
                in_heading = true;
                read.headings.push(String::new());
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    pulldown_cmark::CodeBlockKind::Fenced(language) => language.to_string(),
                    pulldown_cmark::CodeBlockKind::Indented => "indented".into(),
                };
                read.blocks.push((language, String::new()));
            }
            Event::Start(Tag::Link { dest_url, .. }) => read.links.push(dest_url.to_string()),
            Event::Html(html) | Event::InlineHtml(html) => read.html.push(html.trim().into()),
            Event::Text(text) | Event::Code(text) => {
                if in_heading {
                    read.headings.last_mut().unwrap().push_str(&text);
                } else if in_cell {
                    let row = read.tables.last_mut().unwrap().last_mut().unwrap();
                    row.last_mut().unwrap().push_str(&text);
                } else if let Some((_, block)) = read.blocks.last_mut() {
                    // Text after a block's end is added too; only blocks are looked at.
                    block.push_str(&text);
                }
            }
            _ => {}
        }
    }
    read
}

fn front<'a>(read: &'a Read, key: &str) -> Option<&'a yaml::Yaml> {
    read.front.iter().find(|(k, _)| k == key).map(|(_, v)| v)
}

fn assert_tables_are_whole(read: &Read) {
    assert!(!read.tables.is_empty());
    for table in &read.tables {
        assert!(table.len() > 1, "{table:?}");
        for row in table {
            assert_eq!(row.len(), table[0].len(), "{row:?}");
        }
    }
}

const SOURCE: &str = "\
---
license: mit
language:
- en
datasets: [argilla/ultrafeedback-binarized-preferences]
tags: [dpo, rlaif, preference]
pipeline_tag: text-generation
base_model: alignment-handbook/zephyr-7b-sft-full
---
# Notus

A **model** card.
";

#[test]
fn the_whole_card() {
    let collection = collection("notus-mini", "notus-mini");
    let quality = quality("fixtures/text/heldout.txt", "notus-mini");
    let source = SourceCard::parse(SOURCE).unwrap();
    let mut card = Card::new(&collection);
    card.quality = Some(&quality);
    card.source = Some(&source);
    card.base_model = Some("argilla/notus-mini".into());
    card.repo = Some("someone/notus-mini-GGUF".into());
    card.style = Style::Y2023;
    let text = card.render().unwrap();
    assert_golden("card-2023.md", &text);

    let read = read(&text);
    assert_tables_are_whole(&read);
    let files = &read.tables[1];
    assert_eq!(files.len(), 13);
    let column = |name: &str| files[0].iter().position(|c| c == name).unwrap();
    assert_eq!(files[1][column("Quant method")], "Q2_K");
    assert_eq!(files[1][column("Mean KLD")], "0.04145");
    assert_eq!(files[1][column("Perplexity")], "55.9076");
    assert_eq!(files[12][column("Same top token")], "99.29%");
    assert!(
        read.links.contains(
            &"https://huggingface.co/someone/notus-mini-GGUF/blob/main/notus-mini.Q4_K_M.gguf"
                .to_owned()
        )
    );
    assert_eq!(
        front(&read, "base_model").unwrap().as_text(),
        Some("argilla/notus-mini")
    );
    assert_eq!(front(&read, "license").unwrap().as_text(), Some("mit"));
    assert_eq!(
        front(&read, "tags").unwrap().texts(),
        ["dpo", "rlaif", "preference", "gguf", "quantized"]
    );
    assert_eq!(
        front(&read, "prompt_template").unwrap().as_text(),
        Some("<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n<|assistant|>\n")
    );
    assert!(text.trim_end().ends_with("A **model** card."));
}

#[test]
fn a_card_from_files_alone_has_no_holes() {
    let mut collection = collection("notus-mini", "notus-mini");
    collection.model.prompt = None;
    for (style, golden) in [
        (Style::Y2023, "card-2023-bare.md"),
        (Style::Y2026, "card-bare.md"),
    ] {
        let mut card = Card::new(&collection);
        card.style = style;
        let text = card.render().unwrap();
        assert_golden(golden, &text);
        assert_no_holes(&text);
    }
}

fn assert_no_holes(text: &str) {
    let read = read(text);
    assert_tables_are_whole(&read);
    assert_eq!(read.tables[1].len(), 13);
    for hole in [
        "none",
        "undefined",
        "None",
        "null",
        "()",
        "[]",
        "  |",
        "##  ",
    ] {
        let prose: String = text.lines().filter(|l| !l.starts_with("| ----")).collect();
        // The empty stop list of the LangChain example is Python.
        let prose = prose.replace("stop=[]", "").replace(")(", "");
        assert!(!prose.contains(hole), "{hole:?} in\n{text}");
    }
    assert!(front(&read, "license").is_none());
    assert_eq!(
        front(&read, "pipeline_tag").unwrap().as_text(),
        Some("text-generation")
    );
}

#[test]
fn the_card_of_today_says_what_was_measured_and_where_everything_came_from() {
    let collection = collection("notus-mini", "notus-mini");
    let quality = quality("fixtures/text/heldout.txt", "notus-mini");
    let source =
        SourceCard::parse(&SOURCE.replace("card.\n", "card.\n<!-- aeolus:end original -->\n"));
    let source = source.unwrap();
    let mut card = Card::new(&collection);
    card.quality = Some(&quality);
    card.source = Some(&source);
    card.base_model = Some("argilla/notus-mini".into());
    card.repo = Some("someone/notus-mini-GGUF".into());
    let plan = "plan = 1\n[source]\nweights = \"9f86d081\"\n[imatrix]\nfile = \"notus-mini.imatrix.gguf\"\n\
        importance = \"60303ae2\"\n[[files]]\ntype = \"Q4_0\"\nrecipe = \"2023-11\"\n";
    card.provenance = Provenance {
        revision: Some("0123456789abcdef".into()),
        plan: Some((
            "notus-mini.plan.toml".into(),
            PlanFile::parse(plan).unwrap(),
        )),
        imatrix_sha256: Some("fd61a03a".into()),
    };
    let text = card.render().unwrap();
    assert_golden("card.md", &text);

    let read = read(&text);
    assert_tables_are_whole(&read);
    let files = &read.tables[1];
    assert_eq!(files.len(), 13);
    let column = |name: &str| files[0].iter().position(|c| c == name).unwrap();
    let of = |method: &str, name: &str| {
        let row = files
            .iter()
            .find(|row| row[column("Type")] == method)
            .unwrap();
        row[column(name)].clone()
    };
    assert!(of("Q2_K", "Mean KLD").starts_with("0.04145"));
    assert_eq!(of("Q5_0", "Note"), "no larger and better: Q5_K_S");
    assert_eq!(of("Q4_K_M", "Note"), "recommended");
    for words in [
        "0123456789abcdef",
        "9f86d081",
        "60303ae2",
        "fd61a03a",
        "2023-11",
        "notus-mini.plan.toml",
    ] {
        assert!(text.contains(words), "{words}");
    }
    // What a stranger wrote does not end a part.
    let readme = Readme::generated(&text).unwrap();
    assert!(readme.update(&readme).unwrap().1.is_empty());
}

type Key = (&'static str, Value<'static>);

/// A card of one file with these keys and a tensor of this type, and its notes.
fn card_of(keys: &[Key], ty: TensorType) -> (String, Vec<String>) {
    let mut metadata = Metadata::new();
    for (key, value) in keys {
        metadata.insert(*key, value.clone());
    }
    let tensors = [TensorInfo {
        name: "blk.0.ffn_up.weight".into(),
        shape: Shape::from_gguf(&[256, 4]).unwrap(),
        ty,
        offset: 0,
        measured: None,
    }];
    let header = HeaderFacts {
        version: 3,
        endian: Endian::Little,
        metadata: &metadata,
        tensors: &tensors,
        bytes: 10_000,
    };
    let file = File::from_header("odd.gguf", &header);
    let collection = Collection::new(&metadata, vec![file]);
    let mut card = Card::new(&collection);
    card.style = Style::Y2023;
    card.base_model = Some("o/n".into());
    (card.render().unwrap(), card.notes())
}

#[test]
fn what_generates_no_text_is_not_said_to() {
    let arch = |name: &str| -> Key { ("general.architecture", name.to_owned().into()) };
    let kind = |name: &str| -> Key { ("general.type", name.to_owned().into()) };
    let foreign = TensorType::from_id(139);
    let context = |key| -> Key { (key, 4096u32.into()) };
    for (keys, ty, note, is_model, tagged) in [
        (
            vec![kind("imatrix")],
            TensorType::F32,
            "an importance matrix (imatrix), not a model",
            false,
            false,
        ),
        (
            vec![
                kind("adapter"),
                arch("llama"),
                context("llama.context_length"),
            ],
            TensorType::F32,
            "a LoRA adapter, not a model",
            false,
            false,
        ),
        (
            vec![arch("clip")],
            TensorType::F16,
            "(mmproj), not a model",
            false,
            false,
        ),
        (
            vec![arch("flux")],
            TensorType::Q4_K,
            "its architecture is flux",
            true,
            false,
        ),
        (
            vec![arch("bert"), context("bert.context_length")],
            TensorType::Q8_0,
            "its architecture is bert",
            true,
            false,
        ),
        (
            vec![arch("llama"), context("llama.context_length")],
            foreign,
            "llama.cpp cannot read odd.gguf: ggml does not have its tensor type 139 (IQ4_K of \
             ik_llama.cpp)",
            true,
            true,
        ),
    ] {
        let (text, notes) = card_of(&keys, ty);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains(note), "{notes:?}");
        assert!(text.contains("\nNote: "), "{text}");
        let read = read(&text);
        assert_tables_are_whole(&read);
        assert!(read.headings.contains(&"Provided files".into()), "{text}");
        assert!(
            !text.contains("How to run") && !text.contains("for llama.cpp"),
            "{text}"
        );
        assert_eq!(text.contains("The model has"), is_model, "{text}");
        assert_eq!(
            front(&read, "base_model_relation").is_some(),
            is_model,
            "{text}"
        );
        assert_eq!(front(&read, "pipeline_tag").is_some(), tagged, "{text}");
    }
    let keys = [arch("llama"), context("llama.context_length")];
    let (text, notes) = card_of(&keys, TensorType::Q4_K);
    assert!(text.contains("## How to run") && notes.is_empty(), "{text}");
}

#[test]
fn some_files_measured_leaves_dashes_for_the_others() {
    let collection = collection("notus-mini", "notus-mini");
    let mut quality = quality("heldout.txt", "notus-mini");
    quality.files.truncate(3);
    let mut card = Card::new(&collection);
    card.quality = Some(&quality);
    let read = read(&card.render().unwrap());
    assert_tables_are_whole(&read);
    let kld = read.tables[1][0]
        .iter()
        .position(|c| c == "Mean KLD")
        .unwrap();
    assert_eq!(read.tables[1][12][kld], "–");
    assert_eq!(read.tables[1][1][kld], "0.04145");
}

#[test]
fn nothing_in_a_model_breaks_its_card() {
    let mut collection = collection(HOSTILE, &HOSTILE.replace('/', ""));
    let template = "```\n````\n</s>{system_message} {x} {prompt}' \\ \" $(id) <b>\n---\n";
    collection.model.prompt = Prompt::find(|turns| {
        Some(
            turns
                .iter()
                .map(|(_, text)| format!("{template}{text}\n"))
                .collect(),
        )
    });
    collection.model.architecture = HOSTILE.into();
    let quality = quality(HOSTILE, &HOSTILE.replace('/', ""));
    let source = SourceCard {
        front_matter: vec![
            ("license".into(), yaml::Yaml::Text(HOSTILE.into())),
            ("model_creator".into(), yaml::Yaml::Text(HOSTILE.into())),
            (
                "language".into(),
                yaml::Yaml::List(vec![yaml::Yaml::Text(HOSTILE.into())]),
            ),
        ],
        body: "<script>alert(2)</script>\n\n```\nnever closed".into(),
    };
    let sections_2023 = [
        "Description",
        "Compatibility",
        "Provided files",
        "How to download",
        "How to run",
    ];
    let blocks_2023 = ["text", "sh", "sh", "sh", "python", "python", "sh", ""];
    let sections_2026 = ["Which file to choose", "Files", "How to use"];
    for (style, sections, blocks) in [
        (Style::Y2023, &sections_2023[..], &blocks_2023[..]),
        (Style::Y2026, &sections_2026, &["text", "sh", ""]),
    ] {
        let mut card = Card::new(&collection);
        card.style = style;
        card.quality = Some(&quality);
        card.source = Some(&source);
        card.quantized_by = HOSTILE.into();
        let text = card.render().unwrap();
        assert_is_unbroken(&text, sections, blocks);
    }
}

/// What [`HOSTILE`] must not have changed about a card.
fn assert_is_unbroken(text: &str, sections: &[&str], blocks: &[&str]) {
    let read = read(text);
    assert_tables_are_whole(&read);
    assert_eq!(read.tables[1].len(), 13);
    // One line, as the text it is.
    assert!(read.headings[0].starts_with("</title><script>alert(1)</script>|`x` # no ---"));
    let headings: Vec<&str> = read.headings.iter().map(String::as_str).collect();
    for section in sections {
        assert!(headings.contains(section), "{section} in {headings:?}");
    }
    let harmless = [
        "<details>",
        "<summary>",
        "</summary>",
        "<summary>Tensor types of each file</summary>",
        "</details>",
        "<sup>",
        "</sup>",
        "<code>",
        "</code>",
    ];
    for html in &read.html {
        let is_mark = html.starts_with("<!-- aeolus:") && html.ends_with("-->");
        assert!(is_mark || harmless.contains(&html.as_str()), "{html}");
    }
    for link in &read.links {
        assert!(link.starts_with("https://huggingface.co/"), "{link}");
    }
    assert_eq!(front(&read, "license").unwrap().as_text(), Some(HOSTILE));
    assert_eq!(
        front(&read, "quantized_by").unwrap().as_text(),
        Some(HOSTILE)
    );
    let languages: Vec<&str> = read.blocks.iter().map(|(l, _)| l.as_str()).collect();
    assert_eq!(languages, blocks);
}

#[test]
fn templates_can_be_replaced_and_escape_by_themselves() {
    let collection = collection("a|b", "a|b");
    let mut card = Card::new(&collection);
    card.template = Some(
        "{{ front_matter }}\n{% for f in files %}| {{ f.name }} | {{ f.method }} |\n{% endfor %}{{ files | length }} {{ model.parameters }} {{ 'x y' | shell }} {{ 'x: y' | yaml }}"
            .into(),
    );
    let text = card.render().unwrap();
    assert!(text.contains("| a\\|b.Q2_K.gguf | Q2_K |\n"), "{text}");
    assert!(text.ends_with("12 8.1 M 'x y' \"x: y\"\n"), "{text}");
    for (bad, problem) in [
        ("{% for %}", "card.md:1"),
        ("{{ model.nmae }}", "undefined"),
        ("{{ 1 | nofilter }}", "nofilter"),
    ] {
        card.template = Some(bad.into());
        let message = card.render().unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn one_recommended_type_is_the_example() {
    let collection = collection("notus-mini", "notus-mini");
    let mut card = Card::new(&collection);
    card.style = Style::Y2023;
    let text = card.render().unwrap();
    assert!(
        text.contains("llama-cli -m notus-mini.Q4_K_M.gguf"),
        "{text}"
    );
    assert!(text.contains("--include '*Q4_K*gguf'"), "{text}");
}
