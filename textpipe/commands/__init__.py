"""What `textpipe` can do: a module is a verb, its `command` a click command, its file name the word to type."""
