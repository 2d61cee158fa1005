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
# A simulation needs activations. Where none are recorded, it is usual to draw random ones of the right density. Is that
# good enough? Each layer of a trained network is run three times: with its own activations; with independent ones, each
# input active as often as it really is; and with independent ones, all inputs active equally often.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import eie_sim as es

plt.style.use("tableau-colorblind10")
network = es.load("digits-mlp")
frame = pd.DataFrame(es.compare_inputs(network, es.EieConfig(n_pe=16)))
frame.drop(columns=["n_vector", "load_balance"]).round(3)

# %%
cycles = frame.pivot(index="layer", columns="inputs", values="cycles_per_vector")
axes = cycles.plot.bar(rot=0, xlabel="", ylabel="cycles per vector", width=0.8)
values = [axes.bar_label(bars, fmt="%.0f", fontsize=8) for bars in axes.containers]
legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)

# %% [markdown]
# The density is the same in all three, but the cycles are not. In the first two layers real activations cost clearly
# more than independent ones (`cycles_ratio` above 1 in the table), and independent ones with each input's own firing
# rate cost almost exactly what real ones do. The last layer is so small that most of its time is spent otherwise.

# %%
layer = network.layer("fc2").layers[0]
columns = {"weights left in the column": np.count_nonzero(layer.weights, axis=0)}
columns |= {"vectors in which it is active, %": 100 * np.mean(layer.activations > 0, axis=0)}
axes = pd.DataFrame(columns).plot.scatter(*columns, s=14)

# %% [markdown]
# Why: a dot for each input of the second layer. Inputs that are often active have kept more weights than those that
# seldom are: training and pruning left weights where they are of use. Independent activations of one density spread the
# work evenly over the columns, and so miss that the long columns are the ones in use.

# %%
designs = {n_pe: pd.DataFrame(es.compare_inputs(network, es.EieConfig(n_pe=n_pe))) for n_pe in (1, 4, 16, 64)}
ratios = pd.concat(designs, names=["n_pe"]).query("inputs == 'independent'")
ratios.pivot_table(index="n_pe", columns="layer", values="cycles_ratio").round(3)

# %% [markdown]
# What independent activations miss, by the number of PEs: cycles of the layer's own activations over theirs. In the
# first two layers it is most where PEs are few and busy with weights, and least where they are many and wait for
# broadcasts. So results with drawn activations are optimistic; draw them with each input's own firing rate where only
# that is known.
