"""textpipe train"""

from textpipe.commands._pipeline import stage_command

command = stage_command("train", "Train the model, or resume an interrupted training.")
