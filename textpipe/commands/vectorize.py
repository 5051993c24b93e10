"""textpipe vectorize"""

from textpipe.commands._pipeline import stage_command

command = stage_command("vectorize", "Turn text into ids or n-gram rows.")
