"""`textpipe new`: a commented pipeline file over the user's own rows, checked against the first of them."""

from pathlib import Path

from textpipe import config, rooms
from textpipe.errors import ConfigError

CLASSIFY = """\
[normalize]
# Applied in order, in training and in the exported graph alike. For mails put before "casefold":
# "html", "mail_forwarded", "mail_quotation", "mail_signature", "mail_salutation", "mask_urls", "mask_addresses"
steps = ["unicode", "casefold", "whitespace"]

[tokenize]
codec = "none"                      # "unigram" or "bpe" when the features are subword ids

[vectorize]
features = { kind = "tfidf", words = [1, 2] }   # or { kind = "counts" }, or { kind = "ids" }

[model]
kind = "logistic_regression"        # or "feed_forward"
l2 = 0.5                            # larger: smoother; try 0.05 to 5

[train]
optimizer = "lbfgs"                 # exact and quick for logistic_regression; "adam" for feed_forward

[evaluate.require]
# accuracy = 0.9                    # nothing is exported below it
"""

GENERATE = """\
[normalize]
# Applied in order, in training and in the exported graph alike.
steps = ["unicode", "whitespace"]

[tokenize]
codec = { kind = "unigram", vocab_size = 4000 }   # subwords: no word is ever unknown
vocabulary = "joint"                # one vocabulary for both sides; "separate" for two

[vectorize]
features = { kind = "ids", max_length = 100 }     # longer texts are cut, and counted

[model]
kind = "recurrent"
units = 256
embedding_size = 256
attention = "additive"              # or "dot", "general", "none"
share_embeddings = true             # needs the joint vocabulary
dropout = 0.3

[train]
epochs = 20
batch_tokens = 4096
optimizer = { kind = "adam", learning_rate = 0.002 }
schedule = { kind = "cosine", warmup_steps = 200, lowest = 0.02 }
clip_norm = 1.0
label_smoothing = 0.1
early_stopping = { metric = "valid_loss", patience = 4 }

[decode]
kind = "beam"                       # or "greedy"
beam_size = 5
max_length = 100

[evaluate.require]
# bleu = 30                         # nothing is exported below it
"""


def write(task: str, data: Path, columns: str, path: Path) -> None:
    """Write a pipeline file for a task over a file of rows; never overwrites one.

    columns: "text=message,label=wants_reply"; a field not named has its own name as column. The first rows are read, so
    that a wrong column is refused here with the columns there are. Raises ConfigError and DataError.
    """
    fields = rooms.find("tasks", task).FIELDS
    mapping = pairs(columns)
    if path.exists():
        raise ConfigError(f"{path}: exists already; name another with --output")
    tables = {"task": task, "ingest": {"files": str(data), "columns": mapping}}
    ingest = rooms.find("stages", "ingest")
    section = config.check(str(path), {"ingest": ingest.Config}, tables)["ingest"]
    read_first_rows(section, ingest.wanted(section, fields))
    answers = next(field for field in fields if field.side == "target").kind
    listed = ", ".join(f"{name} = {quoted(column)}" for name, column in mapping.items())
    lines = [
        f"# textpipe run {path}",
        f"task = {quoted(task)}                   # a row has: {', '.join(field.name for field in fields)}",
        "seed = 1",
        "",
        "[ingest]",
        f"files = {quoted(str(data))}         # or {{ train = ..., valid = ..., test = ... }}",
        f"columns = {{ {listed} }}" if listed else '# columns = { FIELD = "COLUMN" }',
        "split = { valid = 0.1, test = 0.1 }  # by a hash of the source text: equal texts never part",
        "",
        CLASSIFY if answers == "label" else GENERATE,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def read_first_rows(section: config.Section, wanted: list[str | int]) -> None:
    """Raise DataError when the file is missing, empty or lacks a column."""
    from textpipe.tables import sources
    from textpipe.tables.rows import Repairs

    for split, files in sources.locate(None, section.files, section.format, wanted).items():
        for rows in sources.read(files[0], section.format, Repairs("replace", "drop", None), wanted, split):
            if len(rows):
                break


def pairs(columns: str) -> dict[str, str]:
    """"text=message,label=wants" -> {"text": "message", "label": "wants"}."""
    found = {}
    for part in columns.split(",") if columns else []:
        field, equals, column = part.partition("=")
        if not equals or not field.strip() or not column.strip():
            raise ConfigError(f"--columns {columns}: expected FIELD=COLUMN,..., for example text=message,label=wants_reply")
        found[field.strip()] = column.strip()
    return found


def quoted(text: str) -> str:
    """A TOML string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
