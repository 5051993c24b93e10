"""Write the phrases corpus: train.tsv, valid.tsv and test.tsv of English-German pairs; a seed always gives the same bytes.

    python data/phrases/generate.py [--seed N] [--out DIR]

Every pair of content words (verb and object, verb and subject, adjective and noun) is assigned to one split by a hash.
A sentence goes to train only if all its pairs are train's, so each sentence of valid and test joins words that train
never joins, out of words and patterns that train has.
"""

import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path

from phrase_grammar.constructions import draw
from phrase_grammar.lexicon import Lexicon
from phrase_grammar.sampler import Sampler

SEED = 20
SIZES = {"train": 22_000, "valid": 1_000, "test": 1_000}
PERCENT_HELD_OUT = {"valid": 4, "test": 4}
WORDS = range(3, 15)
LEAST = 3  # times that each word of valid and test occurs in train


def home(combination, seed=SEED):
    """The split a combination such as ("object", "read", "book") belongs to: train, valid or test."""
    digest = hashlib.sha256("|".join([str(seed), *combination]).encode()).digest()
    place = int.from_bytes(digest[:8], "big") % 100
    for split, percent in PERCENT_HELD_OUT.items():
        if place < percent:
            return split
        place -= percent
    return "train"


def held_out(sentence, seed=SEED):
    """The combinations of a sentence that train does not have."""
    return sorted(c for c in sentence.combinations if home(c, seed) != "train")


def split_of(sentence, seed=SEED):
    """The one split that may hold the sentence, or None if it joins held-out combinations of both valid and test."""
    splits = {home(c, seed) for c in sentence.combinations} - {"train"}
    if len(splits) > 1:
        return None
    return splits.pop() if splits else "train"


def words(sentence):
    """The words of both sides, each marked with its language so that "in" and "in" stay apart."""
    sides = (("en", sentence.en), ("de", sentence.de))
    return {(side, word.strip(",.?!").lower()) for side, text in sides for word in text.split()}


def build(seed=SEED, sizes=SIZES):
    """{split: [Sentence, ...]}, no English sentence twice. Raises ValueError if one gets two German translations."""
    sampler = Sampler(Lexicon(), seed)
    pools = {split: [] for split in sizes}
    german = {}
    # Some candidates are dropped below, so a few more than needed are drawn for valid and test.
    while len(pools["train"]) < sizes["train"] or any(len(pools[s]) < 1.2 * sizes[s] for s in ("valid", "test")):
        sentence = draw(sampler)
        if sentence is None or not all(len(text.split()) in WORDS for text in (sentence.en, sentence.de)):
            continue
        if sentence.en in german:
            if german[sentence.en] != sentence.de:
                raise ValueError(f"'{sentence.en}' has two translations: '{german[sentence.en]}' and '{sentence.de}'")
            continue
        german[sentence.en] = sentence.de
        split = split_of(sentence, seed)
        if split and len(pools[split]) < 2 * sizes[split]:
            pools[split].append(sentence)
    train = pools["train"][: sizes["train"]]
    counts = Counter(word for s in train for word in words(s))
    seen = {word for word, count in counts.items() if count >= LEAST}
    patterns = {s.construction for s in train}
    chosen = {"train": train}
    for split in ("valid", "test"):
        fit = [s for s in pools[split] if words(s) <= seen and s.construction in patterns]
        chosen[split] = fit[: sizes[split]]
    return chosen


def write(splits, out):
    """One TSV per split, with the header en<TAB>de, in UTF-8 with "\n" line ends on every system."""
    out.mkdir(parents=True, exist_ok=True)
    for split, sentences in splits.items():
        lines = ["en\tde", *(f"{s.en}\t{s.de}" for s in sentences)]
        (out / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    splits = build(arguments.seed)
    write(splits, arguments.out)
    for split, sentences in splits.items():
        print(f"{split}: {len(sentences)} pairs", file=sys.stderr)


if __name__ == "__main__":
    main()
