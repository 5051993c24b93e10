"""The commands of `textpipe`: one module each. Its file name is the command's name, its `command` a click command."""
