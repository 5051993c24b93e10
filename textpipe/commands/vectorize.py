"""textpipe vectorize"""

from textpipe.commands._pipeline import stage_command

command = stage_command("vectorize", "Turn text into token ids or n-gram features.")
