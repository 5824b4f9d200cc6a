"""Readers of data sets and of folders: each makes a corpus."""
