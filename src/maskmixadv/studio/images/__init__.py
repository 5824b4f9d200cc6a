"""Images of the studio: uploaded, listed, read and shown."""
