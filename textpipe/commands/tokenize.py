"""textpipe tokenize"""

from textpipe.commands._pipeline import stage_command

command = stage_command("tokenize", "Learn the vocabulary on train.")
