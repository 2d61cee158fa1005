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
# # 3. Load balance and queue depth
#
# All PEs get the same activations, but not the same number of weights to multiply them with. How much time is lost to
# that, and how much of it does a queue in front of each PE win back?

# %%
import matplotlib.pyplot as plt

import eie_sim as es

layer = es.load("alex-7").layers[0]
matrix = es.EieMatrix.from_dense(layer.weights, n_pe=64)
shallow = es.activity(matrix, layer.activations, es.EieConfig(queue_depth=1))
deep = es.activity(matrix, layer.activations, es.EieConfig(queue_depth=16))
print(f"{layer.n_out} x {layer.n_in}: {shallow.cycles} cycles with queues of 1, {deep.cycles} with queues of 16")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
axes = es.figures.occupancy(shallow, left, bins=120)
axes = es.figures.occupancy(deep, right, bins=120)

# %% [markdown]
# A layer of the size that EIE was built for; PEs over time, bright is busy. With queues of one entry (left) every PE
# waits again and again for the slowest one of the moment, and hardly any PE is ever fully busy. With sixteen (right) a
# PE that is done early goes on with the next activation, and short differences even out.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
axes = es.figures.queues(shallow, left, bins=120)
axes = es.figures.queues(deep, right, bins=120)

# %% [markdown]
# What is in the queues meanwhile. A broadcast has to wait while any queue is full, so one slow PE is enough to hold
# back all. With sixteen entries only few queues are ever full, but the fullest nearly always is: some PE has more work
# than the others, and a queue cannot take that away.

# %%
found = es.sweep.run("alex-7", grid={"queue_depth": "1,2,4,...,256"}, workers=1)
axes = es.figures.balance(found)

# %% [markdown]
# The share of cycles in which PEs do not wait rises with the depth, and ends at the dashed line: the mean work of a PE
# over that of the busiest one, which no queue changes. Eight entries, as many as EIE has, are most of the way.

# %%
grid = {"density": 0.1, "pattern": ["element", "balanced"], "n_pe": 16, "queue_depth": "1,2,4,...,64"}
found = es.sweep.run("digits-mlp", grid=grid, workers=1)
axes = es.figures.balance(found)

# %% [markdown]
# A small trained network is balanced worse than a large random one. `element` prunes the smallest weights wherever they
# are, `balanced` keeps as many for every PE, which lifts the dashed line: the work is dealt out more evenly. It does
# not reach 100 %, because it still depends on the inputs which columns are used. A solid line may rise above its dashed
# one here, since a PE that holds a column without entries does not wait, but has no work either.
