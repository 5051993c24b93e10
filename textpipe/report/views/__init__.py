"""How reports show an answer: a module for each VIEW of answers/.

# report/views/x.py
def tiles(metrics) -> tuple[str, ...]               # figures in large type
def sections(run) -> list[Section]                  # of a run's page
compared: ModuleType                                # what a comparison shows

# compared
def measures(answers, references, bleu_tokenizer) -> list[Measure]
def row_scores(answers, references) -> [K, N]       # of every answer alone
def positive(answers, references, metrics) -> str | None    # the class that F1 is of
def agreement(first, other, references) -> dict     # what a pair of systems says beside its counts
def row(at, first, other, scores) -> dict           # what a row says beside its texts
def order(first, other, difference) -> (better, worse)      # keys to sort rows by, those that differ most first
def summary(pair) -> str;  measure(row, better, other) -> str     # on the terminal
def sections(comparison) -> list[Section];  charts_of(comparison, pair, at) -> list[str];  lead(comparison, pair) -> str
def step(comparison) -> float                       # what differences are multiples of, 0 for any values
def facts(row) -> list[str];  answer(row, at) -> str        # of a card, the answer as HTML
"""
