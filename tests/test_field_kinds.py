"""Rows with several fields of any kind, from a file to a model's inputs."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from pydantic import ValidationError
from sklearn import metrics as sklearn_metrics
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from textpipe.cache import fingerprint
from textpipe.config import chosen_fields, plugins
from textpipe.config import sections as config
from textpipe.data import shards
from textpipe.errors import ConfigError, DataError
from textpipe.features import multi_hot, scalar
from textpipe.kinds import labels, number
from textpipe.pipeline import columns_option, runner, scaffold
from textpipe.stages import ingest, normalize, tokenize, vectorize
from textpipe.tasks import multi_label

MAIL = {"kind": "classify", "fields": {"subject": "text", "body": "text", "recipients": "number"}, "target": "answered"}
TAGGED = {"kind": "multi_label", "fields": {"subject": "text", "body": "text"}, "target": "tags"}
TAGS = ("", "billing", "billing|urgent", " urgent | billing", "travel")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "d.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "body", "recipients", "answered", "tags"])
        for n in range(200):
            row = f"Report {n % 40}", f"Please READ number {n % 100}", "" if n % 7 == 0 else n % 11 / 2
            writer.writerow([*row, ("yes", "no")[n % 2], TAGS[n % 5]])
    return path


def stages(root, data, task, **sections):
    """Return {stage: its output} up to vectorize."""
    outputs = {}
    for stage in (ingest, normalize, tokenize, vectorize):
        name = stage.__name__.rpartition(".")[2]
        outputs[name] = root / name
        outputs[name].mkdir()
        options = {"ingest": {"files": data}, "tokenize": {"codec": "none"}, "vectorize": {"features": "counts"}}
        section = stage.Config(task=task, **{**options.get(name, {}), **sections.get(name, {})})
        stage.run(section, {needed: outputs[needed] for needed in stage.INPUTS}, outputs[name])
    return outputs


def table(folder, split="train"):
    return pa.Table.from_batches(list(shards.read(folder, split)))


def columns_of(folder, split="train"):
    """Return {field: its column as training reads it}."""
    tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in shards.paths(folder, split)]
    sizes = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    return {
        name: plugins.find("features", size["feature"]).column(tables, name, size) for name, size in sizes.items()
    }, sizes


@pytest.fixture(scope="module")
def mail(data, tmp_path_factory):
    return stages(tmp_path_factory.mktemp("mail"), data, MAIL)


@pytest.fixture(scope="module")
def tagged(data, tmp_path_factory):
    return stages(tmp_path_factory.mktemp("tagged"), data, TAGGED)


def test_columns_have_the_types_of_their_kinds(mail, tagged):
    assert {field.name: field.type for field in table(mail["normalize"]).schema} == {
        "row": pa.int64(), "subject": pa.string(), "body": pa.string(), "recipients": pa.float64(), "answered": pa.string()
    }  # fmt: skip
    assert table(tagged["ingest"]).schema.field("tags").type == pa.list_(pa.string())
    assert set(map(tuple, table(tagged["ingest"])["tags"].to_pylist())) == {
        (), ("billing",), ("billing", "urgent"), ("travel",)
    }  # fmt: skip


def test_texts_of_all_fields_are_normalized_and_other_cells_are_unchanged(mail):
    before, after = table(mail["ingest"]), table(mail["normalize"])
    assert before["recipients"].equals(after["recipients"]) and before["recipients"].null_count
    stats = json.loads((mail["normalize"] / "stats.json").read_text(encoding="utf-8"))
    assert set(stats) == {"subject", "body"}


def test_rows_are_split_by_the_texts_of_all_sources(mail):
    found = {
        split: set(zip(*(table(mail["ingest"], split)[name].to_pylist() for name in ("subject", "body")), strict=True))
        for split in shards.SPLITS
    }
    assert not found["train"] & found["valid"] and not found["train"] & found["test"]
    subjects = {split: {subject for subject, _ in pairs} for split, pairs in found.items()}
    assert subjects["train"] & subjects["test"], "one text alone does not decide"


def test_every_source_has_a_column_for_training_and_missing_numbers_are_the_mean(mail):
    columns, sizes = columns_of(mail["vectorize"])
    rows = np.arange(len(columns["answered"]))
    assert [sizes[name]["kind"] for name in ("subject", "body", "recipients", "answered")] == [
        *("sparse", "sparse", "scalar", "label")
    ]
    numbers = table(mail["normalize"])["recipients"].to_pandas().to_numpy()[:, None]
    expected = StandardScaler().fit_transform(numbers)[:, 0]
    expected[np.isnan(expected)] = 0
    np.testing.assert_allclose(columns["recipients"].gather(rows), expected, atol=1e-6)
    assert tf.sparse.to_dense(columns["body"].gather(rows)).shape == (len(rows), sizes["body"]["dim"])


def test_label_sets_are_encoded_as_scikit_learns_multi_hot_rows(tagged):
    columns, sizes = columns_of(tagged["vectorize"])
    sets = table(tagged["normalize"])["tags"].to_pylist()
    binarizer = MultiLabelBinarizer()
    expected = binarizer.fit_transform(sets)
    assert sizes["tags"]["classes"] == binarizer.classes_.tolist()
    order = np.random.default_rng(1).permutation(len(sets))
    np.testing.assert_array_equal(columns["tags"].gather(order), expected[order])
    feature = multi_hot.load(multi_hot.Config(), tagged["vectorize"], "tags")
    found = feature(tf.constant([labels.join(names) for names in sets] + ["travel|never seen"]))
    np.testing.assert_array_equal(found[:-1], expected)
    assert found[-1].numpy().tolist() == [0, 1, 0]


def test_the_error_names_a_label_missing_in_train(tagged, tmp_path):
    feature = multi_hot.load(multi_hot.Config(), tagged["vectorize"], "tags")
    values = [("valid", [7, 9], tf.constant(["billing", "travel|odd"]))]
    with pytest.raises(DataError, match="valid, row 10: tags 'odd' is not among the 3 labels of train"):
        multi_hot.check(feature, "tags", lambda: values)
    with pytest.raises(DataError, match="no row has a label in 'tags'"):
        multi_hot.learn(multi_hot.Config(), lambda: [tf.constant(["", ""])], tmp_path, "tags")
    with pytest.raises(DataError, match="'size' has no number in any row"):
        scalar.learn(scalar.Config(), lambda: [tf.constant([float("nan")])], tmp_path, "size")


def test_rare_labels_are_removed_from_their_sets_without_dropping_rows(data, tmp_path):
    (tmp_path / "out").mkdir()
    section = ingest.Config(task=TAGGED, files=data, min_count=50, split={})
    ingest.run(section, {}, tmp_path / "out")
    tags = table(tmp_path / "out")["tags"].to_pylist()
    assert len(tags) == 200 and set(map(tuple, tags)) == {(), ("billing",), ("billing", "urgent")}


def test_a_cell_that_is_not_a_number_is_a_bad_row_with_its_line(data, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("subject,body,recipients,answered\na,b,many,yes\nc,d,2,no\ne,f,,yes\n")
    for on_bad_rows in ("error", "drop"):
        (tmp_path / on_bad_rows).mkdir()
    section = {"task": MAIL, "files": path, "split": {}}
    with pytest.raises(
        DataError, match=r"line 2: 'many' is not a finite number; check whether 'recipients' is the column"
    ):
        ingest.run(ingest.Config(**section), {}, tmp_path / "error")
    ingest.run(ingest.Config(**section, on_bad_rows="drop"), {}, tmp_path / "drop")
    assert table(tmp_path / "drop")["recipients"].to_pylist() == [2, None]


@pytest.mark.parametrize(("cell", "value"), [("3.5", 3.5), (" -2e3 ", -2000.0), ("", None), (" ", None), ("true", 1.0)])
def test_numbers_are_parsed(cell, value):
    assert number.parse(cell) == value


@pytest.mark.parametrize("cell", ["1_000", "nan", "inf", "1,5", "x"])
def test_cells_that_are_not_finite_numbers_are_rejected(cell):
    with pytest.raises(ValueError, match="is not a finite number"):
        number.parse(cell)


def test_the_profile_of_numbers_matches_numpy():
    draw = np.random.default_rng(3)
    values = draw.normal(5e6, 3.0, 1000)
    profile = number.profile()
    for part in np.split(values, [1, 10, 500]):
        profile.add(np.arange(len(part)), pa.array([None, *part.tolist()], pa.float64()))
    found = profile.table()
    assert found["missing"] == 4
    np.testing.assert_allclose(
        [found[name] for name in ("mean", "deviation", "min", "max")],
        [values.mean(), values.std(), values.min(), values.max()],
        rtol=1e-7,
    )


def test_multi_label_metrics_match_scikit_learn():
    draw = np.random.default_rng(5)
    names = ["a", "b", "c", "d"]
    true, probabilities = draw.random((60, 4)) < 0.4, draw.random((60, 4))
    answered = probabilities > 0.6
    sets = [[name for name, there in zip(names, row, strict=True) if there] for row in true]
    answers = ["|".join(name for name, there in zip(names, row, strict=True) if there) for row in answered]
    outputs = {"labels": [names] * 60, "probabilities": probabilities, "answer": answers}
    report = multi_label.metrics(outputs, sets, resamples=20)
    expected = {
        "f1_micro": sklearn_metrics.f1_score(true, answered, average="micro"),
        "f1_macro": sklearn_metrics.f1_score(true, answered, average="macro"),
        "precision_micro": sklearn_metrics.precision_score(true, answered, average="micro"),
        "recall_micro": sklearn_metrics.recall_score(true, answered, average="micro"),
        "subset_accuracy": sklearn_metrics.accuracy_score(true, answered),
        "average_precision": sklearn_metrics.average_precision_score(true, probabilities, average="macro"),
        "hamming_loss": sklearn_metrics.hamming_loss(true, answered),
    }
    assert report["metrics"] == pytest.approx(expected) and set(expected) == set(multi_label.METRICS)
    low, high = report["intervals"]["f1_micro"]
    assert low <= expected["f1_micro"] <= high
    assert multi_label.metrics({"labels": [], "probabilities": [], "answer": []}, [])["metrics"]["f1_micro"] is None


def test_a_task_with_chosen_fields_is_loaded_from_its_signature():
    line = chosen_fields.format_task(MAIL)
    assert line == "classify(subject: text, body: text, recipients: number) -> answered"
    task = plugins.find("tasks", line)
    assert [(field.name, field.side, field.kind) for field in task.FIELDS] == [
        *(("subject", "source", "text"), ("body", "source", "text"), ("recipients", "source", "number")),
        ("answered", "target", "label"),
    ]
    assert plugins.find("tasks", "classify").FIELDS[0].name == "text" and task.METRICS["accuracy"] == "max"
    assert ingest.Config(task=MAIL, dataset="mail").task == ingest.Config(task=line, dataset="mail").task == line


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "translate", "fields": {"a": "text"}}, "'translate' has fixed fields and accepts no others"),
        ({"kind": "classify", "fields": {"a": "txt"}}, "field 'a': unknown kind 'txt'; did you mean 'text'"),
        ({"kind": "classify", "fields": {"a": "text"}, "target": "a"}, "two fields are named 'a'"),
        ({"kind": "clasify", "fields": {"a": "text"}}, "did you mean 'classify'"),
        ({"kind": "classify", "field": {"a": "text"}}, "field: unknown key; did you mean 'fields'"),
        ({"kind": "classify", "fields": {"row": "text"}}, "'row' is not a valid field name"),
        ({"kind": "classify", "fields": {"a b": "text"}}, "'a b' is not a valid field name"),
        ({"kind": "classify", "fields": {}, "target": "b"}, "there must be at least one source field"),
        ({"kind": "classify", "target": "b"}, "fields: expected a table of field kinds by name"),
        ({"fields": {"a": "text"}}, "kind: expected one of caption, classify"),
    ],
)
def test_errors_name_mistakes_in_a_task_table(task, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        ingest.Config(task=task, dataset="mail")
    path = tmp_path / "p.toml"
    path.write_text(f"task = {scaffold.toml(task)}\n")
    with pytest.raises(ConfigError, match=rf"p.toml \[task\] .*{message}"):
        runner.Pipeline.load(path)


@pytest.mark.parametrize(
    ("task", "columns", "expected", "mapping"),
    [
        ("classify", "text=subject+body,numbers=recipients,label=answered", MAIL, {}),
        ("classify", "text=subject+body,labels=tags", TAGGED, {}),
        ("classify", "text=body,labels=tags", "multi_label", {"text": "body", "labels": "tags"}),
        ("multi_label", "text=body", "multi_label", {"text": "body"}),
        ("classify", "text=body,label=answered", "classify", {"text": "body", "label": "answered"}),
        ("classify", "text=C++", "classify", {"text": "C++"}),
        (
            "classify",
            "texts=the body+the-body,label=2nd",
            {"kind": "classify", "fields": {"the_body": "text", "the_body_2": "text"}, "target": "column_2nd"},
            {"the_body": "the body", "the_body_2": "the-body", "column_2nd": "2nd"},
        ),
        (
            "suggest",
            "text=subject+body,numbers=n,reply=answer",
            {"kind": "suggest", "fields": {"subject": "text", "body": "text", "n": "number"}, "target": "answer"},
            {},
        ),
        ("suggest", "message=body", "suggest", {"message": "body"}),
        ("translate", "source=a+b", "translate", {"source": "a+b"}),
    ],
)
def test_the_columns_option_chooses_fields(task, columns, expected, mapping):
    found = columns_option.parse_columns(task, columns)
    assert (found.task, found.columns) == (expected, mapping)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("text=a+b,label=c+d", "a task has one target; name one column"),
        ("number=,label=c", "expected FIELD=COLUMN"),
        ("text=a,text=b", "text is given twice"),
    ],
)
def test_errors_name_mistakes_in_the_columns_option(columns, message):
    with pytest.raises(ConfigError, match=message):
        columns_option.parse_columns("classify", columns)


@pytest.mark.parametrize(
    "columns", ["text=subject+body,numbers=recipients,label=answered", "text=subject+body,labels=tags"]
)
def test_new_writes_a_pipeline_with_the_chosen_fields(columns, data, tmp_path):
    scaffold.write("classify", data, columns, tmp_path / "p.toml")
    task = MAIL if "numbers" in columns else TAGGED
    assert config.load(tmp_path / "p.toml")["task"] == task
    assert ingest.Config(**config.load(tmp_path / "p.toml")["ingest"], task=task).columns == {}


OWN_KIND = '''
"""Stars: "***"."""

NOUN, PLURAL = "a rating", "ratings"
FEATURE = "own.stars"
OPTIONAL = False


class profile:
    def __init__(self):
        self.most = 0

    def add(self, rows, cells):
        self.most = max(self.most, *cells.to_pylist())

    def table(self):
        return {"most": self.most}


def line(table):
    return f"{table['most']} stars at most"


def arrow():
    import pyarrow as pa

    return pa.int8()


def spec():
    import tensorflow as tf

    return tf.TensorSpec([None], tf.int32)


def parse(cell):
    if set(cell.strip()) != {"*"}:
        raise ValueError(f"{cell!r} is no rating")
    return len(cell.strip())


def tensor(column):
    import tensorflow as tf

    return tf.constant(column.to_numpy(), tf.int32)
'''
OWN_FEATURE = '''
"""Stars as a share of five."""

from typing import Literal

from textpipe.config.sections import Section

KIND = "scalar"
OF = ("own.ratings",)


class Config(Section):
    kind: Literal["own.stars"] = "own.stars"


def learn(config, values, folder, name, *, codec=None):
    assert max(int(batch.numpy().max()) for batch in values()) <= 5


def load(config, folder, name, *, codec=None):
    import pyarrow as pa
    import tensorflow as tf

    class Feature(tf.Module):
        size = {"kind": "scalar"}

        def __call__(self, cells):
            return tf.cast(cells, tf.float32) / 5

        def schema(self, name):
            return [pa.field(name, pa.float32())]

        def arrays(self, cells, stats):
            return [pa.array(self(cells).numpy())]

    return Feature()


def column(tables, name, size):
    from textpipe.data import columns

    return columns.Dense(columns.scalar_column(tables, name, "float32"))


def line(stats, size, rows):
    return "stars"
'''


def test_a_custom_kind_and_feature_are_used_by_dotted_names(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "ratings.py").write_text(OWN_KIND)
    (tmp_path / "own" / "stars.py").write_text(OWN_FEATURE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = [f"good work {n}\t{'*' * (1 + n % 5)}\t{('yes', 'no')[n % 2]}" for n in range(40)]
    (tmp_path / "d.tsv").write_text("\n".join(["text\tstars\tlabel", *rows]) + "\n")
    task = {"kind": "classify", "fields": {"text": "text", "stars": "own.ratings"}, "target": "label"}
    found = stages(tmp_path, tmp_path / "d.tsv", task)
    assert "5 stars at most" in ingest.summary(found["ingest"])
    columns, sizes = columns_of(found["vectorize"])
    assert sizes["stars"] == {"kind": "scalar", "feature": "own.stars"}
    stars = table(found["ingest"])["stars"].to_numpy()
    np.testing.assert_allclose(columns["stars"].gather(np.arange(len(stars))), stars / 5, rtol=1e-6)
    section = vectorize.Config(task=task, features="counts")
    code = fingerprint.compute("vectorize", vectorize.__name__, section, {}, [])["code"]
    assert {"own.ratings", "own.stars", "textpipe.features.label", "textpipe.features.counts"} <= set(code)
