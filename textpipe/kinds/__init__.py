"""What a cell of a column may be: a text, a label, a number."""
