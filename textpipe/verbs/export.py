"""textpipe export"""

from textpipe.verbs._pipeline import stage_command

command = stage_command("export", "Write, replay and publish the SavedModel.")
