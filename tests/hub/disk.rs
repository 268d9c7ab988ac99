//! Downloads onto a disk that fills up.

use super::{SLOW, SLOW_BYTES, Scene, TOKEN, noted};
use crate::resume::Mount;
use crate::support::{arg, fill, names};
use aeolus_testkit::hub_server::{Action, Fault, Repo, Site};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// A file of two ranges, of which each connection gets 5 MiB at first, and then nothing until the
/// faults are cleared.
fn stuck(scene: &Scene) -> Vec<u8> {
    let numbers = (0..SLOW_BYTES as u32 / 4).map(|i| i.wrapping_mul(0x9E37_79B9));
    let bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
    let repo = Repo::new().large(SLOW, bytes.clone());
    scene.server.add_repo("test/slow", repo);
    for (times, silence) in [(2, 5 << 20), (999, 0)] {
        let fault = Fault::new(Action::StallAfter(silence));
        scene.server.fault(fault.site(Site::Store).times(times));
    }
    bytes
}

#[test]
fn a_real_disk_that_fills_up_is_told_of_and_gone_on_from() {
    let Some(disk) = Mount::new("size=64m") else {
        return;
    };
    // Into the cache, and into a folder of the user's own.
    for own in [false, true] {
        let scene = Scene::new();
        let bytes = stuck(&scene);
        // The cache is on that disk, as large ones are.
        let home = disk.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::symlink(&home, scene.path("home")).unwrap();
        let out = disk.path().join("out");
        let mut args = vec!["fetch", "test/slow", "--include", SLOW];
        let mut folder = scene.blobs("test/slow");
        if own {
            args.extend(["--dir", arg(&out)]);
            folder.clone_from(&out);
        }
        let fetch = || {
            let mut command = scene.command(&args);
            // Of the nine attempts some are left when the disk is full.
            command.env("HF_TOKEN", TOKEN);
            command.env("HF_HUB_DOWNLOAD_TIMEOUT", "2");
            command
        };
        let mut slow = fetch();
        slow.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = slow.spawn().unwrap();
        while noted(&folder) < 10 << 20 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let filler = fill(disk.path());
        scene.server.clear_faults();
        let message = super::failed(child.wait_with_output().unwrap());
        let told = ".partial: cannot write: No space left on device";
        assert!(message.contains(told), "{message}");
        assert!(message.contains(arg(&folder)), "{message}");
        // What came is there, and nothing else: no file, no link to one.
        let left = names(&folder);
        let partial = left.iter().all(|name| name.contains(".partial"));
        assert!(partial && left.len() == 2, "{left:?}");
        assert!(noted(&folder) >= 10 << 20, "{} bytes", noted(&folder));
        let snapshots = folder.with_file_name("snapshots");
        assert!(!snapshots.exists(), "{:?}", names(&snapshots));

        std::fs::remove_file(filler).unwrap();
        scene.server.clear_requests();
        let place = super::succeeded(fetch().output().unwrap());
        assert!(std::fs::read(Path::new(place.trim_end()).join(SLOW)).unwrap() == bytes);
        let requests = scene.server.requests();
        let store = requests.iter().filter(|r| r.site == Site::Store);
        let sent: u64 = store.map(|r| r.body_bytes).sum();
        assert!(sent <= 14 << 20, "{sent} bytes for the rest");
        assert_eq!(names(&folder).len(), 1, "{:?}", names(&folder));
        for folder in [&home, &out] {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
