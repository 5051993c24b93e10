"""Report pages agree with the results, are safe with any data, and are self-contained."""

import itertools
import json
import os
import random
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from textpipe.cache import checksummed_json, integrity
from textpipe.errors import ArtifactError
from textpipe.metrics import classification, generation
from textpipe.report import axes, charts, comparison, comparison_page, markup, page, run, system_answers
from textpipe.report.results import Run
from textpipe.report.views import bars, texts
from textpipe.savedmodel import signatures
from textpipe.stages import _attention

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = (
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></svg><!-- ]]>",
    "שלום <b>עולם</b>",
    "zero\u200bwidth \u202eoverride\u202c \ufeffmark",
    "NUL\x00 bell\x07 next\x85line \u2028 sep",
    "&amp; &lt;already&gt; 'quoted' \"twice\"",
    "\ud800 lone \udfff",
    "👩\u200d👩\u200d👧 می\u200cخواهم",
    "",
    "   ",
    "http://example.org/?a=1&b=2",
    "$x^2$ {braces} %s {0}",
    "word " * 600,
)


class Page(HTMLParser):
    """A page as parsed by a browser; raises if a tag is not closed properly."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.links, self.data = [], [], [], [], []
        self.tables, self.captions, self.figures = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "action", "data", "srcset"):
                self.links.append(value)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert tag not in VOID and self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        self.data.append(data)
        if self.open and "table" in self.open and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def table(self, *headings):
        """The table whose first row begins with these headings."""
        (match,) = [table for table in self.tables if table[0][: len(headings)] == list(headings)]
        return match


def parse(text):
    parsed = Page(text)
    names = [tag for tag, _ in parsed.tags]
    assert not {"script", "iframe", "object", "embed", "form", "base", "link", "img"} & set(names)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)
    style = page.STYLE.read_text()
    assert style in text and "url(" not in style and "@import" not in style and "<" not in style
    policy = next(attributes for tag, attributes in parsed.tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy["content"]
    for tag, attributes in parsed.tags:
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if attributes.get("class") == "scroll":
            assert attributes["tabindex"] == "0" and attributes["aria-label"]
    return parsed


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True), encoding="utf-8")


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    reseal(path.parent)


def reseal(folder):
    """Update an existing manifest to the files of its folder."""
    if (folder / "manifest.json").exists():
        ingredients = integrity.read_manifest(folder)[0]["ingredients"]
        manifest(folder, ingredients["section"], ingredients["inputs"])


def manifest(folder, section, inputs=None):
    """Write the manifest of a folder as the store does; returns its digest."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": integrity.file_digest(path), "bytes": path.stat().st_size}
        for path in integrity.list_files(folder)
    }
    ingredients = {"section": section, "inputs": inputs or {}, "versions": {"keras": "3.15.1"}}
    table = {
        "digest": integrity.artifact_digest(files),
        "stage": folder.parent.name,
        "ingredients": ingredients,
        "files": files,
    }
    (folder / "manifest.json").write_text(checksummed_json.dumps(table), encoding="utf-8")
    return table["digest"]


def results(root, metrics, predictions, *, history=None, curve=()):
    """A store with the results that a report reads."""
    train, evaluate, ingest = root / "train/t", root / "evaluate" / ("e" * 32), root / "ingest/i"
    history = history or [
        {"epoch": n, "step": 10 * n, "loss": 5.0 / n, "gradient_norm": 0.5, "learning_rate": 0.01 / n}
        | {"valid_loss": 6.0 / n, "valid_accuracy": 1 - 1 / (n + 1)}
        for n in range(1, 6)
    ]  # fmt: skip
    write_lines(train / "history.jsonl", history)
    write_lines(train / "logs/curve.jsonl", curve)
    write_json(
        train / "train.json",
        {"stopped": "epochs", "epochs": 5, "steps": 50, "best": history[-1], "parameters": 2_233_088},
    )
    inputs = {"train": manifest(train, {"model": {"kind": "recurrent", "units": 256}})}
    write_json(
        ingest / "stats.json", {"splits": {"train": {"rows": 500, "duplicates": 3, "conflicts": 1}}, "leakage": {}}
    )
    inputs["ingest"] = manifest(ingest, {"dataset": HOSTILE[0]})
    write_json(evaluate / "metrics.json", metrics)
    write_lines(evaluate / "predictions.jsonl", predictions)
    write_json(evaluate / "logs/speed.json", {"rows": len(predictions), "seconds": 2.0})
    manifest(evaluate, {"seed": 1}, inputs)
    return evaluate


def generated(root, *, rows=60, hostile=True, **options):
    draw = random.Random(4)
    words = ("the", "dog", "runs", "fast", "today", "Straße", "ein", "über")
    lines = []
    for row in range(rows):
        source = " ".join(draw.choices(words, k=draw.randint(2, 14)))
        answer = " ".join(word if draw.random() < 0.8 else draw.choice(words) for word in source.split())
        lines.append({"row": row, "source": source, "target": source, "answer": answer, "score": -draw.random()})
    if hostile:
        for row, text in enumerate(HOSTILE):
            lines[row] |= {"source": text, "target": HOSTILE[-1 - row], "answer": text[::-1] if row % 2 else text}
    answered = [line["answer"].encode("utf-8", "replace").decode() for line in lines]
    references = [line["target"].encode("utf-8", "replace").decode() for line in lines]
    report = generation.score(answered, references, resamples=20)
    part = generation.score(answered[:20], references[:20], resamples=0)["metrics"]
    word_figures = {
        "f1": 0.25,
        "precision": 0.5,
        "recall": 1 / 6,
        "least": 1,
        "most": 5,
        "reference_words": 12,
        "interval": [0.2, 0.3],
    }
    report |= {
        "task": "translate", "split": "test", "rows": rows, "notes": [HOSTILE[0]],
        "unseen_words": {"rows": 20, "metrics": part, "target_words": word_figures | {"f1": None}},
        "rare_words": {"rows": 20, "metrics": part, "target_words": word_figures},
    }  # fmt: skip
    return results(root, report, lines, **options)


def classified(root, classes=3, rows=120):
    draw = np.random.default_rng(3)
    names = [HOSTILE[0], *(f"class {n}" for n in range(1, classes))]
    true = draw.integers(classes, size=rows)
    logits = draw.normal(size=(rows, classes))
    logits[np.arange(rows), true] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected, given = [names[n] for n in true], [names[n] for n in probabilities.argmax(axis=1)]
    report = classification.score(names, probabilities, expected, given, resamples=20)
    report |= {
        "task": "classify",
        "split": "test",
        "rows": rows,
        "notes": [],
        "unseen_words": {"rows": 2, "metrics": report["metrics"]},
    }
    lines = []
    for row in range(rows):
        likely = dict(sorted(zip(names, probabilities[row].tolist(), strict=True), key=lambda pair: -pair[1])[:5])
        text = HOSTILE[row % len(HOSTILE)]
        lines.append(
            {
                "row": row,
                "text": text,
                "label": expected[row],
                "answer": given[row],
                "score": float(probabilities[row].max()),
                "probabilities": likely,
            }
        )
    return results(root, report, lines), expected, given


# A run


def test_a_generators_page_is_valid_and_shows_the_figures_of_metrics_json(tmp_path):
    evaluate = generated(tmp_path)
    loaded = Run.from_artifact(evaluate)
    parsed = parse(run.document(loaded))
    figures = {row[0]: row[1:] for row in parsed.table("", "all rows", "95 % from")[1:]}
    for name, value in loaded.metrics["metrics"].items():
        assert figures[page.metric_title(name)][0] == markup.format_number(value), name
    low, high = loaded.metrics["intervals"]["bleu"]
    assert figures["BLEU"][1:3] == [markup.format_number(low), markup.format_number(high)]
    assert figures["BLEU"][3] == markup.format_number(loaded.metrics["rare_words"]["metrics"]["bleu"])
    for row, line in zip(loaded.predictions, parsed.table("step", "train", "validation")[1:], strict=False):
        assert line[0] == str(10 * (row["row"] + 1))
    text = "".join(parsed.data)
    assert "2.23 M" in text and "60 test rows" in text and "1 to 5" in text


def test_length_groups_cover_all_rows_and_their_bleu_is_that_of_their_rows(tmp_path):
    loaded = Run.from_artifact(generated(tmp_path, hostile=False))
    table = parse(run.document(loaded)).table("words in the source", "rows", "BLEU")[1:]
    assert sum(int(row[1]) for row in table) == 60
    ends = [int(end) for end in table[-1][0].split("–")]
    first, last = ends[0], ends[-1]
    rows = [line for line in loaded.predictions if first <= len(line["source"].split()) <= last]
    assert len(rows) == int(table[-1][1])
    expected = generation.score([line["answer"] for line in rows], [line["target"] for line in rows], resamples=0)
    assert float(table[-1][2]) == pytest.approx(expected["metrics"]["bleu"], rel=1e-3)


def test_the_worst_and_best_sentences_are_chosen_by_chrf(tmp_path):
    import sacrebleu

    loaded = Run.from_artifact(generated(tmp_path, hostile=False))
    shown = run.document(loaded)
    scores = [sacrebleu.sentence_chrf(line["answer"], [line["target"]]).score for line in loaded.predictions]
    reported = [float(value) for value in re.findall(r"<span>chrF ([\d.]+)</span>", shown)]
    assert reported[:10] == [pytest.approx(score, abs=0.051) for score in sorted(scores)[:10]]
    assert reported[10:20] == [pytest.approx(score, abs=0.051) for score in sorted(scores, reverse=True)[:10]]
    assert len(reported) == 30
    assert shown == run.document(
        Run.from_artifact(loaded.artifacts["evaluate"])
    )  # ties and random sentences are reproducible


def test_all_references_are_shown_and_the_nearest_is_used_for_differences(tmp_path):
    evaluate = generated(tmp_path, rows=3, hostile=False)
    lines = [json.loads(line) for line in (evaluate / "predictions.jsonl").read_text().splitlines()]
    lines[0] |= {
        "answer": "one red house",
        "target": "nothing alike",
        "references": ["nothing alike", "one blue house"],
    }
    write_lines(evaluate / "predictions.jsonl", lines)
    shown = run.document(Run.from_artifact(evaluate))
    assert "nothing alike<br>one blue house" in shown and "one <mark>red</mark> house" in shown
    parse(shown)


def test_hostile_texts_are_escaped(tmp_path):
    parsed = parse(run.document(Run.from_artifact(generated(tmp_path, rows=len(HOSTILE)))))
    text = "".join(parsed.data)
    for hostile in HOSTILE[:3] + HOSTILE[6:7] + HOSTILE[11:13]:
        assert hostile in text
    assert not [letter for letter in text if markup.is_invisible(letter)]
    assert "U+0000" in text and "U+202E" in text and "U+200B" in text and "U+D800" in text
    assert HOSTILE[8] in text  # joiners are part of words
    assert [
        attributes
        for tag, attributes in parsed.tags
        if tag == "dd" and "dir" in attributes and attributes["dir"] == "auto"
    ]


@pytest.mark.parametrize("classes", [2, 5, 30])
def test_a_classifiers_page_agrees_with_scikit_learn(tmp_path, classes):
    evaluate, expected, given = classified(tmp_path, classes)
    loaded = Run.from_artifact(evaluate)
    parsed = parse(run.document(loaded))
    names = loaded.metrics["labels"]
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        expected, given, labels=names, zero_division=0
    )
    table = {row[0]: row[1:] for row in parsed.table("class", "precision")[1:]}
    for at, name in enumerate(names):
        assert table[name] == [
            *(markup.format_number(float(value)) for value in (precision[at], recall[at], f1[at])),
            str(support[at]),
        ]
    wrong = sum(a != b for a, b in zip(expected, given, strict=True))
    assert f"{wrong} of 120 answers are wrong" in "".join(parsed.data)
    confused = sklearn.metrics.confusion_matrix(expected, given, labels=names)
    if classes <= bars.MAX_CLASSES:
        (heat,) = [table for table in parsed.tables if table[0][0].startswith("predicted")]
        assert [[int(cell or 0) for cell in row[1:]] for row in heat[1:]] == confused.tolist()
    else:
        first = parsed.table("expected", "predicted", "rows")[1]
        assert (
            int(first[2])
            == confused[names.index(first[0]), names.index(first[1])]
            == (confused - np.diag(np.diag(confused))).max()
        )


def test_the_most_confident_errors_come_first(tmp_path):
    evaluate, *_ = classified(tmp_path)
    loaded = Run.from_artifact(evaluate)
    shown = bars.errors_section(loaded).body.partition("least confident")[0]
    reported = [float(value) for value in re.findall(r"confidence ([\d.]+)<", shown)]
    wrong = sorted((line["score"] for line in loaded.predictions if line["answer"] != line["label"]), reverse=True)
    assert reported == [round(score, 3) for score in wrong[:10]]


def test_confidence_is_counted_in_its_bins(tmp_path):
    evaluate, *_ = classified(tmp_path)
    loaded = Run.from_artifact(evaluate)
    notes = re.findall(
        r"mean confidence ([\d.]+), accuracy ([\d.]+), (\d+) rows", bars.calibration_section(loaded).body
    )
    assert sum(int(rows) for *_, rows in notes) == 120
    for mean, share, rows in notes:
        low = np.ceil(float(mean) * 10 - 1e-9) / 10 - 0.1
        members = [line for line in loaded.predictions if low < line["score"] <= low + 0.1]
        assert len(members) == int(rows)
        assert np.mean([line["answer"] == line["label"] for line in members]) == pytest.approx(float(share), abs=6e-4)


def test_wilsons_interval_is_that_of_scipy():
    for hits, rows in ((9, 10), (0, 5), (5, 5), (40, 80)):
        expected = scipy.stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson")
        assert bars.wilson_interval(hits, rows) == (
            pytest.approx(expected.low, abs=1e-6),
            pytest.approx(expected.high, abs=1e-6),
        )


def test_the_curve_of_a_resumed_run_counts_each_step_once(tmp_path):
    curve = [
        {
            "step": step,
            "loss": loss,
            "gradient_norm": 1.0,
            "learning_rate": 0.1,
            "tokens_per_second": 900.0,
            "seconds": 4000.0,
        }
        for step, loss in ((10, 9.0), (20, 8.0), (20, 7.0), (30, 6.0))
    ]
    curve.append({"step": 20, "valid_loss": 6.5})
    parsed = parse(run.document(Run.from_artifact(generated(tmp_path, curve=curve))))
    rows = {row[0]: row[1] for row in parsed.table("step", "train", "validation")[1:]}
    assert (rows["10"], rows["20"], rows["30"], rows["40"]) == ("9", "7", "6", "–")
    assert "1 h 6 min" in "".join(parsed.data)
    assert parsed.table("step", "tokens per second")[1:] == [["10", "900"], ["20", "900"], ["30", "900"]]


def test_validation_bleu_is_drawn_if_it_was_measured(tmp_path):
    history = [
        {"epoch": n, "step": n, "loss": 1.0, "gradient_norm": 1.0, "valid_loss": 1.0, "valid_bleu": 10.0 * n}
        for n in (1, 2, 3)
    ]
    parsed = parse(run.document(Run.from_artifact(generated(tmp_path, history=history))))
    assert parsed.table("step", "validation BLEU")[1:] == [["1", "10"], ["2", "20"], ["3", "30"]]


def test_a_run_of_a_single_validation_and_a_single_row_has_a_page(tmp_path):
    history = [{"epoch": 1, "step": 1, "loss": 2.0, "gradient_norm": 0.0}]
    loaded = Run.from_artifact(generated(tmp_path, rows=1, hostile=False, history=history))
    parse(run.document(loaded))


def test_a_page_is_written_again_only_when_its_results_changed(tmp_path):
    loaded = Run.from_artifact(generated(tmp_path / "store"))
    path = tmp_path / "reports/name.html"
    assert run.write(loaded, path, always=False)
    before = path.read_bytes()
    assert not run.write(loaded, path, always=False)
    manifest_file = loaded.artifacts["train"] / "manifest.json"
    os.utime(manifest_file, ns=(1, 1))
    assert run.write(Run.from_artifact(loaded.artifacts["evaluate"]), path, always=False)
    assert path.read_bytes() != before and not list(path.parent.glob(".*"))


def test_a_directory_that_is_not_a_result_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="not a finished result"):
        Run.from_artifact(tmp_path)
    evaluate = generated(tmp_path)
    (tmp_path / "train/t/manifest.json").unlink()
    with pytest.raises(ArtifactError, match="the train artifact it was computed from"):
        Run.from_artifact(evaluate)


def test_attention_maps_are_titled_by_their_sentence(tmp_path):
    evaluate = generated(tmp_path, hostile=False)
    line = {
        "row": 3,
        "source_tokens": ["▁<i>", "שלום", "</s>"],
        "target_tokens": ["▁a", "</s>"],
        "weights": [[0.9, 0.06, 0.04], [0.0, 0.3, 0.7]],
    }
    write_lines(evaluate / "attention.jsonl", [line])
    loaded = Run.from_artifact(evaluate)
    parsed = parse(run.document(loaded))
    (heat,) = [table for table in parsed.tables if table[0][0].startswith("source")]
    assert heat == [["source →answer ↓", "▁<i>", "שלום", "</s>"], ["▁a", ".9", ".1", ""], ["</s>", "", ".3", ".7"]]
    depths = [attributes["style"] for tag, attributes in parsed.tags if tag == "td" and "style" in attributes]
    assert depths[:3] == ["--w:0.90", "--w:0.06", "--w:0.04"]
    assert loaded.predictions[3]["source"] in parsed.data


# Attention as evaluate writes it


class Attending:
    """A servable with known attention."""

    source = "source"

    def __init__(self, weight=0.25):
        self.weight = weight

    definitions = (signatures.Signature("attention", gives=signatures.ATTENTION),)

    def row_texts(self, raw):
        return raw["source"]

    def signature(self, name):
        import tensorflow as tf

        def attention(source):
            texts = [text.decode().split() for text in source.numpy()]
            width = max(map(len, texts)) + 2
            pieces = [[*words, "</s>", *["<pad>"] * (width - 1 - len(words))] for words in texts]
            weights = np.full((len(texts), 5, width), self.weight, np.float32)
            targets = [["x", "y", "</s>", "<pad>", "<pad>"]] * len(texts)
            return {
                "source_tokens": tf.constant(pieces),
                "target_tokens": tf.constant(targets),
                "weights": tf.constant(weights),
            }

        return {"attention": attention}[name]


def test_attention_is_written_without_padding_for_rows_that_fit(tmp_path):
    sources = [f"word {n} here" for n in range(50)] + ["long " * 60] * 50
    _attention.write(Attending(), range(100, 200), {"source": sources}, tmp_path, seed=1)
    lines = [json.loads(line) for line in (tmp_path / "attention.jsonl").read_text().splitlines()]
    assert len(lines) == _attention.ROWS
    for line in lines:
        assert line["source_tokens"] == ["word", str(line["row"] - 100), "here", "</s>"]
        assert line["target_tokens"] == ["x", "y", "</s>"]
        assert line["weights"] == [[0.25] * 4] * 3
    before = (tmp_path / "attention.jsonl").read_bytes()
    _attention.write(Attending(), range(100, 200), {"source": sources}, tmp_path, seed=1)
    assert (tmp_path / "attention.jsonl").read_bytes() == before


def test_a_model_without_attention_writes_no_maps(tmp_path):
    _attention.write(Attending(weight=0.0), [0], {"source": ["some words"]}, tmp_path, seed=1)
    assert not list(tmp_path.iterdir())


# Comparisons as pages


def test_a_comparisons_page_shows_its_figures_and_both_answers(tmp_path):
    first, other = generated(tmp_path / "a"), generated(tmp_path / "b")
    lines = [json.loads(line) for line in (other / "predictions.jsonl").read_text().splitlines()]
    for line in lines[::2]:
        line["answer"] = line["target"]
    write_lines(other / "predictions.jsonl", lines)
    for folder in (first, other):  # evaluate replaces what cannot be encoded before scoring
        path = folder / "predictions.jsonl"
        path.write_text(re.sub(r"\\ud[89a-f]..", r"\\ufffd", path.read_text()))
        reseal(folder)
    result = comparison.compare(system_answers.load([str(first), str(other)]), resamples=30, trials=20, show=60)
    comparison_page.write(result, tmp_path / "page.html")
    parsed = parse((tmp_path / "page.html").read_text(encoding="utf-8"))
    rows = parsed.table("", "system", "value")[1:]
    for (name, metric), at in zip(result.table["metrics"].items(), range(0, 8, 2), strict=True):
        assert [rows[at][2], rows[at + 1][2]] == [
            markup.format_number(system["value"]) for system in metric["systems"]
        ], name
        assert rows[at + 1][5] == comparison.format_signed(metric["systems"][1]["difference"])
    assert HOSTILE[0] in "".join(parsed.data)


def test_a_comparison_of_labels_has_a_page(tmp_path):
    first, *_ = classified(tmp_path / "a")
    other, *_ = classified(tmp_path / "b")
    path = other / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[:30]:
        line["answer"] = line["label"]
    write_lines(path, lines)
    result = comparison.compare(system_answers.load([str(first), str(other)]), resamples=30, trials=20)
    parsed = parse(comparison_page.document(result))
    (heat,) = [table for table in parsed.tables if len(table) == 3 and table[0][1:] == ["right", "wrong"]]
    pair = result.table["pairs"][0]
    assert [[int(cell) for cell in row[1:]] for row in heat[1:]] == [
        [pair["both"], pair["only_first"]],
        [pair["only_second"], pair["neither"]],
    ]


# Charts


def test_ticks_are_round_and_cover_the_values():
    assert axes.ticks(0.3, 9.1) == [0, 2, 4, 6, 8, 10]
    draw = random.Random(5)
    for _ in range(300):
        low, high = sorted(draw.uniform(-1, 1) * 10 ** draw.randint(-6, 6) for _ in range(2))
        marks = axes.ticks(low, high)
        spare = 1e-6 * (marks[1] - marks[0])
        assert marks[0] <= low + spare and marks[-1] >= high - spare and 2 <= len(marks) <= 9
        steps = {round((b - a) / (marks[1] - marks[0]), 6) for a, b in itertools.pairwise(marks)}
        assert steps == {1}


def test_bars_are_as_high_as_their_values():
    drawn = charts.bars("Bars", ["a", "b", "c"], [charts.Series("one", [], [10.0, 5.0, 2.5])], "x")
    heights = [float(height) for height in re.findall(r'class="bar a"[^>]* height="([\d.]+)"', drawn)]
    assert heights[0] / heights[1] == pytest.approx(2, rel=0.01) and heights[1] / heights[2] == pytest.approx(
        2, rel=0.01
    )
    assert "a: one 10" in drawn


def test_a_histogram_counts_every_value_once():
    values = [-1.0, 0.0, 0.1, 0.5, 0.999, 1.0, 7.0]
    parsed = Page(charts.histogram("Values", values, "value", low=0, high=1, bins=4))
    (table,) = parsed.tables
    assert [int(row[1]) for row in table[1:]] == [3, 0, 1, 3]


def test_long_lines_are_thinned_to_means():
    xs, ys = charts.downsample(range(1000), [float(x % 2) for x in range(1000)], 100)
    assert len(xs) == 100 and set(ys) == {0.5} and xs[0] == 4.5


def test_length_ranges_cover_every_row_once_and_keep_equal_lengths_together():
    draw = random.Random(6)
    for rows in (1, 2, 7, 300):
        lengths = [draw.choice((3, 3, 3, 5, 8, 13, 21, 40)) for _ in range(rows)]
        ranges = texts.length_ranges(lengths)
        assert [sum(low <= length <= high for low, high in ranges) for length in lengths] == [1] * rows
        assert len(ranges) <= texts.NUM_RANGES
    assert texts.length_ranges([3, 3, 4, 5, 9, 12], 3) == [(3, 3), (4, 5), (9, 12)]


def test_words_that_differ_are_marked():
    assert markup.mark_differences("a red dog", "a dog") == "a <mark>red</mark> dog"
    assert markup.mark_differences("<b> x", "x") == "<mark>&lt;b&gt;</mark> x"
    assert markup.mark_differences("", "x") == '<i class="quiet">empty</i>'


# Legibility


def test_f1_of_two_classes_names_its_positive_class(tmp_path):
    evaluate, *_ = classified(tmp_path / "two", classes=2)
    loaded = Run.from_artifact(evaluate)
    positive = loaded.metrics["labels"][1]
    parsed = parse(run.document(loaded))
    names = [row[0] for row in parsed.table("", "all rows")[1:]]
    assert {f"F1 of “{positive}”", f"precision of “{positive}”", f"recall of “{positive}”", "F1, macro"} <= set(names)
    assert f"F1 of “{positive}”" in [text for text in parsed.data if text.startswith("F1 of")]
    evaluate, *_ = classified(tmp_path / "three", classes=3)
    assert "F1 of" not in run.document(Run.from_artifact(evaluate))


def test_a_comparison_names_the_class_that_f1_is_of(tmp_path):
    folders = [classified(tmp_path / name, classes=2)[0] for name in "ab"]
    result = comparison.compare(system_answers.load([str(folder) for folder in folders]), resamples=20, trials=20)
    positive = sorted({line["label"] for line in Run.from_artifact(folders[0]).predictions})[1]
    assert result.table["positive"] == positive
    assert f"f1 of {positive}" in comparison.render_text(result)
    assert f"F1 of “{positive}”" in "".join(parse(comparison_page.document(result)).data)


def test_full_batch_training_is_reported_in_iterations(tmp_path):
    evaluate = generated(tmp_path, hostile=False)
    history = [{"epoch": n, "step": n, "loss": 1 / n, "gradient_norm": 1.0} for n in range(1, 15)]
    history[-1]["valid_loss"] = 0.25
    write_lines(tmp_path / "train/t/history.jsonl", history)
    reported = {"stopped": "converged", "epochs": 14, "steps": 19, "best": history[-1], "parameters": 7}
    write_json(tmp_path / "train/t/train.json", reported)
    inputs = {
        name: integrity.read_manifest(folder)[0]["digest"]
        for name, folder in (("train", tmp_path / "train/t"), ("ingest", tmp_path / "ingest/i"))
    }
    manifest(evaluate, {"seed": 1}, inputs)
    parsed = parse(run.document(Run.from_artifact(evaluate)))
    text = " ".join(parsed.data)
    assert "Converged after 14 iterations. The kept weights are those of the last iteration." in text
    assert "19 evaluations of the loss" in text and "steps" not in text
    assert parsed.table("iteration", "train", "validation")[-1] == ["14", markup.format_number(1 / 14), "0.25"]
    # A single validation is a point, in the drawing and in the legend.
    keys = [
        attributes["class"] for tag, attributes in parsed.tags if tag == "i" and "key" in attributes.get("class", "")
    ]
    assert keys[:2] == ["key a", "key point b"]
    assert [tag for tag, attributes in parsed.tags if attributes.get("class") == "dot b"] == ["circle"]


def test_the_kept_weights_are_reported_with_the_number_of_steps(tmp_path):
    evaluate = generated(tmp_path, hostile=False)
    assert "The kept weights are those of the last step, 50." in run.document(Run.from_artifact(evaluate))
    history = json.loads((tmp_path / "train/t/train.json").read_text())
    write_json(tmp_path / "train/t/train.json", history | {"best": history["best"] | {"step": 30}})
    shown = run.document(Run.from_artifact(evaluate))
    assert "The kept weights are those of step 30 of 50, the best by validation." in shown


@pytest.mark.parametrize(("step", "reach"), [(1 / 1408, 9), (1 / 20, 6), (1 / 50_000, 900)])
def test_a_histogram_of_differences_has_no_spurious_gaps(step, reach):
    draw = random.Random(8)
    counts = [draw.randint(-reach, reach) for _ in range(4000)] + [0] * 10
    values = [count * step for count in counts]
    low, high, bins = comparison_page.bins_about_zero(values, step)
    (table,) = Page(charts.histogram("Differences", values, "x", low=low, high=high, bins=bins)).tables
    heights = [int(row[1]) for row in table[1:]]
    assert sum(heights) == len(values) and min(heights) > 0
    width = (high - low) / bins
    assert (0 - low) / width % 1 == pytest.approx(0.5)  # zero is in the middle of its bin
    expected = sum(abs(value) < width / 2 for value in values)
    assert heights[int((0 - low) / width)] == expected


def test_zero_is_in_the_middle_of_a_bin():
    draw = random.Random(9)
    for _ in range(100):
        values = [draw.gauss(draw.uniform(-2, 2), 0.5) for _ in range(50)]
        low, high, bins = comparison_page.bins_about_zero(values, 0.0)
        assert low < min(values) and max(values) < high and 32 <= bins <= 34
        assert (0 - low) / ((high - low) / bins) % 1 == pytest.approx(0.5)
    assert comparison_page.bins_about_zero([0.0, 0.0], 0.1)[2] == 1


def test_labels_stay_within_the_drawing_and_off_the_axis():
    low = [
        charts.Series("train", [1, 2, 3], [9.0, 5.0, 4.0], "a"),
        charts.Series("validation", [1, 2, 3], [3.0, 1.0, 0.1], "b"),
    ]
    drawn = charts.lines("Loss", low, "step", mark=(3, 0.1, "0.1000"))
    (place,) = re.findall(r'class="mark" x="[\d.]+" y="([\d.]+)"', drawn)
    assert float(place) < axes.HEIGHT - axes.BOTTOM
    spread = charts.histogram("Differences", [0.001, 0.006], "x", low=0.0, high=0.006, bins=3)
    for x, anchor, text in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">([^<]*)</text>', spread):
        assert anchor != "middle" or float(x) + axes.LETTER_WIDTH * len(text) / 2 <= axes.WIDTH + 0.05


def test_a_single_bar_has_a_limited_width():
    drawn = charts.bars("F1", ["rare words"], [charts.Series("F1", [], [0.5], "a")], "words")
    (width,) = re.findall(r'class="bar a"[^>]* width="([\d.]+)"', drawn)
    assert float(width) <= charts.MAX_BAR_WIDTH
