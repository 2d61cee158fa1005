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
# # 2. From a trained network to cycles and joules
#
# What does a pruned network cost when it runs on EIE? `digits-mlp` has three layers, trained on handwritten digits,
# pruned, and trained again. Here it is compressed, simulated on images that it never saw, checked, and paid for.

# %%
import pandas as pd

import eie_sim as es

network = es.load("digits-mlp")
run = es.run_network(network, es.EieConfig(n_pe=16))
run

# %% [markdown]
# Every layer is compressed to 4-bit codes, run cycle by cycle, and compared with plain numpy: `verified` means that not
# one of the outputs differs. The second and the third layer read what the layer before them put out.

# %%
pd.DataFrame([run.to_dict()["accuracy"]]).round(4)

# %% [markdown]
# Accuracy is nearly what it was: `dense` is before pruning, `pruned` after it, `compressed` with shared 4-bit weights
# in 16-bit arithmetic.

# %%
axes = es.figures.weights(network.dense_layers[1].weights, network.layers[1].weights)

# %% [markdown]
# The second layer before and after. Mind the logarithmic scale: most weights were near zero, and nearly all of those
# are gone. What is left has moved outwards, because the network was trained again to make up for what it lost.

# %%
config_hash = run.layers[0].result.config_hash
classes = {layer.layer.name: layer.result.stats["classes"] for layer in run.layers}
axes = es.figures.classes(classes, config_hash=config_hash)

# %% [markdown]
# Where the PE-cycles go. Only `weight` is work. `empty` is an activation for which a PE has no weight at all, which
# takes a cycle all the same. The smaller the layer and the more PEs share it, the more of these there are; the last
# layer has fewer outputs than there are PEs, so that some PEs have nothing but them.

# %%
energies = {layer.layer.name: layer.energy.by_component for layer in run.layers}
axes = es.figures.energy(energies, config_hash=config_hash)

# %% [markdown]
# Where the energy goes, for all images together. Reading pointers (`ptr_read`) is the largest part: for every
# activation a PE looks up where the column begins and ends, whether it has weights there or not. In a layer of the size
# that EIE was built for a column holds more weights, and reading those (`spmat_read`) leads; see the sixth notebook.

# %%
runs = {n_pe: es.run_network(network, es.EieConfig(n_pe=n_pe)) for n_pe in (1, 4, 16, 64)}
totals = {f"{n_pe} PE": es.energy.total_of(layer.energy for layer in each.layers) for n_pe, each in runs.items()}
pd.DataFrame(
    {
        "cycles": [each.cycles for each in runs.values()],
        "energy, nJ": [each.total_pj / 1e3 for each in totals.values()],
        "pJ per effectual MAC": [each.pj_per_effectual_mac for each in totals.values()],
    },
    index=list(totals),
).round(1)

# %%
hashes = [each.layers[0].result.config_hash for each in runs.values()]
axes = es.figures.energy({name: each.by_component for name, each in totals.items()}, config_hash=hashes)

# %% [markdown]
# The same network on more and more PEs. Cycles fall, but less and less, while every PE reads its own pointers for every
# activation: that part grows with the number of PEs and soon outweighs all others. For a network of this size a few PEs
# are the better bargain.
