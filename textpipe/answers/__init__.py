"""The kinds of answers: one module each, named by a task's ANSWER.

# answers/x.py
VIEW: str                                           # how the page and the report show answers: a module of report/views/
WORD_NOTES: tuple[str, ...]                         # evaluate's notes on its metrics of words in answers
def check(task, *, decode, bounds, join_sources) -> None    # ValueError for settings that do not apply
def check_ensemble(model) -> None                   # ConfigError where models of this kind cannot be ensembled
def join(models, mean) -> model                     # the ensemble of several models over the same features
def embed(own, folders, mean, *, task, target, trained) -> (model, members)    # optional, in place of join: of exported models, which read raw rows
def check_members(folders, task, settings) -> None  # optional: ConfigError for exported models that cannot be members, before anything runs
DECODES: bool                                       # optional: False where [decode] has no effect and is refused
READS: tuple[str, ...]                              # optional: stages, besides the usual ones, whose results the outputs need
class Config(Section)                               # optional: [answer] of a pipeline file; check(task) raises ValueError
def output(graph, *, decode, lexicon, bounds, attends, artifacts) -> Output    # artifacts: {stage: its result}; settings=: the Config
def about(labels, answered) -> dict                 # optional: further keys of textpipe.json; answered(split) -> answers of a sample of its rows
def stored_prediction(answer) -> dict                            # the keys of an answer that predictions.jsonl stores
def references(graph, cells) -> list                # optional: cells of the target as answers are compared with them
def extra_metrics(graph, raw, references, answers, batch_rows) -> (metrics, notes)    # in addition to the task's metrics
def answer_metrics(graph, answers) -> dict        # those that depend on answers only, for subsets of the rows
def word_metrics(answers, references, training_counts, least, most, *, resamples, seed) -> dict    # training_counts() -> {word: count}
def names(answer) -> Sequence[str]                  # of a closed set: the labels in an answer
SCORES: tuple[str, ...]                             # outputs of the signature that gives likelihoods
def score_row(row) -> dict                          # the figures of a scored pair
def score_totals(rows) -> dict                      # sums over pairs;  score_line(row), score_summary(totals): as text

class Output(tf.Module):
    labels: the closed set of answers, or None;  decode: the settings of the search, or None
    bounds: {option: [lowest, highest]}
    signatures() -> list[Signature]
    add_golden_answers(raw, inputs, rows) -> None               # adds the answers of training-side code, computed op by op
"""
