"""textpipe ingest"""

from textpipe.verbs._pipeline import stage_command

command = stage_command("ingest", "Read rows, check and split them.")
