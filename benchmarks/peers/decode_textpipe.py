"""Worker: a SavedModel called like `textpipe predict`, text in, text out.   python decode_textpipe.py FOLDER"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import json
import sys
from pathlib import Path

from metronome import Metronome

from textpipe.runtime import threads
from textpipe.savedmodel.loader import Model

threads.limit_intra_op()
folder = Path(sys.argv[1])
setup = json.loads((folder / "decoding.json").read_text())
model, texts = Model.load(setup["saved_model"]), setup["texts"]
metronome = Metronome()
while True:
    answers = [row["answer"] for row in model.predict(texts, batch_rows=setup["batch_rows"])]
    (folder / "answers.textpipe").write_text("\n".join(answers) + "\n", encoding="utf-8")
    metronome.tick(sentences=len(answers))
