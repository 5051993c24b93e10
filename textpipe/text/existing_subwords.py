"""Subwords of an existing SentencePiece model, for runs that continue from another model and keep its vocabulary."""

from collections.abc import Sequence
from pathlib import Path

from textpipe.cache import integrity
from textpipe.cache.store import latest_result
from textpipe.errors import ConfigError
from textpipe.runtime import small_file
from textpipe.text.special_tokens import END_ID, PAD_ID, SPACE_SYMBOL, START_ID, UNK_ID

SUFFIX = ".model"
CODECS = "codecs.json"  # in a result of tokenize
CURE = "name a file NAME.model, the folder of a result of tokenize, or data/artifacts/latest/PIPELINE for a pipeline's latest"


def locate(model: str) -> Path:
    """The .model file, or the folder of a result of tokenize, that a setting names. Raises ConfigError if there is none."""
    path = Path(model)
    try:
        if path.is_file():
            return path
        problem = "no such file or folder"
        latest = None if (path / CODECS).exists() else latest_result(path, "tokenize")
        if latest:
            path = latest
            problem = f"its result {path} no longer exists; run that pipeline again"
        if path.is_dir():
            if models(path):
                return path
            problem = f"found no {SUFFIX} file in it"
            if (path / "saved_model.pb").exists() or any(path.glob("*/saved_model.pb")):
                problem = "found an exported model, whose subwords are inside its graph"
    except OSError as error:
        problem = f"cannot be read ({error})"
    except ValueError as error:
        raise ConfigError(f"[tokenize] codec model: {error}") from None
    raise ConfigError(f"[tokenize] codec model: {model}: {problem}; {CURE}")


def files(model: str) -> list[Path]:
    """All files that `read` may read, for the cache key."""
    path = locate(model)
    return [path] if path.is_file() else models(path)


def models(folder: Path) -> list[Path]:
    """The .model files of a folder, sorted by name."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())


def find(model: str, name: str) -> Path:
    """The .model file of a vocabulary: the only one, or the one of that name. Raises ConfigError if neither exists."""
    path = locate(model)
    if path.is_file():
        return path
    existing = models(path)
    named = [model_path for model_path in existing if model_path.stem == name]
    if not named and len(existing) > 1:
        names = ", ".join(repr(model_path.stem) for model_path in existing)
        raise ConfigError(
            f"[tokenize] codec model: {model}: expected a vocabulary {name!r}, found {names}; set vocabulary as in that "
            f"pipeline, or name one of its {SUFFIX} files"
        )
    return named[0] if named else existing[0]


def read(model: str, name: str, *, kind: str, reserved: Sequence[str] = ()) -> bytes:
    """The bytes of a SentencePiece model for a vocabulary `name` of a codec of this kind ("unigram" or "bpe").

    reserved: tokens that must be pieces of the model. Other such pieces stay in the vocabulary, but no text gets them; a later run
    may reserve them again.

    Raises ArtifactError for a result of tokenize that differs from its checksums, which is set aside.
    Raises ConfigError for a file that is no SentencePiece model, or one trained with options that textpipe does not use:
    its special tokens are 0 to 3, unknown characters become bytes, and it does not normalize.
    """
    import sentencepiece
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    path = find(model, name)
    if (path.parent / CODECS).exists():
        integrity.check(path.parent)
    try:
        small_file.refuse_special(path)
        proto = ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        proto = ModelProto()
    if not proto.pieces:
        raise ConfigError(f"[tokenize] codec model: {path}: is not a SentencePiece model; {CURE}")
    trained, normalizer = proto.trainer_spec, proto.normalizer_spec
    kinds = {trained.UNIGRAM: "unigram", trained.BPE: "bpe"}
    expected = {
        "kind": (kinds.get(trained.model_type, "another"), kind),
        "pad, unk, bos and eos": (
            (trained.pad_id, trained.unk_id, trained.bos_id, trained.eos_id),
            (PAD_ID, UNK_ID, START_ID, END_ID),
        ),
        "byte_fallback": (trained.byte_fallback, True),
        "normalization_rule_name": (normalizer.name, "identity"),
        "remove_extra_whitespaces": (normalizer.remove_extra_whitespaces, False),
        "add_dummy_prefix": (normalizer.add_dummy_prefix, True),
    }
    faults = [
        f"{what} {required}, found {actual}" for what, (actual, required) in expected.items() if actual != required
    ]
    if faults:
        raise ConfigError(
            f"[tokenize] codec model: {path}: expected {'; '.join(faults)}; use a model that textpipe learned, or leave model out"
        )
    piece_type = ModelProto.SentencePiece
    reserved_pieces = {SPACE_SYMBOL + token for token in reserved}
    reservable = [piece for piece in proto.pieces if piece.type in (piece_type.USER_DEFINED, piece_type.UNUSED)]
    missing = reserved_pieces - {piece.piece for piece in reservable}
    if missing:
        raise ConfigError(
            f"[ingest.synthetic] tag: {path} has no piece {min(missing)[1:]!r}; leave tag out, or name a model learned with it"
        )
    for piece in reservable:
        piece.type = piece_type.USER_DEFINED if piece.piece in reserved_pieces else piece_type.UNUSED
    serialized = proto.SerializeToString(deterministic=True)
    try:
        sentencepiece.SentencePieceProcessor(model_proto=serialized)
    except RuntimeError as error:
        raise ConfigError(f"[tokenize] codec model: {path}: is damaged ({error}); {CURE}") from None
    return serialized
