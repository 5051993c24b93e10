"""TensorFlow Text's op libraries: which file registers which ops.

Each library takes 4 MB of memory, and all of them a tenth of a second, so a process that only answers loads those that its
graph needs. The table is that of TensorFlow Text 2.21.1, as TF_GetOpList gives it; of another version, all are loaded when an
op is missing.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path

OPS = {
    "_boise_offset_converter": ("TFText>OffsetsToBoiseTags", "TFText>BoiseTagsToOffsets"),
    "_byte_splitter": ("TFText>ByteSplitWithOffsets", "TFText>ByteSplitByOffsets"),
    "_constrained_sequence_op": ("ConstrainedSequence",),
    "_fast_bert_normalizer": ("FastBertNormalize",),
    "_fast_sentencepiece_tokenizer": ("TFText>FastSentencepieceTokenize", "TFText>FastSentencepieceDetokenize"),
    "_fast_wordpiece_tokenizer": ("FastWordpieceTokenizeWithOffsets", "TFText>FastWordpieceDetokenize"),
    "_mst_ops": ("MaxSpanningTree",),
    "_ngrams_op": ("TFText>NgramsStringJoin",),
    "_normalize_ops": ("CaseFoldUTF8", "NormalizeUTF8", "NormalizeUTF8WithOffsetsMap", "FindSourceOffsets"),
    "_phrase_tokenizer": ("PhraseTokenize", "TFText>PhraseDetokenize"),
    "_regex_split_ops": ("RegexSplitWithOffsets",),
    "_sentence_breaking_ops": ("SentenceFragments",),
    "_sentencepiece_tokenizer": (
        "SentencepieceOp",
        "SentencepieceTokenizeOp",
        "SentencepieceTokenizeWithOffsetsOp",
        "SentencepieceDetokenizeOp",
        "SentencepieceVocabSizeOp",
        "SentencepieceIdToStringOp",
        "SentencepieceStringToIdOp",
    ),
    "_split_merge_from_logits_tokenizer": ("TokenizerFromLogits",),
    "_split_merge_tokenizer": ("SplitMergeTokenizeWithOffsets",),
    "_state_based_sentence_breaker_op": ("SentenceFragmentsV2",),
    "_trimmer_ops": ("TFText>RoundRobinGenerateMasks", "TFText>RoundRobinTrim"),
    "_unicode_script_tokenizer": ("UnicodeScriptTokenizeWithOffsets",),
    "_utf8_binarize_op": ("TFText>Utf8Binarize",),
    "_whitespace_tokenizer": ("WhitespaceTokenizeWithOffsets",),
    "_whitespace_tokenizer_v2": ("TFText>WhitespaceTokenizeWithOffsetsV2",),
    "_wordpiece_tokenizer": ("WordpieceTokenizeWithOffsets",),
}


def libraries(ops: Collection[str] | None = None) -> list[Path]:
    """The files that register these ops, or all. Raises ImportError when TensorFlow Text is not installed."""
    spec = importlib.util.find_spec("tensorflow_text")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("No module named 'tensorflow_text'")
    paths = sorted(Path(spec.submodule_search_locations[0]).glob("python/ops/_*.so"))
    return [path for path in paths if ops is None or not set(ops).isdisjoint(OPS.get(path.stem, ()))]
