"""The special tokens of every codec and their ids: padding, unknown, start and end."""

PAD_ID, UNK_ID, START_ID, END_ID = 0, 1, 2, 3
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
SPACE_SYMBOL = "▁"  # a space, in the pieces of sentencepiece
