"""Multi30k en-de models on sentences of another kind: independent descriptions of the validation pictures (the second task).

    TEXTPIPE_DATA=... python benchmarks/generalization.py MODEL [MODEL ...]

Five people described each of 1,014 pictures in English and five others in German, none of whom saw the other language. Each model translates
the 5,070 English descriptions with its own search; an answer is scored against the five German descriptions of its picture, lowercased. So the
figures are far below those of translations and only compare models; test2016 is not used. Also scores the sentences with a word that is not in
the training rows, and tests each model against the first one by paired bootstrap over pictures. Prints a JSON object;
benchmarks/results/generalization.json has one.
"""

import argparse
import gzip
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
from sacrebleu.metrics import BLEU

from textpipe.metrics import bootstrap, corpus
from textpipe.savedmodel.loader import Model

WRITERS = range(1, 6)
RESAMPLES, SEED = 1000, 1
WORD = re.compile(r"\w+")


def lines(file):
    return gzip.decompress(file.read_bytes()).decode("utf-8").splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    options = parser.parse_args()
    if not os.environ.get("TEXTPIPE_DATA"):
        parser.error("TEXTPIPE_DATA: expected the folder of the data sets, found none; set it")
    data = Path(os.environ["TEXTPIPE_DATA"])
    texts = [lines(data / "multi30k_task2" / f"val.{writer}.en.gz") for writer in WRITERS]
    written = [lines(data / "multi30k_task2" / f"val.{writer}.de.gz") for writer in WRITERS]
    known = {word for line in lines(data / "multi30k" / "train.en.gz") for word in WORD.findall(line.lower())}
    sources = [text for writer in texts for text in writer]
    references = [writer * len(texts) for writer in written]
    unseen = np.array([any(word not in known for word in WORD.findall(text.lower())) for text in sources])

    results, first = {}, None
    for path in options.models:
        answers = [row["answer"] for row in Model.load(path).predict(sources)]
        # sacrebleu has no public function for the statistics of single sentences.
        statistics = np.array(BLEU(lowercase=True)._extract_corpus_statistics(answers, references), np.float64)
        statistics = statistics[:, [*range(2, 10), 0, 1]]  # corpus.bleu has the lengths last
        by_picture = statistics.reshape(len(texts), len(texts[0]), -1).sum(axis=0)
        resampled = corpus.bleu(bootstrap.resampled_sums(by_picture, RESAMPLES, SEED))
        first = resampled if first is None else first
        results[str(path)] = {
            "bleu_lowercased": float(corpus.bleu(statistics.sum(axis=0)[None])[0]),
            "interval": np.quantile(resampled, [0.025, 0.975]).tolist(),
            "with_an_unseen_word": float(corpus.bleu(statistics[unseen].sum(axis=0)[None])[0]),
            "resamples_above_the_first_model": float((resampled > first).mean()),
        }
        print(path, results[str(path)], file=sys.stderr, flush=True)
    print(
        json.dumps({"sentences": len(sources), "with_an_unseen_word": int(unseen.sum()), "models": results}, indent=1)
    )


if __name__ == "__main__":
    main()
