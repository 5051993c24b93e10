"""textpipe ingest"""

from textpipe.commands._pipeline import stage_command

command = stage_command("ingest", "Read, check and split the rows.")
