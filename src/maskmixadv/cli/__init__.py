"""The command line: a module a group of commands; it parses and prints, nothing else."""
