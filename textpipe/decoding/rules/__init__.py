"""Which tokens are allowed next, given a hypothesis: one module per rule, for every decoder.

A rule is a module:

    class Config(Section): kind: Literal["x"] = "x"; ...
    def load(config, codec=None) -> rule        # codec: the target's, for texts; None for a bare model

and the loaded rule has three methods, all in graph (N hypotheses, V tokens):

    start(rows) -> state                        # a nest of tensors whose first axis is rows, an int32 scalar
    disallowed(state, length, vocab_size) -> mask   # [N, V] bool, True for tokens not allowed at position `length` (from 1)
    advance(state, token [N]) -> state

A rule that determines the length of answers may also have

    max_lengths(cap [B]) -> cap [B]                    # maximum length of each row's answer, end included, instead of the decoder's

mask may be None if all tokens are allowed. Decoders reorder the state with the hypotheses. Finished and absent hypotheses
stay in the batch, so `advance` is also called with pad_id and with disallowed tokens: it may return any state of the right
shape for them, but must not fail. Other axes of a state may grow from step to step.
"""
