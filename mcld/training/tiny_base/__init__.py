"""Train the tiny base that the embedded preset starts from, as MCLD starts from Stable Diffusion in life."""
