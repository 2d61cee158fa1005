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
# # 5. EIE beside the N:M unit on one layer
#
# The same layer, the same trained weights, as many multipliers, the same clock. When is it better to prune freely, for
# EIE, and when to keep N of every M weights, for tensor cores?

# %%
import matplotlib.pyplot as plt
import pandas as pd

import eie_sim as es

network = es.load("digits-mlp")
chip = es.TensorCoreConfig.preset("nm-64")
rows = [row.to_dict() for row in es.compare(network, chip, layer="fc2", batches=(1, 8, 64)).rows]
columns = ["batch", "name", "accuracy", "weight_bytes", "cycles", "energy_nj", "utilisation"]
pd.DataFrame(rows)[columns].round(3)

# %% [markdown]
# `accuracy` is that of the network with this one layer pruned and nothing trained again; a single layer can be pruned
# far. `utilisation` is the share of what all multipliers could do that goes into products that count.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
axes = es.figures.batches(rows, left)
axes = es.figures.batches(rows, right, key="time_us_dram")

# %% [markdown]
# Left, all weights are where they are used. EIE takes one vector after the other, so the batch hardly matters to it,
# and it skips the zeros among the inputs; tensor cores need several vectors to fill their tiles. Right, weights come
# from DRAM. Then a single vector costs what reading the weights costs, and 1:4, which has the fewest bytes of all,
# wins; a batch shares that cost, and EIE, which skips the zeros of both operands, is ahead again.

# %%
layer = network.layer("fc2").layers[0]
matrix = es.EieMatrix.from_dense(layer.weights, bias=layer.bias, n_pe=64)
own = es.simulate(matrix, layer.activations, es.EieConfig())
axes = es.figures.footprint(es.footprint(matrix), config_hash=own.config_hash)

# %% [markdown]
# Why EIE has so many bytes: the layer in every format that the package counts. EIE's weights and gaps are the smallest
# of all, but each of the PEs has a pointer for every column, and in a layer as small as this there are more pointers
# than weights. On fewer PEs, or in a larger layer, that changes. The N:M format could not hold these weights: they were
# pruned freely.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
axes = es.figures.roofline({"EIE": own}, left)
shape = (layer.n_out, layer.n_in, len(layer.activations))
patterns = {"dense": (1, 1), "2:4": (2, 4), "1:4": (1, 4)}
gemms = {name: es.simulate_gemm(*shape, chip, n_keep=n, m_group=m) for name, (n, m) in patterns.items()}
axes = es.figures.roofline(gemms, right)

# %% [markdown]
# Two machines with the same roof, the black line, since they have as many multipliers. Filled marks count only
# operations that matter. Hollow marks count what a dense machine would have had to do in the same time, and so may lie
# above the roof: that is what skipping zeros gains. EIE is far below its roof, because its PEs are idle or busy with
# empty columns much of the time, and yet it does more for the layer than the tensor cores near theirs.
