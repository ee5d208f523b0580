"""Names of what the stage `probe` leaves, apart from it: readers of pictures and numbers need no VAE."""

FIGURE_NAME = "figure.png"  # in the stage's folder
METRICS_NAME = "probe.json"  # in the folder of metrics
