"""Opens a report in a browser as readers do and looks for what would spoil it.

check.py BROWSER PAGE NAMES [FOLDER]: NAMES is a JSON list of what files are called; screenshots
go into FOLDER. Prints what is wrong, one a line; exit code 1 if anything is.
"""

import base64
import json
import pathlib
import sys

from devtools import Browser

# Widths of a desk and of a phone, in both colours, and of A4 paper without its margins, which is
# white also for those who read in the dark.
VIEWS = [
    ("wide-light", 1280, False, "light", "screen"),
    ("wide-dark", 1280, False, "dark", "screen"),
    ("phone-light", 390, True, "light", "screen"),
    ("phone-dark", 390, True, "dark", "screen"),
    ("print-light", 688, False, "light", "print"),
    ("print-dark", 688, False, "dark", "print"),
]

LOOK = r"""
(names => {
  const problems = [];
  // Paper is held closer and is sharper.
  const least = matchMedia("print").matches ? 7.5 : 9.5;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth)
    problems.push(`the page is ${root.scrollWidth} wide in a view of ${root.clientWidth}`);
  const luminance = color => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map(c => {
      c /= 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  const charts = [...document.querySelectorAll("svg")].filter(svg => svg.checkVisibility());
  for (const svg of charts) {
    const name = svg.getAttribute("aria-label");
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(text => {
      const box = text.getBoundingClientRect();
      return { text: text.textContent.trim(), box, fill: getComputedStyle(text).fill };
    });
    if (!texts.length) problems.push(`${name}: no text`);
    texts.forEach((a, i) => {
      const { left, right, top, bottom } = a.box;
      if (left < frame.left - 1 || right > frame.right + 1 || top < frame.top - 1 || bottom > frame.bottom + 1)
        problems.push(`${name}: "${a.text}" leaves the chart`);
      if (contrast(a.fill, paper) < 4.5)
        problems.push(`${name}: "${a.text}" is ${a.fill} on ${paper}`);
      if (bottom - top < least)
        problems.push(`${name}: "${a.text}" is ${bottom - top} high`);
      for (const b of texts.slice(0, i)) {
        const across = Math.min(right, b.box.right) - Math.max(left, b.box.left);
        const down = Math.min(bottom, b.box.bottom) - Math.max(top, b.box.top);
        if (across > 0.5 && down > 0.5)
          problems.push(`${name}: "${a.text}" and "${b.text}" meet`);
      }
    });
    for (const shape of svg.querySelectorAll("rect, circle, line, polyline")) {
      const style = getComputedStyle(shape);
      if (style.fill === "none" && style.stroke === "none")
        problems.push(`${name}: a shape without colour`);
    }
  }
  const whole = charts.filter(svg => {
    const texts = new Set([...svg.querySelectorAll("text")].map(t => t.textContent.trim()));
    return names.every(name => texts.has(name));
  });
  if (!whole.length) problems.push("no chart names all files");
  const tables = [...document.querySelectorAll("table")];
  for (const table of tables) {
    const columns = new Set([...table.rows].map(row => row.cells.length));
    if (columns.size !== 1) problems.push(`a table with rows of ${[...columns]} cells`);
  }
  for (const row of document.querySelectorAll("tbody tr")) {
    const height = row.getBoundingClientRect().height;
    if (height > 90) problems.push(`the table row "${row.cells[0].textContent}" is ${height} high`);
  }
  const solid = color => !/^(transparent|rgba\(.*, 0\))$/.test(color);
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("svg") || !element.checkVisibility()) continue;
    let behind = element;
    while (behind && !solid(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const ground = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
    const colour = getComputedStyle(element).color;
    const pair = `${colour} on ${ground}`;
    if (contrast(colour, ground) < 4.5 && !seen.has(pair)) {
      seen.add(pair);
      problems.push(`"${text.slice(0, 40)}" is ${pair}`);
    }
  }
  const heads = new Set([...tables[0].querySelectorAll("tbody th")].map(th => th.textContent));
  for (const name of names) if (!heads.has(name)) problems.push(`${name} is in no table`);
  return { problems, charts: charts.length, whole: whole.length, height: root.scrollHeight };
})
"""


def look(browser, session, page, view, names, folder):
    name, width, phone, scheme, medium = view
    browser.events.clear()
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
    browser.call("Emulation.setDeviceMetricsOverride", session, **metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", session, media=medium, features=features)
    browser.call("Page.navigate", session, url=page)
    browser.wait_for("Page.loadEventFired")
    browser.settle()
    expression = f"({LOOK.strip()})({json.dumps(names)})"
    answer = browser.call("Runtime.evaluate", session, expression=expression, returnByValue=True)
    if "exceptionDetails" in answer:
        raise RuntimeError(json.dumps(answer["exceptionDetails"]))
    found = answer["result"]["value"]
    problems = [f"{name}: {problem}" for problem in found["problems"]]
    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if url != page and not url.startswith("data:"):
                problems.append(f"{name}: a request for {url}")
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            problems.append(f"{name}: {method} {json.dumps(params)[:400]}")
        elif method == "Page.javascriptDialogOpening":
            problems.append(f"{name}: a dialog opened")
    if folder:
        height = min(found["height"], 16000)
        metrics["height"] = height
        browser.call("Emulation.setDeviceMetricsOverride", session, **metrics)
        shot = browser.call("Page.captureScreenshot", session)
        (folder / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
    print(f"{name}: {found['charts']} charts, {found['whole']} with all files", file=sys.stderr)
    return problems


def main():
    binary, page, names = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), json.loads(sys.argv[3])
    folder = pathlib.Path(sys.argv[4]) if len(sys.argv) > 4 else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    problems = []
    with Browser(binary) as browser:
        session = browser.page()
        for view in VIEWS:
            problems += look(browser, session, page.as_uri(), view, names, folder)
        browser.call("Emulation.setEmulatedMedia", session, media="", features=[])
        paper = browser.call("Page.printToPDF", session, printBackground=True)
        pdf = base64.b64decode(paper["data"])
        if not pdf.startswith(b"%PDF"):
            problems.append("it cannot be printed")
        if folder:
            (folder / "print.pdf").write_bytes(pdf)
    for problem in problems[:50]:
        print(problem)
    if len(problems) > 50:
        print(f"and {len(problems) - 50} more")
    sys.exit(1 if problems else 0)


main()
