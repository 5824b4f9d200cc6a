"""Cases and corpora, and one reader a layout."""
