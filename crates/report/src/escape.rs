//! Text from strangers, made harmless for the place it lands in.
//!
//! Each function is for one place, and only for that: [`markdown`] for running text and table
//! cells, [`code`] for a code span in either, [`fence`] for a code block, [`shell`] for a word of
//! a command line, [`python`] for a string literal, [`url`] for the target of a link, [`html`] for
//! text and quoted attributes.

use std::fmt::Write;

/// Running Markdown text, of a table cell too: one line that renders as the characters given.
/// Markup, HTML, table bars and links in it lose their meaning.
pub fn markdown(text: &str) -> String {
    let text = one_line(text);
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1).copied();
        let alphanumeric = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' | '^' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            // Inside a word, as in Q4_K_M, it is no emphasis.
            '_' if !(alphanumeric(before) && alphanumeric(after)) => out.push_str("\\_"),
            // Bare addresses would become links.
            ':' if after == Some('/') => out.push_str("\\:"),
            '.' if before == Some('w') => out.push_str("\\."),
            '@' => out.push_str("\\@"),
            // What is special at the start of a line, or closes a heading.
            '#' => out.push_str("\\#"),
            '-' | '+' | '=' | '!' if before.is_none() => {
                out.push('\\');
                out.push(c);
            }
            '.' | ')'
                if i > 0
                    && after.is_none_or(char::is_whitespace)
                    && chars[..i].iter().all(char::is_ascii_digit) =>
            {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A code span, for running text and table cells.
pub fn code(text: &str) -> String {
    let text = one_line(text);
    let tame = |c: char| c.is_alphanumeric() || " -_.,:;/=+()@#%'\"".contains(c);
    if !text.is_empty() && text.chars().all(tame) {
        return format!("`{text}`");
    }
    // Backticks and bars have rules of their own in spans and tables; references do not.
    let mut out = String::from("<code>");
    for c in text.chars() {
        if c.is_alphanumeric() || c == ' ' {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", c as u32);
        }
    }
    out + "</code>"
}

/// A fenced code block with its line ends, whose fence is longer than any in the text.
/// `language` is the project's own word, not a stranger's.
pub fn fence(text: &str, language: &str) -> String {
    let text = plain_lines(text);
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.max(2) + 1);
    format!(
        "{fence}{language}\n{}\n{fence}",
        text.trim_end_matches('\n')
    )
}

/// One word of a POSIX shell command, whatever is in it.
pub fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// A Python string literal.
pub fn python(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The target of a Markdown link: an https address as it is, with whatever could end it encoded;
/// anything else becomes `#`.
pub fn url(text: &str) -> String {
    if !text.starts_with("https://") {
        return "#".into();
    }
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:/?#@!$&+,;=%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Text, and attribute values in double or single quotes, of HTML and SVG.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A whole Markdown document by someone else, to stand at the end of a page: elements that run
/// code or swallow what follows are shown as text (the list is that of GitHub's Markdown).
pub fn foreign_document(text: &str) -> String {
    const TAGS: [&str; 13] = [
        "title",
        "textarea",
        "style",
        "xmp",
        "iframe",
        "noembed",
        "noframes",
        "script",
        "plaintext",
        "object",
        "embed",
        "base",
        "meta",
    ];
    let text = plain_lines(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let inner = &tail[1..];
        let name = inner.strip_prefix('/').unwrap_or(inner);
        let hidden = TAGS.iter().any(|tag| {
            name.get(..tag.len())
                .is_some_and(|n| n.eq_ignore_ascii_case(tag))
                && !name[tag.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-')
        });
        out.push_str(if hidden { "&lt;" } else { "<" });
        rest = inner;
    }
    out.push_str(rest);
    out
}

/// Without line ends, control characters and characters that reorder or hide text.
pub(crate) fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    let spaced: String = visible
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines ended by `\n`, without other control characters.
fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if c == '\r' { '\n' } else { c })
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// Bidirectional overrides, zero-width characters, line and paragraph separators.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    const HOSTILE: [&str; 14] = [
        "plain-name_v1",
        "<script>alert(1)</script>",
        "a | b || c",
        "`tick` ``two`` ```three```",
        "**bold** _em_ ~~gone~~ snake_case_name _lead",
        "[link](javascript:alert(1)) ![img](x) <http://x.y>",
        "http://evil.example www.evil.example me@evil.example",
        "# heading #\n---\n- list\n1. one",
        "\"quotes\" 'and' \\ backslash \\",
        "&lt;&#60;&amp;",
        "$math$ {{ jinja }} {% raw %}",
        "1) not a list",
        "\u{202e}reversed\u{200b}zero",
        "+ plus",
    ];

    /// The plain text of inline Markdown, and whether it has any markup.
    fn read(source: &str) -> (String, bool) {
        let (mut text, mut markup) = (String::new(), false);
        let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
        for event in Parser::new_ext(source, options) {
            match event {
                Event::Text(t) => text += &t,
                Event::SoftBreak => text.push('\n'),
                Event::Start(Tag::Paragraph) | Event::End(_) => {}
                _ => markup = true,
            }
        }
        (text, markup)
    }

    #[test]
    fn markdown_renders_as_the_text_it_was() {
        for text in HOSTILE {
            let (read, markup) = read(&markdown(text));
            assert_eq!(read, one_line(text));
            assert!(!markup, "{}", markdown(text));
        }
        assert_eq!(
            markdown("notus-7b-v1.Q4_K_M.gguf"),
            "notus-7b-v1.Q4_K_M.gguf"
        );
    }

    #[test]
    fn cells_stay_in_their_table() {
        for text in HOSTILE {
            for cell in [markdown(text), code(text)] {
                let table = format!("| a | b |\n|---|---|\n| {cell} | end |\n");
                let mut cells = Vec::new();
                for event in Parser::new_ext(&table, Options::ENABLE_TABLES) {
                    match event {
                        Event::Start(Tag::TableCell) => cells.push(String::new()),
                        Event::Text(t) | Event::Code(t) => cells.last_mut().unwrap().push_str(&t),
                        Event::InlineHtml(t) => assert!(&*t == "<code>" || &*t == "</code>"),
                        Event::Html(t) => panic!("{t}"),
                        _ => {}
                    }
                }
                assert_eq!(cells, ["a", "b", one_line(text).as_str(), "end"], "{table}");
            }
        }
    }

    #[test]
    fn a_fence_holds_whatever_is_in_it() {
        for text in HOSTILE
            .iter()
            .copied()
            .chain(["```\n~~~\n````\n</code>", ""])
        {
            let source = format!("{}\n\nafter", fence(text, "text"));
            let mut events = Parser::new(&source);
            assert!(matches!(
                events.next(),
                Some(Event::Start(Tag::CodeBlock(_)))
            ));
            let mut inside = String::new();
            for event in events.by_ref() {
                match event {
                    Event::Text(t) => inside += &t,
                    _ => break,
                }
            }
            assert_eq!(inside.trim_end(), plain_lines(text).trim_end());
            assert!(matches!(events.next(), Some(Event::Start(Tag::Paragraph))));
        }
    }

    #[test]
    fn shell_words_are_what_they_were() {
        for text in HOSTILE
            .iter()
            .copied()
            .chain(["", "$(rm -rf ~)", "a'b", "-n", "x;y`z`"])
        {
            let script = format!("printf %s {}", shell(text));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn literals_and_html_are_closed() {
        assert_eq!(url("https://a.b/c d)<"), "https://a.b/c%20d%29%3C");
        assert_eq!(url("javascript:alert(1)"), "#");
        assert_eq!(python("a\"b\\\n\u{1}"), "\"a\\\"b\\\\\\n\\U00000001\"");
        assert_eq!(
            html("<a href='x'>&\"\u{0}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
    }

    #[test]
    fn foreign_documents_keep_their_markup_but_not_their_scripts() {
        let text = foreign_document("# A\r\n<img src=x> <ScRipt>x</script > <styled> <style\n>");
        assert_eq!(
            text,
            "# A\n<img src=x> &lt;ScRipt>x&lt;/script > <styled> &lt;style\n>"
        );
    }
}
