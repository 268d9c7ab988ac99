//! What only a process of its own can show: being killed, a full disk, memory.
//!
//! A test here starts this test program again, with itself as the only test and a task in the
//! environment; in that process it does the task instead of testing.

use crate::support::*;
use aeolus_hub::{Error, Event, PublishRequest, Selection, Target};
use aeolus_testkit::hub_server::{Action, Fault, HubServer, Repo, Site};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const ENDPOINT: &str = "AEOLUS_HUB_TEST_ENDPOINT";
const FOLDER: &str = "AEOLUS_HUB_TEST_FOLDER";

/// The task, in the process that was started for it.
fn task() -> Option<(String, PathBuf)> {
    Some((
        std::env::var(ENDPOINT).ok()?,
        PathBuf::from(std::env::var_os(FOLDER)?),
    ))
}

/// This test program, to run one test as a task; `shell` may prepare and then `exec "$@"`.
fn child(test: &str, server: &HubServer, folder: &Path, shell: Option<&str>) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(program),
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(program);
            command
        }
    };
    command
        .args([
            &format!("process::{test}"),
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ENDPOINT, server.endpoint())
        .env(FOLDER, folder)
        .stdin(Stdio::null());
    command
}

fn fetch(
    endpoint: &str,
    cache: &Path,
    progress: &dyn aeolus_hub::Progress,
) -> Result<PathBuf, Error> {
    let all = Selection::patterns(&[], &[]).unwrap();
    Ok(hub(at(endpoint, cache))
        .fetch(&repo("o/n"), &all, &Target::Cache, progress)?
        .place)
}

fn store_bytes(server: &HubServer) -> u64 {
    server
        .requests()
        .iter()
        .filter(|r| r.site == Site::Store)
        .map(|r| r.body_bytes)
        .sum()
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    const BYTES: u64 = 3 << 20;
    const RANGE: u64 = 64 << 10;
    const STUCK: u64 = 30_000;
    if let Some((endpoint, cache)) = task() {
        let mut settings = at(&endpoint, &cache);
        settings.network.stall_timeout = Duration::from_secs(60);
        let all = Selection::patterns(&[], &[]).unwrap();
        hub(settings)
            .fetch(&repo("o/n"), &all, &Target::Cache, &())
            .unwrap();
        return;
    }
    let server = HubServer::start();
    let bytes = noise(BYTES as usize, 5);
    server.add_repo("o/n", Repo::new().large("w.gguf", bytes.clone()));
    let cache = tempfile::tempdir().unwrap();
    for (ranges, deaths) in [(12, 1), (10, 2)] {
        // Some ranges arrive, then all four connections are stuck in the middle of one.
        let before = store_bytes(&server);
        let pass = Action::Header("X-Fine", "1".to_owned());
        server.fault(Fault::new(pass).site(Site::Store).times(ranges as usize));
        server.fault(
            Fault::new(Action::StallAfter(STUCK))
                .site(Site::Store)
                .times(99),
        );
        let name = "a_killed_fetch_goes_on_where_it_was";
        let mut child = child(name, &server, cache.path(), None)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while store_bytes(&server) < before + ranges * RANGE + 4 * STUCK {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "death {deaths} never came"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        // SIGKILL: no handler, no destructor.
        child.kill().unwrap();
        assert!(
            !child.wait().unwrap().success(),
            "the fetch was over before it was killed"
        );
        server.clear_faults();
    }
    let blobs = repo_folder(cache.path(), "o/n").join("blobs");
    assert_eq!(
        names(&blobs).len(),
        2,
        "a partial file and its journal: {:?}",
        names(&blobs)
    );
    let record = Record::default();
    let place = fetch(&server.endpoint(), cache.path(), &record).unwrap();
    assert!(fs::read(place.join("w.gguf")).unwrap() == bytes);
    assert_eq!(names(&blobs).len(), 1);
    assert_eq!(record.count("Lost"), 0);
    // A death costs what the four connections had not finished (a range that was on its way to the
    // journal included), and nothing else.
    let most = BYTES + 2 * 4 * (STUCK + RANGE);
    assert!(
        store_bytes(&server) <= most,
        "{} bytes sent for {BYTES}",
        store_bytes(&server)
    );
}

/// Fills the disk when the first bytes arrive.
struct Filler(PathBuf, Mutex<bool>);

impl aeolus_hub::Progress for Filler {
    fn event(&self, event: Event<'_>) {
        let mut done = self.1.lock().unwrap();
        if matches!(event, Event::Advanced { .. }) && !std::mem::replace(&mut *done, true) {
            let mut file = fs::File::create(&self.0).unwrap();
            while file.write_all(&[1; 4096]).is_ok() {}
        }
    }
}

#[test]
fn a_disk_that_fills_up_ends_the_fetch_and_keeps_what_came() {
    if let Some((endpoint, disk)) = task() {
        let (cache, filler) = (disk.join("cache"), disk.join("filler"));
        let error =
            fetch(&endpoint, &cache, &Filler(filler.clone(), Mutex::default())).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(".partial: cannot write: No space left"),
            "{text}"
        );
        let left = names(&repo_folder(&cache, "o/n").join("blobs"));
        let unfinished = left.iter().all(|name| name.contains(".partial"));
        assert!(unfinished && left.len() == 2, "{left:?}");
        fs::remove_file(filler).unwrap();
        let record = Record::default();
        let place = fetch(&endpoint, &cache, &record).unwrap();
        assert!(fs::read(place.join("w.gguf")).unwrap() == noise(2 << 20, 6));
        return;
    }
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().large("w.gguf", noise(2 << 20, 6)));
    // A disk of its own, in a namespace of its own.
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=6m disk '{}'", disk.path().display());
    let can = Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .stderr(Stdio::null())
        .status();
    if !can.is_ok_and(|status| status.success()) {
        println!("no namespaces for users here: a full disk is left to the check before the fetch");
        return;
    }
    let script = format!("exec unshare -rm sh -c \"{mount} && exec \\\"\\$@\\\"\" sh \"$@\"");
    server.fault(
        Fault::new(Action::Trickle(8192, 1))
            .site(Site::Store)
            .times(9999),
    );
    let name = "a_disk_that_fills_up_ends_the_fetch_and_keeps_what_came";
    let output = child(name, &server, disk.path(), Some(&script))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(
        store_bytes(&server) < (2 << 20) + 5 * (64 << 10),
        "{} bytes",
        store_bytes(&server)
    );
}

/// The most memory this process ever held, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_file_goes_up_in_little_memory() {
    const MOST: u64 = 256_000_000;
    if let Some((endpoint, folder)) = task() {
        let mut settings = signed_in(at(&endpoint, &folder.join("cache")));
        settings.network.stall_timeout = Duration::from_secs(20);
        settings.network.answer_timeout = Duration::from_secs(60);
        let hub = hub(settings);
        let request = PublishRequest::new(folder.join("out"), repo("tester/large")).unwrap();
        let plan = hub.plan(&request, &()).unwrap();
        let done = hub.publish(&plan, &()).unwrap();
        assert_eq!(done.uploaded_bytes, plan.files[0].bytes);
        let peak = peak_memory();
        println!("peak memory {peak} bytes");
        assert!(
            peak < MOST,
            "{peak} bytes of memory for a file of {}",
            done.uploaded_bytes
        );
        return;
    }
    // Twice the memory by default; more where somebody asks for it and has the time.
    let mib = std::env::var("AEOLUS_HUB_UPLOAD_MIB").map_or(512, |text| text.parse().unwrap());
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    let file = fs::File::create(folder.path().join("out/large.gguf")).unwrap();
    file.set_len(mib << 20).unwrap();
    let name = "a_large_file_goes_up_in_little_memory";
    let output = child(name, &server, folder.path(), None).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    println!(
        "{}",
        text.lines()
            .find(|l| l.contains("peak"))
            .unwrap_or_default()
    );
    let stored = server.stored();
    assert_eq!(
        stored.values().map(|s| s.bytes).collect::<Vec<_>>(),
        [mib << 20]
    );
    let commits = server.commits();
    assert!(
        commits[0].1.len() < 1000,
        "{} bytes of commit",
        commits[0].1.len()
    );
}
