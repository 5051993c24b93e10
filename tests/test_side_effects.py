"""Detection of models that access files, processes or the network, without running them."""

import pytest
import tensorflow as tf
from click.testing import CliRunner
from tensorflow.core.protobuf import saved_model_pb2

from textpipe.commands.doctor import command
from textpipe.errors import ModelError
from textpipe.savedmodel import side_effects
from textpipe.serve.engine.model_version import Version

TEXT = tf.TensorSpec([], tf.string, "x")


def listed(x):
    return tf.io.matching_files(x)


def in_a_branch(x):
    return tf.cond(tf.strings.length(x) > 3, lambda: tf.io.read_file(x), lambda: x)


def in_a_loop(x):
    return tf.while_loop(lambda _: False, lambda text: tf.io.read_file(text), [x])[0]


def in_a_map(x):
    return tf.data.Dataset.from_tensors(x).map(tf.io.read_file).get_single_element()


def of_lines(x):
    return tf.data.TextLineDataset(x).take(1).get_single_element()


def of_records(x):
    return tf.data.TFRecordDataset(x).take(1).get_single_element()


def cached(x):
    return tf.data.Dataset.from_tensors(x).cache("/tmp/cache").get_single_element()


def written(x):
    tf.io.write_file("/tmp/never", x)
    return x


def printed(x):
    tf.print(x, output_stream="file:///tmp/never")
    return x


def in_python(x):
    return tf.py_function(lambda text: text, [x], tf.string)


def restored(x):
    return tf.raw_ops.RestoreV2(prefix=x, tensor_names=["v"], shape_and_slices=[""], dtypes=[tf.string])[0]


def from_a_file(x):
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="t")
    tf.raw_ops.InitializeTableFromTextFileV2(table_handle=table, filename="/etc/hosts", key_index=-2, value_index=-1)
    return tf.as_string(
        tf.raw_ops.LookupTableFindV2(table_handle=table, keys=x, default_value=tf.constant(-1, tf.int64))
    )


SIDE_EFFECTS = {
    listed: "MatchingFiles", in_a_branch: "ReadFile", in_a_loop: "ReadFile", in_a_map: "ReadFile", of_lines: "TextLineDataset",
    of_records: "TFRecordDataset", cached: "CacheDatasetV2", written: "WriteFile", printed: "PrintV2", in_python: "EagerPyFunc",
    restored: "RestoreV2", from_a_file: "InitializeTableFromTextFileV2",
}  # fmt: skip


def save(folder, function):
    module = tf.Module()
    module.variable = tf.Variable(1.0)  # so that there is something to save and to restore
    module.made = tf.function(
        lambda x: {"y": tf.identity(function(x)), "v": module.variable}, input_signature=[TEXT], autograph=False
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.made.get_concrete_function()})
    return folder


@pytest.mark.parametrize("function", SIDE_EFFECTS, ids=lambda function: function.__name__)
def test_a_model_with_side_effects_is_reported_and_not_loaded(tmp_path, function):
    place = save(tmp_path / "m" / "1", function)
    found = side_effects.find_side_effects(place)
    assert found and {name.split(" (")[0] for name in found} == {SIDE_EFFECTS[function]}
    with pytest.raises(ModelError, match=rf"{SIDE_EFFECTS[function]}.*--trust-models"):
        Version.load("m", 1, place)


def test_exported_models_have_no_side_effects(classifier, generator):
    for made in (classifier, generator):
        assert side_effects.find_side_effects(made["export"] / "model") == []


class Vocabulary(tf.Module):
    """A table filled from an asset of the model."""

    def __init__(self, path):
        super().__init__()
        kinds = tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        self.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(path, *kinds), -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def look(self, x):
        return {"y": self.table.lookup(x), "z": tf.data.Dataset.from_tensors(x).cache().get_single_element()}


def test_a_table_may_be_filled_only_from_the_models_own_assets(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    place = tmp_path / "m" / "1"
    module = Vocabulary(str(tmp_path / "words.txt"))
    tf.saved_model.save(module, str(place), signatures=module.look.get_concrete_function())
    assert side_effects.find_side_effects(place) == []
    (tmp_path / "words.txt").unlink()
    assert Version.load("m", 1, place).signature("").call({"x": tf.constant(["b"]).numpy()})["y"].tolist() == [1]
    path = place / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for name in ("../../../words.txt", "/etc/hosts"):
        saved.meta_graphs[0].asset_file_def[0].filename = name
        path.write_bytes(saved.SerializeToString())
        assert side_effects.find_side_effects(place) == [f"the asset {name}"]


def test_a_model_saved_by_a_session_may_save_and_restore_its_variables(tmp_path):
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], "x")
        y = x * v1.get_variable("weight", initializer=2.0)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "1"))
        info = v1.saved_model.utils.build_tensor_info if hasattr(v1.saved_model.utils, "build_tensor_info") else None
        signature = v1.saved_model.signature_def_utils.build_signature_def({"x": info(x)}, {"y": info(y)}, "predict")
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    assert side_effects.find_side_effects(tmp_path / "1") == []


def test_doctor_reports_the_ops_that_serve_refuses(tmp_path):
    place = save(tmp_path / "m" / "1", in_a_branch)
    done = CliRunner().invoke(command, [str(place)])
    assert done.exit_code == 2 and "ReadFile" in done.output and "--trust-models" in done.output
    done = CliRunner().invoke(command, [str(save(tmp_path / "n" / "1", tf.strings.upper))])
    assert done.exit_code == 0 and "--trust-models" not in done.output


class FilledByACall(tf.Module):
    """A table that a signature, not the initializer, fills from an asset."""

    def __init__(self, path):
        super().__init__()
        self.variable = tf.Variable([1.0])
        self.asset = tf.saved_model.Asset(path)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def look(self, x):
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="t")
        fill = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=self.asset.asset_path, key_index=-2, value_index=-1
        )
        with tf.control_dependencies([fill]):
            missing = tf.constant(-1, tf.int64)
            return {"y": tf.raw_ops.LookupTableFindV2(table_handle=table, keys=x, default_value=missing)}


def test_a_signature_reads_the_asset_whatever_path_the_graph_has_in_its_place(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    (tmp_path / "secret.txt").write_text("secret\n")
    place = tmp_path / "m" / "1"
    module = FilledByACall(str(tmp_path / "words.txt"))
    tf.saved_model.save(module, str(place), signatures=module.look.get_concrete_function())
    path = place / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (graph,) = saved.meta_graphs
    asset = graph.asset_file_def[0].tensor_info.name.partition(":")[0]
    (node,) = (node for node in graph.graph_def.node if node.name == asset)
    node.attr["value"].tensor.string_val[:] = [str(tmp_path / "secret.txt").encode()]
    path.write_bytes(saved.SerializeToString())
    assert side_effects.find_side_effects(place) == []
    answer = Version.load("m", 1, place).signature("").call({"x": tf.constant(["secret", "b"]).numpy()})["y"]
    assert answer.tolist() == [-1, 1]
    node.op = "Placeholder"
    graph.signature_def["serving_default"].inputs["path"].name = f"{asset}:0"  # a caller would fill it in
    path.write_bytes(saved.SerializeToString())
    assert side_effects.find_side_effects(place)


def test_a_path_may_not_hide_in_the_other_form_of_a_constant(tmp_path):
    def kept(x):
        return tf.data.Dataset.from_tensors(x).cache().get_single_element()

    place = save(tmp_path / "m" / "1", kept)
    assert side_effects.find_side_effects(place) == []
    path = place / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in saved.meta_graphs[0].graph_def.library.function:
        nodes = {node.name: node for node in function.node_def}
        for node in function.node_def:
            if node.op.startswith("CacheDataset"):
                file = nodes[node.input[1].partition(":")[0]].attr["value"].tensor
                file.tensor_content = b"\x06/tmp/x"
    path.write_bytes(saved.SerializeToString())
    assert {name.split(" (")[0] for name in side_effects.find_side_effects(place)} == {"CacheDatasetV2"}
