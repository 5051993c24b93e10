"""Whether CTranslate2 runs the model that the pipeline trained: golden rows, answered by both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ModelError
from textpipe.export_formats._ctranslate2_weights import vocabulary
from textpipe.stages import _golden
from textpipe.text.special_tokens import END_ID, MARKS, PAD_ID, START_ID

SUPPRESSED_TOKENS = [[MARKS[PAD_ID]], [MARKS[START_ID]]]  # what no answer of the pipeline's decoders holds
TOLERANCE = 2e-3  # nats an answer's log-probability may differ by, for each of its tokens
BATCH_ROWS = 32
MAX_GREEDY_LENGTH = 64  # tokens of the answers that greedy search is compared on


def golden_rows(count: int, inputs: dict[str, Path], servable: Any) -> list[dict[str, Any]]:
    """Rows of all splits and awkward ones with the ids training had for them, by length; none that is blank."""
    from textpipe.decoding import _search

    rows = list(_golden.data_rows(count, inputs, servable.sources))
    rows += _golden.awkward_rows(servable, rows[0]["raw"])
    _golden.fill_features(servable, rows)
    searched = servable.output.search_inputs(_golden.raw_tensors(servable, rows), _golden.model_inputs(servable, rows))
    blank = _search.nothing(searched[servable.source], PAD_ID).numpy()
    kept = [row for row, none in zip(rows, blank, strict=True) if not none]
    return sorted(kept, key=lambda row: len(source_ids(servable, row)))


def source_ids(servable: Any, row: dict[str, Any]) -> list[int]:
    """The source ids of a row."""
    return row["features"][servable.source]["ids"]


def describe_row(row: dict[str, Any]) -> str:
    """A row as a message shows it."""
    return repr(next(iter(row["raw"].values()))[:60])


def compare(servable: Any, rows: Sequence[dict[str, Any]], folder: Path, decode: Section) -> dict[str, Any]:
    """How far CTranslate2 agrees on golden rows; raises ModelError when it runs another model than the pipeline does.

    Answers by beam search may differ: CTranslate2 ends a search earlier and normalizes by another formula. So the
    model is held to its log-probabilities and to greedy search, and of beam search the share of equal answers is told.
    """
    import ctranslate2

    source, target = (vocabulary(servable.features[field].codec) for field in (servable.source, servable.target))
    given = [[source[token] for token in source_ids(servable, row)[:-1]] for row in rows]
    ours = reference_answers(servable, rows, decode)
    mean_tokens = round(sum(len(row["best"]) + 1 for row in ours) / len(ours), 2)
    engine = ctranslate2.Translator(str(folder), device="cpu", compute_type="float32")
    options = {"max_batch_size": BATCH_ROWS, "max_input_length": 0}
    step_by_step = translate_options(greedy_config(decode), mean_tokens)
    best = [[target[token] for token in row["best"]] for row in ours]
    scored = engine.score_batch(given, best, max_batch_size=BATCH_ROWS, max_input_length=0)
    stepped = engine.translate_batch(given, **step_by_step, **options)
    searched = engine.translate_batch(given, **translate_options(decode, mean_tokens), **options)

    faults, largest, greedy_equal = [], 0.0, 0
    for row, mine, score, step in zip(rows, ours, scored, stepped, strict=True):
        difference = abs(sum(score.log_probs) - mine["log_prob"]) / (len(mine["best"]) + 1)
        largest = max(largest, difference)
        if not difference <= TOLERANCE:
            faults.append(
                f"{describe_row(row)}: log-probability {sum(score.log_probs)} where {mine['log_prob']} was expected"
            )
        found, wanted = step.hypotheses[0], [target[token] for token in mine["greedy"]]
        greedy_equal += found == wanted
        if found != wanted and not is_tie(
            servable.model, source_ids(servable, row), mine["greedy"], [target.index(token) for token in found]
        ):
            faults.append(f"{describe_row(row)}: greedy answer {found} where {wanted} was expected")
    if faults:
        shown = "\n  ".join(faults[:5])
        raise ModelError(f"{folder}: CTranslate2 does not answer as the pipeline does; nothing is kept\n  {shown}")
    return {
        "rows": len(rows),
        "largest_difference": largest,
        "greedy_equal": greedy_equal,
        "beam_equal": sum(found.hypotheses[0] == wanted for found, wanted in zip(searched, best, strict=True)),
        "mean_tokens": mean_tokens,
        "ctranslate2": ctranslate2.__version__,
    }


def reference_answers(servable: Any, rows: Sequence[dict[str, Any]], decode: Section) -> list[dict[str, Any]]:
    """What the pipeline's own code makes of each row: its best answer with its log_prob, and the greedy answer."""
    import tensorflow as tf

    from textpipe.training import likelihood

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def answer(source: Any) -> Any:
        inputs = {servable.source: source}
        best = servable.output.generate(inputs, n_best=1)["ids"][:, 0]
        stepped = plugins.find("decoding", "greedy").decode(servable.model, inputs, greedy_config(decode))["ids"][:, 0]
        return best, tf.reduce_sum(likelihood.of_tokens(servable.model, inputs, best), axis=1), stepped

    found = []
    for start in range(0, len(rows), BATCH_ROWS):
        best, log_probs, stepped = (
            part.numpy().tolist()
            for part in answer(_golden.model_inputs(servable, rows[start : start + BATCH_ROWS])[servable.source])
        )
        for ids, log_prob, other in zip(best, log_probs, stepped, strict=True):
            found.append({"best": strip_special(ids), "log_prob": log_prob, "greedy": strip_special(other)})
    return found


def greedy_config(decode: Section) -> Section:
    """Greedy search for answers short enough to be compared quickly."""
    return Plugin.check("decoding", {"kind": "greedy", "max_length": min(MAX_GREEDY_LENGTH, decode.max_length)})


def strip_special(ids: Sequence[int]) -> list[int]:
    """Tokens without end and padding."""
    return [token for token in ids if token not in (PAD_ID, END_ID)]


def is_tie(model: Any, source: Sequence[int], one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two greedy answers part where the model holds both tokens equally probable, but for rounding."""
    import tensorflow as tf

    from textpipe.training import likelihood

    one, other = [*one, END_ID], [*other, END_ID]
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:  # one is cut at a longest length
        return False
    targets = tf.constant([one[: at + 1], other[: at + 1]], tf.int32)
    found = likelihood.of_tokens(model, {"source": tf.constant([source, source], tf.int32)}, targets)[:, at].numpy()
    return bool(abs(found[0] - found[1]) <= TOLERANCE)


def translate_options(decode: Section, mean_tokens: float) -> dict[str, Any]:
    """Arguments of Translator.translate_batch that come nearest to the pipeline's decoder.

    CTranslate2 divides an answer's log-probability by length ** x, the pipeline by ((5 + length) / 6) ** alpha (Wu et
    al. 2016). The two rank alike around a length m where their slopes in the logarithm of the length are equal:
    x = alpha * m / (5 + m), m being the mean length of the golden answers.
    """
    beam = getattr(decode, "beam_size", 1)
    patience = getattr(decode, "patience", None) if beam > 1 else None
    return {
        "beam_size": beam,
        **({"patience": patience} if patience else {}),
        "length_penalty": round(decode.length_penalty * mean_tokens / (5 + mean_tokens), 3) if beam > 1 else 0,
        "coverage_penalty": getattr(decode, "coverage_penalty", 0.0),
        # Lengths of the pipeline count the end.
        "max_decoding_length": decode.max_length - 1,
        "min_decoding_length": decode.min_length - 1,
        "suppress_sequences": SUPPRESSED_TOKENS,
    }
