"""Sweeps: many designs and pruning recipes, computed once each, over the cores of a machine or of a cluster."""
