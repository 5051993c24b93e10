"""Pipeline files as frozen sections, fields of a row, and plug-ins by file name."""
