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
# # 1. EIE by hand
#
# How does EIE multiply a pruned matrix by a vector? A layer of 8 by 8 weights on four processing elements (PEs) is
# small enough to follow every entry with a pencil. `eie-sim trace hand-8x8 --n-pe 4 --queue-depth 2 --text` steps
# through the same run in a terminal.

# %%
import pandas as pd

import eie_sim as es

layer = es.load("hand-8x8").layers[0]
config = es.EieConfig(n_pe=4, queue_depth=2)
matrix = es.EieMatrix.from_dense(layer.weights, n_pe=config.n_pe)
result = es.simulate(matrix, layer.activations, config)
pe_names = ["PE 0", "PE 1", "PE 2", "PE 3"]
axes = es.figures.spy(matrix, config_hash=result.config_hash)

# %% [markdown]
# Rows are dealt to the PEs like cards: row i belongs to PE i mod 4, so each PE has two rows, in one colour. A PE holds
# only the weights that are left after pruning, and columns differ in how many of them each PE has. That difference is
# what costs time later.

# %%
pd.DataFrame({"code": matrix.codes, "gap": matrix.gaps, "weight": matrix.codebook[matrix.codes]}).head(10)

# %%
pd.DataFrame(matrix.pointers, columns=pe_names).rename_axis("column")

# %% [markdown]
# What is stored is an entry for each weight: a 4-bit code, which names one of at most 15 shared values, and a 4-bit
# gap, the zeros of this PE between the entry and the one before it in the same column. The first table has the entries
# of PE 0, column after column. The second says, for each PE, where its columns begin; where a number repeats in the
# next row, the PE has no entry in that column.

# %%
result

# %%
activity = es.activity(matrix, layer.activations, config)
taken = pd.DataFrame(activity.taken_at, index=activity.columns, columns=pe_names).rename_axis("column")
taken.assign(broadcast=activity.sent_at)

# %% [markdown]
# Inputs that are zero are skipped; only the columns of the others are in the table. Each is broadcast to all PEs in one
# cycle (last number of a row), and taken by a PE one cycle later, or when the PE is done with the column before. Follow
# PE 0: it has two weights in each of the first columns, takes two cycles for each, and falls behind.

# %%
print(*(line for block in activity.blocks(3, 8) for line in block), sep="\n")

# %% [markdown]
# The same, cycle by cycle, with every product and sum; a column in brackets is being taken from the queue. In one of
# these cycles the next column could be broadcast, but waits for PE 0, whose queue has no place free.

# %%
axes = es.figures.occupancy(activity)

# %% [markdown]
# Each row is a PE, bright where it issues an entry, one in a cycle. Dark places in the middle are cycles in which a PE
# has nothing in its queue, or holds a column without entries, which takes a cycle all the same. In the last six cycles
# the pipeline runs empty.

# %%
axes = es.figures.queues(activity)

# %% [markdown]
# A queue holds two activations. In some cycles one of the four is full (red): that of PE 0. While it is, nothing can be
# broadcast, though every other PE has room. That is the price of broadcasting to all: the slowest sets the pace.

# %%
depths = {depth: es.simulate(matrix, layer.activations, es.EieConfig(n_pe=4, queue_depth=depth)) for depth in (1, 2, 8)}
classes = {f"depth {depth}": run.stats["classes"] for depth, run in depths.items()}
axes = es.figures.classes(classes, config_hash=[run.config_hash for run in depths.values()])

# %% [markdown]
# Every PE-cycle has one class. The work, `weight`, takes as many cycles in each bar, but of a shorter run they are a
# larger share. Two entries instead of one take some of the waiting away; eight instead of two take nothing more,
# because PE 0 has so much work that the run cannot be shorter. In so small a layer a good part of the time is `drain`,
# the pipeline at the end.

# %%
outputs = {"dense numpy": layer.activations[0] @ layer.weights.T}
pd.DataFrame(outputs | {"EIE": result.output[0] / 2 ** result.scales["accumulator"]}).rename_axis("row")

# %% [markdown]
# The outputs are those of the dense product; here even exactly, because the weights are few values that the codebook
# holds.
