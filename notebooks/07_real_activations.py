# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. Real against independent activations
#
# A simulation needs activations. Where none are recorded, many people draw random ones of the right density. Is that
# good enough?

# %%
import pandas as pd

import eie_sim as es

network = es.load("digits-mlp")
config = es.EieConfig(n_pe=16)
rows = es.compare_inputs(network, config)
frame = pd.DataFrame(rows)
frame.round(3)

# %%
frame.pivot(index="layer", columns="inputs", values="cycles_per_vector").plot.bar()
