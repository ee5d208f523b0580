"""Settings of all tests."""

import os

from hypothesis import HealthCheck, settings

from mcld.progress import silence_libraries

silence_libraries()  # here, because conftest.py is imported before any test, and so before any library

os.environ.pop("MLFLOW_TRACKING_URI", None)  # a shell that uses a team's server must not fill it with tests

# The same examples on every machine, however slow or busy it is: a red test is red for everybody.
settings.register_profile(
    "mcld", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mcld")
