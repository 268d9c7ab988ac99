//! The token is for the Hub alone: it stands in no output, file, message or process title.

use super::*;

/// Every file below a folder whose bytes hold the token.
fn files_with_the_token(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_the_token(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes())
        {
            found.push(path);
        }
    }
}

#[test]
fn the_token_is_nowhere_to_be_read() {
    let scene = Scene::with_model();
    let server = &scene.server;
    let (gated, private) = (
        Repo::new().access(Access::Gated).file("config.json", "{}"),
        Repo::new()
            .access(Access::Private)
            .file("config.json", "{}"),
    );
    server.add_repo("test/gated", gated);
    server.add_repo("test/private", private);
    let folder = scene.path("out");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("README.md"), "# x\n").unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), format!("{TOKEN}\n")).unwrap();

    let out = arg(&folder);
    let model = "test/notus-mini";
    let commands: [&[&str]; 9] = [
        &["fetch", model],
        &["fetch", model, "--json"],
        &["fetch", "test/gated", "--include", "*", "--json"],
        &["fetch", "test/private", "--include", "*"],
        &["fetch", "test/missing", "--json"],
        &["forecast", "hf:test/notus-mini", "--json"],
        &["inspect", "hf:test/notus-mini/config.json"],
        &["publish", out, "tester/new", "--dry-run", "--json"],
        &["publish", out, "nobody/new"],
    ];
    // A server that repeats what it was sent, in every kind of refusal.
    let echo = || vec![("X-Error-Message", format!("Bearer {TOKEN} is not good"))];
    let mut spoken = 0;
    for status in [None, Some(400), Some(401), Some(403), Some(404)] {
        for args in commands {
            if let Some(status) = status {
                server.fault(Fault::new(Action::Status(status, echo())).times(99));
            }
            let with_file = args
                .iter()
                .copied()
                .chain(["--token-file", arg(secret.path())]);
            let takes_file = ["fetch", "publish"].contains(&args[0]);
            let mut runs = vec![scene.command(args)];
            runs[0].env("HF_TOKEN", TOKEN);
            if takes_file {
                runs.push(scene.command(with_file));
            }
            for run in &mut runs {
                let output = run
                    .env("RUST_LOG", "trace")
                    .env("RUST_BACKTRACE", "full")
                    .output()
                    .unwrap();
                for text in [&output.stdout, &output.stderr] {
                    let text = String::from_utf8_lossy(text);
                    assert!(!text.contains(TOKEN), "{args:?}: {text}");
                    spoken += usize::from(text.contains("***"));
                }
            }
            server.clear_faults();
        }
    }
    assert!(
        spoken > 0,
        "the server's words were shown, without the token"
    );
    let sent = server.requests();
    assert!(
        sent.iter()
            .any(|r| r.header("authorization") == Some(&format!("Bearer {TOKEN}"))),
        "it was sent to the Hub"
    );
    assert!(
        sent.iter()
            .filter(|r| r.site == Site::Store)
            .all(|r| r.header("authorization").is_none()),
        "and to nobody else"
    );
    let mut found = Vec::new();
    files_with_the_token(scene.dir.path(), &mut found);
    assert!(found.is_empty(), "{found:?}");

    // There is no flag for it, and one that is tried is not repeated.
    for args in [
        ["fetch", model, "--token", TOKEN],
        ["publish", out, "tester/new", "--token"],
    ] {
        let output = scene.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !text.contains(TOKEN) && text.contains("--token-file"),
            "{text}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn process_titles_do_not_hold_the_token() {
    let scene = Scene::new();
    stuck(&scene);
    let mut child = fetch_until_stuck(&scene);
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let mut titles = vec![std::fs::read(process.join("cmdline")).unwrap()];
    for task in std::fs::read_dir(process.join("task")).unwrap() {
        titles.push(std::fs::read(task.unwrap().path().join("comm")).unwrap_or_default());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(String::from_utf8_lossy(&titles[0]).contains("test/slow"));
    assert!(titles.len() > 2, "threads were looked at");
    for title in titles {
        let title = String::from_utf8_lossy(&title).into_owned();
        assert!(!title.contains("hf_"), "{title}");
    }
}
