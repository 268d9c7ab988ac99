use super::*;
use crate::distribution::compare;
use crate::windows::Cut;
use aeolus_job::full_disk::FullDisk;
use std::path::PathBuf;

const VOCAB: usize = 41;
const FORMATS: [Format; 2] = [Format::Aeolus, Format::LlamaCpp];

fn windows(stride: Option<usize>) -> Windows {
    let tokens = (0..50).map(|i| i * 7 % VOCAB as u32).collect();
    Windows::new(tokens, &cut(stride)).unwrap()
}

fn cut(stride: Option<usize>) -> Cut {
    Cut {
        n_ctx: 12,
        stride,
        bos: Some(1),
        limit: None,
    }
}

fn facts() -> BaseFacts {
    BaseFacts {
        vocab: VOCAB,
        vocabulary: Some("v".into()),
        fingerprint: Some("f".into()),
        numeric: Some(Numeric::Exact),
    }
}

/// Logits `[scored, vocab]` of a window, between -9 and 9.
fn logits(window: usize, scored: usize) -> Vec<f32> {
    (0..scored * VOCAB)
        .map(|i| ((i + 31 * window) as f32 * 1.37).sin() * 9.0)
        .collect()
}

fn write(path: &Path, format: Format, windows: &Windows, upto: usize) -> Writer {
    let mut writer = Writer::create(path, format, windows, &facts()).unwrap();
    for window in writer.complete()..upto {
        let record = writer
            .encoder()
            .encode(&logits(window, windows.scored().len()));
        writer.append(&record.unwrap()).unwrap();
    }
    writer
}

fn whole(format: Format) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base");
    let windows = windows(None);
    write(&path, format, &windows, 4).finish().unwrap();
    (dir, path)
}

#[test]
fn what_was_written_is_read() {
    for format in FORMATS {
        let (_dir, path) = whole(format);
        let file = LogProbs::open(&path, Some(1)).unwrap();
        let windows = windows(None);
        assert_eq!(file.format(), format);
        assert_eq!(file.windows().tokens(), windows.tokens());
        assert_eq!(file.windows().layout(), windows.layout());
        assert_eq!(file.facts().vocab, VOCAB);
        if format == Format::Aeolus {
            assert_eq!(file.facts(), &facts());
        }
        // Half a step of the row's range, and as much again since the row is made to sum to 1;
        // half a step, and the peer's scale and offset in f32.
        let bound = match format {
            Format::Aeolus => 18.0 / f64::from((1 << 24) - 1) * 1.01,
            Format::LlamaCpp => 16.0 / 65535.0 * 0.51 + 4e-6,
        };
        let mut row = BaseRow::default();
        for window in 0..4 {
            let rows = file.window(window).unwrap();
            let logits = logits(window, 5);
            for (i, logits) in logits.chunks(VOCAB).enumerate() {
                rows.decode(i, &mut row).unwrap();
                let (top, lse) = crate::distribution::log_sum_exp(logits).unwrap();
                assert_eq!(row.top, top);
                assert_eq!(row.log_probs.len(), VOCAB);
                for (log_prob, logit) in row.log_probs.iter().zip(logits) {
                    let expected = f64::from(*logit) - lse;
                    if expected > f64::from(logits[top]) - lse - 16.0 {
                        assert!((log_prob - expected).abs() < bound, "{format:?}");
                    } else {
                        assert!(*log_prob <= row.floor.max(expected + bound));
                    }
                }
                let own = compare(&row, logits, 3).unwrap();
                let zero = if format == Format::Aeolus {
                    1e-11
                } else {
                    1e-4
                };
                assert!(own.kld.abs() < zero, "{format:?}: {}", own.kld);
                assert!(own.same_top);
            }
        }
    }
}

#[test]
fn equal_logits_have_no_range() {
    let mut row = BaseRow::default();
    for format in FORMATS {
        let mut bytes = vec![0xff; format.row_bytes(VOCAB).unwrap()];
        format.encode_row(&[2.5; VOCAB], &mut bytes).unwrap();
        format.decode_row(&bytes, VOCAB, &mut row).unwrap();
        let expected = -(VOCAB as f64).ln();
        for log_prob in &row.log_probs {
            assert!((log_prob - expected).abs() < 1e-6, "{format:?}");
        }
        assert!(format.encode_row(&[f32::NAN; VOCAB], &mut bytes).is_err());
    }
}

#[test]
fn a_file_goes_on_where_it_was_interrupted() {
    for format in FORMATS {
        let (_dir, reference) = whole(format);
        let reference = std::fs::read(reference).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base");
        let windows = windows(None);
        drop(write(&path, format, &windows, 2));
        assert!(!path.exists());
        // Half a window more, as a killed run leaves it.
        let partial = dir.path().join("base.partial");
        let mut bytes = std::fs::read(&partial).unwrap();
        bytes.extend([7; 99]);
        std::fs::write(&partial, bytes).unwrap();
        let writer = write(&path, format, &windows, 2);
        assert_eq!(writer.complete(), 2);
        assert!(matches!(
            Writer::create(&path, format, &windows, &facts()),
            Err(Error::Job(aeolus_job::Error::Busy { .. }))
        ));
        drop(writer);
        write(&path, format, &windows, 4).finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == reference);
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1, "only the finished file");
    }
}

#[test]
fn a_file_of_another_version_is_told_from_ones_own() {
    for (format, known) in [(Format::Aeolus, Some("unknown")), (Format::LlamaCpp, None)] {
        let (_dir, path) = whole(format);
        let file = LogProbs::open(&path, Some(1)).unwrap();
        assert_eq!(file.other_program(), None);
        drop(file);
        // As files were before they said it: a field of another name, which is passed over.
        let mut bytes = std::fs::read(&path).unwrap();
        let name = b"\"program\"";
        let place = bytes.windows(name.len()).position(|found| found == name);
        assert_eq!(place.is_some(), format == Format::Aeolus);
        if let Some(place) = place {
            bytes[place..place + name.len()].copy_from_slice(b"\"nothing\"");
            std::fs::write(&path, bytes).unwrap();
        }
        let file = LogProbs::open(&path, Some(1)).unwrap();
        assert_eq!(file.other_program(), known);
    }
}

#[test]
fn windows_of_another_model_text_or_mode_are_not_taken_over() {
    let other_model = BaseFacts {
        fingerprint: Some("g".into()),
        ..facts()
    };
    let other_mode = BaseFacts {
        numeric: Some(Numeric::Fast),
        ..facts()
    };
    let other_text = Windows::new(vec![3; 48], &cut(None)).unwrap();
    for format in FORMATS {
        for (windows, facts, why) in [
            (&windows(None), &other_model, "its model was f, now it is g"),
            (&windows(None), &other_mode, "its mode was exact"),
            (&other_text, &facts(), "its text was"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("base");
            drop(write(&path, format, &self::windows(None), 2));
            let writer = Writer::create(&path, format, windows, facts).unwrap();
            assert_eq!(writer.complete(), 0, "{format:?}: {why}");
            let (partial, told) = writer.started_over().unwrap();
            assert!(told.starts_with(why), "{told}");
            assert_eq!(partial, dir.path().join("base.partial"));
            drop(writer);
            // Nor back again: what is there is the second one's.
            let writer = Writer::create(&path, format, &self::windows(None), &self::facts());
            assert_eq!(writer.unwrap().complete(), 0);
        }
        // Of another version, and without anything that tells.
        for torn in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("base");
            drop(write(&path, format, &windows(None), 2));
            let journal = dir.path().join("base.partial.journal");
            let text = std::fs::read_to_string(&journal).unwrap();
            let own = format!("program: {}", env!("CARGO_PKG_VERSION"));
            let text = match torn {
                true => String::new(),
                false => text.replace(&own, "program: 0.0.1"),
            };
            std::fs::write(&journal, text).unwrap();
            let writer = Writer::create(&path, format, &windows(None), &facts()).unwrap();
            assert_eq!(writer.complete(), 0);
            let (_, told) = writer.started_over().unwrap();
            let why = match torn {
                true => "nothing tells which model it is of",
                false => "its program was 0.0.1",
            };
            assert!(told.starts_with(why), "{told}");
        }
    }
}

#[test]
fn windows_that_were_lost_are_computed_again() {
    for format in FORMATS {
        let (_dir, reference) = whole(format);
        let reference = std::fs::read(reference).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base");
        let partial = dir.path().join("base.partial");
        drop(write(&path, format, &windows(None), 3));
        // A byte in the middle of the second of three windows.
        let mut bytes = std::fs::read(&partial).unwrap();
        let header = LogProbs::open(&whole(format).1, Some(1)).map_or(0, |file| file.data_offset);
        let record = (bytes.len() - header) / 3;
        bytes[header + record * 3 / 2] ^= 1;
        std::fs::write(&partial, bytes).unwrap();
        let writer = write(&path, format, &windows(None), 0);
        assert_eq!(writer.complete(), 1, "{format:?}");
        drop(writer);
        write(&path, format, &windows(None), 4).finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == reference);
    }
}

#[test]
fn a_disk_that_fills_up_anywhere_costs_one_window() {
    for format in FORMATS {
        let (_dir, reference) = whole(format);
        let reference = std::fs::read(reference).unwrap();
        let windows = windows(None);
        for point in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("base");
            let full = FullDisk::after(dir.path(), (reference.len() * point / 20) as u64);
            let mut kept = 0;
            let end = Writer::create(&path, format, &windows, &facts()).and_then(|mut writer| {
                for window in 0..4 {
                    let logits = logits(window, windows.scored().len());
                    writer.append(&writer.encoder().encode(&logits).unwrap())?;
                    kept += 1;
                }
                Ok(())
            });
            let message = end.unwrap_err().to_string();
            assert!(message.contains("cannot write"), "{message}");
            assert!(!path.exists());
            drop(full);
            let writer = Writer::create(&path, format, &windows, &facts()).unwrap();
            assert_eq!(writer.complete(), kept, "{point}");
            drop(writer);
            write(&path, format, &windows, 4).finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == reference, "{point}");
        }
    }
}

#[test]
fn the_peers_layout_holds_windows_side_by_side_only() {
    let dir = tempfile::tempdir().unwrap();
    let strided = windows(Some(3));
    let error = Writer::create(&dir.path().join("x"), Format::LlamaCpp, &strided, &facts());
    assert!(error.unwrap_err().to_string().contains("side by side"));
}

#[test]
fn damaged_files_are_refused() {
    for format in FORMATS {
        let (dir, path) = whole(format);
        let bytes = std::fs::read(&path).unwrap();
        let changed = dir.path().join("changed");
        let open = |bytes: &[u8]| {
            std::fs::write(&changed, bytes).unwrap();
            LogProbs::open(&changed, None)
        };
        assert!(open(b"GGUF").is_err());
        for cut in (0..bytes.len()).step_by(7) {
            let error = open(&bytes[..cut]).unwrap_err();
            assert!(error.to_string().contains("changed"), "{error}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(open(&longer).is_err());
        // No byte of the header makes a panic, whatever it becomes.
        let header = LogProbs::open(&path, None).unwrap().data_offset;
        for place in 0..header {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                let _ = open(&bytes);
            }
        }
    }
    let (dir, path) = whole(Format::Aeolus);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    let changed = dir.path().join("changed");
    std::fs::write(&changed, bytes).unwrap();
    let file = LogProbs::open(&changed, None).unwrap();
    assert!(file.window(2).is_ok());
    let Err(error) = file.window(3) else {
        panic!("window 3 is damaged")
    };
    assert!(error.to_string().contains("window 3"), "{error}");
}

#[test]
fn a_peers_file_is_read_byte_by_byte() {
    // n_ctx 6, three tokens, one chunk: two rows (positions 3 and 4), padded to 4 words each.
    let mut bytes = b"_logits_".to_vec();
    for number in [6i32, 3, 1, 0, 1, 2, 0, 1, 2] {
        bytes.extend(number.to_le_bytes());
    }
    let mut row = |scale: f32, lowest: f32, codes: [u16; 3]| {
        bytes.extend(scale.to_le_bytes());
        bytes.extend(lowest.to_le_bytes());
        codes.iter().for_each(|c| bytes.extend(c.to_le_bytes()));
        bytes.extend([0xee, 0xee]);
    };
    row(0.25, -17.0, [4, 64, 0]);
    row(0.5, -3.0, [1, 2, 6]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peer");
    std::fs::write(&path, bytes).unwrap();
    let file = LogProbs::open(&path, Some(2)).unwrap();
    assert_eq!(file.format(), Format::LlamaCpp);
    assert_eq!(file.windows().input(0), [2, 1, 2, 0, 1, 2]);
    assert_eq!(file.windows().targets(0), [1, 2]);
    let rows = file.window(0).unwrap();
    let mut row = BaseRow::default();
    rows.decode(0, &mut row).unwrap();
    assert_eq!(row.log_probs, [-16.0, -1.0, -17.0]);
    assert_eq!((row.top, row.floor), (1, -16.0));
    rows.decode(1, &mut row).unwrap();
    assert_eq!(row.log_probs, [-2.5, -2.0, 0.0]);
    assert_eq!(row.top, 2);
    // And written: logits 0, ln 2 and -30; 30 is cut to 16 nats.
    let mut out = [0xff; 16];
    peer::encode_row(&[0.0, std::f32::consts::LN_2, -30.0], &mut out).unwrap();
    let step = 16.0f32 / 65535.0;
    let lowest = -16.0 - 1.5f32.ln();
    let near = |bytes: &[u8], value: f32| {
        let found = f32::from_le_bytes(bytes.try_into().unwrap());
        assert!((found / value - 1.0).abs() < 1e-6, "{found} {value}");
    };
    near(&out[..4], step);
    near(&out[4..8], lowest);
    // (16 - ln 2) / step = 62695.9; the highest has the highest code; below the range it is 0.
    assert_eq!(out[8..], [0xe8, 0xf4, 0xff, 0xff, 0, 0, 0, 0]);
}
