"""From shards and base weights to a trained model, resumable at every checkpoint."""
