"""Comparisons agree with sacrebleu's command line, with SciPy, and with exhaustive enumeration of tiny cases."""

import itertools
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
import scipy.stats
from sacrebleu.metrics import BLEU

from textpipe.errors import ArtifactError, DataError
from textpipe.metrics import bootstrap, corpus, generation, significance
from textpipe.metrics import comparison as measures
from textpipe.metrics.corpus import Measure
from textpipe.report import comparison, system_answers
from textpipe.report.systems import short_names

WORDS = ("the", "a", "dog", "cat", "runs", "sleeps", "über", "Straße", "today", ".", "two", "x")


def systems(rows=60, seed=3):
    """References, a good and a worse system."""
    draw = random.Random(seed)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in range(rows)]

    def worsened(text, noise):
        return " ".join(draw.choice(WORDS) if draw.random() < noise else word for word in text.split())

    return references, [worsened(text, 0.3) for text in references], [worsened(text, 0.37) for text in references]


def write_run(folder, references, answers, *, source="source", target="target", scores=None):
    """A predictions.jsonl as evaluate writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "predictions.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row, (reference, answer) in enumerate(zip(references, answers, strict=True)):
            score = scores[row] if scores else -1.0
            line = {"row": row, source: f"text {row}", target: reference, "answer": answer, "score": score}
            if isinstance(reference, list):
                line |= {target: reference[0], "references": reference}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return str(folder)


# Corpus figures from sums


def test_bleu_of_sums_equals_sacrebleu_including_its_smoothing():
    draw = np.random.default_rng(0)
    sums = []
    for _ in range(500):
        answer = int(draw.integers(0, 9))
        totals = [max(0, answer - order) for order in range(4)]
        sums.append(
            [*(int(draw.integers(0, total + 1)) for total in totals), *totals, answer, int(draw.integers(1, 9))]
        )
    scores = corpus.bleu(np.array(sums, np.float64))
    for line, value in zip(sums, scores, strict=True):
        expected = BLEU.compute_bleu(line[:4], line[4:8], line[8], line[9], smooth_method="exp").score
        assert value == pytest.approx(expected, abs=1e-9), line


def test_chrf_and_ter_of_sums_equal_sacrebleu():
    pool = [*WORDS, "  ", "ﬁ", "é"]
    draw = random.Random(1)
    for _ in range(100):
        rows = draw.randint(1, 4)
        ours, theirs = ([" ".join(draw.choices(pool, k=draw.randint(0, 6))) for _ in range(rows)] for _ in range(2))
        characters, edits = corpus.chrf_statistics(ours, theirs), generation.edit_statistics(ours, theirs)
        assert corpus.chrf(characters.sum(axis=0)[None])[0] == pytest.approx(
            sacrebleu.corpus_chrf(ours, [theirs]).score
        )
        assert corpus.ter(edits.sum(axis=0)[None])[0] == pytest.approx(sacrebleu.corpus_ter(ours, [theirs]).score)


def test_several_references_are_scored_as_by_sacrebleu(tmp_path):
    references, good, worse = systems()
    several = [[worse[row], text] if row % 3 else [text] for row, text in enumerate(references)]
    tables = comparison.compare(
        system_answers.load([write_run(tmp_path / "a", several, good), write_run(tmp_path / "b", several, worse)]),
        resamples=10,
        trials=10,
    ).table["metrics"]
    streams = generation.streams(several)
    for at, answers in enumerate((good, worse)):
        assert tables["bleu"]["systems"][at]["value"] == pytest.approx(sacrebleu.corpus_bleu(answers, streams).score)
        assert tables["chrf"]["systems"][at]["value"] == pytest.approx(sacrebleu.corpus_chrf(answers, streams).score)
        assert tables["ter"]["systems"][at]["value"] == pytest.approx(sacrebleu.corpus_ter(answers, streams).score)
    assert tables["bleu"]["signature"].startswith("nrefs:var|")


def test_f1_of_sums_equals_scikit_learn():
    from sklearn.metrics import f1_score

    draw = random.Random(2)
    references, answers = (["abc"[draw.randrange(3)] for _ in range(40)] for _ in range(2))
    sums = corpus.class_statistics(answers, references, ["a", "b", "c", "never"]).sum(axis=0)[None]
    assert corpus.f1_macro(sums)[0] == pytest.approx(f1_score(references, answers, average="macro"))


# Significance tests compared with exhaustive enumeration


def mean_measure(first, second):
    statistics = [np.array(values, np.float64)[:, None] for values in (first, second)]
    return Measure("mean", statistics, lambda sums: sums[:, 0] / len(first))


def test_randomization_of_few_rows_enumerates_every_swap():
    first, second = [1.0, 2.0, 0.5, 3.0, 1.0], [2.0, 2.5, 0.0, 4.0, 1.5]
    observed = abs(sum(second) - sum(first))
    extreme = 0
    for signs in itertools.product((1, -1), repeat=len(first)):
        extreme += abs(sum(s * (b - a) for s, a, b in zip(signs, first, second, strict=True))) >= observed - 1e-9
    statistics = mean_measure(first, second)
    p = significance.randomization_p(*statistics.statistics, statistics.compute, trials=32, seed=0)
    assert p == extreme / 32
    drawn = significance.randomization_p(*statistics.statistics, statistics.compute, trials=31, seed=0)
    assert drawn != p and abs(drawn - p) < 0.3


def test_bootstrap_of_few_rows_approximates_the_enumeration_of_resamples():
    first, second = [1.0, 2.0, 0.5, 3.0], [1.5, 2.8, 0.3, 3.2]
    differences = np.array(
        [np.mean([second[at] - first[at] for at in drawn]) for drawn in itertools.product(range(4), repeat=4)]
    )
    observed = np.mean(second) - np.mean(first)
    assert observed > 0
    exact = np.mean((differences <= 1e-9) | (differences >= 2 * observed - 1e-9))
    low, high = np.quantile(differences, [0.025, 0.975])
    table, _ = significance.compare(mean_measure(first, second), resamples=20_000, trials=10, seed=5)
    assert table[1]["difference"] == pytest.approx(observed)
    assert table[1]["p_bootstrap"] == pytest.approx(exact, abs=4 * (0.25 / 20_000) ** 0.5)
    # Of 256 equally likely resamples the quantile may fall on either of two neighbours.
    steps = np.unique(differences)
    for bound, expected in zip(table[1]["difference_interval"], (low, high), strict=True):
        assert abs(np.searchsorted(steps, bound) - np.searchsorted(steps, expected)) <= 2


def test_a_system_does_not_differ_from_itself():
    references, good, _ = systems()
    for measure in measures.text_measures([good, good], references):
        table, _ = significance.compare(measure, resamples=50, trials=50, seed=1)
        assert (table[1]["difference"], table[1]["p_bootstrap"], table[1]["p_randomization"]) == (0, 1, 1)


@pytest.mark.parametrize(("first", "second"), [(1, 8), (8, 1), (0, 0), (5, 5), (700, 800)])
def test_mcnemar_is_the_exact_binomial_test(first, second):
    expected = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert significance.mcnemar_p(first, second) == pytest.approx(expected)


def test_the_last_block_of_swaps_may_be_smaller(monkeypatch):
    monkeypatch.setattr(significance, "BLOCK_FLIPS", 50)
    assert [len(block) for block in significance.random_flips(10, 12, 0)] == [5, 5, 2]


# sacrebleu's command line


def test_figures_signatures_and_swaps_equal_sacrebleus_command_line(tmp_path):
    references, good, worse = systems()
    for name, lines in (("ref", references), ("a", good), ("b", worse)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "a", "b", "-f", "json", "-w", "6"]
    reported = {}
    # Its bootstrap cannot write chrF and TER as JSON.
    for option, metrics in (("--paired-ar", ("bleu", "chrf", "ter")), ("--paired-bs", ("bleu",))):
        done = subprocess.run(
            [*command, option, "-m", *metrics], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        reported[option] = json.loads(done.stdout)
    tables, drawn = measures.compare(measures.text_measures([good, worse], references))
    for ours, theirs in (("bleu", "BLEU"), ("chrf", "chrF2"), ("ter", "TER")):
        table = tables[ours]["systems"]
        for at, line in enumerate(reported["--paired-ar"]):
            assert table[at]["value"] == pytest.approx(line[theirs]["score"], abs=1e-5)
        p = reported["--paired-ar"][1][theirs]["p_value"]  # sacrebleu writes four digits
        if ours == "ter":  # whole edits often tie, which sacrebleu does not count
            assert p <= table[1]["p_randomization"] < p + 0.002
        else:
            assert table[1]["p_randomization"] == pytest.approx(p, abs=6e-5)
    # The same draws; its bootstrap counts on one side. By its own formula:
    gaps = np.abs(drawn["bleu"][1] - drawn["bleu"][0])
    extreme = (gaps - gaps.mean() > abs(tables["bleu"]["systems"][1]["difference"])).sum()
    assert (extreme + 1) / 1001 == pytest.approx(reported["--paired-bs"][1]["BLEU"]["p_value"], abs=6e-5)
    for at, line in enumerate(reported["--paired-bs"]):
        assert drawn["bleu"][at].mean() == pytest.approx(line["BLEU"]["mean"], abs=2e-3)
    assert tables["bleu"]["signature"] == signature(references, good)
    assert tables["ter"]["less_is_better"] and not tables["bleu"]["less_is_better"]


def signature(references, good):
    scorer = BLEU()
    scorer.corpus_score(good, [references])
    return str(scorer.get_signature())


def test_resamples_equal_those_of_sacrebleu():
    expected = np.random.default_rng(12345).choice(50, size=(20, 50), replace=True)
    found = list(bootstrap.resample_weights(50, 20, 12345))
    assert [np.bincount(row, minlength=50).tolist() for row in expected] == [row.tolist() for row in found]


def test_the_interval_of_chrf_equals_that_of_resampled_corpora():
    references, good, _ = systems(rows=25)
    report = generation.score(good, references, resamples=40, seed=7)
    figures = []
    for drawn in bootstrap.resample_weights(25, 40, 7):
        rows = np.repeat(np.arange(25), drawn.astype(int))
        figures.append(sacrebleu.corpus_chrf([good[at] for at in rows], [[references[at] for at in rows]]).score)
    assert report["intervals"]["chrf"] == pytest.approx(np.quantile(figures, [0.025, 0.975]).tolist())


# Runs on disk


def test_the_rows_that_differ_most_are_found(tmp_path):
    references = ["the dog runs today .", "a cat sleeps .", "two x", "the cat"]
    first = write_run(tmp_path / "first", references, ["the dog runs today .", "zzz", "two x", "the cat"])
    other = write_run(tmp_path / "other", references, ["qqq", "a cat sleeps .", "two y", "the cat"])
    result = comparison.compare(system_answers.load([first, other]), resamples=20, trials=16, show=9)
    (pair,) = result.table["pairs"]
    assert [row["row"] for row in pair["better"]] == [2]
    assert [row["row"] for row in pair["worse"]] == [1, 3]
    assert pair["better"][0]["answers"] == ["zzz", "a cat sleeps ."]
    assert pair["better"][0]["chrf"] == [0, pytest.approx(100)]
    assert pair["same_answer"] == 1
    shown = comparison.render_text(result)
    assert "row 2, better, chrF +100.0" in shown and "nrefs:1|case:mixed" in shown
    json.dumps(result.table, allow_nan=False)


def test_labels_are_compared_by_accuracy_f1_and_mcnemar(tmp_path):
    references = ["yes", "no"] * 20
    wrong = {"yes": "no", "no": "yes"}
    worse = [wrong[label] if at % 4 == 0 else label for at, label in enumerate(references)]
    better = [wrong[label] if at == 0 or at == 9 else label for at, label in enumerate(references)]
    sure = [0.5 + at / 100 for at in range(40)]
    names = [
        write_run(tmp_path / name, references, answers, source="text", target="label", scores=sure)
        for name, answers in (("worse", worse), ("better", better))
    ]  # fmt: skip
    table = comparison.compare(system_answers.load(names), resamples=20, trials=20, show=3).table
    assert [system["value"] for system in table["metrics"]["accuracy"]["systems"]] == [0.75, 0.95]
    from sklearn.metrics import f1_score

    for at, answers in enumerate((worse, better)):
        assert table["metrics"]["f1"]["systems"][at]["value"] == pytest.approx(
            f1_score(references, answers, pos_label="yes")
        )
        assert table["metrics"]["f1_macro"]["systems"][at]["value"] == pytest.approx(
            f1_score(references, answers, average="macro")
        )
    (pair,) = table["pairs"]
    assert [pair[name] for name in ("both", "only_first", "only_second", "neither")] == [29, 1, 9, 1]
    assert pair["p_mcnemar"] == pytest.approx(scipy.stats.binomtest(1, 10).pvalue)
    assert [row["row"] for row in pair["better"]] == [37, 33, 29]  # by the confidence of the wrong answer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "have 60 and 59 rows"),
        (lambda lines: [*lines[:4], lines[4].replace("text 4", "text four"), *lines[5:]], "sources differ from row 5"),
        (lambda lines: [lines[0].replace('"target": "', '"target": "no '), *lines[1:]], "references differ from row 1"),
        (lambda lines: [*lines[:2], "{", *lines[3:]], "line 3: not JSON"),
        (lambda lines: ["[]", *lines], "line 1: expected an object, found list"),
        (lambda lines: [line.replace('"answer"', '"reply"') for line in lines], "1: expected a text under 'answer'"),
        (lambda lines: [line.replace('"target"', '"goal"') for line in lines], "expected the fields of a task"),
        (lambda lines: [], "has no rows"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused_with_a_reason(tmp_path, change, message):
    references, good, worse = systems()
    first, other = write_run(tmp_path / "a", references, good), write_run(tmp_path / "b", references, worse)
    path = tmp_path / "b/predictions.jsonl"
    path.write_text("\n".join(change(path.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
    with pytest.raises(DataError, match="(?s).*") as caught:
        system_answers.load([first, other])
    assert message in str(caught.value)


def test_names_of_systems_are_as_short_as_possible():
    assert short_names(["pipelines/a.toml", "saved_models/b"]) == ["a", "b"]
    assert short_names(["saved_models/a/1", "saved_models/a/2"]) == ["a/1", "a/2"]
    assert short_names(["x/run/predictions.jsonl", "y/run"]) == ["x/run", "y/run"]
    assert short_names(["a", "a"]) == ["a (1)", "a (2)"]
    assert short_names([f"evaluate/{'ab' * 16}", "a"]) == ["abababab", "a"]


def test_a_pipeline_that_was_not_evaluated_is_refused_with_a_cure(tmp_path):
    (tmp_path / "rows.tsv").write_text("text\tlabel\na\tyes\nb\tno\n")
    pipeline = tmp_path / "mail.toml"
    pipeline.write_text(
        f'task = "classify"\n[ingest]\nfiles = "{tmp_path}/rows.tsv"\n[model]\nkind = "logistic_regression"\n'
    )
    with pytest.raises(ArtifactError, match=r"ingest: never run\); run `textpipe evaluate .*mail.toml` first"):
        system_answers.load([str(pipeline), str(pipeline)], artifacts=tmp_path / "artifacts")


def test_texts_are_shown_without_control_characters():
    assert comparison.one_line("red \x1b[31m\u202ealarm\n next") == "red \ufffd[31m\ufffdalarm / next"
