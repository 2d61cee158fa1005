"""A study with everything that one can say."""

EXAMPLE = """
workload = "alex-7"            # a preset, or a file beside this one
seed = 3
activations = "frames.npy"     # or activation_density = 0.3
verify = true
energy_table = "tables/chip.csv"
store = "points/alex-7.jsonl"

[grid]                         # all combinations
density = "0.02:0.5:20"
n_pe = [1, 2, "...", 8]
queue_depth = "1..256"
clock_mhz = 800
tiles = ["64x64", "256x128+128x256", [[32, 32], [16, 16]]]
pattern = ["element", "2:4"]
layer = "each"

[[points]]                     # single points besides
n_pe = 64
queue_depth = 8
vector = "all"

[[points]]
dram_bytes_per_cycle = "936000/1395"
mma = [[16, 8, 16]]

[search]
objectives = ["cycles", "energy_nj"]
trials = 200
"""
