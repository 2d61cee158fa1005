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
# # 9. Pruning criteria at equal cycles
#
# Which weights should go? Criteria are usually compared by the accuracy that is left at equal sparsity. But hardware
# does not run sparsity, it takes cycles, and two prunings that keep as many weights need not take as many.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import eie_sim as es

plt.style.use("tableau-colorblind10")
criteria = ["random", "l1", "wanda", "taylor", "obd"]
grid = {"criterion": criteria, "pattern": "per_row", "density": "0.05,0.1,0.2,0.3,0.4", "n_pe": 16}
frame = es.sweep.to_pandas(es.sweep.run("digits-mlp", grid=grid, workers=1).rows)
frame.pivot(index="density", columns="criterion", values="cycles")

# %% [markdown]
# Cycles of a trained network on 16 PEs, pruned by each criterion to the same densities, with nothing trained again.
# `l1` keeps the largest weights (`l2` keeps the same ones), `wanda` weighs them by their inputs, `taylor` and `obd` ask
# by how much the loss changes without them. In a row of the table all keep about as many weights; but `wanda`, `taylor`
# and `obd` keep more of those whose inputs are often active, and each such weight is used more often.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
axes = frame.pivot(index="density", columns="criterion", values="accuracy").plot(ax=left, marker="o", ylabel="accuracy")
lines = frame.set_index("cycles").groupby("criterion")["accuracy"].plot(ax=right, marker="o")

# %% [markdown]
# Left, accuracy against density; right, the same points against cycles. At equal density `wanda` beats `l1` where few
# weights are left. At equal cycles the two are alike, and `obd`, which at the lowest density was best of all, is far
# behind.

# %%
recipes = {name: es.prune.Recipe(criterion=name, pattern="per_row") for name in ("l1", "wanda", "obd")}
recipes |= {f"{name}, balanced": es.prune.Recipe(criterion=name, pattern="balanced") for name in ("l1", "obd")}
costs = es.prune.at_equal_cost(es.load("digits-mlp"), recipes, [450], "cycles", es.EieConfig(n_pe=16))
rows = pd.DataFrame(costs).drop(columns=["criterion", "pattern", "density"]).rename(columns={"quality": "accuracy"})
rows.sort_values("accuracy").round(3)

# %%
axes = rows.sort_values("accuracy").plot.barh(
    x="name", y="accuracy", xlabel="accuracy", ylabel="", xlim=(0, 1.1), legend=False
)
values = axes.bar_label(axes.containers[0], fmt="%.3f", padding=3)

# %% [markdown]
# The three best criteria, each pruned just as far as a budget of cycles per vector asks for, with the simulator as the
# measure: `kept` is how much it may keep for it, and the bars are the accuracy that is left. The plain magnitude may
# keep more weights than the cleverer criteria, and ends ahead of them. `balanced` patterns deal the same number of
# weights to every PE, whatever the criterion, and so get more out of the budget.
