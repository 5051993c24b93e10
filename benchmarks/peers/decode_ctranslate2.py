"""Worker: the same weights in CTranslate2, text in, text out.   python decode_ctranslate2.py FOLDER float32|int8"""

import json
import os
import sys
from pathlib import Path

import ctranslate2
import sentencepiece
from metronome import Metronome

folder, kind = Path(sys.argv[1]), sys.argv[2]
setup = json.loads((folder / "decoding.json").read_text())
place, texts = Path(setup["ctranslate2"]), setup["normalized"]
about = json.loads((place / "textpipe.json").read_text())
longest = about["source"]["max_length"] - 1
reader = sentencepiece.SentencePieceProcessor(model_file=str(place / about["source"]["sentencepiece"]))
writer = sentencepiece.SentencePieceProcessor(model_file=str(place / about["target"]["sentencepiece"]))
threads = len(os.sched_getaffinity(0))
engine = ctranslate2.Translator(str(place), compute_type=kind, intra_threads=threads, inter_threads=1)
metronome = Metronome(ctranslate2=ctranslate2.__version__, threads=threads)
while True:
    pieces = [row[:longest] for row in reader.encode(texts, out_type=str, num_threads=threads)]
    results = engine.translate_batch(
        pieces, max_batch_size=min(64, setup["batch_rows"]), **about["decode"]["ctranslate2"]
    )
    answers = writer.decode([row.hypotheses[0] for row in results])
    (folder / f"answers.ctranslate2_{kind}").write_text("\n".join(answers) + "\n", encoding="utf-8")
    metronome.tick(sentences=len(answers))
