"""textpipe tokenize"""

from textpipe.verbs._pipeline import stage_command

command = stage_command("tokenize", "Learn the vocabulary on train.")
