"""textpipe normalize"""

from textpipe.commands._pipeline import stage_command

command = stage_command("normalize", "Apply the text normalization steps.")
