//! Bad networks and simple file systems, as someone sees them who reads stderr in a log.

use super::{Scene, failed, succeeded};
use crate::support::arg;
use aeolus_testkit::hub_server::{Action, Fault, Repo};
use std::process::Output;

const PAGE: &str = "<!DOCTYPE html><html><title>Blocked by policy</title></html>";

fn talk(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_web_page_in_place_of_the_hub_is_told_at_once() {
    let scene = Scene::with_model();
    scene
        .server
        .fault(Fault::new(Action::Page(200, PAGE)).times(99));
    for args in [
        &["fetch", "test/notus-mini"][..],
        &["forecast", "hf:test/notus-mini"],
        &["inspect", "hf:test/notus-mini/model.gguf"],
    ] {
        scene.server.clear_requests();
        let message = scene.fails(args);
        assert!(
            message.contains("a web page titled \"Blocked by policy\"")
                && message.contains("HF_ENDPOINT"),
            "{message}"
        );
        assert_eq!(scene.server.requests().len(), 1, "{args:?}");
    }
}

#[test]
fn each_wait_is_told_where_there_is_no_terminal() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let scene = Scene::new();
    for args in [&["fetch", "o/n"][..], &["inspect", "hf:o/n/a.gguf"]] {
        let output = scene.command(args).env("HF_ENDPOINT", &nobody).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let lines = talk(&output);
        // Three retries, then the error, which names the settings.
        assert_eq!(lines.len(), 4, "{lines:?}");
        for line in &lines[..3] {
            assert!(
                line.starts_with("o/n: cannot reach 127.0.0.1:")
                    && line.contains("; trying again in "),
                "{line}"
            );
        }
        assert!(lines[3].contains("HTTPS_PROXY"), "{lines:?}");
    }

    // A server that says how long to wait is heeded, and the wait is told.
    let files = (0..20).fold(Repo::new(), |repo, i| {
        repo.file(&format!("{i}.txt"), "text")
    });
    scene.server.add_repo("test/many", files);
    let later = vec![("Retry-After", "1".to_owned())];
    let fault = Fault::new(Action::Status(429, later)).path("/resolve/");
    scene.server.fault(fault.times(2));
    let output = scene
        .command(["fetch", "test/many", "--include", "*"])
        .output();
    let output = output.unwrap();
    let lines = talk(&output);
    assert!((2..=3).contains(&lines.len()), "{lines:?}");
    assert!(
        lines[0].contains("429") && lines[0].ends_with("again in 1.0 s"),
        "{lines:?}"
    );
    succeeded(output);
}

#[test]
fn an_https_address_of_a_plain_server_is_told_at_once() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    // Ends with the program of this test.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut hello = [0; 4096];
            if stream.read(&mut hello).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        }
    });
    let scene = Scene::new();
    let mut command = scene.command(["fetch", "o/n"]);
    let message = failed(command.env("HF_ENDPOINT", &endpoint).output().unwrap());
    assert!(
        message.contains("the server does not speak TLS; its address may begin with http://")
            && message.contains("(1 attempt without progress)"),
        "{message}"
    );
    assert!(!message.contains("trying again"), "{message}");
}

#[test]
fn a_cache_without_links_serves_the_program() {
    let scene = Scene::with_model();
    let run = |offline: &str| {
        let mut command = scene.command(["forecast", "hf:test/notus-mini"]);
        command.env("HF_HUB_DISABLE_SYMLINKS", "1");
        succeeded(command.env("HF_HUB_OFFLINE", offline).output().unwrap())
    };
    let first = run("0");
    assert!(crate::support::names(&scene.blobs("test/notus-mini")).is_empty());
    assert_eq!(run("1"), first);
    let out = scene.path("out");
    let mut command = scene.command(["fetch", "test/notus-mini", "--dir", arg(&out)]);
    let output = command.env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(
        failed(output).contains("safetensors"),
        "the weights were never fetched"
    );
}
