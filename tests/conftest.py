"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# The same examples on every machine, however slow or busy it is: a red test is red for everybody.
settings.register_profile(
    "mcld", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mcld")
