"""Pipeline files as frozen sections, the fields of a row, and the plug-ins they name."""
