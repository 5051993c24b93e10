"""Which texts a costly step has something to do in."""


def contains(text, pattern: str):
    """Whether a pattern that matches no empty text occurs in each text: [N] string -> [N] bool.

    A replacement ends at the first occurrence, and where the pattern begins with a literal it looks for that alone: a
    fifth to a half of the time of a full match of `.*pattern.*`, which reads every text to its end.
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, pattern, "", replace_global=False) != text
