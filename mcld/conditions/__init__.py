"""What the model is told besides the noisy latent: each module makes one condition from an image."""
