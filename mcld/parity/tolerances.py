"""How far off each kind of number may be: a relative Frobenius error, float32 on another machine."""

FORWARD = 2e-5
SAMPLING = 1e-4
LOSS = 1e-5
GRADIENT = 1e-4
HALF_REFERENCE = 2e-3  # wherever reference features are rounded to float16
SCHEDULE = 1e-5  # the last bits of a cumulative product depend on the machine
