"""Which settings a study tries next: one module per search.

    # searches/x.py
    class Config(Section): kind: Literal["x"] = "x"; ...
    def sampler(config, space, *, seed: int, index: int) -> optuna.samplers.BaseSampler
        # of trial number `index`, counted from 0; space: a tuning.space.Space
    def num_trials(config, space) -> int | None         # optional: how many different trials there are

A sampler proposes by the seed, the index and the finished trials of the study alone, so that a study that was killed goes on
with the trials that it would have tried anyway. The modules import Optuna inside their functions.
"""
