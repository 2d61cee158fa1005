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
# # 10. A convolutional network on three machines
#
# A small residual network, trained on handwritten digits: seven 3x3 convolutions, a 1x1 convolution past one of its
# blocks, a fully connected layer. Where do its cycles go on EIE, on a tensor core of as many multipliers (`nm-64`), and
# on a whole graphics card (`rtx3090`)? Which kinds of layers hurt, which machine wins, and what does pruning gain?

# %%
import matplotlib.pyplot as plt
import pandas as pd

import eie_sim as es

net = es.load("digits-resnet")
images = len(net.labels.classes)
chip = es.TensorCoreConfig.preset
designs = {"EIE": es.EieConfig(), "nm-64": chip("nm-64"), "rtx3090": chip("rtx3090")}
prunings = {"EIE": {"density": 0.3}, "nm-64": {"pattern": "2:4"}, "rtx3090": {"pattern": "2:4"}}
dense = {name: es.run(net, design) for name, design in designs.items()}
pruned = {name: es.run(net, design, **prunings[name]) for name, design in designs.items()}
assert all(run.verified for run in (*dense.values(), *pruned.values()))
summary = pd.DataFrame(
    [
        {
            "unit": name,
            "weights": weights,
            "accuracy, %": 100 * run.accuracy.compressed,
            "us per image": run.record.total.time_us / images,
            "uJ per image": run.record.total.energy.total_pj / 1e6 / images,
        }
        for weights, of in (("dense", dense), ("pruned", pruned))
        for name, run in of.items()
    ]
).set_index(["unit", "weights"])
summary.round(1)

# %% [markdown]
# For EIE, pruning keeps 30 % of each layer's weights, wherever they are, as 4-bit codes. For tensor cores it keeps two
# of every four, as float16. The accuracy is that of the simulated outputs on 100 held-back images. It survives pruning
# without any training afterwards, because the network was trained with that in view (models/digits-resnet).
#
# The graphics card has 328 times as many multipliers as each of the others, and a clock of its own: it is here for its
# proportions, not for the race. ReLUs, the sums of the residual blocks and the mean of each channel are left to the
# host and are in no figure.

# %%
card, core = designs["rtx3090"], designs["nm-64"]
multipliers = [one.n_core * one.tc_per_core * one.macs_per_cycle for one in (core, card)]
assert multipliers[1] // multipliers[0] == 328
assert designs["EIE"].n_pe == multipliers[0]
assert designs["EIE"].clock_mhz == core.clock_mhz

layers = [row.name for row in dense["EIE"].rows]
shares = pd.DataFrame(
    {name: [row.cycles / run.cycles for row in run.rows] for name, run in dense.items()}, index=layers
)
macs = [row.dense_macs for row in dense["nm-64"].rows]
shares.insert(0, "MACs", [one / sum(macs) for one in macs])
colours = ["#bdbdbd", "#0072b2", "#009e73", "#e69f00"]
axes = (100 * shares).plot.bar(color=colours, width=0.8, figsize=(10, 3.8), rot=20)
axes.set(ylabel="share of the network, %", title="Where the work is, and where the cycles go (dense weights)")
axes.spines[["top", "right"]].set_visible(False)
figure = axes.figure

large = [layer for layer in layers if shares["MACs"][layer] > 0.05]
assert (shares["nm-64"] / shares["MACs"])[large].between(0.9, 1.1).all()
assert (shares["EIE"] > 1.4 * shares["MACs"])[["stem", "block1.conv1", "block1.conv2"]].all()
assert shares["rtx3090"].max() < 2.5 * shares["rtx3090"].min()
assert shares["MACs"].max() > 400 * shares["MACs"].min()

# %% [markdown]
# On `nm-64`, the cycles of the six large layers follow their multiplications. EIE spends more than its share on the
# `stem` and on `block1`, which have the fewest channels. The card spends cycles alike on layers of very unlike size:
# none takes 2.5 times as many as another, where the multiplications differ 400 times. By kind, the share of the cycles
# over the share of the multiplications, where 1 is fair:

# %%
kinds = dict(zip(layers, [row.kind for row in dense["EIE"].rows], strict=True))
by_kind = shares.groupby(kinds, sort=False).sum()
unfair = by_kind[list(dense)].div(by_kind["MACs"], axis=0)
assert unfair.loc["gemm", "rtx3090"] > 50
assert unfair["nm-64"].between(0.9, 3).all()
launches = card.launch * len(layers) / dense["rtx3090"].cycles
assert 0.4 < launches < 0.5
unfair.round(1)

# %% [markdown]
# What hurts the card are small layers, whatever their kind: each waits 5,000 cycles for its launch, and these are
# nearly half of all its cycles. The fully connected layer is the worst, then the 1x1 convolution.
#
# For EIE the trouble is not the kind but the number of outputs. It gives each PE a share of the rows of a matrix, and a
# convolution of 16 channels has 16 rows: 48 of the 64 PEs have none. Each active input is sent to all of them in a
# cycle of its own, so that a vector costs as many cycles as it has active inputs, and 10 to 14 more, however few
# weights these inputs meet:

# %%
per_vector = pd.DataFrame(
    {
        "outputs": [row.n_out for row in dense["EIE"].rows],
        "inputs": [row.n_in for row in dense["EIE"].rows],
        "active inputs": [row.activation_density * row.n_in for row in dense["EIE"].rows],
        "cycles, dense": [row.cycles_per_vector.mean for row in dense["EIE"].rows],
        "cycles, 30 %": [row.cycles_per_vector.mean for row in pruned["EIE"].rows],
    },
    index=layers,
)
beyond = per_vector["cycles, dense"] - per_vector["active inputs"]
assert beyond.between(9.5, 14.5).all()
assert card.launch == 5000
assert abs(pruned["EIE"].cycles / dense["EIE"].cycles - 1) < 0.02
assert (per_vector["outputs"] < designs["EIE"].n_pe).all()
per_vector.round(0).astype(int)

# %% [markdown]
# So pruning gains nothing here: the cycles stay the same within 2 %. EIE was built for layers of thousands of outputs.
# Its remedy is to build it otherwise: many small arrays, each with all weights and an image of its own, in place of one
# large one.

# %%
sizes = [4, 8, 16, 32, 64]
swept = es.sweep.run(net, grid={"n_pe": sizes, "density": [0.3, 1.0]}, workers=1)
found = pd.DataFrame(swept.rows)
found["us per image"] = found["time_us"] * found["n_pe"] / 64 / images  # 64 / n_pe arrays share the images
found["weights, kB"] = found["bytes"] * 64 / found["n_pe"] / 1e3  # each array has its own copy
arrays = found.pivot(index="n_pe", columns="density", values=["us per image", "weights, kB"])
times, kilobytes = arrays["us per image"], arrays["weights, kB"]

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
summary["us per image"].unstack().loc[list(designs)].plot.bar(ax=left, rot=0, color=["#bdbdbd", "#0072b2"])
left.set(yscale="log", ylim=(0.3, 50), xlabel="", ylabel="us per image", title="Dense and pruned, one array of EIE")
left.set_yticks([0.5, 1, 2, 5, 10, 20], [0.5, 1, 2, 5, 10, 20])
left.minorticks_off()
times[1.0].plot(ax=right, marker="o", color="#8c8c8c", label="EIE, dense")
times[0.3].plot(ax=right, marker="o", color="#0072b2", label="EIE, 30 %")
right.axhline(summary.loc[("nm-64", "dense"), "us per image"], color="#009e73", linestyle="--", label="nm-64, dense")
right.axhline(summary.loc[("nm-64", "pruned"), "us per image"], color="#009e73", label="nm-64, 2:4")
right.set(xscale="log", ylim=(0, None), xlabel="PEs of an array, 64 in all", ylabel="us per image")
right.set(title="64 multipliers as one array or as many", xticks=sizes, xticklabels=sizes)
right.minorticks_off()
right.legend(frameon=False)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)

# %%
best, other = times[0.3].min(), summary.loc[("nm-64", "pruned"), "us per image"]
assert times[0.3].idxmin() == 4
assert times[0.3][64] > other > times[0.3][16] > best
assert 2 < times[1.0][4] / times[0.3][4] < 3
assert best < other / 4
assert 1.8 < kilobytes[0.3][4] / kilobytes[0.3][64] < 2.2
pd.DataFrame({"us per image": times[0.3], "weights, kB": kilobytes[0.3]}).round(1)

# %% [markdown]
# Which machine wins depends on its shape, not only on its kind. One array of 64 PEs loses to the tensor core of as many
# multipliers, dense or pruned. As 16 arrays of 4 PEs the same 64 multipliers are more than four times as fast as 2:4:
# every PE has rows enough, and EIE then gains both from the zeros of the inputs and from those of the weights, since
# dense weights take more than twice as long. The price is a copy of the weights for each array, twice the kilobytes and
# not 16 times as many, because fewer PEs have fewer pointers.
