//! What people paste in place of `hf:owner/name`.

use super::{Scene, TOKEN, quantized, succeeded};
use crate::support::arg;

const FILE: &str = "notus-mini.Q4_K_M.gguf";

#[test]
fn types_and_addresses_stand_wherever_a_file_does() {
    let scene = Scene::new();
    quantized(&scene);
    let branch = scene.server.repo("test/mini-GGUF").unwrap();
    scene
        .server
        .add_revision("test/mini-GGUF", "feature/x", branch);
    let home = scene.server.endpoint();
    let plain = format!("hf:test/mini-GGUF/{FILE}");
    let digest = |text: &str| scene.ok(["hash", text]).lines().next().unwrap()[..64].to_owned();
    let expected = digest(&plain);
    for text in [
        "hf:test/mini-GGUF:Q4_K_M".to_owned(),
        "hf.co/test/mini-GGUF:q4_k_m".to_owned(),
        "HF:test/mini-GGUF:Q4_K_M".to_owned(),
        format!("{plain}:Q4_K_M"),
        "hf:test/mini-GGUF@feature/x:Q4_K_M".to_owned(),
        format!("hf:test/mini-GGUF@feature/x/{FILE}"),
        format!("hf://test/mini-GGUF/{FILE}"),
        format!("https://huggingface.co/test/mini-GGUF/blob/main/{FILE}"),
        format!("{home}/test/mini-GGUF/resolve/main/{FILE}?download=true"),
        format!("{home}/test/mini-GGUF/blob/feature%2Fx/{FILE}"),
        format!("{home}/test/mini-GGUF?show_file_info={FILE}"),
    ] {
        assert_eq!(digest(&text), expected, "{text}");
        let seen = scene.ok(["inspect", text.as_str(), "--keys"]);
        assert!(seen.contains("general.architecture"), "{text}");
    }
    let place = |args: &[&str]| scene.ok(["fetch", "--include", "*.gguf"].iter().chain(args));
    let main = place(&["test/mini-GGUF"]);
    for text in [
        format!("{home}/test/mini-GGUF/"),
        format!("{home}/test/mini-GGUF/tree/main"),
        format!("{home}/test/mini-GGUF.git"),
        "hf.co/test/mini-GGUF".to_owned(),
        "git@hf.co:test/mini-GGUF.git".to_owned(),
    ] {
        assert_eq!(place(&[&text]), main, "{text}");
    }
    assert!(place(&["test/mini-GGUF@feature/x"]).contains("snapshots"));
}

#[test]
fn what_is_not_a_model_of_the_hub_gets_its_right_form() {
    let scene = Scene::new();
    quantized(&scene);
    for (args, part) in [
        (["inspect", "hf:test/mini-GGUF:Q8_0"], FILE),
        (["run", "hf:test/mini-GGUF"], FILE),
        (
            ["inspect", "https://huggingface.co/datasets/o/n"],
            "a dataset",
        ),
        (["fetch", "hf.co/spaces/o/n"], "a space"),
        (["inspect", "https://mirror.example/o/n"], "HF_ENDPOINT"),
        (["fetch", "https://u:hf_x@hf.co/o/n"], "HF_TOKEN"),
        (
            ["inspect", "test/mini-GGUF:Q4_K_M"],
            "hf:test/mini-GGUF:Q4_K_M",
        ),
        (["forecast", "test/notus-mini"], "hf:test/notus-mini"),
        (
            ["inspect", "hf:test/mini-GGUF/notus-mini.Q4_K_M.gguf:Q8_0"],
            "notus-mini.Q4_K_M.gguf is a file, and not of type Q8_0",
        ),
        (["fetch", "test/mini-GGUF@no/such"], "named no, or no/such"),
        (
            ["run", "ollama.com/library/llama3"],
            "ollama.com is not the Hub",
        ),
        (
            ["fetch", "modelscope.cn/o/n"],
            "modelscope.cn is not the Hub",
        ),
    ] {
        let message = scene.fails(args);
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("hf_x"), "{message}");
    }
    assert!(
        scene
            .server
            .requests()
            .iter()
            .all(|r| r.site == super::Site::Hub)
    );
}

#[test]
fn publishing_takes_the_address_of_a_repository() {
    let scene = Scene::new();
    let folder = scene.path("bare");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("README.md"), "# m").unwrap();
    let publish = |to: &str| {
        let mut command = scene.command(["publish", arg(&folder), to, "--dry-run"]);
        command.env("HF_TOKEN", TOKEN).output().unwrap()
    };
    for to in [
        format!("{}/tester/m/tree/main", scene.server.endpoint()),
        "https://huggingface.co/tester/m".to_owned(),
        "hf.co/tester/m.git".to_owned(),
    ] {
        let plan = succeeded(publish(&to));
        assert!(
            plan.starts_with("repository tester/m (to be created"),
            "{plan}"
        );
        assert!(plan.contains("\nbranch     main\n"), "{plan}");
    }
    for (to, part) in [
        ("tester/m@feature/x", "hf:tester/m@feature%2Fx"),
        ("tester/m:Q4_K_M", "whole repository"),
        ("https://huggingface.co/datasets/tester/m", "a dataset"),
    ] {
        let message = super::failed(publish(to));
        assert!(message.contains(part), "{message}");
    }
}
