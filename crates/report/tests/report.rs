//! Charts and the page: golden SVG, whole tables, nothing that runs or loads.

mod support;

use aeolus_report::chart::Theme;
use aeolus_report::{Report, Speed, png};
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
    let report = Report {
        quality: Some(&quality),
        errors: Some(&errors),
        speed: Some(&speed),
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
