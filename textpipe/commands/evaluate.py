"""textpipe evaluate"""

from textpipe.commands._pipeline import stage_command

command = stage_command("evaluate", "Evaluate the test rows with the graph that will be served.")
