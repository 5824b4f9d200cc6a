"""The studio: a page on this machine alone in which people scribble, train and review."""
