"""The pages in a real browser, opened from disk: links, filters, keyboard, hostile texts, narrow screens."""

from __future__ import annotations

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.evaluation.audit import Audit, AuditedRow, ClassPair, NearDuplicate, Suspect
from tellapart.evaluation.metrics import per_class
from tellapart.inspection.audit_page import write_audit_page
from tellapart.inspection.compared_texts import ComparedTexts, compared_data
from tellapart.inspection.report import write_comparison_report, write_report
from tellapart.inspection.word_effects import WordEffects
from tellapart.inspection.word_page import write_words_page
from tellapart.inspection.word_pieces import words_of
from tellapart.inspection.workbench import workbench_data

HOSTILE = [
    "</script><script>document.title = 'broken'</script>",
    "<!--<script>document.title = 'broken'",
    "<img src=x onerror=\"document.title = 'broken'\">",
    "\u2028 javascript:alert(1) ]]> &amp; ${document.title = 'broken'}",
]
NAMES = ["lost|found", "<b>stolen</b>", "100% expired & gone"]


def _error(text, gold, predicted, probability, **more):
    answer = {
        "predicted": [predicted],
        "probability": probability,
        "second": gold,
        "second_probability": round(1 - probability, 2),
    }
    return {"text": text, "gold": [gold], "answers": [answer], **more}


def _errors(count=60):
    a, b, c = NAMES
    errors = [_error(text, a, b, 0.99) for text in HOSTILE]
    errors += [_error(f"text {place} of the first", a, b, 0.9) for place in range(count)]
    near = {
        a: [{"text": "the card was lost", "similarity": 0.2}],
        b: [{"text": "a thief has it <i>", "similarity": 0.9}],
    }
    words = [("thief", 0.8), ("card", -0.4)]
    errors += [_error("the other way", b, a, 0.85, nearest=near, suspect=True, words=words)]
    return [*errors, _error("a third class", c, a, 0.4)]


def _write_run(path, errors):
    matrix = np.array([[5, 64, 0], [1, 7, 0], [1, 0, 9]])
    gold, predicted = (np.repeat(indices.ravel(), matrix.ravel()) for indices in np.indices(matrix.shape))
    write_report(
        path,
        title="cross-entropy on <i>tickets</i>",
        metrics={"accuracy": 0.25, "log_loss": 1.5},
        per_class=per_class(LabelSpace(tuple(NAMES)), gold, predicted),
        confusion=matrix,
        names=NAMES,
        training_log=[{"epoch": 1.0, "loss": 0.9}],
        recipe_yaml="seed: 0",
        workbench=workbench_data(errors, classes=NAMES, matrices={"": matrix}, notes=["A note."]),
        rows=87,
    )
    return path


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    return _write_run(tmp_path_factory.mktemp("run") / "report.html", _errors())


@pytest.fixture
def comparison_page(tmp_path, comparison):
    names = ["<script>alert(1)</script>", "spam"]
    texts = ComparedTexts(names)
    split = TextSplit(["fixed", "broken", "always wrong", "right"], labels=[names[0]] * 4)

    def wrong(*rows):
        columns = {
            "rows": rows,
            "predicted": [[1]] * len(rows),
            "probability": [0.8] * len(rows),
            "second": [0] * len(rows),
        }
        return columns | {"second_probability": [0.2] * len(rows)}

    for seed in (0, 1):
        texts.add(
            seed,
            split,
            np.arange(4),
            {"cross-entropy": wrong(0, 2), "label-distance": wrong(2) if seed else wrong(1, 2)},
        )
    matrix = np.array([[2, 2], [0, 1]])
    matrices = {"cross-entropy": matrix, "label-distance": matrix.T}
    data = compared_data(texts.errors(), LabelSpace(tuple(names)), matrices, "A note.", texts.complete)
    write_comparison_report(tmp_path / "comparison.html", comparison, data)
    return tmp_path / "comparison.html"


@pytest.fixture
def audit_page(tmp_path):
    first, second = (
        AuditedRow("train", row, "my <card> was lost", None, label)
        for row, label in ((1, "lost"), (2, "stolen"))
    )
    audit = Audit(
        source="tickets.csv",
        encoder="minilm",
        rows={"train": 12, "test": 4},
        classes=3,
        folds=5,
        left_out={"damaged": 1},
        suspects=(Suspect(first, "stolen", 0.01),),
        pairs=(ClassPair("lost", "stolen", 2, 0.4, 0.3),),
        near_duplicates=(NearDuplicate(first, second, 0.99),),
        duplicates_across_labels=1,
        duplicates_across_splits=0,
        cleanlab="2.9.0",
    )
    write_audit_page(tmp_path / "audit.html", audit)
    return tmp_path / "audit.html"


@pytest.fixture
def words_page(tmp_path):
    text = "my card was lost"
    places = tuple(words_of([text]))
    effects = (0.1, 2.0, -1.5, 0.5)
    one = WordEffects(
        text, None, "lost", "stolen", "gradients", 1.5, 0.4, tuple(text.split()), places, effects
    )
    write_words_page(tmp_path / "words.html", [one], "runs/tickets")
    return tmp_path / "words.html"


def _shown(page):
    return page.locator("#errors > li > blockquote").all_inner_texts()


def test_a_pair_of_the_list_leads_to_all_its_texts_in_both_directions(visit, run_page):
    page = visit(run_page)
    page.get_by_role("link", name="lost|found ↔ <b>stolen</b>").click()
    assert page.locator("#count").inner_text() == "65 of 66 wrong texts"
    assert page.evaluate("document.activeElement.id") == "texts-heading"
    assert len(_shown(page)) == 25
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert "the other way" in _shown(page)
    assert page.locator("#place").inner_text() == "Page 3 of 3"
    page.locator("#show").select_option(label="<b>stolen</b> → lost|found")
    assert _shown(page) == ["the other way"]


@pytest.mark.parametrize("fragment", ["#pair=2", "#pair=100%25%20expired%20%26%20gone%7Clost%7Cfound"])
def test_a_deep_link_opens_a_pair_by_name_or_by_rank(visit, run_page, fragment):
    page = visit(run_page, fragment)
    assert _shown(page) == ["a third class"]
    assert page.locator("#pair").input_value() == "lost|found|100% expired & gone"


def test_the_address_holds_the_view(visit, run_page):
    page = visit(run_page)
    page.locator("#query").fill("the first")
    page.get_by_role("button", name="Next").click()
    again = visit(run_page, page.url[page.url.index("#") :])
    assert _shown(again) == _shown(page) != []
    assert again.locator("#place").inner_text() == "Page 2 of 3"


def test_the_way_back_shows_all_texts_again(visit, run_page):
    page = visit(run_page)
    before = _shown(page)
    page.locator("a[href*='expired']").first.click()
    page.wait_for_function("document.querySelector('#pair').value !== ''")
    assert _shown(page) != before
    page.go_back()
    page.wait_for_function("document.querySelector('#pair').value === ''")
    assert _shown(page) == before


def test_texts_are_searched_and_ordered(visit, run_page):
    page = visit(run_page)
    page.locator("#query").fill("THIRD class")
    assert _shown(page) == ["a third class"]
    page.locator("#query").fill("")
    page.locator("#order").select_option("margin")
    assert _shown(page)[0] == "a third class"


def test_hostile_texts_and_names_stay_texts(visit, run_page):
    page = visit(run_page)
    assert [text.strip() for text in _shown(page)[: len(HOSTILE)]] == [text.strip() for text in HOSTILE]
    assert page.title() == "cross-entropy on <i>tickets</i>"
    assert page.locator("#errors img, #errors script, #errors b, #errors i").count() == 0
    assert page.locator("script").count() == 2


def test_a_text_shows_its_runner_up_suspect_label_neighbours_and_words(visit, run_page):
    page = visit(run_page, "#show=suspect")
    [item] = page.locator("#errors > li").all()
    said = item.inner_text()
    assert "85 % · runner-up <b>stolen</b> 15 %" in said
    assert "suspect label" in said
    item.locator("summary").click()
    assert "0.90 a thief has it <i>" in " ".join(item.inner_text().split())
    styles = [
        word.evaluate("one => getComputedStyle(one).textDecorationLine")
        for word in item.locator(".words span").all()
    ]
    assert styles == ["none", "underline"]


def test_the_matrix_shows_chosen_classes_and_leads_to_their_texts(visit, run_page):
    page = visit(run_page)
    rows = page.locator(".matrix tbody tr")
    assert rows.count() == 3
    page.get_by_text("Choose classes").click()
    page.get_by_role("checkbox", name="expired & gone").uncheck()
    assert rows.count() == 2
    page.get_by_role("link", name="64 of lost|found").click()
    assert page.locator("#count").inner_text() == "64 of 66 wrong texts"


def test_the_table_of_classes_is_sorted_with_the_keyboard(visit, run_page):
    page = visit(run_page)
    header = page.locator("#per-class th").nth(1)
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert page.locator("#per-class tbody td:nth-child(2)").all_inner_texts() == ["69", "10", "8"]
    page.keyboard.press("Enter")
    assert page.locator("#per-class tbody td:nth-child(2)").all_inner_texts() == ["8", "10", "69"]


def test_without_scripts_the_verdict_the_pairs_and_the_metrics_are_there(visit, run_page):
    page = visit(run_page, java_script_enabled=False)
    for sentence in ("66 of 87 texts are predicted wrongly (accuracy 25.00 %)", "lost|found ↔ <b>stolen</b>"):
        assert page.get_by_text(sentence).first.is_visible()
    assert page.get_by_text("errors.json beside this page").is_visible()
    assert not page.locator("#browser").is_visible()
    assert page.get_by_role("img", name="Confusion matrix").is_visible()


def test_ten_thousand_errors_are_paged(visit, tmp_path):
    page = visit(_write_run(tmp_path / "report.html", _errors(10_000)))
    assert page.locator("#errors > li").count() == 25
    page.locator("#query").fill("text 9999")
    assert _shown(page) == ["text 9999 of the first"]


def test_a_comparison_shows_what_each_method_fixed_and_broke(visit, comparison_page):
    page = visit(comparison_page)
    assert _shown(page) == ["always wrong", "fixed", "broken"]
    assert page.locator("#changes tbody td").all_inner_texts() == ["1", "1"]
    page.locator("#show").select_option(label="Fixed by label-distance")
    assert _shown(page) == ["fixed"]
    assert "cross-entropy, 2 of 2: spam 80 %" in page.locator("#errors > li").inner_text()
    page.locator("#show").select_option(label="Wrong with every method")
    assert _shown(page) == ["always wrong"]
    page.locator("#method").select_option("label-distance")
    assert page.get_by_role("link", name="2 of spam").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["run_page", "comparison_page", "audit_page", "words_page"])
def test_a_phone_needs_no_sideways_scrolling_and_texts_have_contrast(visit, request, scheme, name):
    page = visit(request.getfixturevalue(name), color_scheme=scheme, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(_CONTRAST) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
@pytest.mark.parametrize("name", ["run_page", "comparison_page", "audit_page", "words_page"])
def test_no_page_violates_a_rule_of_accessibility(visit, violations, request, scheme, width, name):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    page = visit(request.getfixturevalue(name), **options)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert violations(page) == []


# Texts whose contrast with the background behind them is below 4.5 (WCAG 2.2, 1.4.3), as the browser mixes colours.
_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => element
    ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : ["white"];
  const low = [];
  for (const element of document.querySelectorAll("body *:not(script):not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.disabled) continue;
    const ground = behind(element);
    const pair = [light(paint(ground)), light(paint([...ground, getComputedStyle(element).color]))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) low.push(`${element.tagName} ${element.textContent.slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return low;
}"""
