"""An explanation: contributions that show themselves as text and in notebooks."""

from dataclasses import dataclass

from textpipe.explanation import page, terminal
from textpipe.explanation.contributions import Contributions


@dataclass(frozen=True, repr=False, eq=False)
class Explanation(Contributions):
    """The contribution of each part of a row to the answer; see Contributions for the attributes.

    `print` shows the strongest parts, a notebook the text with coloured words.
    """

    def __str__(self) -> str:
        return terminal.plain(self)

    def _repr_html_(self) -> str:
        """The text with its words coloured, and the strongest parts as a table, for notebooks."""
        return page.fragment(self)
