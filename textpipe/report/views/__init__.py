"""How reports show answers: one module for each VIEW of answers/.

# report/views/x.py
def tiles(metrics) -> tuple[str, ...]               # names of the metrics shown as tiles
def sections(run) -> list[Section]                  # of the page of a run
compared: ModuleType                                # the contents of a comparison

# compared
def measures(answers, references, bleu_tokenizer) -> list[Measure]
def row_scores(answers, references) -> [K, N]       # scores of single answers
def positive(answers, references, metrics) -> str | None    # the class of F1
def agreement(first, other, references) -> dict     # additional entries of a pair of systems
def row(at, first, other, scores) -> dict           # additional entries of a row
def order(first, other, difference) -> (better, worse)      # sort keys of the rows, largest differences first
def summary(pair) -> str;  measure(row, better, other) -> str     # for the terminal
def sections(comparison) -> list[Section];  charts_of(comparison, pair, at) -> list[str];  lead(comparison, pair) -> str
def step(comparison) -> float                       # differences are multiples of it; 0 for arbitrary values
def facts(row) -> list[str];  answer(row, at) -> str        # of a card; the answer as HTML
"""
