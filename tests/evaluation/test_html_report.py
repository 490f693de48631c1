"""The page in a real browser: light and dark, wide and narrow, with everything in it and nothing fetched."""

import re

import pytest

from plackett.evaluation.comparison import Results, compare_run, mean_of, with_holm
from plackett.evaluation.html_report import page
from plackett.records import Collection, Qrel, ScoredDoc

HOSTILE = "<script>document.title = 'broken'</script> & \"quotes\""


@pytest.fixture(scope="module")
def collection():
    queries = {f"q{i}": f"question number {i}" for i in range(30)} | {"q0": HOSTILE}
    corpus = {f"d{d}": f"document {d} " + "word " * 90 for d in range(20)} | {"d1": HOSTILE}
    run = [ScoredDoc(query_id, f"d{d}", -float(d)) for query_id in queries for d in range(20)]
    qrels = [Qrel(f"q{i}", f"d{i % 20}", 1 + i % 3) for i in range(30)]
    return Collection("small <b>", queries, corpus, qrels, run)


@pytest.fixture(scope="module")
def html(collection):
    rotated = [scored._replace(score=float((int(scored.doc_id[1:]) * 7) % 20)) for scored in collection.run]
    runs = {"rotated": rotated, "reversed": [scored._replace(score=-scored.score) for scored in collection.run]}
    comparisons = [
        item
        for depth in (5, 10, 20)
        for item in with_holm(
            [
                compare_run(collection, run, depth=depth, measures=["nDCG@10", "AP"], system=name)
                for name, run in runs.items()
            ]
        )
    ]
    mean = mean_of(comparisons[-2:-1])
    runs_by_system = {(collection.name, name): run for name, run in runs.items()}
    return page(Results([*comparisons, mean], [collection], runs_by_system))


def test_the_page_stands_alone_and_escapes_what_it_shows(html):
    assert "<script" not in html
    assert "small &lt;b&gt;" in html
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org)", html)


def test_the_most_changed_queries_come_with_their_documents(html):
    helped = html.split("Most helped: rotated")[1].split("Most hurt")[0]
    assert 1 <= helped.count("<details>") <= 10
    assert helped.count("<li>") == 2 * 5 * helped.count("<details>")
    assert re.search(r"grade \d", helped)
    assert "not judged" in helped
    assert "from " in helped
    values = [tuple(map(float, pair)) for pair in re.findall(r"(\d\.\d{4}) to (\d\.\d{4})</span></summary>", helped)]
    gains = [after - before for before, after in values]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0


CONTRAST = """
() => {
  const parse = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (color) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parse(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const style = (selector) => getComputedStyle(document.querySelector(selector));
  const page = style("body").backgroundColor, soft = style("svg.bars").backgroundColor;
  return {
    page,
    text: ratio(style("body").color, page),
    quiet: ratio(style(".quiet").color, page),
    cell: ratio(style("td").color, page),
    tick: ratio(style(".tick").fill, soft),
    helped: ratio(style("rect.helped").fill, soft),
    hurt: ratio(style("rect.hurt").fill, soft),
    line: ratio(style("polyline.system0").stroke, soft),
    bound: ratio(style("polyline.bound").stroke, soft),
  };
}
"""


@pytest.fixture(params=[("light", 1200), ("dark", 1200), ("light", 380), ("dark", 380)], ids=str)
def shown(request, browser, html, tmp_path):
    scheme, width = request.param
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    fetched, complaints = [], []
    tab.on("request", lambda asked: fetched.append(asked.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((tmp_path / "report.html").as_uri())
    yield tab, scheme, width
    assert fetched == [(tmp_path / "report.html").as_uri()]
    assert complaints == []
    tab.close()


@pytest.mark.slow
@pytest.mark.browser
def test_everything_can_be_read_in_light_and_dark_wide_and_narrow(shown):
    tab, scheme, width = shown
    contrast = tab.evaluate(CONTRAST)
    red = int(re.findall(r"\d+", contrast.pop("page"))[0])
    assert (red < 64) == (scheme == "dark")
    for name in ("text", "quiet", "cell", "tick"):
        assert contrast[name] >= 4.5, (name, contrast[name])
    for name in ("helped", "hurt", "line", "bound"):
        assert contrast[name] >= 3, (name, contrast[name])
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.browser
def test_bars_curves_and_queries_are_there(shown):
    tab, _, _ = shown
    assert tab.title().startswith("Evaluation: small <b>")
    assert tab.locator("svg.bars").count() == 2
    assert tab.locator("svg.bars").first.locator("rect").count() == 30
    assert tab.locator("svg.curve polyline").count() == 4  # best order, first stage, two systems
    assert tab.locator("svg.curve").bounding_box()["height"] > 80
    boxes = [bar.bounding_box() for bar in tab.locator("svg.bars").first.locator("rect").all()]
    assert all(box["height"] > 0 and box["width"] > 1 for box in boxes)
    details = tab.locator("details").first
    before = tab.locator("details .sides").first
    assert not before.is_visible()
    details.locator("summary").click()
    assert before.is_visible()
    assert before.locator("li").count() == 10
    assert tab.locator("script").count() == 0
