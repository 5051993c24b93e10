"""Pictures as cells, their decoding, captioning models, and a pipeline from files to served captions."""

import base64
import gzip
import importlib.util
import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from click.testing import CliRunner
from PIL import Image

import textpipe.data.formats.captions as captions_format
from textpipe import cli
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data import image_file, image_ops, raster
from textpipe.data.columns import Blocks
from textpipe.data.formats import drawings
from textpipe.data.rows import Repairs
from textpipe.encoders import image as image_encoder
from textpipe.errors import ConfigError, DataError, ModelError
from textpipe.features import pixels
from textpipe.kinds import image
from textpipe.metrics import cider
from textpipe.models import captioner
from textpipe.nets import recurrent, transformer
from textpipe.report import picture_attention
from textpipe.savedmodel import loader, model_rows
from textpipe.savedmodel.loader import Model
from textpipe.stages import _replay

SCENES = Path(__file__).resolve().parents[1] / "data" / "scenes"
IDS = {"kind": "ids", "vocab_size": 13, "max_length": 20}
PIXELS = {"kind": "pixels", "height": 16, "width": 16, "channels": 3}


def noise(height=7, width=9, channels=3, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def saved(picture, kind="PNG", **options):
    """A picture of Pillow as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


PNG = raster.png(noise())
HUGE = b"".join(
    [
        raster.PNG_SIGNATURE,
        raster.chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 5_000, 8, 2, 0, 0, 0)),
        raster.chunk(b"IDAT", zlib.compress(bytes(100))),
        raster.chunk(b"IEND", b""),
    ]
)
JPEG = saved(Image.fromarray(noise(20, 30)), "JPEG", quality=95)
UNFIT = {
    "text": (b"three kittens", "a text file, where a PNG or JPEG picture was expected; convert it"),
    "zero bytes": (b"", "an empty file"),
    "gif": (b"GIF89a" + bytes(20), "a GIF file"),
    "truncated PNG": (PNG[:-9], "a PNG that ends too early"),
    "header only": (PNG[:20], "a PNG whose header is cut off"),
    "truncated JPEG": (JPEG[:-5], "a JPEG that ends too early"),
    "50 megapixels": (HUGE, "a PNG of 10,000 x 5,000 pixels, where at most 24,000,000"),
    "damaged": (PNG[:50] + bytes(20) + PNG[70:], "whose pixels are damaged"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_picture_is_named(name):
    contents, finding = UNFIT[name]
    with pytest.raises(ValueError, match=finding):
        image.decoded(contents)


@pytest.mark.parametrize("name", [name for name in UNFIT if name != "zero bytes"])
def test_the_graph_refuses_what_is_no_picture(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        image_ops.decoded(tf.constant(UNFIT[name][0]))


def test_a_picture_of_many_pixels_fails_before_it_is_decoded():
    with pytest.raises(tf.errors.InvalidArgumentError, match="a picture of 1 to 24,000,000 pixels, found"):
        image_ops.decoded(tf.constant(HUGE))


def expected(picture):
    """Pillow's pixels of a picture before white."""
    rgba = np.asarray(picture.convert("RGBA"), np.float64)
    alpha = rgba[:, :, 3:] / 255
    return rgba[:, :, :3] * alpha + 255 * (1 - alpha)


def gray16():
    return np.arange(63, dtype=np.uint16).reshape(7, 9, 1) * 1000


CMYK = Image.fromarray(np.tile(np.array([[[255, 0, 0, 0]], [[0, 0, 0, 255]]], np.uint8), (8, 16, 1)), "CMYK")
ODD = {
    "gray": (raster.png(noise(channels=1)), ["gray"], np.repeat(noise(channels=1), 3, axis=2), 0.51),
    "alpha": (raster.png(noise(channels=4)), ["transparent"], expected(Image.fromarray(noise(channels=4))), 1.0),
    "16-bit": (raster.png(gray16()), ["gray", "16-bit"], np.repeat(gray16() // 256, 3, axis=2), 1.0),
    "palette": (
        saved(Image.fromarray(noise()).quantize(256)),
        [],
        expected(Image.fromarray(noise()).quantize(256)),
        0.51,
    ),
    "JPEG": (JPEG, [], expected(Image.open(io.BytesIO(JPEG))), 4.0),
    "CMYK": (saved(CMYK, "JPEG", quality=100), ["CMYK"], expected(CMYK.convert("RGB")), 6.0),
    "animated": (
        saved(Image.fromarray(noise()), save_all=True, append_images=[Image.fromarray(noise(seed=2))]),
        ["animated"],
        noise(),
        0.51,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_decoded_to_rgb_before_white(name):
    contents, traits, pixels_of_pillow, tolerance = ODD[name]
    assert image_file.read(contents).traits == traits
    np.testing.assert_allclose(image_ops.decoded(tf.constant(contents)), pixels_of_pillow, atol=tolerance)


def test_header_of_a_jpeg():
    assert image_file.read(JPEG) == image_file.Header("JPEG", 30, 20, 3)


def test_pixels_keep_zero_for_no_picture():
    black = raster.png(np.zeros((5, 5, 3), np.uint8))
    feature = pixels.load(pixels.Config(height=4, width=6), Path(), "image")
    rows = feature(tf.constant([black, b"", raster.png(np.full((3, 3, 3), 255, np.uint8))])).numpy()
    assert rows.shape == (3, 4, 6, 3)
    assert [row.min() for row in rows] == [1, 0, 255] == [row.max() for row in rows]


def test_stored_pixels_are_those_of_the_graph():
    config = pixels.Config(height=4, width=6)
    feature = pixels.load(config, Path(), "image")
    cells = tf.constant([PNG, JPEG])
    (array,) = feature.arrays(cells, dict.fromkeys(["pictures"], 0))
    import pyarrow as pa

    tables = [pa.table({"image": array}), pa.table({"image": array.slice(1)})]
    column = pixels.column(tables, "image", feature.size)
    graph = feature(cells).numpy()
    np.testing.assert_array_equal(column.gather(np.array([2, 0, 1])), graph[[1, 0, 1]])
    assert len(column) == 3 and column.lengths is None


def test_blocks_of_one_array():
    values = noise(4, 2, 2)
    np.testing.assert_array_equal(Blocks([values]).gather(np.array([3, 1])), values[[3, 1]])


def model_of(decoder, **encoder):
    config = Plugin.check(
        "models", {"kind": "captioner", "encoder": {"kind": "image", "filters": [6], **encoder}, "decoder": decoder}
    )
    return captioner.build(config, Sizes({"image": PIXELS}, "caption", IDS), seed=1)


DECODERS = {"recurrent": recurrent.RecurrentModel, "transformer": transformer.TransformerModel}


@pytest.mark.parametrize("kind", DECODERS)
def test_the_decoder_is_that_of_translation(kind):
    built = model_of(kind)
    for name in ("call", "hidden", "project", "start", "step", "step_function", "embed"):
        assert getattr(type(built), name) is getattr(DECODERS[kind], name)


def test_no_picture_has_no_positions():
    built = model_of("recurrent")
    rows = np.stack([noise(16, 16), np.zeros((16, 16, 3), np.uint8)]).clip(0, 255)
    ids = np.asarray(built.source_ids({"image": rows}))
    assert ids.shape == (2, 16) and (ids[0] > 3).all() and not ids[1].any()
    assert built.grid == (4, 4)
    np.testing.assert_array_equal(built.encode({"image": rows})["bias"][1], np.float32(-1e9))


def encoded(**options):
    """States of two pictures under the same seed."""
    layer = model_of("recurrent", **options).encoder
    return layer(np.stack([noise(16, 16, seed=seed) for seed in (1, 2)]), training=options.get("dropout", 0) > 0)[0]


STATES = (
    ({"patch": 2}, (2, 64, 6)),
    ({"filters": [6, 10]}, (2, 4, 10)),
    ({"blocks": 2}, (2, 16, 6)),
    ({"activation": "gelu"}, (2, 16, 6)),
    ({"dropout": 0.5}, (2, 16, 6)),
)


def test_every_setting_of_the_image_encoder_is_tested():
    in_training = {"shift"}  # tests/test_picture_shift.py
    tested = {name for options, _ in STATES for name in options}
    assert tested == image_encoder.Config.model_fields.keys() - {"kind"} - in_training


@pytest.mark.parametrize(("options", "shape"), STATES)
def test_a_setting_of_the_image_encoder_changes_its_states(options, shape):
    before, after = encoded().numpy(), encoded(**options).numpy()
    assert after.shape == shape
    assert before.shape != shape or np.abs(before - after).max() > 1e-3
    assert np.abs(after[0] - after[1]).max() > 1e-3  # another picture has other states


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"decoder": "pooled"}, "decoder: 'pooled' has no decoder"),
        ({"decoder": {"kind": "recurrent", "encoder_units": 4}}, "decoder.encoder_units: applies to texts as sources"),
        ({"encoder": "bag"}, "encoder: 'bag' does not read pictures"),
        ({"decoder": {"kind": "recurrent", "bridge": "copy"}}, "needs an encoder with recurrent layers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, finding):
    with pytest.raises(ValueError, match=finding):
        Plugin.check("models", {"kind": "captioner", **options})


def test_attention_that_cannot_read_the_regions_is_refused():
    with pytest.raises(ConfigError, match="for regions of width 6: .*needs encoder states of width units = 8"):
        model_of({"kind": "recurrent", "units": 8, "attention": "dot"})


def test_cider_of_hand_computed_captions():
    references = [["a red dot"], ["a blue dot"]]
    # Words of every caption weigh nothing: "red", its two pairs and its triple agree; there are no four words.
    assert cider.scores(["a red dot", "a red dot"], references) == pytest.approx([7.5, 0.0])
    # (1 / 2 + 2 / sqrt(6)) / 4, times exp(-1 / 72) for one word more.
    repeated = 10 * (1 / 2 + 2 / 6**0.5) / 4 * np.exp(-1 / 72)
    assert cider.scores(["a red red dot", ""], references) == pytest.approx([repeated, 0.0])
    assert cider.score([], []) is None
    # The mean over a picture's references: one is equal, the other shares words of every caption alone.
    both = cider.scores(["A red dot!", "x"], [["a red dot", "a blue dot"], ["a dot"]])
    assert both[0] == pytest.approx(cider.scores(["a red dot", "x"], [["a red dot", "a blue dot"], ["a dot"]])[0])
    assert 0 < both[0] < cider.scores(["a red dot", "x"], [["a red dot"], ["a dot"]])[0]


def read_all(module, path, config, columns, split="train"):
    repairs = Repairs(on_bad_rows="drop")
    config = module.for_split(config, split) if hasattr(module, "for_split") else config
    rows = [row for part in module.read(path, config, repairs, columns) for row in zip(*part.columns, strict=True)]
    return rows, repairs


def test_a_table_gives_a_row_for_each_caption(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('file,one,two,part\na.png,"red, round",dot,train\nb.png,blue,,test\n', encoding="utf-8")
    config = captions_format.Config(
        images="pictures", image="file", captions=("one", "two"), split_column="part", splits={"train": "train", "test": "test"}
    )  # fmt: skip
    rows, _ = read_all(captions_format, path, config, ["image", "caption"])
    assert rows == [("pictures/a.png", "red, round"), ("pictures/a.png", "dot")]
    assert read_all(captions_format, path, config, ["caption", "image"], "test")[0] == [("blue", "pictures/b.png")]


def test_the_layout_of_flickr8k(tmp_path):
    path = tmp_path / "Flickr8k.token.txt"
    path.write_text("1.jpg#0\tA dog .\n1.jpg#1\tIt runs .\nbroken\n2.jpg#0\tA cat .\n", encoding="utf-8")
    (tmp_path / "train.txt").write_text("1.jpg\n", encoding="utf-8")
    config = captions_format.Config(images="Images", lists={"train": "train.txt"})
    rows, repairs = read_all(captions_format, path, config, ["image", "caption"])
    assert rows == [("Images/1.jpg", "A dog ."), ("Images/1.jpg", "It runs .")]
    assert repairs.counts["bad_rows"] == 1
    assert len(read_all(captions_format, path, captions_format.Config(), ["caption"])[0]) == 3


@pytest.mark.parametrize("options", [{"split_column": "part"}, {"captions": ()}, {"split_column": "p", "splits": {"train": "a"}, "lists": {"train": "b"}}])  # fmt: skip
def test_unfit_options_of_captions_are_refused(options):
    with pytest.raises(ValueError, match="captions|split_column|exclude"):
        captions_format.Config(**options)


def test_a_damaged_drawing_is_named(tmp_path):
    path = tmp_path / "scenes.tsv"
    path.write_text(
        "scene\tcaption\n8x8 #ffffff; circle 4,4 3 #ff0000\tred\n8x8 #ffffff; blob 1,1 1 #ff0000\tx\n", encoding="utf-8"
    )
    rows, repairs = read_all(drawings, path, drawings.Config(drawing="scene"), ["scene", "caption"])
    assert len(rows) == 1 and repairs.counts["bad_rows"] == 1
    middle = np.asarray(Image.open(io.BytesIO(base64.b64decode(rows[0][0]))))[4, 4]
    assert middle.tolist() == [255, 0, 0]
    with pytest.raises(DataError, match="line 3: 'blob 1,1 1 #ff0000' is not a shape"):
        list(drawings.read(path, drawings.Config(drawing="scene"), Repairs(), ["scene"]))


def generator_of_scenes():
    spec = importlib.util.spec_from_file_location("scenes_generator", SCENES / "generate.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scenes():
    return generator_of_scenes()


def test_the_bundled_scenes_are_those_of_the_generator(scenes):
    for name, drawn in scenes.build().items():
        text = gzip.decompress((SCENES / f"{name}.tsv.gz").read_bytes()).decode()
        assert text == "".join(scenes.lines(drawn)), name


def test_held_out_pairs_are_in_novel_alone(scenes):
    splits = scenes.build(sizes={"train": 300, "test": 50, "novel": 50})
    assert all(scene.pairs & scenes.HELD_OUT for scene in splits["novel"])
    assert not any(scene.pairs & scenes.HELD_OUT for name in ("train", "test") for scene in splits[name])
    # Every color and every shape of a held-out pair is in train, in other pairs.
    pairs = {pair for scene in splits["train"] for pair in scene.pairs}
    assert {color for color, _ in pairs} == set(scenes.COLORS) and {shape for _, shape in pairs} == set(scenes.SHAPES)


def test_shapes_cover_about_what_they_should():
    drawing = raster.parse("48x48 #ffffff; circle 24,24 10 #000000; square 24,24 10 #000000")
    circle, square = (raster.coverage(drawing, shape).sum() for shape in drawing.shapes)
    assert circle == pytest.approx(np.pi * 100, rel=0.01)
    assert square == pytest.approx((2 * 8.8) ** 2, rel=0.02)


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_attention_is_drawn_for_each_word(suffix, tmp_path):
    weights = [[0.7, 0.1, 0.1, 0.1], [0.0, 0.0, 0.2, 0.8], [0.25] * 4]
    path = tmp_path / f"map.{suffix}"
    picture_attention.draw(weights, (2, 2), ["red <b>", "dot", "</s>"], PNG, path, "a model")
    contents = path.read_bytes()
    if suffix == "png":
        assert image_file.read(contents).width > 300
    else:
        text = contents.decode()
        assert text.count("fill-opacity") == 12 and "red &lt;b&gt;" in text
        assert base64.b64encode(PNG).decode() in text
    assert picture_attention.best_regions(weights, (2, 2), ["red", "dot", "</s>"]) == [
        ("red", 0, 0, 0.7),
        ("dot", 1, 1, 0.8),
    ]
    assert picture_attention.shades([0.5, 0.25]) == [0.0, 0.4]


def test_bytes_of_a_cell_survive_json():
    assert model_rows.from_json(json.loads(json.dumps(model_rows.to_json(PNG)))) == PNG
    assert _replay.to_bytes(model_rows.to_json(PNG)) == PNG
    with pytest.raises(ValueError, match="damaged base64"):
        model_rows.from_json({"b64": "?"})


CAPTIONS = {
    "task": "caption",
    "seed": 1,
    "ingest": {"on_bad_rows": "drop"},
    "tokenize": {"codec": {"kind": "words", "vocab_size": 60}},
    "vectorize": {"features": {"kind": "pixels", "height": 12, "width": 12}, "target": {"max_length": 20}},
    "model": {
        "kind": "captioner",
        "encoder": {"kind": "image", "patch": 4, "filters": [8], "blocks": 1},
        "decoder": {"kind": "recurrent", "units": 12, "embedding_size": 8, "attention_size": 8},
    },
    "train": {"epochs": 1, "batch_rows": 16},
    "decode": {"kind": "greedy", "max_length": 6},
    "export": {"golden_rows": 6, "warmup_rows": 2},
}


def captioned_files(path):
    """A table of pictures, some of them unfit, and two files of the same pixels."""
    folder = path.with_suffix("")
    folder.mkdir()
    lines = ["image\tcaption"]
    module = generator_of_scenes()
    for number, scene in enumerate(module.build(sizes={"train": 60})["train"]):
        picture = raster.png(raster.render(raster.parse(scene.drawing)))
        (folder / f"{number}.png").write_bytes(picture)
        lines.append(f"{folder.name}/{number}.png\t{scene.caption}")
    again = saved(Image.open(io.BytesIO((folder / "0.png").read_bytes())))  # equal pixels in other bytes
    (folder / "again.png").write_bytes(again)
    assert again != (folder / "0.png").read_bytes()
    (folder / "bad.png").write_bytes(b"no picture")
    lines += [f"{folder.name}/{name}.png\ta copy" for name in ("again", "bad", "missing")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tiny.once(tmp_path_factory.getbasetemp(), "captions", CAPTIONS, captioned_files)


def test_unfit_pictures_are_counted_and_equal_pixels_stay_together(outputs):
    stats = json.loads((outputs["ingest"] / "stats.json").read_text(encoding="utf-8"))
    assert stats["repairs"]["bad_rows"] == 2
    assert sum(split["rows"] for split in stats["splits"].values()) == 61
    assert sum(split["distinct_sources"] for split in stats["splits"].values()) == 60
    assert sum(split["conflicts"] for split in stats["splits"].values()) == 1
    assert stats["splits"]["train"]["fields"]["image"]["formats"].keys() == {"PNG"}


def test_an_unfit_picture_is_named_by_file_and_line(tmp_path):
    path = captioned_files(tmp_path / "list.tsv")
    with pytest.raises(DataError, match=r"list.tsv, line 63: list/bad.png: a text file.*on_bad_rows"):
        tiny.build(tmp_path / "out", {**CAPTIONS, "ingest": {}}, path, until="ingest")


@pytest.fixture(scope="module")
def model(outputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captioned") / "scenes" / "1"
    shutil.copytree(outputs["export"] / "model", folder)
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "one.png"
    path.write_bytes(PNG)
    return path


def run(*arguments, **options):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments], **options)


def test_a_model_answers_bytes_base64_and_paths_alike(model, picture, tmp_path):
    loaded = Model.load(model)
    (answer,) = loaded.predict([PNG])
    assert answer["answer"]
    encoded_row = {"b64": base64.b64encode(PNG).decode()}
    for row in (encoded_row, {"image": PNG}, {"image": encoded_row}):
        assert loaded.predict([row]) == [answer]
    with pytest.raises(ModelError, match=r"1: expected a PNG or JPEG file, found one of another kind, with bytes: 5$"):
        loaded.predict([b"hello"])
    assert loaded.predict([b""]) == [{"answer": "", "score": 0.0}]
    done = run("predict", model, picture)
    assert (done.exit_code, done.stdout.split("\t")[0]) == (0, answer["answer"])
    table = picture.parent / "table.csv"
    table.write_text("image\none.png\n", encoding="utf-8")
    done = run("bulk", model, table, tmp_path / "out.jsonl")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["answer"] == answer["answer"]


def test_predict_names_a_file_that_is_no_picture(model, tmp_path):
    path = tmp_path / "text.png"
    path.write_text("hello", encoding="utf-8")
    done = run("predict", model, path)
    assert done.exit_code == 2 and "row 1: " in done.stderr and "a text file, where a PNG or JPEG" in done.stderr
    assert run("predict", model, tmp_path / "none.png").exit_code == 2


def test_a_picture_has_no_words_to_explain(model, picture):
    done = run("explain", model, picture)
    assert done.exit_code == 2 and "reads pictures ('image')" in done.stderr


def test_attention_of_a_picture_is_drawn_and_printed(model, picture, tmp_path):
    done = run("attention", model, picture, "--output", tmp_path / "map.svg")
    assert done.exit_code == 0, done.output
    for line in done.stdout.splitlines():
        word, row, column, weight = line.split("\t")
        assert word and int(row) < 3 and int(column) < 3 and 0 < float(weight) <= 1
    assert (tmp_path / "map.svg").exists()


def test_evaluate_keeps_pictures_for_the_report_and_no_bytes_in_predictions(outputs):
    from textpipe.report.run import Run, document

    lines = (outputs["evaluate"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["image"].startswith("PNG 48 x 48")
    attended = (outputs["evaluate"] / "attention.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(attended[0])["grid"] == [3, 3]
    page = document(Run("captions", outputs))
    assert 'aria-label="attention of' in page


def test_the_page_shows_pictures_without_an_image_source():
    from textpipe.serve.rest import pages

    page = pages.read("page")
    assert "createImageBitmap" in page and "<img" not in page
    assert "img-src" not in pages.HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "decode"), [("PNG", tf.io.decode_png), ("JPEG", tf.io.decode_jpeg)], ids=["PNG", "JPEG"]
)
def test_the_message_of_a_damaged_picture_is_textpipes(name, decode):
    damaged = {"PNG": PNG[:100] + bytes(60) + PNG[160:], "JPEG": b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9"}[name]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(tf.constant(damaged))
    assert loader.refusal(caught.value.message) == (
        f"expected a picture that can be decoded, found a {name} that is damaged"
    )


def test_a_picture_is_decoded_once_at_ingest(tmp_path, monkeypatch):
    decoded, count = image_ops.decoded, []
    monkeypatch.setattr(image_ops, "decoded", lambda contents: count.append(1) or decoded(contents))
    outputs = tiny.build(tmp_path / "built", CAPTIONS, captioned_files(tmp_path / "list.tsv"), until="ingest")
    stats = json.loads((outputs["ingest"] / "stats.json").read_text(encoding="utf-8"))
    assert len(count) == sum(split["rows"] for split in stats["splits"].values()) == 61
