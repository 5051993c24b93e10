"""A pooled encoder through the command line: a run exports a model with the answers of the trained one."""

import json

TABLES = """
[tokenize]
codec = { kind = "unigram", vocab_size = 300 }

[vectorize]
features = { kind = "ids", max_length = 32 }

[model]
kind = "pooled"
encoder = { kind = "recurrent", units = 16, embedding_size = 16 }
pooling = "last"

[train]
epochs = 4
optimizer = { kind = "adam", learning_rate = 0.01 }
"""


def test_a_recurrent_encoder_runs_from_rows_to_answers(project):
    head = (project.folder / "mail.toml").read_text().partition("[tokenize]")[0]
    project.write("mail.toml", head + TABLES)
    # Export compares a few rows' features and probabilities, in a process without this package.
    result = json.loads(project.succeeds("run", "mail.toml", "--json", "--quiet"))
    assert result["metrics"]["accuracy"] > 0.9
    texts = "Can you send me the ticket by Monday?\nWe closed the budget last Friday.\n"
    lines = project.succeeds("predict", "saved_models/mail", "-", stdin=texts).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["yes", "no"]
