"""The data layer: names, index, columns, shards, loader."""
