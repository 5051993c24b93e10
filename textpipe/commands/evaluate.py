"""textpipe evaluate"""

from textpipe.commands._pipeline import stage_command

command = stage_command("evaluate", "Score the test rows through the graph that is served.")
