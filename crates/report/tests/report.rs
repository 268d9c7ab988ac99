//! Charts and the page: golden SVG, whole tables, nothing that runs or loads.

mod support;

use aeolus_imatrix::{Document, Imatrix};
use aeolus_report::chart::Theme;
use aeolus_report::{Collection, Report, Speed, png};
use serde_json::json;
use support::{HOSTILE, assert_golden, collection, errors, quality, read};

#[test]
fn charts_are_as_they_were() {
    let collection = collection("notus-mini", "notus-mini");
    let quality = quality("heldout.txt", "notus-mini");
    let errors = errors(&collection);
    let mut report = Report::new(&collection);
    report.quality = Some(&quality);
    report.errors = Some(&errors);
    let figures = report.figures();
    let names: Vec<&str> = figures.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names[..4],
        ["size-kld", "size-perplexity", "types", "errors-Q2_K"]
    );
    assert_eq!(names.len(), 3 + 12);
    for figure in &figures[..4] {
        let svg = figure.chart.svg(Theme::Light);
        assert_golden(&format!("{}.svg", figure.name), &svg);
        assert!(!svg.contains("var("), "a colour is left to a page");
    }
    // Every file has its name in the charts that are about all files.
    for figure in &figures[..3] {
        for chart in [Some(&figure.chart), figure.narrow.as_ref()]
            .into_iter()
            .flatten()
        {
            let svg = chart.svg(Theme::Dark);
            for file in &collection.files {
                let name = format!(">{}</text>", file.method);
                assert!(svg.contains(&name), "{} in {}", file.method, figure.name);
            }
        }
    }
}

#[test]
fn the_page_loads_and_runs_nothing() {
    let files = HOSTILE.replace('/', "");
    let collection = collection(HOSTILE, &files);
    let quality = quality(HOSTILE, &files);
    let errors = errors(&collection);
    let speed = read(
        &json!([{ "file": collection.files[0].name, "timings": { "generation_tokens_per_second": 12.5 } }]),
        Speed::read,
    );
    let importance = importance(&collection, HOSTILE);
    let report = Report {
        quality: Some(&quality),
        errors: Some(&errors),
        speed: Some(&speed),
        importance: Some(&importance),
        ..Report::new(&collection)
    };
    let page = report.page().unwrap();
    let lower = page.to_lowercase();
    for bad in [
        "<script",
        "javascript:1)\"",
        "http://",
        "https://",
        "<link rel=\"style",
        "@import",
        "onload",
        "<iframe",
        "{{",
    ] {
        let allowed = if bad == "{{" { "{{ 7*7 }}" } else { "\u{0}" };
        assert!(!lower.replace(allowed, "").contains(bad), "{bad}");
    }
    assert_eq!(
        page.matches("url(").count(),
        page.matches("url(data:font").count()
    );
    assert_eq!(lower.matches("<title>").count(), 1);
    assert!(page.contains("default-src &#x27;none&#x27;") || page.contains("default-src 'none'"));
    assert_eq!(
        page.matches("<table>").count(),
        page.matches("</table>").count()
    );
    assert_eq!(
        page.matches("<svg ").count(),
        page.matches("</svg>").count()
    );
    assert!(
        page.contains("<td class=\"n\">2 of 4</td><td>1, 3</td>"),
        "experts that saw nothing"
    );
}

/// A document of `aeolus imatrix`, made up: importance grows with the layer, and two experts saw nothing.
fn importance(collection: &Collection, text: &str) -> Document {
    let matrices = collection.files[0].tensors.iter().filter(|t| t.matrix);
    let mut imatrix = Imatrix::collected(512);
    for (i, tensor) in matrices.enumerate() {
        imatrix
            .entry(&tensor.name, 1, 1)
            .add(0, &[1.0 + i as f64], 1);
    }
    let experts = imatrix.entry(&format!("blk.0.{text}_exps.weight"), 1, 4);
    experts.add(0, &[1.0], 1);
    experts.add(2, &[1.0], 1);
    imatrix.datasets.push(text.into());
    read(
        &json!(Document::new(&imatrix)),
        aeolus_report::read_importance,
    )
}

#[test]
fn importance_is_a_map_and_beaten_files_are_marked() {
    let collection = collection("notus-mini", "notus-mini");
    let mut quality = quality("heldout.txt", "notus-mini");
    let importance = importance(&collection, "calibration.txt");
    let report = Report {
        quality: Some(&quality),
        importance: Some(&importance),
        ..Report::new(&collection)
    };
    let names: Vec<String> = report.figures().into_iter().map(|f| f.name).collect();
    assert!(names.contains(&"importance".to_owned()), "{names:?}");
    let page = report.page().unwrap();
    for expected in ["What guided the encoders", "calibration.txt", "mean square"] {
        assert!(page.contains(expected), "{expected}");
    }
    // Q8_0, the largest, as bad as can be.
    let last = quality.files.last_mut().unwrap();
    let figures = last.quality.as_mut().unwrap();
    figures.kld_mean.as_mut().unwrap().value = 9.0;
    let report = Report {
        quality: Some(&quality),
        ..Report::new(&collection)
    };
    let page = report.page().unwrap();
    assert!(page.contains("<th>Beaten by</th>") && page.contains("<td>Q6_K</td></tr>"));
}

#[test]
fn without_results_the_page_is_whole() {
    let collection = collection("notus-mini", "notus-mini");
    let report = Report::new(&collection);
    let page = report.page().unwrap();
    for file in &collection.files {
        assert!(page.contains(&format!("<code>{}</code>", file.name)));
    }
    for absent in ["Mean KLD", "Perplexity", "Speed", "none", "undefined"] {
        let body = page.split_once("<main").unwrap().1;
        assert!(!body.contains(&format!(">{absent}")), "{absent}");
    }
    assert!(page.contains("Bits of each tensor"));
}

#[test]
fn pictures_are_pngs_with_something_on_them() {
    let collection = collection("notus-mini", "notus-mini");
    let report = Report::new(&collection);
    let figure = &report.figures()[0];
    for theme in [Theme::Light, Theme::Dark] {
        let bytes = png::encode(&figure.chart, theme, 1.0).unwrap();
        assert_eq!(&bytes[1..4], b"PNG");
        let pixels = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
        assert_eq!(pixels.width(), 920);
        let colours: std::collections::HashSet<_> = pixels
            .pixels()
            .iter()
            .map(|p| (p.red(), p.green(), p.blue()))
            .collect();
        assert!(colours.len() > 50, "{}", colours.len());
    }
}
