"""What an answer is: a module for each kind of answer, named by a task's ANSWER.

# answers/x.py
VIEW: str                                           # how page and report show it: a module of report/views/
WORD_NOTES: tuple[str, ...]                         # what evaluate says of its figures of words in answers
def check(task, *, decode, bounds, join_sources) -> None    # ValueError for settings that such answers cannot have
def check_ensemble(model) -> None                   # ConfigError where models of this kind cannot answer together
def join(models, mean) -> model                     # several models as one
def output(graph, *, decode, lexicon, bounds, attends) -> Output
def kept(answer) -> dict                            # what predictions.jsonl keeps of an answer
def measured(graph, sources, references, answers, batch_rows) -> (metrics, notes)    # beside the task's metrics
def measured_answers(graph, answers) -> dict        # of them those of answers alone, for parts of the rows
def measured_words(answers, references, seen, least, most, *, resamples, seed) -> dict    # seen() -> {word: times}
def names(answer) -> Sequence[str]                  # of a closed set: the labels that an answer names
SCORES: tuple[str, ...]                             # outputs of the signature that gives likelihoods
def score_row(row) -> dict                          # what a scored pair says
def score_totals(rows) -> dict                      # sums over pairs;  score_line(row), score_summary(totals): as text

class Output(tf.Module):
    labels: the closed set of answers, None where there is none;  decode: the settings of a search, None without one
    bounds: {option: [lowest, highest]}
    signatures() -> list[Signature]
    golden(raw, inputs, rows) -> None               # fills in what training-side code answers, op by op
"""
