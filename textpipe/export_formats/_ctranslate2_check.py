"""Check that CTranslate2 runs the trained model: compare its answers to golden rows with the pipeline's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ModelError
from textpipe.export_formats._ctranslate2_weights import vocabulary
from textpipe.stages import _golden
from textpipe.text.special_tokens import END_ID, PAD_ID, SPECIAL_TOKENS, START_ID

SUPPRESSED_TOKENS = [
    [SPECIAL_TOKENS[PAD_ID]],
    [SPECIAL_TOKENS[START_ID]],
]  # never in answers of the pipeline's decoders
TOLERANCE = 2e-3  # largest difference of log-probabilities, in nats per token
BATCH_ROWS = 32
MAX_GREEDY_LENGTH = 64  # tokens of the answers compared under greedy search


def golden_rows(count: int, inputs: dict[str, Path], servable: Any) -> list[dict[str, Any]]:
    """Rows of all splits and awkward ones, without blank ones, with their token ids, sorted by length."""
    from textpipe.decoding import _search

    rows = list(_golden.data_rows(count, inputs, servable.sources))
    rows += _golden.awkward_rows(servable, rows[0]["raw"])
    _golden.fill_features(servable, rows)
    inputs = servable.output.search_inputs(_golden.raw_tensors(servable, rows), _golden.model_inputs(servable, rows))
    blank = _search.is_empty(inputs[servable.source], PAD_ID).numpy()
    non_blank_rows = [row for row, is_blank in zip(rows, blank, strict=True) if not is_blank]
    return sorted(non_blank_rows, key=lambda row: len(source_ids(servable, row)))


def source_ids(servable: Any, row: dict[str, Any]) -> list[int]:
    """The source ids of a row."""
    return row["features"][servable.source]["ids"]


def describe_row(row: dict[str, Any]) -> str:
    """A row as messages show it."""
    return repr(next(iter(row["raw"].values()))[:60])


def compare(servable: Any, rows: Sequence[dict[str, Any]], folder: Path, decode: Section) -> dict[str, Any]:
    """Agreement of CTranslate2 and the pipeline on golden rows. Raises ModelError when the models differ.

    Answers by beam search may differ: CTranslate2 ends a search earlier and normalizes by another formula. So the check
    is on log-probabilities and greedy search, and only the number of equal beam answers is reported.
    """
    import ctranslate2

    source, target = (vocabulary(servable.features[field].codec) for field in (servable.source, servable.target))
    sources = [[source[token] for token in source_ids(servable, row)[:-1]] for row in rows]
    references = reference_answers(servable, rows, decode)
    mean_tokens = round(sum(len(row["best"]) + 1 for row in references) / len(references), 2)
    engine = ctranslate2.Translator(str(folder), device="cpu", compute_type="float32")
    options = {"max_batch_size": BATCH_ROWS, "max_input_length": 0}
    greedy_options = translate_options(greedy_config(decode), mean_tokens)
    best = [[target[token] for token in row["best"]] for row in references]
    scored = engine.score_batch(sources, best, max_batch_size=BATCH_ROWS, max_input_length=0)
    greedy = engine.translate_batch(sources, **greedy_options, **options)
    searched = engine.translate_batch(sources, **translate_options(decode, mean_tokens), **options)

    faults, largest, greedy_equal = [], 0.0, 0
    for row, reference, score, result in zip(rows, references, scored, greedy, strict=True):
        difference = abs(sum(score.log_probs) - reference["log_prob"]) / (len(reference["best"]) + 1)
        largest = max(largest, difference)
        if not difference <= TOLERANCE:
            faults.append(
                f"{describe_row(row)}: log-probability {sum(score.log_probs)} where {reference['log_prob']} was expected"
            )
        answer, expected = result.hypotheses[0], [target[token] for token in reference["greedy"]]
        greedy_equal += answer == expected
        if answer != expected and not is_tie(
            servable.model, source_ids(servable, row), reference["greedy"], [target.index(token) for token in answer]
        ):
            faults.append(f"{describe_row(row)}: greedy answer {answer} where {expected} was expected")
    if faults:
        shown = "\n  ".join(faults[:5])
        raise ModelError(
            f"{folder}: the answers of CTranslate2 and of the pipeline differ; the export was discarded\n  {shown}"
        )
    return {
        "rows": len(rows),
        "largest_difference": largest,
        "greedy_equal": greedy_equal,
        "beam_equal": sum(result.hypotheses[0] == expected for result, expected in zip(searched, best, strict=True)),
        "mean_tokens": mean_tokens,
        "ctranslate2": ctranslate2.__version__,
    }


def reference_answers(servable: Any, rows: Sequence[dict[str, Any]], decode: Section) -> list[dict[str, Any]]:
    """The pipeline's answers to each row: the best answer with its log_prob, and the greedy answer."""
    import tensorflow as tf

    from textpipe.training import likelihood

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def answer(source: Any) -> Any:
        inputs = {servable.source: source}
        best = servable.output.generate(inputs, n_best=1)["ids"][:, 0]
        greedy = plugins.find("decoding", "greedy").decode(servable.model, inputs, greedy_config(decode))["ids"][:, 0]
        return best, tf.reduce_sum(likelihood.token_log_probs(servable.model, inputs, best), axis=1), greedy

    answers = []
    for start in range(0, len(rows), BATCH_ROWS):
        best, log_probs, greedy = (
            tensor.numpy().tolist()
            for tensor in answer(_golden.model_inputs(servable, rows[start : start + BATCH_ROWS])[servable.source])
        )
        for ids, log_prob, greedy_ids in zip(best, log_probs, greedy, strict=True):
            answers.append({"best": strip_special(ids), "log_prob": log_prob, "greedy": strip_special(greedy_ids)})
    return answers


def greedy_config(decode: Section) -> Section:
    """A greedy decoder with answers short enough for a quick comparison."""
    return Plugin.check("decoding", {"kind": "greedy", "max_length": min(MAX_GREEDY_LENGTH, decode.max_length)})


def strip_special(ids: Sequence[int]) -> list[int]:
    """The tokens without end token and padding."""
    return [token for token in ids if token not in (PAD_ID, END_ID)]


def is_tie(model: Any, source: Sequence[int], first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two greedy answers diverge at tokens of equal probability, up to rounding."""
    import tensorflow as tf

    from textpipe.training import likelihood

    first, second = [*first, END_ID], [*second, END_ID]
    at = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if at is None:  # one was cut at the maximum length
        return False
    targets = tf.constant([first[: at + 1], second[: at + 1]], tf.int32)
    log_probs = likelihood.token_log_probs(model, {"source": tf.constant([source, source], tf.int32)}, targets)[
        :, at
    ].numpy()
    return bool(abs(log_probs[0] - log_probs[1]) <= TOLERANCE)


def translate_options(decode: Section, mean_tokens: float) -> dict[str, Any]:
    """Arguments of Translator.translate_batch that best match the pipeline's decoder.

    CTranslate2 divides an answer's log-probability by length ** x, the pipeline by ((5 + length) / 6) ** alpha (Wu et
    al. 2016). Both rank equally around a length m where their slopes over the logarithm of the length are equal:
    x = alpha * m / (5 + m), with m the mean length of the golden answers.
    """
    beam = getattr(decode, "beam_size", 1)
    patience = getattr(decode, "patience", None) if beam > 1 else None
    return {
        "beam_size": beam,
        **({"patience": patience} if patience else {}),
        "length_penalty": round(decode.length_penalty * mean_tokens / (5 + mean_tokens), 3) if beam > 1 else 0,
        "coverage_penalty": getattr(decode, "coverage_penalty", 0.0),
        # The pipeline's lengths include the end token.
        "max_decoding_length": decode.max_length - 1,
        "min_decoding_length": decode.min_length - 1,
        "suppress_sequences": SUPPRESSED_TOKENS,
    }
