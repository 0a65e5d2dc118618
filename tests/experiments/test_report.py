"""Promises of the report: what it says follows from the intervals, on one plain page."""

import base64
import io
import itertools
from html import unescape
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from semideep_ext.experiments.comparison import SCORES, Experiment
from semideep_ext.experiments.manifest import manifest
from semideep_ext.experiments.report import render_html, render_markdown
from semideep_ext.experiments.report_content import describe
from semideep_ext.weighting.weightings import WEIGHTINGS

BASE = np.array([0.6, 0.8, 0.7, 0.75, 0.65])
UP = np.array([0.1, 0.11, 0.12, 0.11, 0.1])
UNCLEAR = np.array([0.1, -0.1, 0.05, 0.0, -0.02])


def experiment(
    shift=0.0 * BASE, scores=SCORES, splits=5, name="data", test_size=0.5, notes=(), tuning=()
):
    """Five splits, in which `distance` differs from the baseline by shift in the scores named."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3))
    runs = []
    for seed in range(splits):
        for kind in WEIGHTINGS:
            moved = {s: BASE[seed] + (shift[seed] if s in scores else 0.0) for s in SCORES}
            weights = {
                "effective_share": 0.9,
                "min_by_mean": 0.5,
                "max_by_mean": 2.0,
                "top_share": 0.1,
                "problems": [],
            }
            runs.append(
                {
                    "weight_type": kind,
                    "distance_metric": None if kind == "none" else "euclidean",
                    "lambda_": None if kind == "none" else 0.8,
                    "scores": moved if kind == "distance" else dict.fromkeys(SCORES, BASE[seed]),
                    "history": {"train_loss": [1.0, 0.5], "val_loss": [1.0, 0.6]},
                    "weights": None if kind == "none" else weights,
                    "n_train": 20,
                    "n_val": 4,
                    "n_test": 10,
                    "epochs": 2,
                    "batch_size": 32,
                    "learning_rate": 0.001,
                }
            )
    return Experiment(
        name=name,
        family="data",
        runs=runs,
        rows=[{"test_size": test_size}],
        notes=list(notes),
        tuning=list(tuning),
        manifest={**manifest(), "seeds": [1, 2]},
        weights={
            "X_train": rows,
            "X_test": rows[:10] + 1,
            "by_method": {"distance": np.linspace(1, 2, 20), "idw": np.linspace(2, 1, 20)},
        },
    )


def sentence(*arguments, **settings):
    (sign, text), (_, other) = describe(experiment(*arguments, **settings)).verdicts
    start = "Inverse distances (90.0 % of the rows effective) against unweighted: "
    assert other.startswith(start) and "higher" not in other
    return sign, text


def test_a_clear_gain_is_called_higher_with_its_interval():
    sign, text = sentence(UP, ["f1"])
    assert sign == "▲"
    assert "higher f1 (+0.1080 [+0.0" in text
    assert "no difference shown in accuracy, precision, recall and auc" in text


def test_a_clear_loss_is_called_lower():
    sign, text = sentence(-UP, ["auc"])
    assert sign == "▼" and "lower auc (-0.1080 [-0.1" in text and "higher" not in text


def test_an_interval_with_0_shows_no_difference_however_high_the_mean():
    sign, text = sentence(UNCLEAR + 0.02)
    assert sign == "○"
    assert text == (
        "Distance weights (90.0 % of the rows effective) against unweighted: "
        "no difference shown in accuracy, precision, recall, f1 and auc."
    )


def test_one_split_concludes_nothing():
    sign, text = sentence(UP, splits=1)
    assert sign == "·" and "nothing is concluded about accuracy" in text and "n_seeds" in text
    assert "higher" not in text and "no difference shown" not in text


def test_equal_differences_conclude_nothing():
    text = sentence(np.full(5, 0.1))[1]
    assert "every split gave the same difference" in text and "higher" not in text


@pytest.mark.parametrize("shift", [UP, -UP, UNCLEAR, 0 * UP])
def test_verdicts_follow_from_intervals_and_nothing_else(shift):
    for row in experiment(shift, ["f1"]).table:
        low, high = row["difference_low"], row["difference_high"]
        if "higher" in row["verdict"]:
            assert low > 0 and row["p_holm"] <= 0.05
        elif "lower" in row["verdict"]:
            assert high < 0 and row["p_holm"] <= 0.05
        else:
            assert row["verdict"] == "the reference" or low <= 0 <= high or row["p_holm"] > 0.05


NAME = "<script>alert(1)</script>|b"
NOTE = "the 20 weights of <b> are constant"


@pytest.fixture(scope="module")
def experiments():
    return [
        experiment(UP, ["f1"], name="data_test10", test_size=0.1),
        experiment(-UP, ["auc"], name=NAME, test_size=0.5, notes=[NOTE]),
    ]


@pytest.fixture(scope="module")
def html(experiments):
    return render_html(experiments)


@pytest.fixture(scope="module", params=["markdown", "html"])
def text(request, experiments, html):
    """Either page as its reader sees it."""
    markdown = render_markdown(experiments).replace("\\|", "|")
    return unescape(html if request.param == "html" else markdown)


def test_nothing_is_asserted_beyond_the_verdicts(text):
    assert not any(word in text for word in ("confirms", "outperforms", "hypothesis", "generally"))


def test_both_pages_hold_every_verdict_and_every_number(text, experiments):
    for section in map(describe, experiments):
        assert all(verdict in text for _, verdict in section.verdicts)
        for table in section.tables:
            assert all(cell in text for row in table.rows for cell in row)


def test_both_pages_say_how_the_intervals_are_made(text):
    assert "corrected resampled t (Nadeau and Bengio 2003)" in text and "Holm" in text
    assert "all 10 comparisons" in text


def test_both_pages_hold_the_manifest(text, experiments):
    manifest_ = experiments[0].manifest
    for value in (*manifest_["versions"].values(), manifest_["machine"]["cpu"]):
        assert value in text


def test_both_pages_tell_warnings_about_weights(text):
    assert NOTE in text


def test_the_weightings_chosen_are_counted():
    e = experiment()
    e.of("distance")[0]["distance_metric"] = "cosine"
    (table,) = [t for t in describe(e).tables if t.caption == "Weights"]
    assert table.rows[0][-1] == "euclidean, lambda 0.8 (4 of 5); cosine, lambda 0.8 (1 of 5)"
    assert table.rows[0][1] == "90.0 %"


def test_effective_rows_stand_beside_every_mean():
    (table,) = [t for t in describe(experiment()).tables if t.caption.startswith("Mean scores")]
    assert table.header[-1] == "effective rows"
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("unweighted", "100.0 %"),
        ("distance weights", "90.0 %"),
        ("inverse distances", "90.0 %"),
    ]
    shares = {row["method"]: row["effective_share"] for row in experiment().table}
    assert shares == {"unweighted": 1.0, "distance weights": 0.9, "inverse distances": 0.9}


def test_the_report_counts_the_splits_in_which_tuning_spoke_for_weighting():
    assert describe(experiment()).lead.endswith("were given, not tuned.")
    tuning = [{"weighting": answer} for answer in ("none", "distance", "none", "none", "distance")]
    lead = describe(experiment(tuning=tuning)).lead
    assert lead.endswith("showed these better than unweighted training in 2 of 5 splits.")


def test_a_table_of_markdown_has_as_many_cells_in_each_line():
    lines = render_markdown([experiment(name="a|b")]).splitlines()
    for i, line in enumerate(lines):
        if line.startswith("| ---"):
            block = [lines[i - 1], line, lines[i + 1]]
            assert len({part.replace("\\|", "").count("|") for part in block}) == 1


class Page(HTMLParser):
    """Tags with their attributes, in order, and those that enclose each."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), list(self.open)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def of(self, *wanted):
        return [(tag, attributes) for tag, attributes, _ in self.tags if tag in wanted]


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_asks_for_nothing_from_elsewhere(page, html):
    assert not page.of("script", "link", "iframe", "object", "form")
    for tag, attributes in page.of("img", "a", "source"):
        for name in ("src", "href", "srcset"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), tag
    assert "url(" not in html and "@import" not in html


def test_the_page_is_one_well_formed_document(page):
    assert page.open == [] and page.of("html") == [("html", {"lang": "en"})]
    names = [attributes.get("name") for _, attributes in page.of("meta")]
    assert "viewport" in names and len(page.of("title")) == 1


def test_headings_descend_one_level_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.of("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_labels_point_to_headings_that_are_there(page):
    ids = {attributes["id"] for _, attributes, _ in page.tags if "id" in attributes}
    used = {a["aria-labelledby"] for _, a, _ in page.tags if "aria-labelledby" in a}
    assert used and used <= ids


def test_each_table_scrolls_inside_its_box(page):
    boxes = [above for tag, _, above in page.tags if tag == "table"]
    assert boxes and all(any(a.get("class") == "scroll" for _, a in above) for above in boxes)


def test_each_picture_is_a_png_and_says_what_it_shows(page):
    pictures = page.of("img")
    # Each of two experiments: differences, training, and three of the weights of two methods; the
    # scores by test size once.
    assert len(pictures) == 2 * (2 + 3 * 2) + 1
    for _, attributes in pictures:
        content = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        pixels = matplotlib.image.imread(io.BytesIO(content))
        assert np.ptp(pixels[..., :3]) > 0.5  # not blank
        assert len(attributes["alt"]) > 30


def test_the_picture_of_differences_tells_them_in_words(page):
    alt = next(a["alt"] for _, a in page.of("img") if a["alt"].startswith("Paired"))
    assert "distance weights, f1: +0.1080, higher than the baseline" in alt


def test_names_and_notes_cannot_become_tags(html, experiments):
    for page in (html, render_markdown(experiments)):
        assert "<script>" not in page and "<b>" not in page and "&lt;script" in page


def test_the_page_knows_dark_mode_and_narrow_screens(html):
    assert "prefers-color-scheme: dark" in html and "overflow-x: auto" in html
