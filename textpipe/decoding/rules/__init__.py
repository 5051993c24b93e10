"""Which tokens may come next, given what a hypothesis holds so far: one file a rule, the same for every decoder.

A rule is a module:

    class Config(Section): kind: Literal["x"] = "x"; ...
    def load(config, codec=None) -> rule        # codec: the target's, for what is given as text; None for a bare model

and what it loads has three methods, all in graph (N hypotheses, V tokens):

    start(rows) -> state                        # a nest of tensors whose first axis is rows, an int32 scalar
    barred(state, length, vocab_size) -> mask   # [N, V] bool, True for what may not stand at place `length` (from 1)
    advance(state, token [N]) -> state

A rule that decides how long an answer gets may also have

    caps(cap [B]) -> cap [B]                    # each row's longest answer in place of the decoder's, the end included

mask may be None where the rule has nothing to say. Decoders reorder the state with the hypotheses. Hypotheses that are
finished or do not exist go on in the batch, so `advance` is also called with pad_id and with barred tokens: it may give
any state for them, of the right shape, but must not fail. Other axes of a state may grow from step to step.
"""
