//! The original framework's greedy texts, and every way a generation can end.

use std::path::Path;

use aeolus_gguf::TensorType;

use super::*;
use crate::matmul::Numeric;
use crate::sampler::SamplerOptions;
use crate::testing::{fixture, notus_mini};
use crate::tokenizer::EncodeOptions;

struct Parts {
    runtime: Runtime,
    model: Model,
    tokenizer: Tokenizer,
}

impl Parts {
    fn new(folder: &Path, ty: TensorType, numeric: Numeric) -> Self {
        let model = Model::open(&notus_mini(folder, ty)).unwrap();
        Self {
            runtime: Runtime::new(2, numeric).unwrap(),
            tokenizer: Tokenizer::from_metadata(model.metadata()).unwrap(),
            model,
        }
    }

    fn session(&self, options: SessionOptions) -> Session<'_> {
        Session::new(&self.runtime, &self.model, &self.tokenizer, options).unwrap()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let options = EncodeOptions {
            add_special: true,
            parse_special: false,
        };
        self.tokenizer.encode(text, options)
    }
}

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn prompt(session: &mut Session<'_>, ids: &[u32]) {
    assert!(session.set_prompt(ids, go_on).unwrap().is_continue());
}

fn greedy() -> Sampler {
    Sampler::new(SamplerOptions::greedy()).unwrap()
}

fn max(tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(tokens),
        ..GenerateOptions::default()
    }
}

#[derive(serde::Deserialize)]
struct Greedy {
    prompt_ids: Vec<u32>,
    new_ids: Vec<u32>,
    text: String,
}

#[test]
fn greedy_texts_are_those_of_the_original_framework() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::new(folder.path(), TensorType::F32, Numeric::Exact);
    let bytes = std::fs::read(fixture("golden/greedy.json")).unwrap();
    let cases: std::collections::BTreeMap<String, Greedy> = serde_json::from_slice(&bytes).unwrap();
    assert!(cases.len() >= 3);
    for batch in [512, 3] {
        let mut session = parts.session(SessionOptions {
            batch,
            ..SessionOptions::default()
        });
        for (text, case) in &cases {
            let ids = parts.encode(text);
            assert_eq!(ids, case.prompt_ids);
            prompt(&mut session, &ids);
            let mut streamed = String::new();
            let generated = session.generate(&mut greedy(), &max(case.new_ids.len()), |text| {
                streamed += text;
                ControlFlow::Continue(())
            });
            let generated = generated.unwrap();
            assert_eq!(generated.ids, case.new_ids, "{text}");
            assert_eq!(generated.text.trim_start(), case.text);
            assert_eq!(streamed, generated.text);
            assert_eq!(generated.reason, StopReason::MaxTokens);
        }
        let timings = session.timings();
        let new: usize = cases.values().map(|case| case.new_ids.len()).sum();
        assert_eq!(timings.generated_tokens, new);
        assert!(timings.generation_rate().unwrap() > 0.0);
    }
}

#[test]
fn a_prompt_reuses_what_it_has_in_common() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::new(folder.path(), TensorType::Q8_0, Numeric::Fast);
    let mut session = parts.session(SessionOptions::default());
    let first = parts.encode("It was the best of times, it was the worst of times");
    let second = [&first[..5], &parts.encode(" and then?")[1..]].concat();
    prompt(&mut session, &first);
    let fresh = session.logits().to_vec();
    prompt(&mut session, &second);
    assert_eq!(session.tokens(), second);
    prompt(&mut session, &first);
    // Batches of other sizes may use other kernels: the sums differ in their last bits.
    for (a, b) in session.logits().iter().zip(&fresh) {
        assert!((a - b).abs() < 1e-2);
    }
    session.reset_timings();
    prompt(&mut session, &first);
    assert_eq!(
        session.timings().prompt_tokens,
        1,
        "only the last token is computed again"
    );
    // The tokens of an answer are in the cache for the next turn, but for the last.
    let answer = session
        .generate(&mut greedy(), &max(4), |_| ControlFlow::Continue(()))
        .unwrap();
    let next = [&first[..], &answer.ids].concat();
    session.reset_timings();
    prompt(&mut session, &next);
    assert_eq!(session.timings().prompt_tokens, 1);
}

#[test]
fn generations_end_for_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::new(folder.path(), TensorType::Q8_0, Numeric::Fast);
    let ids = parts.encode("The old man said");
    let mut session = parts.session(SessionOptions {
        context: 12,
        ..SessionOptions::default()
    });
    let mut run = |options: &GenerateOptions, interrupt_after: usize| {
        prompt(&mut session, &ids);
        let mut pieces = 0;
        let generated = session.generate(&mut greedy(), options, |_| {
            pieces += 1;
            if pieces > interrupt_after {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        generated.unwrap()
    };
    let whole = run(&GenerateOptions::default(), 100);
    assert_eq!(whole.reason, StopReason::ContextFull);
    // The context holds 12; the token chosen after the last position is the 13th.
    assert_eq!(whole.ids.len(), 12 - ids.len() + 1);
    assert!(run(&max(0), 100).ids.is_empty());
    let interrupted = run(&GenerateOptions::default(), 1);
    assert_eq!(interrupted.reason, StopReason::Interrupted);
    assert!(whole.text.starts_with(&interrupted.text) && !interrupted.text.is_empty());
    // " to me, ..." stops before its first comma.
    let comma = GenerateOptions {
        stop: vec![",".to_owned()],
        ..GenerateOptions::default()
    };
    let stopped = run(&comma, 100);
    assert_eq!(stopped.reason, StopReason::StopText(",".to_owned()));
    assert_eq!(stopped.text, whole.text.split(',').next().unwrap());
    let bad = GenerateOptions {
        stop: vec![String::new()],
        ..GenerateOptions::default()
    };
    assert!(
        session
            .generate(&mut greedy(), &bad, |_| ControlFlow::Continue(()))
            .is_err()
    );

    let long = vec![1; 13];
    let error = session.set_prompt(&long, go_on).unwrap_err();
    assert!(matches!(
        error,
        Error::ContextFull {
            used: 0,
            wanted: 13,
            context: 12
        }
    ));
    assert!(error.to_string().contains("context is full"));
    assert!(session.set_prompt(&[], go_on).is_err());
    let mut fresh = parts.session(SessionOptions {
        batch: 2,
        ..SessionOptions::default()
    });
    assert!(
        fresh
            .generate(&mut greedy(), &max(1), |_| ControlFlow::Continue(()))
            .is_err()
    );
    let flow = fresh.set_prompt(&ids, |done, all| {
        assert_eq!((done, all), (2, ids.len()));
        ControlFlow::Break(())
    });
    assert!(flow.unwrap().is_break());
    assert_eq!(fresh.tokens(), &ids[..2]);
    assert!(
        fresh
            .generate(&mut greedy(), &max(1), |_| ControlFlow::Continue(()))
            .is_err()
    );
}

#[test]
fn a_model_with_damaged_weights_writes_nothing_in_either_mode() {
    let folder = tempfile::tempdir().unwrap();
    let whole = notus_mini(folder.path(), TensorType::Q8_0);
    let file = aeolus_gguf::GgufFile::open(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let runtimes = [Numeric::Exact, Numeric::Fast].map(|n| Runtime::new(2, n).unwrap());
    for tensor in [
        "blk.0.attn_norm.weight",
        "blk.0.attn_k.weight",
        "blk.0.ffn_down.weight",
        "blk.3.attn_q.weight",
        "blk.7.ffn_norm.weight",
        "output_norm.weight",
        "output.weight",
    ] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let info = file.tensor(tensor).unwrap();
            let start = file.place(info).range.start;
            let mut damaged = bytes.clone();
            match info.ty {
                TensorType::F32 => damaged[start..start + 4].copy_from_slice(&value.to_le_bytes()),
                // The scale of the first block.
                _ => damaged[start..start + 2]
                    .copy_from_slice(&aeolus_quant::f32_to_f16(value).to_le_bytes()),
            }
            let path = folder.path().join("damaged.gguf");
            std::fs::write(&path, damaged).unwrap();
            let model = Model::open(&path).unwrap();
            let tokenizer = Tokenizer::from_metadata(model.metadata()).unwrap();
            let options = EncodeOptions {
                add_special: true,
                parse_special: false,
            };
            let messages = runtimes.each_ref().map(|runtime| {
                let session = SessionOptions::default();
                let mut session = Session::new(runtime, &model, &tokenizer, session).unwrap();
                for text in ["The old", "The old man went home and found the door open"] {
                    prompt(&mut session, &tokenizer.encode(text, options));
                }
                let generated =
                    session.generate(&mut greedy(), &max(3), |_| ControlFlow::Continue(()));
                generated.unwrap_err().to_string()
            });
            let [exact, fast] = messages;
            assert!(
                exact.contains("the weights of the model are broken"),
                "{exact}"
            );
            assert_eq!(exact, fast, "{tensor} {value}");
        }
    }
}
