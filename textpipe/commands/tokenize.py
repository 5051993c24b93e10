"""textpipe tokenize"""

from textpipe.commands._pipeline import stage_command

command = stage_command("tokenize", "Learn a vocabulary from the training split.")
