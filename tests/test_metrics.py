"""Metrics agree with scikit-learn, sacrebleu and manual calculation."""

import numpy as np
import pytest
import sacrebleu
from sklearn import metrics as sklearn_metrics

from textpipe.errors import ConfigError, DataError
from textpipe.metrics import bleu_tokenizers, bootstrap, classification, comparison, generation
from textpipe.tasks import classify, reply, translate


def guesses(classes, rows, seed=0):
    """Labels, probabilities [N, C], references and answers of an imperfect classifier."""
    generator = np.random.default_rng(seed)
    labels = [f"class{number}" for number in range(classes)]
    true = generator.integers(classes, size=rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), true] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities, [labels[n] for n in true], [labels[n] for n in probabilities.argmax(axis=1)]


@pytest.mark.parametrize("classes", [2, 5])
def test_classification_metrics_match_scikit_learn(classes):
    labels, probabilities, references, answers = guesses(classes, 300)
    result = classification.score(labels, probabilities, references, answers, resamples=0)["metrics"]
    average = {"average": "macro", "zero_division": 0}
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(references, answers, **average)
    assert result["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(references, answers))
    assert [result["precision_macro"], result["recall_macro"], result["f1_macro"]] == pytest.approx(
        [precision, recall, f1]
    )
    assert result["log_loss"] == pytest.approx(sklearn_metrics.log_loss(references, probabilities, labels=labels))
    if classes == 2:
        positive = {"pos_label": "class1"}
        assert result["f1"] == pytest.approx(sklearn_metrics.f1_score(references, answers, **positive))
        assert result["precision"] == pytest.approx(sklearn_metrics.precision_score(references, answers, **positive))
        assert result["recall"] == pytest.approx(sklearn_metrics.recall_score(references, answers, **positive))
        area = sklearn_metrics.roc_auc_score([r == "class1" for r in references], probabilities[:, 1])
    else:
        assert "f1" not in result
        area = sklearn_metrics.roc_auc_score(references, probabilities, multi_class="ovr", labels=labels)
    assert result["roc_auc"] == pytest.approx(area)


def test_the_confusion_matrix_has_references_in_rows():
    labels, probabilities = ["a", "b", "c"], np.full((4, 3), 1 / 3)
    result = classification.score(labels, probabilities, ["a", "a", "b", "c"], ["a", "c", "b", "b"], resamples=0)
    assert result["confusion"] == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
    assert result["support"] == [2, 1, 1]


def test_a_class_in_neither_references_nor_answers_does_not_lower_the_macro_average():
    result = classification.score(["a", "b", "c"], np.eye(3)[[0, 1]], ["a", "b"], ["a", "b"], resamples=0)["metrics"]
    assert result["f1_macro"] == 1 and result["recall_macro"] == 1


def test_calibration_error_of_a_worked_example():
    # Three rows with confidence .9, one correct: |.9 - 1/3|; one with .3, wrong: |.3 - 0|.
    confidence, correct = np.array([0.9, 0.9, 0.9, 0.3]), np.array([True, False, False, False])
    assert classification.calibration_error(confidence, correct) == pytest.approx((3 * (0.9 - 1 / 3) + 0.3) / 4)


def test_calibrated_probabilities_have_nearly_no_calibration_error():
    confidence = np.random.default_rng(0).uniform(0.5, 1, size=50_000)
    correct = np.random.default_rng(1).uniform(size=50_000) < confidence
    assert classification.calibration_error(confidence, correct) < 0.01
    assert classification.calibration_error(confidence, np.zeros(50_000, bool)) > 0.7


def test_scores_of_one_class_or_of_no_rows_are_none_where_undefined():
    one = classification.score(["a", "b"], np.array([[0.8, 0.2]]), ["a"], ["a"], resamples=10)["metrics"]
    assert one["roc_auc"] is None and one["accuracy"] == 1
    none = classify.metrics({"answer": [], "labels": [], "probabilities": []}, [])
    assert none["metrics"]["accuracy"] is None
    assert translate.metrics({"answer": []}, [])["metrics"]["bleu"] is None


def test_the_error_names_an_unknown_reference_label():
    with pytest.raises(DataError, match="'maybe'.*not in training"):
        classification.score(["no", "yes"], np.array([[1.0, 0.0]]), ["maybe"], ["no"])


HYPOTHESES = ["the cat sat on the mat", "a dog barks", "it is raining today", "", "exactly the same sentence here"]
REFERENCES = [
    "the cat sat on a mat",
    "the dog barks loudly",
    "today it is raining",
    "hello",
    "exactly the same sentence here",
]


def test_generation_metrics_match_sacrebleu():
    result = generation.score(HYPOTHESES, REFERENCES, resamples=0)
    figures = result["metrics"]
    assert figures["bleu"] == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    lowered = sacrebleu.corpus_bleu([h.upper() for h in HYPOTHESES], [REFERENCES], lowercase=True).score
    shouted = generation.score([h.upper() for h in HYPOTHESES], REFERENCES, resamples=0)["metrics"]
    assert shouted["bleu_lowercased"] == pytest.approx(lowered)
    assert shouted["bleu"] < 5
    assert figures["chrf"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)
    assert figures["ter"] == pytest.approx(sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score)
    assert figures["exact_match"] == 1 / 5
    assert figures["empty_answers"] == 1 and figures["distinct_answers"] == 5
    assert result["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert set(result["signatures"]) == {"bleu", "bleu_lowercased", "chrf", "ter"}
    assert "case:lc" in result["signatures"]["bleu_lowercased"]


def test_several_references_per_row_are_scored_as_in_sacrebleu():
    answers = ["a cat sat on the mat today", "the dog runs over there", "hello"]
    references = [["the cat sat on a mat", "a cat sat on the mat"], ["a dog runs there"], ["hi", "hello", "good day"]]
    padded = [[own[at] if at < len(own) else None for own in references] for at in range(3)]
    result = generation.score(answers, references, resamples=0)
    assert result["metrics"]["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, padded).score)
    assert result["metrics"]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answers, padded).score)
    assert result["metrics"]["ter"] == pytest.approx(sacrebleu.corpus_ter(answers, padded).score)
    assert result["metrics"]["exact_match"] == pytest.approx(1 / 3)
    assert "nrefs:var" in result["signatures"]["bleu"]


def test_a_task_declares_exactly_the_metrics_it_returns():
    labels, probabilities, references, answers = guesses(2, 20)
    outputs = {"answer": answers, "labels": [labels] * 20, "probabilities": probabilities}
    returned = set(classify.metrics(outputs, references, resamples=2)["metrics"])
    outputs["scope"] = probabilities.max(axis=1)
    returned |= set(classify.metrics(outputs, references, resamples=2, out_of_scope="other")["metrics"])
    assert returned == set(classify.METRICS) - {"uncalibrated_error"}  # evaluate adds this from the model
    returned = set(translate.metrics({"answer": HYPOTHESES}, REFERENCES, resamples=2)["metrics"])
    assert returned == set(translate.METRICS) - {
        "perplexity",
        "unknown_in_answers",
    }  # evaluate adds these from the model
    assert set(translate.METRICS.values()) == {"max", "min"} and reply.METRICS == translate.METRICS


def test_a_bootstrap_interval_of_a_mean_is_the_normal_approximation():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap.confidence_interval(values[:, None], lambda total: total[0] / 400, resamples=4000, seed=1)
    margin = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - margin, abs=0.03)
    assert high == pytest.approx(values.mean() + margin, abs=0.03)


def test_an_interval_depends_only_on_its_seed():
    values = np.random.default_rng(0).normal(size=(50, 1))
    first, again, other = (
        bootstrap.confidence_interval(values, lambda t: t[0], resamples=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_intervals_contain_their_metrics_and_shrink_with_more_rows():
    few, many = (classification.score(*guesses(3, rows), resamples=500) for rows in (100, 2500))
    for report in (few, many):
        for name, (low, high) in report["intervals"].items():
            assert low <= report["metrics"][name] <= high
    width = [report["intervals"]["accuracy"][1] - report["intervals"]["accuracy"][0] for report in (few, many)]
    assert width[0] / width[1] == pytest.approx(5, rel=0.25)  # the square root of 25 times the rows


def test_bleu_intervals_resample_whole_rows_of_corpus_bleu():
    # Independent check: draw the rows themselves with the same weights and score the resulting corpus.
    result = bootstrap.confidence_interval(
        generation.bleu_statistics(HYPOTHESES, REFERENCES, lowercase=False), generation.bleu, resamples=30, seed=7
    )
    drawn = []
    for weights in bootstrap.resample_weights(5, 30, 7):
        rows = np.repeat(np.arange(5), weights.astype(int))
        scored = sacrebleu.corpus_bleu([HYPOTHESES[n] for n in rows], [[REFERENCES[n] for n in rows]])
        drawn.append(scored.score)
    assert result == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


CHINESE = ["他们昨天在学校旁边的公园里见面了", "我想买一张去上海的火车票", "这家饭馆的菜比那家好吃"]
ANSWERS = ["他们昨天在学校旁边的公园见面了", "我想买两张去上海的火车票", "这家饭馆的菜没有那家好吃"]


@pytest.mark.parametrize("name", ["auto", "zh", "char", "intl", "13a", "none"])
def test_bleu_uses_the_requested_tokenizer(name):
    tokenize = "zh" if name == "auto" else name
    expected = sacrebleu.metrics.BLEU(tokenize=tokenize)
    figure = expected.corpus_score(ANSWERS, [CHINESE]).score
    result = generation.score(ANSWERS, CHINESE, resamples=0, bleu_tokenizer=name)
    assert result["metrics"]["bleu"] == pytest.approx(figure)
    assert result["signatures"]["bleu"] == str(expected.get_signature())
    assert bleu_tokenizers.tokenizer_in_signature(result["signatures"]["bleu"]) == tokenize
    measure = comparison.text_measures([ANSWERS], CHINESE, bleu_tokenizer=name)[0]
    assert measure.compute(measure.statistics[0].sum(axis=0)[None])[0] == pytest.approx(figure)


def test_the_script_of_the_references_chooses_the_tokenizer(monkeypatch):
    monkeypatch.setattr(bleu_tokenizers, "missing_packages", lambda name: [])
    for text, name in {"Ein Hund": "13a", "Он ушёл": "13a", "他走了": "zh", "これは本です": "ja-mecab", "그는 갔다": "ko-mecab",
                       "เขาไปแล้ว": "char", "12": "13a", "": "13a", "The word 中 means middle": "13a"}.items():  # fmt: skip
        assert bleu_tokenizers.choose([text]) == name
    assert bleu_tokenizers.choose(["他走了"], "13a") == "13a"


def test_a_tokenizer_without_its_package_raises_or_falls_back(monkeypatch, caplog):
    monkeypatch.setattr(bleu_tokenizers, "missing_packages", lambda name: ["MeCab"] if name == "ja-mecab" else [])
    assert bleu_tokenizers.check("zh", "here") == "zh"
    with pytest.raises(ConfigError, match=r"here: .*'ja-mecab' needs MeCab.*pip install 'sacrebleu\[ja\]'"):
        bleu_tokenizers.check("ja-mecab", "here")
    assert bleu_tokenizers.choose(["これは本です"]) == "char"
    assert "ja-mecab" in caplog.text and "pip install" in caplog.text


def test_every_tokenizer_of_sacrebleu_can_be_chosen():
    assert {"auto", *sacrebleu.metrics.BLEU.TOKENIZERS} == set(bleu_tokenizers.NAMES)
