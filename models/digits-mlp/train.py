"""Train and prune the digits network, record its activations, and write the figures of its README.

A 64-256-128-10 network with ReLU and biases, trained by `eie_sim.prune`. An L1 penalty on the hidden activations sets
how sparse they are; weights are pruned by magnitude in steps, the survivors retrained after each. The held-back images
serve only to report accuracy and to record the traces.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from eie_sim.core.errors import InputError, require
from eie_sim.prune import magnitude
from eie_sim.prune.pruned_training import each_layer, prune_and_train
from eie_sim.prune.schedule import iterative
from eie_sim.prune.train import Mlp, Samples, TrainConfig, count_correct, fit, forward, initial

Array = NDArray[Any]
Tensors = dict[str, Array]

HERE = Path(__file__).resolve().parent
TRACED = 64
CALIBRATION = 256
BEGIN, END = "<!-- results: written by train.py -->", "<!-- end of results -->"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything the result depends on besides the data. Rates are Adam's step size at the start of a cosine decay."""

    widths: tuple[int, ...] = (64, 256, 128, 10)
    seed: int = 0
    activation_l1: float = 1e-3
    density: float = 0.1
    weight_l2: float = 1e-4
    batch: int = 64
    epochs: int = 40
    rate: float = 2e-3
    prune_steps: int = 5
    retrain_epochs: int = 15
    retrain_rate: float = 1e-3

    def check(self) -> None:
        """Raise InputError for a value that cannot be trained with."""
        self.training(self.epochs, self.rate)
        require(0 < self.density <= 1, "density", self.density, "must be above 0 and at most 1")

    def training(self, epochs: int, rate: float) -> TrainConfig:
        """How the network is trained, before the first pruning or after one."""
        return TrainConfig(
            epochs=epochs,
            batch=self.batch,
            learning_rate=rate,
            l2=self.weight_l2,
            activation_l1=self.activation_l1,
            seed=self.seed,
        )

    def text(self) -> str:
        """The recipe as one sentence, for metadata and README."""
        return (
            f"Adam with cosine decay, batch {self.batch}, softmax cross-entropy, L1 {self.activation_l1:g} on hidden "
            f"activations, L2 {self.weight_l2:g} on weights; {self.epochs} epochs at {self.rate:g}; then "
            f"{self.prune_steps} steps of magnitude pruning per layer to density {self.density:g}, "
            f"{self.retrain_epochs} epochs at {self.retrain_rate:g} after each"
        )


def load_split(path: Path) -> tuple[Samples, Samples]:
    """Training and held-back images of `digits.npz`, (n, 64) scaled to 0..1, each in the order of the data set."""
    with np.load(path, allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / 16
        labels = data["labels"].astype(np.intp)
        held = data["held_back"]
    return Samples(inputs=images[~held], labels=labels[~held]), Samples(inputs=images[held], labels=labels[held])


def train(samples: Samples, recipe: Recipe) -> tuple[Mlp, Mlp]:
    """The dense and the pruned network."""
    rng = np.random.default_rng(recipe.seed)
    dense = fit(initial(recipe.widths, rng), samples, recipe.training(recipe.epochs, recipe.rate), rng=rng)
    pruned = prune_and_train(
        dense,
        samples,
        schedule=iterative(recipe.density, steps=recipe.prune_steps).densities,
        rule=each_layer(lambda weights, density: magnitude(weights, density=density).mask),
        config=recipe.training(recipe.retrain_epochs, recipe.retrain_rate),
        rng=rng,
    )
    return dense, pruned.network


def names(network: Mlp) -> list[str]:
    """fc1, fc2 and so on."""
    return [f"fc{at}" for at in range(1, len(network.weights) + 1)]


def tensors(network: Mlp) -> Tensors:
    """Weights (out, in) and biases (out,) by name."""
    weights = {f"{name}.weight": array for name, array in zip(names(network), network.weights, strict=True)}
    return weights | {f"{name}.bias": array for name, array in zip(names(network), network.biases, strict=True)}


def trace(network: Mlp, training: Samples, held_back: Samples) -> Tensors:
    """Layer inputs for the first 64 held-back images, and the first 256 training images for calibration."""
    inputs, _ = forward(network, held_back.inputs[:TRACED])
    recorded = {f"{name}.input": x for name, x in zip(names(network), inputs, strict=True)}
    return recorded | {"calibration.fc1.input": training.inputs[:CALIBRATION]}


def ratio(part: int, whole: int) -> dict[str, float]:
    """A count, what it is out of, and the quotient to four places."""
    return {"count": part, "of": whole, "ratio": round(part / whole, 4)}


def nonzero(*arrays: Array) -> dict[str, float]:
    """Non-zero entries of arrays of any shape."""
    return ratio(sum(int(np.count_nonzero(x)) for x in arrays), sum(x.size for x in arrays))


def measure(network: Mlp, training: Samples, held_back: Samples, *, traced: int = 0) -> dict[str, Any]:
    """Accuracy on the held-back images and, per layer, how many weights and inputs are non-zero.

    `inputs_traced` is of the first `traced` held-back images, left out for none. `inputs_never_active` counts the
    layer's inputs that are zero for every training image.
    """
    inputs, seen = (forward(network, samples.inputs)[0] for samples in (held_back, training))
    layers = {}
    for name, weight, x, other in zip(names(network), network.weights, inputs, seen, strict=True):
        layers[name] = {"weights": nonzero(weight), "inputs": nonzero(x)}
        if traced:
            layers[name]["inputs_traced"] = nonzero(x[:traced])
        never = int(np.count_nonzero(~other.any(axis=0)))
        layers[name]["inputs_never_active"] = ratio(never, other.shape[1])
    accuracy = ratio(count_correct(network, held_back), len(held_back))
    return {"accuracy": accuracy, "weights": nonzero(*network.weights), "layers": layers}


def results_of(recipe: Recipe, dense: dict[str, Any], pruned: dict[str, Any]) -> dict[str, Any]:
    """The recipe and what was measured of both networks, as `results.json` has it."""
    return {
        "seed": recipe.seed,
        "activation_l1": recipe.activation_l1,
        "density": recipe.density,
        "recipe": recipe.text(),
        "dense": dense,
        "pruned": pruned,
    }


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""

    def cell(r: dict[str, float]) -> str:
        return f"{100 * r['ratio']:.2f} % ({r['count']} / {r['of']})"

    nets = (results["dense"], results["pruned"])
    rows = [("accuracy on held-back images", *(cell(net["accuracy"]) for net in nets))]
    rows.append(("weights non-zero, all layers", *(cell(net["weights"]) for net in nets)))
    for key, label in (
        ("weights", "weights non-zero"),
        ("inputs", "inputs non-zero, held-back images"),
        ("inputs_traced", f"inputs non-zero, first {TRACED} of them (traced)"),
        ("inputs_never_active", "inputs zero for every training image"),
    ):
        layers = [name for name, figures in nets[0]["layers"].items() if key in figures]
        rows += [(f"{layer}: {label}", *(cell(net["layers"][layer][key]) for net in nets)) for layer in layers]
    lines = ["| | dense | pruned |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return f"Seed {results['seed']}. {results['recipe']}.\n\n" + "\n".join(lines)


def with_results(readme: str, results: dict[str, Any]) -> str:
    """`readme` with the part between its two result marks replaced."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{rest.split(END)[1]}"


def write_tensors(path: Path, arrays: Tensors, metadata: dict[str, str]) -> None:
    """Write a safetensors file whose bytes depend on its content alone."""
    blob = save(arrays, metadata=metadata)
    # the library writes metadata in an order that changes from run to run; put the keys in ours
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + size]) | {"__metadata__": metadata}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob[8 + size :])


def about(recipe: Recipe) -> dict[str, str]:
    """Metadata of every file that holds tensors."""
    return {"seed": str(recipe.seed), "activation_l1": str(recipe.activation_l1), "recipe": recipe.text()}


def write_model(folder: Path, readme: Path, recipe: Recipe, nets: tuple[Mlp, Mlp], results: dict[str, Any]) -> None:
    """Write the dense and the pruned network, the results, and `readme` with the results in it, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    densities = ("1.0", str(recipe.density))
    for name, network, density in zip(("dense", "weights"), nets, densities, strict=True):
        write_tensors(folder / f"{name}.safetensors", tensors(network), about(recipe) | {"density": density})
    (folder / "results.json").write_bytes(f"{json.dumps(results, indent=2)}\n".encode())
    text = with_results(readme.read_text(encoding="utf-8"), results)
    (folder / "README.md").write_bytes(text.encode())


def write_all(out: Path, recipe: Recipe) -> dict[str, Any]:
    """Train, then write every output under `out` in the repository's layout; returns the results."""
    training, held_back = load_split(HERE / "digits.npz")
    nets = train(training, recipe)
    results = results_of(recipe, *(measure(net, training, held_back, traced=TRACED) for net in nets))
    write_model(out / "models" / HERE.name, HERE / "README.md", recipe, nets, results)
    content = (
        f"inputs of each layer of the pruned digits-mlp, after ReLU, for the first {TRACED} held-back images of "
        f"digits.npz; calibration.fc1.input: its first {CALIBRATION} training images"
    )
    described = {"density": str(recipe.density), "model": "models/digits-mlp/weights.safetensors", "content": content}
    traces = out / "traces"
    traces.mkdir(parents=True, exist_ok=True)
    write_tensors(traces / "digits-mlp.safetensors", trace(nets[1], training, held_back), about(recipe) | described)
    return results


def main(defaults: Recipe, write: Callable[[Path, Recipe], dict[str, Any]], root: Path) -> None:
    """Command line of a script that writes its network and figures under the root of a tree with `write`."""
    parser = argparse.ArgumentParser(description="Train and prune a small network; write its weights and figures.")
    parser.add_argument("--activation-l1", type=float, default=defaults.activation_l1, metavar="X")
    parser.add_argument("--density", type=float, default=defaults.density, help="fraction of weights kept per layer")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--out", type=Path, default=root, help="root of the tree written (this repository)")
    args = parser.parse_args()
    recipe = replace(defaults, seed=args.seed, activation_l1=args.activation_l1, density=args.density)
    try:
        recipe.check()
        print(table(write(args.out, recipe)))
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main(Recipe(), write_all, HERE.parents[1])
