use super::*;
use crate::{Role, Vintage};

fn model(layers: u32, heads: u32, kv_heads: u32) -> ModelShape {
    ModelShape {
        architecture: "llama".into(),
        layers,
        heads,
        kv_heads,
        ..ModelShape::default()
    }
}

fn place(layer: u64, layers: u64) -> Place {
    Place {
        layer: Some(layer),
        layers,
        tensor: Some(layer),
    }
}

fn layers_in(layers: Layers, count: u64) -> Vec<u64> {
    (0..count)
        .filter(|&layer| layers.contains(place(layer, count)))
        .collect()
}

#[test]
fn more_bits_go_to_both_ends_and_every_third_layer_between() {
    let more_bits = |count| layers_in(Layers::MoreBits, count);
    assert_eq!(more_bits(1), [0]);
    assert_eq!(more_bits(2), [1], "an eighth of 2 is no layer");
    assert_eq!(more_bits(7), [2, 5, 6]);
    assert_eq!(more_bits(8), [0, 3, 6, 7]);
    assert_eq!(more_bits(16), [0, 1, 4, 7, 10, 13, 14, 15]);
    let ends_of_40 = (0..5).chain((7..=34).step_by(3)).chain(35..40);
    assert_eq!(more_bits(40), ends_of_40.collect::<Vec<_>>());
    let ends_of_80 = (0..10).chain((12..=69).step_by(3)).chain(70..80);
    assert_eq!(more_bits(80), ends_of_80.collect::<Vec<_>>());
}

#[test]
fn first_layers_round_down() {
    assert_eq!(layers_in(Layers::First(2), 1), [0]);
    assert_eq!(layers_in(Layers::First(2), 80), [0, 1]);
    assert!(layers_in(Layers::FirstOneIn(16), 15).is_empty());
    assert_eq!(layers_in(Layers::FirstOneIn(16), 31), [0]);
    assert_eq!(layers_in(Layers::FirstOneIn(8), 40), [0, 1, 2, 3, 4]);
    assert_eq!(layers_in(Layers::All, 2), [0, 1]);
    assert_eq!(layers_in(Layers::Middle, 16), (2..14).collect::<Vec<_>>());
    assert!(layers_in(Layers::Middle, 1).is_empty());
}

#[test]
fn the_first_tensors_are_counted_whatever_their_layer() {
    let layers = Layers::FirstTensors(8);
    let tensor = |layer, tensor| Place {
        layer: Some(layer),
        layers: 32,
        tensor: Some(tensor),
    };
    assert!(layers.contains(tensor(1, 3)));
    assert!(!layers.contains(tensor(2, 4)));
}

#[test]
fn a_tensor_outside_the_layers_is_only_in_all() {
    let outside = Place {
        layers: 32,
        ..Place::default()
    };
    assert!(Layers::All.contains(outside));
    for layers in [
        Layers::First(99),
        Layers::FirstOneIn(1),
        Layers::FirstTensors(1),
        Layers::Middle,
        Layers::MoreBits,
    ] {
        assert!(!layers.contains(outside), "{layers:?}");
    }
}

#[test]
fn models_are_told_by_layers_and_heads() {
    for (model, grouped4, llama_70b) in [
        (model(80, 64, 8), true, true),
        (model(80, 64, 64), false, false),
        (model(80, 64, 32), false, true),
        (model(32, 32, 8), true, false),
        (model(32, 28, 8), false, false),
        (model(32, 32, 0), false, false),
    ] {
        assert!(Models::Any.contains(&model));
        assert_eq!(Models::Grouped4.contains(&model), grouped4, "{model:?}");
        assert_eq!(Models::Llama70B.contains(&model), llama_70b, "{model:?}");
    }
}

#[test]
fn models_of_70b_are_told_by_architecture_and_layers() {
    let of = |architecture: &str, layers| ModelShape {
        architecture: architecture.into(),
        ..model(layers, 64, 8)
    };
    for (model, expected) in [
        (of("qwen2", 80), true),
        (of("jais2", 68), true),
        (of("jais2", 80), false),
        (of("qwen3", 80), false),
    ] {
        assert_eq!(Models::Llama70B.contains(&model), expected, "{model:?}");
    }
}

fn models() -> Vec<ModelShape> {
    let with = |experts| ModelShape {
        experts,
        ..model(32, 32, 32)
    };
    vec![
        with(0),
        with(4),
        with(8),
        model(32, 32, 8),
        model(80, 64, 8),
        model(80, 64, 64),
        model(80, 64, 32),
    ]
}

/// A row above may hide one below, which would then be a lie to the reader.
#[test]
fn every_rule_decides_somewhere() {
    for vintage in Vintage::ALL {
        // Asked for once: what is constant may lie at two addresses.
        let mix = vintage.facts().mix;
        for rule in mix.rules() {
            for &file_type in rule.files {
                let decides = models().iter().any(|model| {
                    let layers = u64::from(model.layers);
                    let places = (0..layers).map(|layer| place(layer, layers));
                    places.chain([Place::default()]).any(|place| {
                        let found = mix.rule(Case {
                            role: match rule.tensors {
                                Tensors::Of(role) => role,
                                Tensors::Single => Role::Other,
                            },
                            stacked: false,
                            place,
                            file_type,
                            importance: rule.importance.unwrap_or_default(),
                            model,
                        });
                        found.is_some_and(|found| std::ptr::eq(found, rule))
                    })
                });
                assert!(decides, "{vintage}, {file_type}: {rule}");
            }
        }
    }
}

#[test]
fn rules_name_quantized_files_and_types() {
    for vintage in Vintage::ALL {
        for rule in vintage.facts().mix.rules() {
            assert!(rule.files.iter().all(|file| file.is_quantized()), "{rule}");
            assert!(rule.ty.is_quantized(), "{rule}");
            assert_ne!(rule.tensors, Tensors::Of(Role::Other), "{rule}");
        }
    }
}

#[test]
fn types_of_large_blocks_have_a_fallback_of_small_ones() {
    for vintage in Vintage::ALL {
        for ty in TensorType::all().filter(|ty| ty.is_quantized()) {
            let replaced = vintage.facts().mix.fallback(ty);
            let large = ty.block_elems() > 32 && ty != TensorType::Q8_K;
            assert_eq!(replaced.is_some(), large, "{ty}");
            assert!(replaced.is_none_or(|ty| ty.block_elems() == 32), "{ty}");
        }
    }
}

#[test]
fn rules_read_as_sentences() {
    let model = model(32, 32, 8);
    let rule = |vintage: Vintage, role, layer, file_type, importance| {
        let mix = vintage.facts().mix;
        let case = Case {
            role,
            stacked: false,
            place: place(layer, 32),
            file_type,
            importance,
            model: &model,
        };
        mix.rule(case).unwrap()
    };
    let none = Importance::None;
    let of_2023 = Vintage::V2023_11;
    assert_eq!(
        rule(of_2023, Role::FfnDown, 0, FileType::Q4_K_M, none).to_string(),
        "ffn_down of Q4_K_M, Q5_K_M in the first 1/8, the last 1/8 and every third layer between: Q6_K"
    );
    assert_eq!(
        rule(of_2023, Role::AttnV, 3, FileType::Q4_K_S, none).within(FileType::Q4_K_S),
        "attn_v of Q4_K_S in the first 4 layers: Q5_K"
    );
    let guided = Importance::Given;
    assert_eq!(
        rule(Vintage::Current, Role::FfnDown, 0, FileType::Q4_0, guided).to_string(),
        "ffn_down of Q4_0 in the first 1/8 of the layers with an importance matrix: Q4_1"
    );
    assert_eq!(
        rule(Vintage::Current, Role::Other, 0, FileType::MXFP4_MOE, none).to_string(),
        "what is no stack of experts of MXFP4_MOE: Q8_0"
    );
    assert_eq!(
        rule(Vintage::Current, Role::Output, 0, FileType::Q4_K_L, none).within(FileType::Q4_K_L),
        "output of Q4_K_L: Q8_0"
    );
}

#[test]
fn fused_queries_keys_and_values_have_a_role_of_their_own_in_2023_only() {
    let model = model(32, 32, 32);
    let of = |vintage: Vintage, file, layer| {
        let mix = vintage.facts().mix;
        let case = Case {
            role: mix.fused_attention,
            stacked: false,
            place: place(layer, 32),
            file_type: file,
            importance: Importance::None,
            model: &model,
        };
        mix.rule(case).map(|rule| rule.ty)
    };
    for (file, layer, then, now) in [
        (FileType::Q2_K, 9, None, Some(TensorType::Q3_K)),
        (
            FileType::Q3_K_M,
            0,
            Some(TensorType::Q4_K),
            Some(TensorType::Q5_K),
        ),
        (
            FileType::Q3_K_L,
            9,
            Some(TensorType::Q4_K),
            Some(TensorType::Q5_K),
        ),
        (
            FileType::Q4_K_M,
            0,
            Some(TensorType::Q5_K),
            Some(TensorType::Q6_K),
        ),
        (FileType::Q4_K_M, 4, Some(TensorType::Q5_K), None),
        (FileType::Q5_K_M, 4, Some(TensorType::Q6_K), None),
        (FileType::Q6_K, 4, None, None),
    ] {
        assert_eq!(of(Vintage::V2023_11, file, layer), then, "{file}");
        assert_eq!(of(Vintage::Current, file, layer), now, "{file}");
    }
}
