"""Sweeps over workload, pruning and hardware: many points, each one run."""
