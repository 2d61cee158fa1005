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
# # 4. Sparsity against cycles, and where dense or N:M wins
#
# From which sparsity on does hardware for unstructured sparsity pay? EIE is set beside a chip of tensor cores with as
# many multipliers and the same clock, which multiplies dense matrices, or such where N of every M weights are kept.

# %%
import numpy as np

import eie_sim as es

layer = es.load("digits-mlp").layer("fc2")
eie = [{"unit": "eie", "density": density} for density in np.geomspace(0.02, 1, 12)]
tensor_cores = [{"unit": "nm", "density": 1.0}, {"unit": "nm", "pattern": "2:4"}, {"unit": "nm", "pattern": "1:4"}]
own = es.sweep.run(layer, points=eie + tensor_cores, workers=1)
axes = es.figures.sparsity(own)

# %% [markdown]
# The second layer of a trained network with its own inputs, most of which are zero. EIE skips them and a tensor core
# does not, so EIE is below all the level lines (from the top: dense, 2:4, 1:4) even where no weight is pruned. But its
# curve leaves the dotted ideal, in which every PE issues a weight in every cycle, and grows flat: where few weights are
# left, most PEs have none in most columns, and each such column still takes a cycle.

# %%
full = np.ones_like(layer.layers[0].activations)
active = es.sweep.run(layer, points=eie + tensor_cores, activations=full, workers=1)
axes = es.figures.sparsity(active)

# %% [markdown]
# The same layer with no input zero, as after another activation function than ReLU. What EIE can skip now is weights
# alone. It is still no slower than the dense product, but 2:4 is faster until the weights are pruned much further than
# 2:4 prunes them (the circle), and 1:4 is faster at every sparsity. Structure costs freedom in pruning and pays in
# cycles.

# %%
columns = ["unit", "pattern", "weight_density", "cycles", "energy_nj"]
es.sweep.to_pandas(own.rows)[columns].round(3)

# %% [markdown]
# Energy, in the last column, is another matter than cycles. 1:4 takes many more cycles than EIE at any sparsity, and
# yet less energy than EIE at its sparsest, and so does 2:4: the tensor cores multiply all vectors of the batch at
# once, so that a weight read once serves many of them, while EIE takes one vector after the other and reads weights
# and pointers for each.
