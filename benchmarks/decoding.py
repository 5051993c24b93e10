"""Sentences per second of a text-generating SavedModel, and a profile of its operations.

    python benchmarks/decoding.py MODEL SOURCES [--batch-rows 64] [--rows 1000] [--repeats 3] [--option beam_size=5]
                                  [--references FILE] [--ops 20] [--answers FILE]

SOURCES: one text per line (may be .gz). They are answered through savedmodel.loader.Model.predict, like `textpipe predict`: text
in, text out. Reports the minimum wall-clock time and the minimum CPU time over the runs; on a busy machine the latter,
divided by the number of cores, is more reliable. --ops adds a run under TensorFlow's profiler and prints the operations
with the most self time, summed over threads.
"""

import argparse
import collections
import gzip
import json
import os
import tempfile
import time
from pathlib import Path

from textpipe.savedmodel.loader import Model


def lines(path):
    """The lines of a text file, compressed or not."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    with opened as file:
        return [line.rstrip("\n") for line in file]


def best(function, repeats):
    """(result, minimum wall-clock seconds, minimum CPU seconds) over the calls."""
    wall, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return result, min(wall), min(processor)


def operations(function, count):
    """The `count` operations with the most self time: [(name, seconds, calls)]."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=2))
        function()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace.FromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    seconds, calls = collections.Counter(), collections.Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            nested = []  # time of nested events is not self time
            for event in sorted(line.events, key=lambda event: (event.offset_ps, -event.duration_ps)):
                while nested and nested[-1][0] <= event.offset_ps:
                    nested.pop()
                if nested:
                    seconds[nested[-1][1]] -= event.duration_ps / 1e12
                name = names[event.metadata_id]
                nested.append((event.offset_ps + event.duration_ps, name))
                seconds[name] += event.duration_ps / 1e12
                calls[name] += 1
    return [(name, spent, calls[name]) for name, spent in seconds.most_common(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--batch-rows", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ops", type=int, default=0)
    arguments = parser.parse_args()

    texts = lines(arguments.sources)[: arguments.rows]
    model = Model.load(arguments.model)
    options = {"batch_rows": arguments.batch_rows} if arguments.batch_rows else {}
    if arguments.option:
        options["options"] = dict(option.split("=", 1) for option in arguments.option)

    def run():
        return model.predict(texts, **options)

    run()  # warm-up: memory and kernel planning
    answers, wall, processor = best(run, arguments.repeats)
    tokens = sum(len(row["answer"].split()) for row in answers)
    report = {
        "rows": len(texts),
        "words": tokens,
        "wall_seconds": round(wall, 3),
        "processor_seconds": round(processor, 3),
        "sentences_per_second": round(len(texts) / wall, 1),
        "words_per_second": round(tokens / wall, 1),
        "sentences_per_processor_second": round(len(texts) / processor, 1),
        "cores": os.cpu_count(),
    }
    if arguments.references:
        import sacrebleu

        given = [row["answer"] for row in answers]
        expected = lines(arguments.references)[: len(given)]
        report["bleu_lowercase"] = round(sacrebleu.corpus_bleu(given, [expected], lowercase=True).score, 2)
    if arguments.answers:
        arguments.answers.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answers))
    print(json.dumps(report, indent=1))
    if arguments.ops:
        for name, spent, calls in operations(run, arguments.ops):
            print(f"{spent:8.3f} s {calls:8d}  {name[:100]}")


if __name__ == "__main__":
    main()
