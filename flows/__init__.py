"""The pipeline as Prefect runs it. DVC decides what is stale; Prefect where and when, retries and shows."""
