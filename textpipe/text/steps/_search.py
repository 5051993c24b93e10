"""Find the texts to which an expensive step applies."""


def contains(text, pattern: str):
    """True for texts in which a pattern occurs: [N] string -> [N] bool. The pattern must not match the empty string.

    A single replacement stops at the first match and searches for the literal at the start of a pattern. It takes a
    fifth to a half of the time of a full match of `.*pattern.*`, which reads every text to its end.
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, pattern, "", replace_global=False) != text
