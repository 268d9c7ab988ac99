//! What the fuzz targets of this crate do with their bytes.

// Plain tests replay inputs without it: they render several templates at a time.
#[cfg(feature = "fuzzing")]
mod watch;

#[cfg(feature = "fuzzing")]
pub use watch::start as watch_templates;

use crate::chat::{ChatTemplate, ENGINE_FAILED, Message};
use crate::{CacheType, EncodeOptions, Error, Model, Numeric, Runtime, StreamDecoder, Tokenizer};
use aeolus_gguf::{GgufFile, Header, Limits, Parse};
use aeolus_quant::{decode_rows, is_decodable};
use std::io::Write;
use std::sync::OnceLock;
#[cfg(feature = "fuzzing")]
use watch::watched;

/// Weights that are decoded of one tensor, at most.
const MAX_WEIGHTS: u64 = 1 << 20;

/// Tensors of a file into the decoders.
pub fn tensors(data: &[u8]) {
    let parsed = Header::parse(data, Some(data.len() as u64), &Limits::default());
    let Ok(Parse::Done(header)) = parsed else {
        return;
    };
    for info in header.tensors.iter().filter(|info| info.bytes() > 0) {
        let start = (header.data_offset + info.offset) as usize;
        let bytes = &data[start..start + info.bytes() as usize];
        if is_decodable(info.ty) && info.shape.elems() <= MAX_WEIGHTS {
            let mut out = vec![0.0; info.shape.elems() as usize];
            decode_rows(info.ty, bytes, info.shape.cols() as usize, &mut out)
                .expect("a tensor that the header vouches for");
        }
    }
}

/// A file as a model: loaded, its tokenizer tried, two tokens computed.
pub fn load(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("room for it");
    let Ok(file) = GgufFile::open(file.path()) else {
        return;
    };
    let tokenizer = Tokenizer::from_metadata(file.metadata());
    if let Ok(tokenizer) = &tokenizer {
        let options = EncodeOptions {
            add_special: true,
            parse_special: true,
        };
        let ids = tokenizer.encode("a b\n\u{1f600}</s><0x0A>", options);
        tokenizer.decode(&ids).expect("ids of its own");
        let mut stream = StreamDecoder::new();
        for &id in &ids {
            stream.push(&tokenizer.token_bytes(id, true).expect("ids of its own"));
        }
        stream.finish();
        let template = ChatTemplate::from_metadata(file.metadata(), tokenizer);
        if let Some(Some(template)) = unless_refused(template)
            && let Some(prompt) =
                unless_refused(watched(|| template.prompt(&messages(), tokenizer)))
        {
            prompt.tokens(tokenizer);
        }
    }
    let Ok(model) = Model::from_file(file) else {
        return;
    };
    let Ok(mut cache) = model.cache(4, CacheType::F32) else {
        return;
    };
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new(1, Numeric::Exact).expect("one thread"));
    let last = model.vocab() as u32 - 1;
    let _ = runtime.forward(&model, &[0, last], &mut cache, 0..2);
    let _ = runtime.forward(&model, &[last.wrapping_add(1)], &mut cache, 0..1);
}

#[cfg(not(feature = "fuzzing"))]
fn watched<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Text as a chat template.
pub fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(template) = unless_refused(ChatTemplate::new(source, "<s>", "</s>")) {
        unless_refused(watched(|| template.render(&messages(), true)));
    }
}

/// What the engine made of a template. It refuses by errors with words; its panics, which end a fuzz
/// target, are caught for the program's users: here they are findings wherever it runs.
fn unless_refused<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(made) => Some(made),
        Err(Error::Template(text)) if text == ENGINE_FAILED => panic!("the engine panicked"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn messages() -> [Message; 3] {
    [
        Message::new("system", "be brief"),
        Message::new("user", "a<b> \"\u{e9}\" {{ x }}</s>"),
        Message::new("assistant", ""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn tensors_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "tensors", tensors);
    }

    #[test]
    fn load_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "load", load);
    }

    #[test]
    fn template_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "template", template);
    }
}
