"""Which trials of a study end early, by their validations: one module per pruner.

    # pruners/x.py
    class Config(Section): kind: Literal["x"] = "x"; ...
    def pruner(config) -> optuna.pruners.BasePruner

A trial reports its metric after each validation of training; step 1 is the first. The modules import Optuna inside their functions.
"""
