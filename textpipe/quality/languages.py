"""The languages of texts, identified by py3langid (Lui and Baldwin 2012, langid.py), an optional library."""

import importlib.util
from collections import Counter
from collections.abc import Sequence
from typing import Any

from textpipe.quality.sampling import equally_spaced

MAX_TEXTS = 20_000  # of a field and split; more are sampled at equal distances
MIN_PROBABILITY = 0.5  # of a language; below it the language of a text is undetermined
UNDETERMINED = "und"  # BCP 47
MIN_SHARE = 0.002  # of the texts; rarer languages are counted together
NUM_EXAMPLES = 3
CURE = 'not identified, because py3langid is not installed; install it with pip install "textpipe[languages]"'


def available() -> bool:
    """Whether py3langid is installed."""
    return importlib.util.find_spec("py3langid") is not None


def measure(texts: Sequence[str], positions: Sequence[int]) -> dict[str, Any]:
    """{"texts": number identified, "shares": {BCP 47 code: share}, "others": share, "examples": {code: [...]}} of N texts.

    positions [N]: of the texts in their source, for the examples. Texts without enough evidence are "und", others are languages below two
    texts in a thousand, which are mostly errors of identification.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    sampled = equally_spaced(range(len(texts)), MAX_TEXTS)
    count = len(sampled)
    counts: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = {}
    for index in sampled:
        language, probability = identifier.classify(texts[index])
        code = language if probability >= MIN_PROBABILITY else UNDETERMINED
        counts[code] += 1
        if len(examples.setdefault(code, [])) < NUM_EXAMPLES:
            examples[code].append({"row": positions[index], "text": texts[index]})
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shares = {code: rows / count for code, rows in ranked}
    frequent = {code: round(share, 4) for code, share in shares.items() if share >= MIN_SHARE}
    return {
        "texts": count,
        "shares": frequent,
        "others": round(sum(share for code, share in shares.items() if code not in frequent), 4),
        "examples": {code: examples[code] for code in list(frequent)[1:] if code != UNDETERMINED},
    }
