import os

for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ["COLUMNS"] = "1000"  # a test that asks for a line finds it whole; those of a narrow terminal say so

from hypothesis import HealthCheck, settings  # noqa: E402  after the environment, which numpy reads once

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", deadline=None, max_examples=60, derandomize=True, suppress_health_check=quiet)
settings.register_profile("small", deadline=None, max_examples=8, derandomize=True, suppress_health_check=quiet)
settings.register_profile("full", deadline=None, max_examples=1000, suppress_health_check=quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
