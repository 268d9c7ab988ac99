//! The Hub from the command line: the real binary against a test Hub on loopback.

#[cfg(unix)]
mod disk;
mod everywhere;
#[cfg(target_os = "linux")]
mod large;
mod network;
mod pasted;
mod token;

use crate::support::{arg, command, fixture, names, ok};
use aeolus_gguf::{HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType};
use aeolus_testkit::hub_server::{Access, Action, Fault, HubServer, Repo, Site};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The token of these tests; nothing may print it.
const TOKEN: &str = "hf_NobodyMayEverReadThisToken";

/// A Hub, a home with a cache, and a place for outputs.
struct Scene {
    server: HubServer,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let server = HubServer::start();
        server.set_token(TOKEN);
        Self {
            server,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// With the small model, as `test/notus-mini`, and weights in a format that nobody needs.
    fn with_model() -> Self {
        let scene = Self::new();
        let repo = Repo::new()
            .folder(&fixture("notus-mini"))
            .large("pytorch_model.bin", vec![7; 1000]);
        scene.server.add_repo("test/notus-mini", repo);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with this scene's Hub and cache, and nothing of the user's.
    fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = command();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_uppercase();
            let concerns = ["HF_", "HUGGING", "TRANSFORMERS_", "XDG_CACHE"];
            if concerns.iter().any(|c| text.starts_with(c)) || text.ends_with("_PROXY") {
                command.env_remove(&name);
            }
        }
        command
            .env("HF_ENDPOINT", self.server.endpoint())
            .env("HF_HOME", self.path("home"))
            .stdin(Stdio::null())
            .args(args);
        command
    }

    fn ok<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        succeeded(self.command(args).output().unwrap())
    }

    /// The one line of an error.
    fn fails<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        failed(self.command(args).output().unwrap())
    }

    /// Requests for the bytes of files, not for facts about them.
    fn downloads(&self) -> usize {
        self.server
            .requests()
            .iter()
            .filter(|r| r.method == "GET" && !r.target.starts_with("/api/"))
            .count()
    }

    fn sent(&self) -> u64 {
        self.server.requests().iter().map(|r| r.body_bytes).sum()
    }

    fn blobs(&self, id: &str) -> PathBuf {
        let folder = format!("home/hub/models--{}/blobs", id.replace('/', "--"));
        self.path(&folder)
    }
}

fn succeeded(output: Output) -> String {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{talk}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn failed(output: Output) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    // Waits are told on lines of their own.
    let is_wait = |line: &&str| line.contains("; trying again in ");
    let errors = message.lines().filter(|line| !is_wait(line)).count();
    assert_eq!(errors, 1, "{message}");
    message
}

fn assert_same_files(a: &Path, b: &Path) {
    assert_eq!(names(a), names(b));
    for name in names(a) {
        let (x, y) = (std::fs::read(a.join(&name)), std::fs::read(b.join(&name)));
        assert!(x.unwrap() == y.unwrap(), "{name} differs");
    }
}

#[test]
fn a_table_from_the_hub_is_the_local_one_and_fetched_once() {
    let scene = Scene::with_model();
    let local = scene.path("local");
    let model = fixture("notus-mini");
    ok(["table", arg(&model), "-o", arg(&local)]);
    assert_eq!(names(&local).len(), 13);

    let out = scene.path("out");
    let table = ["table", "hf:test/notus-mini", "-o", arg(&out), "--force"];
    let first = scene.command(table).output().unwrap();
    // No bar where there is no terminal: a line on what was fetched, one on what was written.
    let talk = String::from_utf8(first.stderr.clone()).unwrap();
    assert_eq!(talk.lines().count(), 2, "{talk}");
    assert!(
        talk.starts_with("test/notus-mini at ") && talk.contains("fetched in"),
        "{talk}"
    );
    succeeded(first);
    assert_same_files(&local, &out);
    assert!(scene.downloads() > 0);
    let asked = scene.server.requests();
    assert!(
        asked.iter().all(|r| !r.target.contains("pytorch_model")),
        "the same weights twice"
    );

    scene.server.clear_requests();
    std::fs::remove_dir_all(&out).unwrap();
    scene.ok(table);
    assert_same_files(&local, &out);
    assert_eq!(scene.downloads(), 0, "{:?}", scene.server.requests());

    scene.server.clear_requests();
    std::fs::remove_dir_all(&out).unwrap();
    let offline = scene.command(table).env("HF_HUB_OFFLINE", "1").output();
    succeeded(offline.unwrap());
    assert_same_files(&local, &out);
    assert!(scene.server.requests().is_empty());

    let message = failed(
        scene
            .command(["table", "hf:test/another", "-o", arg(&out)])
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap(),
    );
    assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
}

#[test]
fn a_forecast_leaves_the_weights_where_they_are() {
    let scene = Scene::with_model();
    let model = fixture("notus-mini");
    let local = ok(["forecast", arg(&model)]);
    assert_eq!(scene.ok(["forecast", "hf:test/notus-mini"]), local);
    let config = "hf:test/notus-mini@main/config.json";
    assert_eq!(scene.ok(["forecast", config]), local);
    let asked = scene.server.requests();
    assert!(asked.iter().any(|r| r.target.ends_with("/config.json")));
    assert!(
        asked
            .iter()
            .all(|r| !r.target.contains(".safetensors") || r.target.contains("index.json"))
    );
    assert!(scene.sent() < 3 << 20, "{} bytes", scene.sent());
}

/// A file of one type, and its name in a repository.
fn quantized(scene: &Scene) -> PathBuf {
    let path = scene.path("notus-mini.Q4_K_M.gguf");
    let model = fixture("notus-mini");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_M",
        "-o",
        arg(&path),
    ]);
    let repo = Repo::new()
        .file("README.md", "# mini\n")
        .large("notus-mini.Q4_K_M.gguf", std::fs::read(&path).unwrap());
    scene.server.add_repo("test/mini-GGUF", repo);
    path
}

#[test]
fn files_of_the_hub_stand_wherever_a_file_does() {
    let scene = Scene::new();
    let path = quantized(&scene);
    let remote = "hf:test/mini-GGUF/notus-mini.Q4_K_M.gguf";
    let text = ["The old man", "--ids"];
    let ours = scene.ok(["tokenize", remote, text[0], text[1]]);
    assert_eq!(ours, ok(["tokenize", arg(&path), text[0], text[1]]));
    let digest = |text: String| text.lines().map(|l| l[..64].to_owned()).collect::<Vec<_>>();
    assert_eq!(
        digest(scene.ok(["hash", remote])),
        digest(ok(["hash", arg(&path)]))
    );
    let compared = scene.ok(["hash", remote, arg(&path), "--json"]);
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(compared["equal"], true);
    let run = ["-p", "The old man", "-n", "8", "--temp", "0"];
    let args = |file| ["run", file].into_iter().chain(run);
    assert_eq!(scene.ok(args(remote)), ok(args(arg(&path))));
    let again = scene.path("again");
    scene.ok([
        "quantize",
        remote,
        "--type",
        "Q8_0",
        "--allow-requantize",
        "-o",
        arg(&again),
    ]);
    let expected = ["Notus-Mini.Q8_0.gguf", "SHA256SUMS"];
    assert_eq!(names(&again), expected, "its own name");

    // A whole repository is no file, and says which it has.
    for command in ["run", "inspect"] {
        let message = scene.fails([command, "hf:test/mini-GGUF"]);
        assert!(message.contains("notus-mini.Q4_K_M.gguf"), "{message}");
    }
    let message = scene.fails(["table", "hf:test/mini-GGUF"]);
    assert!(message.contains("notus-mini.Q4_K_M.gguf"), "{message}");
    let message = scene.fails(["hash", "hf:test"]);
    assert!(message.contains("hf:owner/name"), "{message}");
}

/// The header of a 7B file, and the length of the file.
fn header_of_7b() -> (Vec<u8>, u64) {
    let facts =
        aeolus_checkpoint::Forecastable::from_config(&fixture("notus-7b-v1"), &Default::default())
            .unwrap();
    let output = aeolus_pipeline::Output::plan(
        &facts,
        aeolus_recipe::FileType::Q4_K_M,
        &Default::default(),
        Default::default(),
        None,
    )
    .unwrap();
    (
        output.layout().encode_header(),
        output.layout().file_bytes(),
    )
}

/// What `inspect --json` says, but for the name.
fn inspected(json: &str) -> Value {
    let mut json: Value = serde_json::from_str(json).unwrap();
    json["file"].take();
    json
}

#[test]
fn inspecting_gigabytes_reads_megabytes() {
    let scene = Scene::new();
    let (header, bytes) = header_of_7b();
    assert!(bytes > 4_000_000_000);
    let local = scene.path("local.gguf");
    std::fs::write(&local, &header).unwrap();
    let file = std::fs::File::options().write(true).open(&local).unwrap();
    file.set_len(bytes).unwrap();
    let repo = Repo::new().large_sparse("m.Q4_K_M.gguf", header, bytes);
    scene.server.add_repo("test/7b-GGUF", repo);

    let remote = "hf:test/7b-GGUF/m.Q4_K_M.gguf";
    let text = scene.ok(["inspect", remote]);
    assert!(text.starts_with(remote), "{text}");
    assert!(scene.sent() < 5_000_000, "{} bytes were read", scene.sent());
    assert!(!scene.path("home").exists(), "nothing is kept");
    assert_eq!(
        inspected(&scene.ok(["inspect", remote, "--json"])),
        inspected(&ok(["inspect", arg(&local), "--json"]))
    );
    for flag in ["--tensors", "--keys"] {
        assert_eq!(
            scene.ok(["inspect", remote, flag]),
            ok(["inspect", arg(&local), flag])
        );
    }
    // What is no GGUF file is told by its first bytes.
    let repo = Repo::new().large_sparse("x.gguf", b"PK\x03\x04".to_vec(), 1 << 40);
    scene.server.add_repo("test/zip", repo);
    scene.server.clear_requests();
    let message = scene.fails(["inspect", "hf:test/zip/x.gguf"]);
    assert!(message.contains("x.gguf"), "{message}");
    assert!(scene.sent() < 5_000_000, "{} bytes were read", scene.sent());
}

#[test]
fn the_parts_of_a_split_file_are_inspected_as_one() {
    let scene = Scene::new();
    let folder = scene.path("parts");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..3_u16 {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "llama");
        metadata.insert("split.no", number);
        metadata.insert("split.count", 3_u16);
        metadata.insert("split.tensors.count", 3_i32);
        let layout = Layout::new(HeaderSpec {
            version: 3,
            endian: aeolus_gguf::Endian::Little,
            metadata,
            tensors: vec![TensorSpec {
                name: format!("t{number}"),
                shape: Shape::from_gguf(&[32, 3]).unwrap(),
                ty: TensorType::Q8_0,
            }],
        })
        .unwrap();
        let mut bytes = layout.encode_header();
        bytes.resize(usize::try_from(layout.file_bytes()).unwrap(), 0);
        let name = format!("m-{:05}-of-00003.gguf", number + 1);
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    scene
        .server
        .add_repo("test/split", Repo::new().folder(&folder));
    let name = "m-00002-of-00003.gguf";
    let remote = format!("hf:test/split/{name}");
    let ours = inspected(&scene.ok(["inspect", &remote, "--json"]));
    let local = folder.join(name);
    assert_eq!(ours, inspected(&ok(["inspect", arg(&local), "--json"])));
    assert_eq!(
        (&ours["parts"], ours["tensors"].as_array().unwrap().len()),
        (&Value::from(3), 3)
    );
    // Fetched, all parts are there.
    scene.ok(["hash", &remote]);
    let offline = scene
        .command(["inspect", &remote, "--json"])
        .env("HF_HUB_OFFLINE", "1")
        .output();
    assert_eq!(inspected(&succeeded(offline.unwrap())), ours);
}

#[test]
fn fetch_takes_patterns_revisions_and_folders() {
    let scene = Scene::with_model();
    let older = Repo::new()
        .file("config.json", "{}")
        .file("note.txt", "old");
    scene.server.add_revision("test/notus-mini", "v0", older);
    // The place is data: another command can take it.
    let place = scene.ok(["fetch", "test/notus-mini"]);
    let fetched = Path::new(place.trim_end());
    let model = fixture("notus-mini");
    for name in names(&model) {
        let same = std::fs::read(fetched.join(&name)).unwrap()
            == std::fs::read(model.join(&name)).unwrap();
        assert!(same, "{name}");
    }
    assert!(!fetched.join("pytorch_model.bin").exists());

    let dir = scene.path("plain");
    let base = ["fetch", "hf:test/notus-mini", "--dir", arg(&dir)];
    let some = [
        "--include",
        "*.json",
        "--include",
        "*.bin",
        "--exclude",
        "token*",
    ];
    let json: Value =
        serde_json::from_str(&scene.ok(base.iter().chain(&some).chain(&["--json"]))).unwrap();
    assert_eq!(json["schema"], "aeolus.fetch/1");
    assert_eq!(json["path"], arg(&dir));
    let files: Vec<&str> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    assert_eq!(files, names(&dir));
    assert!(files.contains(&"config.json") && files.contains(&"pytorch_model.bin"));
    assert!(files.iter().all(|f| !f.starts_with("token")), "{files:?}");

    let v0 = ["--revision", "v0", "--include", "*"];
    let message = scene.fails(base.iter().chain(&v0));
    assert!(
        message.contains("config.json: exists and differs"),
        "{message}"
    );
    scene.ok(base.iter().chain(&v0).chain(&["--force"]));
    assert_eq!(
        std::fs::read_to_string(dir.join("note.txt")).unwrap(),
        "old"
    );
    let place = scene.ok(["fetch", "hf:test/notus-mini@v0/note.txt", "--quiet"]);
    assert_eq!(std::fs::read_to_string(place.trim_end()).unwrap(), "old");

    for (args, part) in [
        (["fetch", "test/notus-mini", "--include", "*.txt"], "*.txt"),
        (["fetch", "test/missing", "--exclude", "x"], "test/missing"),
        (
            ["fetch", "test/notus-mini@v0", "--revision", "v0"],
            "--revision",
        ),
        (["fetch", "test/notus-mini", "--revision", "v9"], "v9"),
    ] {
        let message = scene.fails(args);
        assert!(message.contains(part), "{message}");
    }
    scene.server.add_repo(
        "test/gated",
        Repo::new().access(Access::Gated).file("config.json", "{}"),
    );
    let message = scene.fails(["fetch", "test/gated", "--include", "*"]);
    assert!(
        message.contains("accept its licence") && message.contains("HF_TOKEN"),
        "{message}"
    );
}

const SLOW: &str = "weights.gguf";
const SLOW_BYTES: usize = 24 << 20;

/// A file of two ranges, of which each connection gets 5 MiB and then nothing.
fn stuck(scene: &Scene) -> Vec<u8> {
    let bytes: Vec<u8> = (0..SLOW_BYTES as u32 / 4)
        .flat_map(|i| i.wrapping_mul(0x9E37_79B9).to_le_bytes())
        .collect();
    let repo = Repo::new().large(SLOW, bytes.clone());
    scene.server.add_repo("test/slow", repo);
    let silence = Action::StallAfter(5 << 20);
    scene
        .server
        .fault(Fault::new(silence).site(Site::Store).times(99));
    bytes
}

/// Bytes that the journals of a folder's unfinished files promise.
fn noted(folder: &Path) -> u64 {
    let range = |line: &str| {
        let (first, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(end.parse::<u64>().ok()? - first.parse::<u64>().ok()?)
    };
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "journal"))
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().filter_map(range).collect::<Vec<_>>()
        })
        .sum()
}

/// Starts a fetch and waits until 8 MiB of it are on the disk.
fn fetch_until_stuck(scene: &Scene) -> Child {
    let mut child = scene
        .command(["fetch", "test/slow", "--include", SLOW])
        .env("HF_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while noted(&scene.blobs("test/slow")) < 8 << 20 {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Fetches the rest, and checks that it is the rest and no more.
fn fetch_the_rest(scene: &Scene, bytes: &[u8]) {
    scene.server.clear_faults();
    scene.server.clear_requests();
    let place = scene.ok(["fetch", "test/slow", "--include", SLOW]);
    assert!(std::fs::read(Path::new(place.trim_end()).join(SLOW)).unwrap() == bytes);
    let sent: u64 = scene
        .server
        .requests()
        .iter()
        .filter(|r| r.site == Site::Store)
        .map(|r| r.body_bytes)
        .sum();
    assert!(sent <= 16 << 20, "{sent} bytes for the rest");
    assert!(
        names(&scene.blobs("test/slow"))
            .iter()
            .all(|n| !n.contains("partial"))
    );
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    let scene = Scene::new();
    let bytes = stuck(&scene);
    let mut child = fetch_until_stuck(&scene);
    // SIGKILL: no handler, no destructor.
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    fetch_the_rest(&scene, &bytes);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_fetch_and_keeps_what_came() {
    let scene = Scene::new();
    let bytes = stuck(&scene);
    let child = fetch_until_stuck(&scene);
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status.code(), Some(130));
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("interrupted"), "{talk}");
    fetch_the_rest(&scene, &bytes);
}

/// A folder as `quantize` leaves it, with what people add.
fn outputs(scene: &Scene) -> PathBuf {
    let folder = scene.path("outputs");
    let model = fixture("notus-mini");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0,Q8_0",
        "-o",
        arg(&folder),
    ]);
    std::fs::write(
        folder.join("README.md"),
        "---\nlicense: cc0-1.0\n---\n# mini\n",
    )
    .unwrap();
    std::fs::write(folder.join("notus-mini.Q2_K.gguf.partial"), "half").unwrap();
    folder
}

#[test]
fn publish_sends_what_the_dry_run_printed() {
    let scene = Scene::new();
    let folder = outputs(&scene);
    let publish = |flags: &[&str]| {
        let args = ["publish", arg(&folder), "tester/mini-GGUF", "--private"];
        let mut command = scene.command(args.iter().chain(flags));
        succeeded(command.env("HF_TOKEN", TOKEN).output().unwrap())
    };
    let dry = publish(&["--dry-run"]);
    let dry_json: Value = serde_json::from_str(&publish(&["--dry-run", "--json"])).unwrap();
    assert!(
        scene.server.repo("tester/mini-GGUF").is_none(),
        "nothing is made"
    );
    assert!(
        dry.starts_with("repository tester/mini-GGUF (to be created, private)\n"),
        "{dry}"
    );
    assert!(!dry.contains("partial"), "{dry}");

    scene.server.clear_requests();
    let sent = publish(&[]);
    let url = sent.strip_prefix(&dry).expect("the dry run's lines first");
    let there = scene.server.repo("tester/mini-GGUF").unwrap();
    assert_eq!(
        url,
        format!(
            "{}/tester/mini-GGUF/commit/{}\n",
            scene.server.endpoint(),
            there.commit()
        )
    );

    // What was received: these files with these bytes, in one commit with this message.
    let files = dry_json["files"].as_array().unwrap();
    let commits = scene.server.commits();
    assert_eq!(commits.len(), 1);
    let lines: Vec<Value> = commits[0]
        .1
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines[0]["value"]["summary"], dry_json["summary"]);
    let received: Vec<&Value> = lines[1..].iter().map(|l| &l["value"]["path"]).collect();
    assert_eq!(
        received,
        files.iter().map(|f| &f["path"]).collect::<Vec<_>>()
    );
    let mut uploaded = 0;
    for file in files {
        let path = file["path"].as_str().unwrap();
        let bytes = std::fs::read(folder.join(path)).unwrap();
        assert!(there.holds(path, &bytes), "{path}");
        assert_eq!(file["sha256"], crate::support::sha256(&bytes));
        assert_eq!(file["bytes"], bytes.len());
        let line = format!("sha256:{}  {path}\n", file["sha256"].as_str().unwrap());
        assert!(dry.contains(&line), "{line} in\n{dry}");
        if path.ends_with(".gguf") {
            assert_eq!(file["how"], "store");
            uploaded += bytes.len() as u64;
        }
    }
    // Besides them there is what the Hub makes itself.
    assert_eq!(there.files().len(), files.len() + 1);
    let stored = scene.server.stored();
    assert_eq!(stored.values().map(|s| s.bytes).sum::<u64>(), uploaded);

    // It is private: without the token there is no such repository.
    let message = scene.fails(["fetch", "tester/mini-GGUF", "--include", "*"]);
    assert!(message.contains("no such repository"), "{message}");

    // Again: nothing is left to send.
    let again: Value = serde_json::from_str(&publish(&["--json"])).unwrap();
    assert_eq!(again["schema"], "aeolus.publish/1");
    assert_eq!(again["changed"], false);
    assert_eq!(again["uploaded_bytes"], 0);
    assert_eq!(scene.server.commits().len(), 1);
}

#[test]
fn publish_says_what_is_missing() {
    let scene = Scene::new();
    let folder = scene.path("bare");
    std::fs::create_dir_all(&folder).unwrap();
    let base = ["publish", arg(&folder), "tester/bare"];
    let message = scene.fails(base);
    assert!(message.contains("holds no file"), "{message}");
    std::fs::write(folder.join("a.gguf"), "GGUF").unwrap();
    let dry = scene
        .command(base.iter().chain(&["--dry-run"]))
        .output()
        .unwrap();
    let talk = String::from_utf8(dry.stderr.clone()).unwrap();
    assert!(talk.contains("no README.md"), "{talk}");
    succeeded(dry);
    let output = scene.command(base).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("set HF_TOKEN"), "{talk}");
    assert!(scene.server.repo("tester/bare").is_none());
    let message = scene.fails(["publish", arg(&folder), "tester/bare/sub"]);
    assert!(message.contains("whole repository"), "{message}");
}

#[test]
fn fetch_and_publish_explain_themselves() {
    let help = ok(["--help"]);
    for name in ["fetch", "publish"] {
        assert!(help.contains(&format!("\n  {name} ")), "{name} in\n{help}");
        let own = ok([name, "--help"]);
        assert!(
            own.contains("Example") && own.contains(&format!("aeolus {name}")),
            "{own}"
        );
        assert!(own.contains("HF_TOKEN"), "{own}");
    }
}
