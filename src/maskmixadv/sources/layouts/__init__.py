"""How the files of cases are found, in a folder that does not have an own folder's names."""
