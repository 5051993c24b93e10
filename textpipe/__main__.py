"""`python -m textpipe` is the command line."""

from textpipe.cli import main

main(prog_name="textpipe")
