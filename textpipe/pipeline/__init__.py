"""A pipeline file from `textpipe new` to the stages that are run."""
