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
# # 6. Energy and SRAM width
#
# EIE reads its weights from an SRAM, a row of several entries at a time. How wide should a row be? A wide one is read
# less often, but each read takes more energy, and entries beyond the end of a column may not be used.

# %%
import pandas as pd

import eie_sim as es

layer = es.load("alex-7").layers[0]
matrix = es.EieMatrix.from_dense(layer.weights, n_pe=64)
configs = {f"{width} bits": es.EieConfig(spmat_width_bits=width) for width in (8, 16, 32, 64, 128, 256, 512)}
runs = {name: es.simulate(matrix, layer.activations, config) for name, config in configs.items()}
srams = {name: es.energy.sram(config.spmat_bytes, config.spmat_width_bits) for name, config in configs.items()}

# %%
pd.DataFrame(
    {
        "cycles": [run.cycles for run in runs.values()],
        "reads": [run.stats["events"]["spmat_reads"] for run in runs.values()],
        "pJ per read, CACTI": [sram.read_pj for sram in srams.values()],
        "mm2 of the SRAM": [sram.area_mm2 for sram in srams.values()],
    },
    index=list(runs),
).round(3)

# %% [markdown]
# The width changes no cycle. A row of 8 bits is one entry. Rows twice as wide are read less often, but never half as
# often: a column of a PE holds only a few entries, and the activations that are zero leave gaps between the columns
# that are read. Each read takes more energy, not in proportion either. EIE's width is 64 bits, at which the SRAM is
# smallest.

# %%
energies = {name: es.energy.account(run).by_component for name, run in runs.items()}
axes = es.figures.energy(energies, config_hash=[run.config_hash for run in runs.values()])

# %% [markdown]
# The two effects together are `spmat_read`, the largest part; all others stay what they are. It falls with the width,
# but not at every step: rows of 64 bits take more than those of 32, because CACTI, which models the SRAM, arranges one
# of each width in another way. Very narrow rows are clearly bad. How far wide ones pay depends on what is left out
# here: wires, and the register that holds a row.

# %%
grid = {"density": [0.05, 0.1, 0.2], "spmat_width_bits": "8,16,32,...,512", "n_pe": 4}
frame = es.sweep.to_pandas(es.sweep.run("digits-mlp", grid=grid, workers=1).rows)
frame.pivot(index="spmat_width_bits", columns="density", values="energy_nj").round(0)

# %% [markdown]
# The same for a small trained network at three densities. The denser the weights, the longer the columns, and the more
# a wide row is worth.
