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
# # 8. A search through designs, ending in a Pareto front
#
# Which EIE should be built for one network? There is no best design, but there are designs that no other beats in speed
# and in energy at once: the Pareto front. All combinations of a grid are simulated here; `es.sweep.search` looks at a
# part of a grid that is too large for that.

# %%
import eie_sim as es

grid = {
    "density": 0.25,
    "pattern": ["element", "balanced"],
    "n_pe": [4, 8, 16, 24, 32, 48, 64, 96],
    "queue_depth": "1,2,4,8,16",
    "spmat_width_bits": [64, 128, 256],
}
found = es.sweep.run("digits-mlp", grid=grid, workers=1)
axes = es.figures.pareto(found, ["cycles", "energy_nj"])

# %% [markdown]
# Each dot is a design; those on the line are beaten by no other. Along the line to the left cycles get fewer and energy
# more. The knee, a star, is where the front bends most: on either side of it, a further gain in one costs much of the
# other.

# %%
es.sweep.front(found.rows, ["cycles", "energy_nj"])

# %% [markdown]
# The designs on the front. Where along it a design is, the number of PEs decides. In the rest they are alike: queues
# deep enough not to block, and the widest rows of the grid, so that the width is not even a column of the table. What
# both cost in area is not among the objectives; with `["cycles", "energy_nj", "area_mm2"]` narrower rows come back.

# %%
axes = es.figures.scaling([row for row in found.rows if row["queue_depth"] == 8 and row["spmat_width_bits"] == 64])

# %% [markdown]
# Why the front bends: the speedup falls behind the ideal. The more PEs, the fewer rows each of them has, and the less
# evenly the work is dealt out (dashed); pruning in balance helps with that. But it does not help with the other limit:
# at most one activation is broadcast in a cycle, and with many PEs most of the time goes to broadcasting, whatever the
# weights.
