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

fn layers_in(layers: Layers, count: u32) -> Vec<u32> {
    (0..count)
        .filter(|&layer| layers.contains(Some(layer.into()), count))
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
}

#[test]
fn a_tensor_outside_the_layers_is_only_in_all() {
    assert!(Layers::All.contains(None, 32));
    for layers in [Layers::First(99), Layers::FirstOneIn(1), Layers::MoreBits] {
        assert!(!layers.contains(None, 32), "{layers:?}");
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

/// A row above may hide one below, which would then be a lie to the reader.
#[test]
fn every_rule_decides_somewhere() {
    let models = [(32, 32, 32), (32, 32, 8), (80, 64, 8), (80, 64, 64)];
    for vintage in Vintage::ALL {
        // Asked for once: what is constant may lie at two addresses.
        let mix = vintage.facts().mix;
        for rule in mix.rules {
            for &file in rule.files {
                let decides = models.iter().any(|&(layers, heads, kv_heads)| {
                    let model = model(layers, heads, kv_heads);
                    let layers = (0..u64::from(layers)).map(Some).chain([None]);
                    layers.into_iter().any(|layer| {
                        let found = mix.rule(rule.role, file, layer, &model);
                        found.is_some_and(|found| std::ptr::eq(found, rule))
                    })
                });
                assert!(decides, "{vintage}, {file}: {rule}");
            }
        }
    }
}

#[test]
fn rules_name_quantized_files_and_types_that_a_plan_can_have() {
    for vintage in Vintage::ALL {
        let mix = vintage.facts().mix;
        for rule in mix.rules {
            assert!(rule.files.iter().all(|file| file.is_quantized()), "{rule}");
            assert!(crate::TENSOR_TYPES.contains(&rule.ty), "{rule}");
            assert_ne!(rule.role, Role::Other, "{rule}");
        }
        for ty in crate::TENSOR_TYPES {
            let replaced = mix.fallbacks.iter().find(|row| row.0 == ty);
            assert_eq!(replaced.is_some(), ty.block_elems() == 256, "{ty}");
            assert!(replaced.is_none_or(|row| row.1.block_elems() == 32));
        }
    }
}

#[test]
fn rules_read_as_sentences() {
    let mix = Vintage::V2023_11.facts().mix;
    let model = model(32, 32, 8);
    let rule = mix.rule(Role::FfnDown, FileType::Q4_K_M, Some(0), &model);
    assert_eq!(
        rule.unwrap().to_string(),
        "ffn_down of Q4_K_M, Q5_K_M in the first 1/8, the last 1/8 and every third layer between: Q6_K"
    );
    let rule = mix.rule(Role::AttnV, FileType::Q4_K_S, Some(3), &model);
    assert_eq!(
        rule.unwrap().within(FileType::Q4_K_S),
        "attn_v of Q4_K_S in the first 4 layers: Q5_K"
    );
}
