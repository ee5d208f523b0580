"""A Ray cluster as a place to work: who may import Ray, how workers are started, and how they are given up.

`engine` is the only module that imports Ray, and only when it is used; `leases` keeps a worker that is given
up from writing on; `setup` is what a worker's process does first, wherever it runs.
"""
