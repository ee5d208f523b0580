"""Score generated images by named protocols, and lay the results out for a reader."""
