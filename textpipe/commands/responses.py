"""textpipe responses"""

from textpipe.commands._pipeline import stage_command

command = stage_command("responses", "Choose the replies that may be suggested.")
