"""Which releases of TensorFlow Serving can load a SavedModel, judged by the ops of its graph.

TensorFlow Serving X.Y is linked with TensorFlow X.Y, and with a TensorFlow Text that may be older: release 2.19 has
Text 2.12.1 (tensorflow/serving#2267), 2.20 has Text 2.20. The ops that TensorFlow and Text 2.21 register beyond 2.12.1
were found by comparing their op registries.
"""

from pathlib import Path

from textpipe.savedmodel.messages import op_names, read_saved_model

# Ops that TensorFlow Text 2.12.1 registers.
TEXT_OPS = frozenset(
    [
        "CaseFoldUTF8",
        "ConstrainedSequence",
        "FindSourceOffsets",
        "FastWordpieceTokenizeWithOffsets",
        "MaxSpanningTree",
        "NormalizeUTF8",
        "NormalizeUTF8WithOffsetsMap",
        "PhraseTokenize",
        "RegexSplitWithOffsets",
        "RougeL",
        "SentenceFragments",
        "SentenceFragmentsV2",
        "SentencepieceDetokenizeOp",
        "SentencepieceIdToStringOp",
        "SentencepieceOp",
        "SentencepieceStringToIdOp",
        "SentencepieceTokenizeOp",
        "SentencepieceTokenizeWithOffsetsOp",
        "SentencepieceVocabSizeOp",
        "SplitMergeTokenizeWithOffsets",
        "TFText>BoiseTagsToOffsets",
        "TFText>ByteSplitByOffsets",
        "TFText>ByteSplitWithOffsets",
        "TFText>FastSentencepieceDetokenize",
        "TFText>FastSentencepieceTokenize",
        "TFText>FastWordpieceDetokenize",
        "TFText>NgramsStringJoin",
        "TFText>OffsetsToBoiseTags",
        "TFText>PhraseDetokenize",
        "TFText>WhitespaceTokenizeWithOffsetsV2",
        "TokenizerFromLogits",
        "UnicodeScriptTokenizeWithOffsets",
        "WhitespaceTokenizeWithOffsets",
        "WordpieceTokenizeWithOffsets",
    ]
)
# Later ops of TensorFlow Text, and an older one that is not linked in (tensorflow/serving#2064).
LATER_TEXT_OPS = frozenset(("TFText>RoundRobinGenerateMasks", "TFText>RoundRobinTrim", "TFText>Utf8Binarize"))
UNLINKED_OPS = frozenset(("FastBertNormalize",))
# CPU ops that TensorFlow added after 2.12; the release of each is not recorded.
LATER_OPS = frozenset(
    [
        "CheckPinned",
        "Conv",
        "DatasetFingerprint",
        "DebugIdentityV3",
        "DecodeJxl",
        "DecodeWebP",
        "DumpTensor",
        "FFTND",
        "GlobalShuffleDataset",
        "IFFTND",
        "IRFFTND",
        "IndexFlatMapDataset",
        "IteratorGetModelProto",
        "ListSnapshotChunksDataset",
        "RFFTND",
        "RaggedFillEmptyRows",
        "RaggedFillEmptyRowsGrad",
        "RelayoutLike",
        "SegmentMaxV2",
        "SegmentMinV2",
        "SnapshotChunkDataset",
        "SparseSegmentMeanGradV2",
        "SparseSegmentSqrtNGradV2",
        "SparseSegmentSumGradV2",
        "StochasticCastToInt",
        "TFRecordDatasetV2",
        "WeightedFlatMapDataset",
    ]
)
MISSING_OPS = {"2.19": UNLINKED_OPS | LATER_TEXT_OPS, "2.20": UNLINKED_OPS, "2.21": UNLINKED_OPS}


def model_ops(path: str | Path) -> list[str]:
    """The sorted names of ops in a SavedModel's graphs and functions. Raises ModelError when it cannot be read."""
    from textpipe.savedmodel import locations

    saved = read_saved_model(locations.find_version(Path(path)))
    return sorted(set[str]().union(*map(op_names, saved.meta_graphs)))


def report(path: str | Path) -> tuple[list[str], bool]:
    """A report as lines, and whether any release of TensorFlow Serving can load the model."""
    ops = model_ops(path)
    text_ops = [name for name in ops if name in TEXT_OPS | LATER_TEXT_OPS | UNLINKED_OPS or name.startswith("TFText>")]
    lines = [f"{len(ops)} ops, {len(text_ops)} of them TensorFlow Text's: {', '.join(text_ops) or 'none'}"]
    unknown = [name for name in text_ops if name not in TEXT_OPS | LATER_TEXT_OPS | UNLINKED_OPS]
    newer = [name for name in ops if name in LATER_OPS]
    loads = False
    for release, absent in MISSING_OPS.items():
        missing = sorted(absent & set(ops))
        if missing:
            lines.append(f"TensorFlow Serving {release}: cannot load it, lacks {', '.join(missing)}")
        elif unknown or newer:
            lines.append(f"TensorFlow Serving {release}: may lack {', '.join([*unknown, *newer])}; try it")
            loads = True
        else:
            lines.append(f"TensorFlow Serving {release}: knows every op")
            loads = True
    return lines, loads
