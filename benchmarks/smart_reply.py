"""Ranking a response set by likelihood: quality, the search over its trie, time, and perplexity beside an n-gram model.

    TEXTPIPE_DATA=... python benchmarks/smart_reply.py [--rows 1000] [--exact 500] [--free 200] [--timed 50]

Trains pipelines/sgd_likelihood.toml (SGD, users' replies to an assistant) if it has not been trained. All figures are of the valid
split, SGD's dev, on one thread; rows are drawn by numpy's default_rng(1) among those whose reply, apart from case and punctuation, is
in the response set of 2,000. Equal scores share their mean rank; a response that a search did not find ranks behind all others.

    frequency        how often a response is written in train, whatever the message
    likelihood       log P(response | message), a beam of 64 over the trie
      + w * prior    and w times the log of the response's share of the training replies; w < 0 is the penalty on frequent replies
      - w * mutual information    less w times the log of the response's mean probability over 64 training messages
    every response   the same without a beam, each node of the trie once, on `--exact` of the rows; the beam is measured on these too
    matching         the dual encoder of pipelines/sgd_suggest.toml on the same data, with its prior, and without
    cascade          its first 50 ranked again by likelihood: w times that and 1 - w times matching, both as log-probabilities
    no trie          the 20 best of a beam search of 20 over all texts, looked up in the response set, on `--free` of the rows

The n-gram model (benchmarks/kneser_ney.py, order 5) learns the token ids of the training replies and is measured on those of dev,
as is the network given the messages. Times are of the processor, per message, in milliseconds: the median of `--timed` rows. Writes
benchmarks/results/smart_reply.json.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
RESULTS = HERE / "results" / "smart_reply.json"
PIPELINE = "pipelines/sgd_likelihood.toml"
MATCHING, OVERRIDES = "pipelines/sgd_suggest.toml", ("ingest.dataset=sgd_user", "ingest.split=")
CANDIDATES, WEIGHTS = 50, (0.25, 0.5, 0.75, 1.0)
BEAMS = (4, 16, 64, 256)
PRIORS = (-0.5, -0.25, 0.25, 0.5)
MUTUAL_INFORMATION = (0.1, 0.25, 0.5)
SAMPLE, FREE_BEAM, ORDER, BATCH, ONE_BY_ONE = 64, 20, 5, 64, 10


def main():
    parser = argparse.ArgumentParser()
    for name, rows in (("rows", 1000), ("exact", 500), ("free", 200), ("timed", 50)):
        parser.add_argument(f"--{name}", type=int, default=rows)
    parser.add_argument("--pipeline", default=PIPELINE)
    options = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from textpipe.pipeline import runner
    from textpipe.servable.graph import Servable

    pipeline = runner.Pipeline.load(options.pipeline)
    paths = trained(runner, pipeline)
    servable = Servable.load(paths, pipeline.task)
    rows = Rows(servable, paths["ingest"])
    draw = np.random.default_rng(1)
    chosen = draw.permutation(np.flatnonzero(rows.own >= 0))[: options.rows]
    report = {
        "pipeline": options.pipeline,
        "responses": len(servable.output.responses()),
        "rows_in_the_set": int(np.count_nonzero(rows.own >= 0)),
        "rows_of_dev": len(rows.own),
        "ranking": ranking_figures(servable, rows, chosen, paths, options),
        "cascade": cascade_figures(servable, runner, paths["ingest"], options.rows),
        "beam": beam_figures(servable, rows, chosen[: options.exact]),
        "milliseconds": times(servable, rows, chosen[: options.timed]),
        "perplexity": perplexities(servable, rows, paths),
    }
    report["versions"] = {name: version(name) for name in ("tensorflow", "keras", "numpy")}
    report["machine"] = {
        "cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version(),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def trained(runner, pipeline):
    """{stage: folder} of a trained pipeline and its response set."""
    return {
        stage: artifact.path
        for until in ("responses", "train")
        for stage, artifact in runner.run(pipeline, until=until).artifacts.items()
    }


def cascade_figures(likelihood, runner, ingest, count):
    """P@k and MRR of matching, and of its first candidates ranked again; `count` rows whose reply is in the set of matching."""
    from textpipe.servable.graph import Servable

    pipeline = runner.Pipeline.load(MATCHING, OVERRIDES)
    paths = trained(runner, pipeline)
    servable = Servable.load(paths, pipeline.task)
    rows = Rows(servable, ingest)
    chosen = np.random.default_rng(1).permutation(np.flatnonzero(rows.own >= 0))[:count]
    own, output = rows.own[chosen], servable.output
    bare = scored(servable, rows.texts(chosen), lambda inputs: output.ranker.candidates(inputs).scores)
    first = bare + output.prior.numpy()
    first = first - np.logaddexp.reduce(first, axis=1)[:, None]
    places = np.argsort(-first, axis=1, kind="stable")[:, :CANDIDATES]
    texts = output.texts.numpy()[places]
    other = np.concatenate(
        [reranked(likelihood, rows.messages[at], texts[number])[None] for number, at in enumerate(chosen)]
    )
    own_part = np.take_along_axis(first, places, axis=1)
    found = {"without prior": figures(bare, own), "matching": figures(first, own)}
    for weight in WEIGHTS:
        mixed = (1 - weight) * own_part + weight * (other - np.logaddexp.reduce(other, axis=1)[:, None])
        mixed += (np.logaddexp.reduce(own_part, axis=1) - np.logaddexp.reduce(mixed, axis=1))[:, None]
        scores = first.copy()
        np.put_along_axis(scores, places, mixed, axis=1)
        found[f"cascade, {weight} of likelihood"] = figures(scores, own)
    return {"rows": len(chosen), "responses": len(output.responses()), **found}


def reranked(servable, message, texts):
    """log P(text | message) under the ranker by likelihood: texts [K] -> [K]."""
    return rerank_function(servable)(servable.raw_tensor(servable.source, [message]), texts[None]).numpy()[0]


@functools.cache
def rerank_function(servable):
    """The traced function of `reranked`."""
    import tensorflow as tf

    return tf.function(
        lambda raw, texts: servable.output.ranker.score_texts(servable.inputs({servable.source: raw}), texts),
        input_signature=[tf.TensorSpec([1], tf.string), tf.TensorSpec([1, None], tf.string)], autograph=False,
    )  # fmt: skip


class Rows:
    """The rows of dev: texts, and own [N], the number of the response that a reply is a wording of, -1 for none."""

    def __init__(self, servable, ingest):
        from textpipe.answers import ranking
        from textpipe.data import shards
        from textpipe.text.canonical import canonical

        names = (servable.source, servable.target)
        batches = list(shards.read(ingest, "valid", names))
        self.messages, self.replies = ([cell for one in batches for cell in one[name].to_pylist()] for name in names)
        self.members = {}
        for number, response in enumerate(servable.output.responses()):
            for wording in (response.text, *response.variants):
                self.members.setdefault(canonical(wording), number)
        self.references = ranking.references(servable, self.replies)
        self.own = np.array([self.members.get(canonical(reply), -1) for reply in self.references])

    def texts(self, places):
        return [self.messages[at] for at in places]


def scored(servable, messages, call, size=BATCH):
    """call({field: ids}) of all messages, a batch at a time: [N, ...]."""
    import tensorflow as tf

    traced = tf.function(
        lambda raw: call(servable.inputs({servable.source: raw})), input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )  # fmt: skip
    parts = []
    for start in range(0, len(messages), size):
        parts.append(traced(servable.raw_tensor(servable.source, messages[start : start + size])).numpy())
        print(f"{min(start + size, len(messages))} of {len(messages)}", end="\r", file=sys.stderr)
    return np.concatenate(parts)


def ranking_figures(servable, rows, chosen, paths, options):
    """{ranker: P@k and MRR}, by the rows that it is measured on."""
    from textpipe.data import shards

    ranker, responses = servable.output.ranker, servable.output.responses()
    counts = np.array([one.count for one in responses], np.float64)
    prior, own = np.log(counts / counts.sum()), rows.own[chosen]
    batch = next(shards.read(paths["ingest"], "train", (servable.source,)))
    places = np.random.default_rng(1).permutation(batch.num_rows)[:SAMPLE]
    sample = [batch[servable.source][int(at)].as_py() for at in places]
    marginal = ranker.marginal(servable.inputs({servable.source: servable.raw_tensor(servable.source, sample)}))

    searched = scored(servable, rows.texts(chosen), ranker.log_probs)
    found = searched > -1e8
    table = {
        "frequency": figures(np.broadcast_to(counts, searched.shape), own),
        "likelihood": figures(searched, own),
        **{f"likelihood {weight:+} * prior": figures(searched + weight * prior, own) for weight in PRIORS},
        **{
            f"likelihood -{weight} * mutual information": figures(
                np.where(found, searched - weight * marginal, -1e9), own
            )
            for weight in MUTUAL_INFORMATION
        },
    }
    free = chosen[: options.free]
    return {
        "rows": len(chosen),
        "rankers": table,
        "no trie": {
            "rows": len(free),
            "likelihood": figures(searched[: len(free)], own[: len(free)]),
            "no trie": free_search(servable, rows, free),
        },
    }


def figures(scores, own):
    """P@k and MRR: scores [N, R], own [N]."""
    from textpipe.metrics import ranking

    return {name: round(value, 4) for name, value in ranking.figures(ranking.ranks(scores, own)).items()}


def beam_figures(servable, rows, chosen):
    """P@k and MRR with every response scored, and by size of the beam, how many it finds and how often the best three are the same."""
    ranker, own = servable.output.ranker, rows.own[chosen]
    exact = scored(servable, rows.texts(chosen), lambda inputs: ranker.log_probs(inputs, ranker.trie.num_nodes), size=8)
    one_by_one = scored(servable, rows.texts(chosen[:ONE_BY_ONE]), ranker.exact, size=1)
    beams = {}
    for beam in BEAMS:
        scores = scored(servable, rows.texts(chosen), lambda inputs, beam=beam: ranker.log_probs(inputs, beam))
        inside = scores > -1e8
        beams[f"beam {beam}"] = {
            **figures(scores, own),
            "found": round(float(inside.sum(axis=1).mean()), 1),
            "same_best_3": round(float(np.mean(same_best(scores, exact, 3))), 4),
            "largest_difference": float(np.abs(scores - exact)[inside].max()),
        }
    return {
        "rows": len(chosen),
        "every response": figures(exact, own),
        "largest_difference_to_one_by_one": float(np.abs(exact[: len(one_by_one)] - one_by_one).max()),
        **beams,
    }


def same_best(scores, exact, count):
    """Whether the best `count` responses of a row are the same: [N]."""
    best, expected = (np.argsort(-part, axis=1, kind="stable")[:, :count] for part in (scores, exact))
    return (best == expected).all(axis=1)


def free_search(servable, rows, chosen):
    """P@k and MRR of the answers of a beam search that knows no response set: found among them by canonical wording, or a miss."""
    import tensorflow as tf

    from textpipe.decoding import beam
    from textpipe.text.canonical import canonical

    codec = servable.features[servable.target].codec
    config = beam.Config(beam_size=FREE_BEAM, length_penalty=0.0, max_length=30)

    def answers(inputs):
        ids = beam.decode(servable.model, inputs, config)["ids"]
        count, answers, length = tf.unstack(tf.shape(ids))
        return tf.reshape(codec.decode(tf.reshape(ids, [-1, length])), [count, answers])

    found = scored(servable, rows.texts(chosen), answers)
    reciprocal, places = [], []
    for answers, at in zip(found, chosen, strict=True):
        numbers = [rows.members.get(canonical(answer.decode()), -1) for answer in answers]
        numbers = list(dict.fromkeys(number for number in numbers if number >= 0))
        place = numbers.index(rows.own[at]) + 1 if rows.own[at] in numbers else np.inf
        places.append(place)
        reciprocal.append(1 / place)
    cuts = {f"p_at_{cut}": round(float(np.mean(np.array(places) <= cut)), 4) for cut in (1, 3, 10, 20)}
    inside = [sum(canonical(answer.decode()) in rows.members for answer in answers) for answers in found]
    return {**cuts, "mrr": round(float(np.mean(reciprocal)), 4), "answers_in_the_set": round(float(np.mean(inside)), 1)}


def times(servable, rows, chosen):
    """Milliseconds of the processor from a message's text to the scores of all responses, medians."""
    import tensorflow as tf

    ranker = servable.output.ranker
    calls = {f"beam {beam}": lambda inputs, beam=beam: ranker.log_probs(inputs, beam) for beam in BEAMS}
    calls["every response, along the trie"] = lambda inputs: ranker.log_probs(inputs, ranker.trie.num_nodes)
    calls["every response, one by one"] = ranker.exact
    fifty = tf.constant([[one.text for one in servable.output.responses()[:50]]])
    calls["rerank of 50"] = lambda inputs: ranker.score_texts(inputs, fifty)
    found = {}
    for name, call in calls.items():
        traced = tf.function(
            lambda raw, call=call: call(servable.inputs({servable.source: raw})), input_signature=[tf.TensorSpec([1], tf.string)], autograph=False
        )  # fmt: skip
        taken = []
        for message in [rows.messages[chosen[0]], *rows.texts(chosen)]:
            start = time.process_time()
            traced(servable.raw_tensor(servable.source, [message]))
            taken.append(time.process_time() - start)
        found[name] = round(1000 * statistics.median(taken[1:]), 2)
    return found


def perplexities(servable, rows, paths):
    """Perplexity per token of dev's replies, ends included."""
    from kneser_ney import KneserNey

    from textpipe.answers import text
    from textpipe.data import shards

    vocab_size = servable.features[servable.target].codec.vocab_size
    ids = {
        split: [row for batch in shards.read(paths["vectorize"], split, (servable.target,)) for row in batch[servable.target].to_pylist()]
        for split in ("train", "valid")
    }  # fmt: skip
    ngrams = KneserNey(ids["train"], ORDER, vocab_size)
    network, _ = text.reference_perplexity(servable, rows.messages, rows.replies, 256)
    tokens = sum(map(len, ids["valid"]))
    return {
        "tokens": tokens,
        "network given the message": round(network["perplexity"], 3),
        f"{ORDER}-gram": round(ngrams.perplexity(ids["valid"]), 3),
    }


if __name__ == "__main__":
    main()
