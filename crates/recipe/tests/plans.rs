//! Options, fallbacks and errors of plans, over small models made here.

use aeolus_gguf::{Shape, TensorType as T};
use aeolus_recipe::{
    Error, FileType as F, Importance, ModelShape, Options, Plan, PlannedTensor, Vintage,
    parse_tensor_rule, plan,
};

/// A model of `layers` layers whose rows are all `cols` long.
struct Tiny {
    layers: u32,
    heads: u32,
    kv_heads: u32,
    cols: u64,
    tied: bool,
}

const TINY: Tiny = Tiny {
    layers: 2,
    heads: 8,
    kv_heads: 8,
    cols: 256,
    tied: false,
};

const MATRICES: [&str; 7] = [
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

impl Tiny {
    fn tensors(&self) -> Vec<(String, Shape)> {
        let matrix = |name: String| (name, Shape::from_gguf(&[self.cols, 64]).unwrap());
        let norm = |name: String| (name, Shape::from_gguf(&[self.cols]).unwrap());
        let mut tensors = vec![matrix("token_embd.weight".into())];
        for layer in 0..self.layers {
            tensors.push(norm(format!("blk.{layer}.attn_norm.weight")));
            for name in MATRICES {
                tensors.push(matrix(format!("blk.{layer}.{name}.weight")));
            }
        }
        tensors.push(norm("output_norm.weight".into()));
        if !self.tied {
            tensors.push(matrix("output.weight".into()));
        }
        tensors
    }

    fn try_plan(&self, file_type: F, options: &Options) -> Result<Plan, Error> {
        let model = ModelShape {
            architecture: "llama".into(),
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            tokenizer: "llama".into(),
            ..ModelShape::default()
        };
        plan(&model, &self.tensors(), file_type, options)
    }

    fn plan(&self, file_type: F, options: &Options) -> Plan {
        self.try_plan(file_type, options).unwrap()
    }

    fn error(&self, file_type: F, options: &Options) -> String {
        self.try_plan(file_type, options).unwrap_err().to_string()
    }
}

fn of(vintage: Vintage) -> Options {
    Options {
        vintage: Some(vintage),
        ..Options::default()
    }
}

fn rules(rules: &[&str]) -> Options {
    Options {
        tensor_types: rules
            .iter()
            .map(|rule| parse_tensor_rule(rule).unwrap())
            .collect(),
        ..Options::default()
    }
}

fn tensor<'a>(plan: &'a Plan, name: &str) -> &'a PlannedTensor {
    plan.tensors.iter().find(|t| t.name == name).unwrap()
}

fn ty(plan: &Plan, name: &str) -> T {
    tensor(plan, name).ty
}

/// The layers whose `role` has type `ty`.
fn layers_with(plan: &Plan, role: &str, ty: T) -> Vec<u32> {
    let layers = 0..plan.tensors.len() as u32;
    layers
        .filter(|layer| {
            let name = format!("blk.{layer}.{role}.weight");
            plan.tensors.iter().any(|t| t.name == name && t.ty == ty)
        })
        .collect()
}

#[test]
fn the_true_layer_number_decides_whatever_the_order() {
    let tiny = Tiny { layers: 16, ..TINY };
    let model = ModelShape {
        architecture: "llama".into(),
        layers: 16,
        heads: 8,
        kv_heads: 8,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let mut reversed = tiny.tensors();
    reversed.reverse();
    let plan = plan(&model, &reversed, F::Q4_K_M, &Options::default()).unwrap();
    assert_eq!(plan.tensors[0].name, "output.weight", "order is kept");
    for role in ["attn_v", "ffn_down"] {
        let wide = layers_with(&plan, role, T::Q6_K);
        assert_eq!(wide, [0, 1, 4, 7, 10, 13, 14, 15], "{role}");
    }
}

#[test]
fn models_of_1_2_7_16_40_and_80_layers() {
    // Layers whose ffn_down is wider in: Q4_K_M (Q6_K); Q4_K_S and Q3_K_M (Q5_K), by vintage.
    type Case<'a> = (u32, &'a [u32], [(&'a [u32], &'a [u32]); 2]);
    let range: Vec<u32> = (0..80).collect();
    let more_40: Vec<u32> = (0..5).chain((7..35).step_by(3)).chain(35..40).collect();
    let more_80: Vec<u32> = (0..10).chain((12..70).step_by(3)).chain(70..80).collect();
    let cases: [Case; 6] = [
        (1, &[0], [(&[0], &[0]), (&[], &[])]),
        (2, &[1], [(&[0, 1], &[0, 1]), (&[], &[])]),
        (7, &[2, 5, 6], [(&[0, 1, 2, 3], &[0, 1]), (&[], &[])]),
        (
            16,
            &[0, 1, 4, 7, 10, 13, 14, 15],
            [(&[0, 1, 2, 3], &[0, 1]), (&[0, 1], &[0])],
        ),
        (
            40,
            &more_40,
            [(&[0, 1, 2, 3], &[0, 1]), (&range[..5], &[0, 1])],
        ),
        (
            80,
            &more_80,
            [(&[0, 1, 2, 3], &[0, 1]), (&range[..10], &range[..5])],
        ),
    ];
    for (layers, more_bits, by_vintage) in cases {
        let tiny = Tiny { layers, ..TINY };
        for (vintage, (q4_k_s, q3_k_m)) in Vintage::ALL.into_iter().zip(by_vintage) {
            let options = of(vintage);
            let wide = |file, role, ty| layers_with(&tiny.plan(file, &options), role, ty);
            assert_eq!(wide(F::Q4_K_M, "ffn_down", T::Q6_K), more_bits, "{layers}");
            assert_eq!(wide(F::Q5_K_M, "attn_v", T::Q6_K), more_bits, "{layers}");
            assert_eq!(wide(F::Q4_K_S, "ffn_down", T::Q5_K), q4_k_s, "{layers}");
            assert_eq!(wide(F::Q3_K_M, "ffn_down", T::Q5_K), q3_k_m, "{layers}");
            // attn_v counts layers in both vintages.
            let first = |n: u32| (0..n.min(layers)).collect::<Vec<_>>();
            assert_eq!(wide(F::Q4_K_S, "attn_v", T::Q5_K), first(4), "{layers}");
            assert_eq!(wide(F::Q3_K_M, "attn_v", T::Q5_K), first(2), "{layers}");
        }
    }
}

#[test]
fn q2_k_of_grouped_heads_and_the_feed_forward_differ_by_vintage() {
    for (kv_heads, vintage, attn_v, ffn_up) in [
        (8, Vintage::V2023_11, T::Q3_K, T::Q3_K),
        (2, Vintage::V2023_11, T::Q3_K, T::Q3_K),
        (8, Vintage::Current, T::Q3_K, T::Q2_K),
        (4, Vintage::Current, T::Q3_K, T::Q2_K),
        (2, Vintage::Current, T::Q4_K, T::Q2_K),
        (1, Vintage::Current, T::Q4_K, T::Q2_K),
    ] {
        let plan = Tiny { kv_heads, ..TINY }.plan(F::Q2_K, &of(vintage));
        assert_eq!(
            ty(&plan, "blk.1.attn_v.weight"),
            attn_v,
            "{vintage} {kv_heads}"
        );
        assert_eq!(ty(&plan, "blk.1.ffn_up.weight"), ffn_up, "{vintage}");
        assert_eq!(ty(&plan, "blk.1.ffn_gate.weight"), ffn_up, "{vintage}");
        assert_eq!(ty(&plan, "blk.1.attn_k.weight"), T::Q2_K);
    }
}

#[test]
fn attn_v_of_a_70b_model_is_at_least_q5_k_in_k_files() {
    let llama_70b = Tiny {
        layers: 80,
        heads: 64,
        ..TINY
    };
    for vintage in Vintage::ALL {
        for (file, even, wide) in [
            (F::Q2_K, T::Q5_K, T::Q5_K),
            (F::Q3_K_S, T::Q5_K, T::Q5_K),
            (F::Q3_K_M, T::Q5_K, T::Q5_K),
            (F::Q3_K_L, T::Q5_K, T::Q5_K),
            (F::Q4_K_S, T::Q5_K, T::Q5_K),
            (F::Q4_K_M, T::Q5_K, T::Q6_K),
            (F::Q5_K_S, T::Q5_K, T::Q5_K),
            (F::Q5_K_M, T::Q5_K, T::Q6_K),
            (F::Q4_0, T::Q4_0, T::Q4_0),
            (F::Q6_K, T::Q6_K, T::Q6_K),
        ] {
            let plan = llama_70b.plan(file, &of(vintage));
            assert_eq!(ty(&plan, "blk.11.attn_v.weight"), even, "{vintage} {file}");
            assert_eq!(ty(&plan, "blk.79.attn_v.weight"), wide, "{vintage} {file}");
        }
        let llama_65b = Tiny {
            kv_heads: 64,
            ..llama_70b
        };
        let plan = llama_65b.plan(F::Q3_K_S, &of(vintage));
        assert_eq!(ty(&plan, "blk.11.attn_v.weight"), T::Q3_K, "{vintage}");
    }
}

#[test]
fn a_tied_embedding_is_the_output_today_and_was_not_in_2023() {
    let tied = Tiny { tied: true, ..TINY };
    for (vintage, file, expected) in [
        (Vintage::V2023_11, F::Q4_K_M, T::Q4_K),
        (Vintage::Current, F::Q4_K_M, T::Q6_K),
        (Vintage::Current, F::Q4_0, T::Q6_K),
        (Vintage::Current, F::Q8_0, T::Q8_0),
    ] {
        let plan = tied.plan(file, &of(vintage));
        assert_eq!(ty(&plan, "token_embd.weight"), expected, "{vintage} {file}");
    }
    let plan = tied.plan(F::Q4_0, &of(Vintage::Current));
    assert_eq!(
        tensor(&plan, "token_embd.weight").rule,
        "recipe current: output of Q4_0: Q6_K (the embedding is the output too)"
    );
    let plan = TINY.plan(F::Q4_0, &of(Vintage::Current));
    assert_eq!(ty(&plan, "token_embd.weight"), T::Q4_0, "not tied");
    assert_eq!(ty(&plan, "output.weight"), T::Q6_K);
}

#[test]
fn every_tensor_says_who_decided() {
    let mut options = rules(&["attn_k=q8_0"]);
    options.embedding_type = Some(T::Q5_1);
    let plan = TINY.plan(F::Q4_K_M, &options);
    for (name, rule) in [
        ("blk.0.attn_norm.weight", "stays F32: it has one dimension"),
        ("blk.0.attn_k.weight", "tensor rule 1: attn_k=Q8_0"),
        ("token_embd.weight", "embedding type: Q5_1"),
        ("output.weight", "recipe 2023-11: output of Q4_K_M: Q6_K"),
        (
            "blk.0.attn_q.weight",
            "recipe 2023-11: anything else of Q4_K_M: Q4_K",
        ),
        (
            "blk.1.ffn_down.weight",
            "recipe 2023-11: ffn_down of Q4_K_M in the first 1/8, the last 1/8 and every third \
             layer between: Q6_K",
        ),
    ] {
        assert_eq!(tensor(&plan, name).rule, rule);
    }
    let pure = Options {
        pure: true,
        ..Options::default()
    };
    let plan = TINY.plan(F::Q4_K_M, &pure);
    assert_eq!(tensor(&plan, "output.weight").rule, "pure Q4_K_M: Q4_K");
    let plan = TINY.plan(F::F16, &pure);
    assert_eq!(tensor(&plan, "output.weight").rule, "F16 file");
}

#[test]
fn the_first_matching_rule_wins_over_everything_but_f32() {
    let mut options = rules(&[r"^blk\.0\.ffn=Q8_0", "ffn_down=F16", "^output.weight$=BF16"]);
    options.pure = true;
    options.embedding_type = Some(T::Q6_K);
    let plan = TINY.plan(F::Q4_K_S, &options);
    assert_eq!(ty(&plan, "blk.0.ffn_down.weight"), T::Q8_0);
    assert_eq!(ty(&plan, "blk.1.ffn_down.weight"), T::F16);
    assert!(!tensor(&plan, "blk.1.ffn_down.weight").quantized);
    assert_eq!(ty(&plan, "blk.1.ffn_up.weight"), T::Q4_K);
    assert_eq!(ty(&plan, "token_embd.weight"), T::Q6_K);
    assert_eq!(ty(&plan, "output.weight"), T::BF16);
    for wide in [".=F16", ".=Q4_K", ".=F32"] {
        let plan = TINY.plan(F::Q4_K_S, &rules(&[wide]));
        for tensor in &plan.tensors {
            let norm = tensor.name.ends_with("norm.weight");
            assert_eq!(tensor.shape.dims().len() == 1, norm);
            assert!(!norm || tensor.ty == T::F32, "{wide}");
        }
    }
    let plan = TINY.plan(F::F16, &rules(&["ffn_up=Q8_0"]));
    assert_eq!(
        ty(&plan, "blk.0.ffn_up.weight"),
        T::Q8_0,
        "also in F16 files"
    );
}

#[test]
fn rules_without_effect_are_errors() {
    for (given, expected) in [
        (
            &["ffn_dwon=Q6_K"][..],
            "tensor rule ffn_dwon=Q6_K matches none of the 19 tensors; \
             the nearest names are blk.{0..1}.ffn_down.weight, ",
        ),
        (
            &[r"blk\.2\.=Q6_K"],
            r"tensor rule blk\.2\.=Q6_K matches none of the 19 tensors; the nearest names are blk.",
        ),
        (&["FFN_DOWN=Q6_K"], "tensor rule FFN_DOWN=Q6_K matches none"),
        (
            &["_norm=F16"],
            "tensor rule _norm=F16 matches only tensors that keep their type under every rule, \
             such as blk.0.attn_norm.weight (it has one dimension)",
        ),
        (
            &["ffn=Q6_K", "ffn_down=Q8_0"],
            "tensor rule ffn_down=Q8_0 decides nothing: an earlier rule matches each of the \
             2 tensors that it matches; the first match wins",
        ),
    ] {
        let message = TINY.error(F::Q4_K_M, &rules(given));
        assert!(message.starts_with(expected), "{message}");
    }
    let plan = TINY.plan(F::Q4_K_M, &rules(&["_norm=F32"]));
    assert_eq!(
        plan,
        TINY.plan(F::Q4_K_M, &Options::default()),
        "asks for what is"
    );
}

#[test]
fn output_and_embedding_types_name_one_tensor_each() {
    let options = Options {
        output_type: Some(T::Q8_0),
        embedding_type: Some(T::F16),
        ..Options::default()
    };
    let plan = TINY.plan(F::Q2_K, &options);
    assert_eq!(ty(&plan, "output.weight"), T::Q8_0);
    assert_eq!(ty(&plan, "token_embd.weight"), T::F16);

    let tied = Tiny { tied: true, ..TINY };
    let message = tied.error(F::Q2_K, &options);
    assert!(
        message.starts_with("the output type Q8_0 decides nothing: the model has no output.weight"),
        "{message}"
    );
    for vintage in Vintage::ALL {
        let output_only = Options {
            embedding_type: None,
            vintage: Some(vintage),
            ..options.clone()
        };
        let plan = tied.plan(F::Q2_K, &output_only);
        assert_eq!(
            ty(&plan, "token_embd.weight"),
            T::Q8_0,
            "serves as the output"
        );
        assert_eq!(tensor(&plan, "token_embd.weight").rule, "output type: Q8_0");
    }

    let taken = Options {
        output_type: Some(T::Q8_0),
        ..rules(&["^output=Q5_K"])
    };
    assert_eq!(
        TINY.error(F::Q2_K, &taken),
        "the output type Q8_0 decides nothing: a tensor rule matches its tensor first"
    );
    let only_norm = [("output_norm.weight", Shape::from_gguf(&[256]).unwrap())];
    let model = ModelShape {
        architecture: "llama".into(),
        layers: 0,
        heads: 1,
        kv_heads: 1,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    for (output_type, embedding_type, expected) in [
        (
            Some(T::Q8_0),
            None,
            "neither output.weight nor token_embd.weight",
        ),
        (None, Some(T::Q8_0), "the model has no token_embd.weight"),
    ] {
        let options = Options {
            output_type,
            embedding_type,
            ..Options::default()
        };
        let error = plan_error(&model, &only_norm, &options);
        assert!(error.ends_with(expected), "{error}");
    }
}

fn square() -> Shape {
    Shape::from_gguf(&[256, 256]).unwrap()
}

fn plan_error(model: &ModelShape, tensors: &[(&str, Shape)], options: &Options) -> String {
    plan(model, tensors, F::Q4_K_M, options)
        .unwrap_err()
        .to_string()
}

#[test]
fn pure_files_have_one_block_type() {
    let options = Options {
        pure: true,
        importance: Importance::Given,
        ..Options::default()
    };
    for file in F::known() {
        let plan = TINY.plan(file, &options);
        for tensor in &plan.tensors {
            let expected = if tensor.shape.dims().len() == 1 {
                T::F32
            } else {
                file.base()
            };
            assert_eq!(tensor.ty, expected, "{file} {}", tensor.name);
        }
    }
}

#[test]
fn types_that_do_not_fit_fall_back_by_vintage_and_say_so() {
    let pure = |vintage| Options {
        pure: true,
        ..of(vintage)
    };
    // (file, columns) -> type in 2023-11, type today
    for (file, cols, old, new) in [
        (F::Q2_K, 320, T::Q4_0, T::Q4_0),
        (F::Q3_K_S, 320, T::Q4_1, T::Q4_0),
        (F::Q4_K_S, 320, T::Q5_0, T::Q5_0),
        (F::Q5_K_S, 320, T::Q5_1, T::Q5_1),
        (F::Q6_K, 320, T::Q8_0, T::Q8_0),
        (F::Q4_0, 320, T::Q4_0, T::Q4_0),
        (F::Q8_0, 320, T::Q8_0, T::Q8_0),
        (F::Q2_K, 40, T::F16, T::F16),
        (F::Q3_K_S, 40, T::F16, T::F16),
        (F::Q6_K, 40, T::F16, T::F16),
        (F::Q4_0, 40, T::F16, T::F16),
        (F::Q8_0, 1, T::F16, T::F16),
        (F::BF16, 40, T::BF16, T::BF16),
        (F::Q4_K_M, 512, T::Q4_K, T::Q4_K),
    ] {
        let tiny = Tiny { cols, ..TINY };
        for (vintage, expected) in Vintage::ALL.into_iter().zip([old, new]) {
            let plan = tiny.plan(file, &pure(vintage));
            for tensor in plan.tensors.iter().filter(|t| t.shape.dims().len() == 2) {
                let wanted = tensor.fallback.as_ref().map_or(tensor.ty, |f| f.wanted);
                assert_eq!(tensor.ty, expected, "{vintage} {file} {cols}");
                assert_eq!(wanted, file.base(), "{vintage} {file} {cols}");
                assert_eq!(tensor.quantized, expected.is_quantized());
            }
        }
    }
    let plan = Tiny { cols: 320, ..TINY }.plan(F::Q4_K_M, &Options::default());
    assert_eq!(plan.fallbacks().count(), 2 * 7 + 2);
    let (output, fallback) = plan.fallbacks().last().unwrap();
    assert_eq!(
        (output.name.as_str(), output.ty),
        ("output.weight", T::Q8_0)
    );
    assert_eq!(fallback.wanted, T::Q6_K);
    assert_eq!(
        fallback.reason,
        "a row of 320 weights is not a multiple of 256, the block of Q6_K"
    );
    assert_eq!(output.rule, "recipe 2023-11: output of Q4_K_M: Q6_K");
    assert_eq!(output.bytes, 320 / 32 * 34 * 64);
}

#[test]
fn a_rule_of_the_users_falls_back_too() {
    let plan = Tiny { cols: 320, ..TINY }.plan(F::Q8_0, &rules(&["attn_q=Q4_K"]));
    let attn_q = tensor(&plan, "blk.0.attn_q.weight");
    assert_eq!(attn_q.ty, T::Q5_0);
    assert_eq!(attn_q.fallback.as_ref().unwrap().wanted, T::Q4_K);
    assert_eq!(plan.fallbacks().count(), 2);
}

#[test]
fn without_fallbacks_misfits_are_counted_by_type() {
    let options = Options {
        no_fallback: true,
        ..rules(&["blk=Q8_0"])
    };
    let message = Tiny { cols: 320, ..TINY }.error(F::Q4_K_M, &options);
    assert_eq!(
        message,
        "Q4_K_M: 2 tensors would need a fallback, and fallbacks are not allowed: \
         1 tensor from Q4_K to Q5_0 (token_embd.weight, whose row of 320 is not a multiple of \
         256), 1 tensor from Q6_K to Q8_0 (output.weight, whose row of 320 is not a multiple of \
         256)"
    );
    let options = Options {
        no_fallback: true,
        ..Options::default()
    };
    let message = Tiny { cols: 320, ..TINY }.error(F::Q4_K_M, &options);
    assert_eq!(
        message,
        "Q4_K_M: 16 tensors would need a fallback, and fallbacks are not allowed: \
         13 tensors from Q4_K to Q5_0 (such as token_embd.weight, whose row of 320 is not a \
         multiple of 256), 3 tensors from Q6_K to Q8_0 (such as blk.1.attn_v.weight, whose row \
         of 320 is not a multiple of 256)"
    );
    assert_eq!(TINY.plan(F::Q4_K_M, &options).fallbacks().count(), 0);
}

#[test]
fn models_and_types_outside_the_tables_are_errors() {
    let falcon = ModelShape {
        architecture: "falcon".into(),
        layers: 1,
        heads: 1,
        kv_heads: 1,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let of_2023 = of(Vintage::V2023_11);
    let error = plan_error(&falcon, &[], &of_2023);
    assert!(error.contains("--recipe current"), "{error}");
    let unnamed = plan(&falcon, &[("a", square())], F::F16, &Options::default()).unwrap();
    assert_eq!(unnamed.vintage, Vintage::Current);
    let llama = ModelShape {
        architecture: "llama".into(),
        ..falcon
    };
    assert_eq!(
        plan_error(
            &llama,
            &[("blk.1.attn_q.weight", square())],
            &Options::default()
        ),
        "tensor blk.1.attn_q.weight is of layer 1, expected less than the model's 1 layers"
    );
    for options in [
        Options {
            output_type: Some(T::I8),
            ..Options::default()
        },
        Options {
            tensor_types: vec![(parse_tensor_rule("a=F16").unwrap().0, T::I8)],
            ..Options::default()
        },
    ] {
        let message = TINY.error(F::Q4_K_M, &options);
        assert!(
            message.starts_with("tensors cannot be written as I8"),
            "{message}"
        );
    }
    let huge = Shape::from_gguf(&[1 << 30, 1 << 30]).unwrap();
    let huge: Vec<_> = (0..20).map(|i| (format!("t{i}.weight"), huge)).collect();
    let error = plan(&llama, &huge, F::F32, &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tensors up to t3.weight take more than 2^64 bytes"
    );
}

#[test]
fn a_plan_without_tensors_weighs_nothing() {
    let llama = ModelShape {
        architecture: "llama".into(),
        layers: 0,
        heads: 1,
        kv_heads: 1,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let none: [(&str, Shape); 0] = [];
    let plan = plan(&llama, &none, F::Q4_K_M, &Options::default()).unwrap();
    assert_eq!((plan.bytes(), plan.weights()), (0, 0));
    assert_eq!(plan.bits_per_weight(), 0.0);
}

/// A plan of one layer's tensors, `(name in the layer, dimensions)`, of eight layers.
fn layer_3(model: ModelShape, tensors: &[(&str, &[u64])], file: F, options: &Options) -> Plan {
    let model = ModelShape {
        architecture: "some".into(),
        layers: 8,
        ..model
    };
    let named = tensors.iter().map(|(name, dims)| {
        let name = match *name {
            outside if outside.contains("embd") || outside.starts_with("per_layer") => {
                format!("{outside}.weight")
            }
            inside => format!("blk.3.{inside}.weight"),
        };
        (name, Shape::from_gguf(dims).unwrap())
    });
    plan(&model, &Vec::from_iter(named), file, options).unwrap()
}

#[test]
fn experts_have_rules_of_their_own() {
    let of = |experts, file| {
        let model = ModelShape {
            experts,
            ..ModelShape::default()
        };
        let tensors: [(&str, &[u64]); 5] = [
            ("attn_v", &[256, 8]),
            ("attn_output", &[256, 8]),
            ("ffn_down_exps", &[256, 8, experts.max(2).into()]),
            ("ffn_gate_inp", &[256, 8]),
            ("ffn_down_shexp", &[256, 8]),
        ];
        layer_3(model, &tensors, file, &of(Vintage::Current))
    };
    let types = |plan: Plan| Vec::from_iter(plan.tensors.iter().map(|t| t.ty));
    assert_eq!(
        types(of(0, F::Q2_K)),
        [T::Q3_K, T::Q3_K, T::Q3_K, T::F32, T::Q3_K]
    );
    assert_eq!(
        types(of(8, F::Q2_K)),
        [T::Q8_0, T::Q5_K, T::Q3_K, T::F32, T::Q3_K]
    );
    assert_eq!(
        types(of(8, F::Q3_K_L)),
        [T::Q8_0, T::Q3_K, T::Q5_K, T::F32, T::Q5_K]
    );
    assert_eq!(
        types(of(8, F::MXFP4_MOE)),
        [T::Q8_0, T::Q8_0, T::MXFP4, T::F32, T::Q8_0]
    );
    let plan = of(8, F::MXFP4_MOE);
    assert_eq!(
        plan.tensors[2].rule,
        "recipe current: anything else of MXFP4_MOE: MXFP4"
    );
    let plan = of(8, F::Q3_K_L);
    assert_eq!(
        plan.tensors[2].rule,
        "recipe current: ffn_down of Q3_K_L: Q5_K (ffn_down_exps counts as ffn_down)"
    );
}

#[test]
fn layers_without_attention_are_not_counted_for_values() {
    let tensors: Vec<(String, Shape)> = [1, 3, 5, 7]
        .map(|layer| format!("blk.{layer}.attn_v.weight"))
        .map(|name| (name, Shape::from_gguf(&[256, 8]).unwrap()))
        .into();
    let model = ModelShape {
        architecture: "some".into(),
        layers: 8,
        ..ModelShape::default()
    };
    let plan = plan(&model, &tensors, F::Q3_K_M, &Options::default()).unwrap();
    let types: Vec<T> = plan.tensors.iter().map(|t| t.ty).collect();
    assert_eq!(types, [T::Q5_K, T::Q5_K, T::Q4_K, T::Q4_K], "the first two");
}

#[test]
fn what_holds_values_counts_as_attn_v_and_small_matrices_stay() {
    let model = ModelShape {
        float: Some(T::BF16),
        ..ModelShape::default()
    };
    let tensors: [(&str, &[u64]); 4] = [
        ("attn_qkv", &[256, 8]),
        ("attn_kv_b", &[256, 8]),
        ("ssm_conv1d", &[4, 256]),
        ("per_layer_model_proj", &[256, 8]),
    ];
    let plan = layer_3(model, &tensors, F::Q3_K_L, &Options::default());
    let types: Vec<T> = plan.tensors.iter().map(|t| t.ty).collect();
    assert_eq!(types, [T::Q5_K, T::Q5_K, T::F32, T::BF16]);
    assert_eq!(
        plan.tensors[0].rule,
        "recipe current: attn_v of Q3_K_L: Q5_K (attn_qkv counts as attn_v)"
    );
    assert_eq!(plan.tensors[3].rule, "stays BF16: it is small");
    let plan = layer_3(ModelShape::default(), &tensors, F::F32, &Options::default());
    assert!(plan.tensors.iter().all(|t| t.ty == T::F32));
}

#[test]
fn types_that_need_importance_are_refused_without_it() {
    let none = of(Vintage::Current);
    assert_eq!(
        TINY.error(F::IQ2_M, &none),
        "IQ2_M needs an importance matrix: 10 tensors cannot be encoded without one, such as \
         blk.0.attn_q.weight as IQ2_S; give one with --imatrix"
    );
    assert!(
        TINY.error(F::Q2_K_S, &none)
            .starts_with("Q2_K_S needs an importance matrix: ")
    );
    for file in [F::Q2_K, F::IQ3_S, F::IQ4_XS, F::TQ1_0] {
        let plan = TINY.plan(file, &none);
        assert!(plan.tensors.iter().all(|t| !t.needs_importance), "{file}");
    }
    let given = Options {
        importance: Importance::Given,
        ..none
    };
    let plan = TINY.plan(F::IQ2_M, &given);
    for tensor in &plan.tensors {
        let needs = tensor.ty == T::IQ2_S;
        assert_eq!(tensor.needs_importance, needs, "{}", tensor.name);
    }
    // The encoder itself does not go without, wherever the tensor is.
    let pure = Options {
        pure: true,
        ..given
    };
    let plan = TINY.plan(F::IQ2_XS, &pure);
    assert!(tensor(&plan, "token_embd.weight").needs_importance);
    let plan = TINY.plan(F::IQ3_XXS, &pure);
    assert!(!tensor(&plan, "token_embd.weight").needs_importance);
}

#[test]
fn the_output_of_odd_rows_is_q8_0_in_every_mix() {
    let odd = Tiny { cols: 320, ..TINY };
    let given = Options {
        importance: Importance::Given,
        ..Options::default()
    };
    for file in F::known().filter(|file| file.is_quantized() && file.bits() < 8) {
        let plan = odd.plan(file, &given);
        assert_eq!(ty(&plan, "output.weight"), T::Q8_0, "{file}");
    }
}

/// As many as a large mixture has before its experts are stacked.
#[test]
fn a_hundred_thousand_tensors_are_planned_at_once() {
    let tiny = Tiny {
        layers: 12_500,
        ..TINY
    };
    let count = tiny.tensors().len();
    assert!(count > 100_000, "{count}");
    for file_type in [F::Q4_K_M, F::IQ4_XS, F::Q2_K] {
        let start = std::time::Instant::now();
        let plan = tiny.try_plan(file_type, &Options::default()).unwrap();
        println!("{file_type}: {count} tensors in {:?}", start.elapsed());
        assert_eq!(plan.tensors.len(), count);
    }
}

/// Four times the bytes would hold the same numbers.
#[test]
fn tensors_that_are_mxfp4_in_the_source_stay_it_in_files_of_floats() {
    let name = "blk.1.ffn_up.weight";
    let stored = Options {
        mxfp4: [name.to_owned()].into(),
        ..Options::default()
    };
    let ty = |file_type, options: &Options| {
        let plan = TINY.try_plan(file_type, options).unwrap();
        let of = |wanted: &str| plan.tensors.iter().find(|t| t.name == wanted).unwrap().ty;
        (of(name), of("blk.0.ffn_up.weight"))
    };
    for (file_type, float) in [(F::F32, T::F32), (F::BF16, T::BF16)] {
        assert_eq!(ty(file_type, &stored), (T::MXFP4, float));
    }
    assert_eq!(ty(F::Q8_0, &stored), (T::Q8_0, T::Q8_0));
    let ruled = Options {
        tensor_types: vec![parse_tensor_rule("ffn_up=f16").unwrap()],
        ..stored
    };
    assert_eq!(ty(F::F32, &ruled), (T::F16, T::F16));
}
