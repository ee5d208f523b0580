"""What the commands do; `mcld.__main__` only reads the command line and sets the exit code."""
