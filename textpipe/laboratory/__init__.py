"""The laboratory: measured answers to common questions about training, one module for each experiment.

    # laboratory/x.py                                   # docstring: the question, then how it is measured
    DATA: tuple[str, ...]                               # names of dataset cards
    FACTORS: tuple[str, ...]                            # what differs between runs: columns of the table
    MEASURES: dict[str, str]                            # what is measured: {column: what it says, with its unit}
    def run(context) -> list[dict]                      # a row for each run: FACTORS, "seed" and MEASURES (None where undefined)
    def sentence(table) -> str                          # the conclusion from the rows, with intervals; says what is not significant
    def picture(table, figure) -> None                  # draws on a matplotlib Figure

`context.once(function, **settings)` calls `function(context, **settings)` once and keeps its result on disk, so an interrupted
experiment continues where it was.
"""
