"""What files say, or leave out, that the libraries which read them pass over. Nothing here imports torch."""
