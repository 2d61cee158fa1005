"""Train and prune the digits network, record its activations, and write the figures of its README.

A 64-256-128-10 network with ReLU and biases, in numpy only. An L1 penalty on the hidden activations sets how sparse
they are; weights are pruned by magnitude in steps, the survivors retrained after each. The held-back images serve only
to report accuracy and to record the traces.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from eie_sim.errors import InputError, require, require_int
from eie_sim.prune import magnitude

Array = NDArray[np.float32]
Labels = NDArray[np.intp]
Mask = NDArray[np.bool_]
Tensors = dict[str, Array]

HERE = Path(__file__).resolve().parent
LAYERS = ("fc1", "fc2", "fc3")
WIDTHS = (64, 256, 128, 10)
TRACED = 64
CALIBRATION = 256
BEGIN, END = "<!-- results: written by train.py -->", "<!-- end of results -->"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything the result depends on besides the data. Rates are Adam's step size at the start of a cosine decay."""

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
        require_int("seed", self.seed, 0)
        require(0 <= self.activation_l1 < math.inf, "activation-l1", self.activation_l1, "must be finite and >= 0")
        require(0 <= self.density <= 1, "density", self.density, "must be in 0..1")

    def text(self) -> str:
        """The recipe as one sentence, for metadata and README."""
        return (
            f"Adam with cosine decay, batch {self.batch}, softmax cross-entropy, L1 {self.activation_l1:g} on hidden "
            f"activations, L2 {self.weight_l2:g} on weights; {self.epochs} epochs at {self.rate:g}; then "
            f"{self.prune_steps} steps of magnitude pruning per layer to density {self.density:g}, "
            f"{self.retrain_epochs} epochs at {self.retrain_rate:g} after each"
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images (n, 64) scaled to 0..1 and labels (n,)."""

    images: Array
    labels: Labels


def load_split(path: Path) -> tuple[Split, Split]:
    """Training and held-back images of `digits.npz`, each in the order of the data set."""
    with np.load(path, allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / 16
        labels = data["labels"].astype(np.intp)
        held = data["held_back"]
    return Split(images=images[~held], labels=labels[~held]), Split(images=images[held], labels=labels[held])


def initial(rng: np.random.Generator) -> Tensors:
    """He-initialised weights (out, in) and zero biases (out,)."""
    net: Tensors = {}
    for layer, n_in, n_out in zip(LAYERS, WIDTHS, WIDTHS[1:], strict=False):
        scale = math.sqrt(2 / n_in)
        net[f"{layer}.weight"] = (scale * rng.standard_normal((n_out, n_in))).astype(np.float32)
        net[f"{layer}.bias"] = np.zeros(n_out, dtype=np.float32)
    return net


def forward(net: Tensors, images: Array) -> tuple[list[Array], Array]:
    """Inputs of the three layers, (n, 64) (n, 256) (n, 128), and the logits (n, 10)."""
    inputs = [images]
    for layer in LAYERS[:-1]:
        inputs.append(np.maximum(inputs[-1] @ net[f"{layer}.weight"].T + net[f"{layer}.bias"], 0))
    return inputs, inputs[-1] @ net["fc3.weight"].T + net["fc3.bias"]


def gradients(net: Tensors, images: Array, labels: Labels, recipe: Recipe) -> Tensors:
    """Gradients, in the shapes of `net`, of the mean loss of a batch: images (n, 64), labels (n,)."""
    inputs, logits = forward(net, images)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    delta = exp / exp.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    grads: Tensors = {}
    for layer, x in zip(reversed(LAYERS), reversed(inputs), strict=True):
        weight = net[f"{layer}.weight"]
        grads[f"{layer}.weight"] = delta.T @ x + recipe.weight_l2 * weight
        grads[f"{layer}.bias"] = delta.sum(axis=0)
        # activations are >= 0, so their L1 norm has slope 1 wherever the ReLU lets a gradient through
        delta = (delta @ weight + recipe.activation_l1 / len(labels)) * (x > 0)
    return grads


class Adam:
    """Adam (Kingma & Ba 2015) with its usual constants."""

    def __init__(self, net: Tensors) -> None:
        self.mean = {name: np.zeros_like(value) for name, value in net.items()}
        self.square = {name: np.zeros_like(value) for name, value in net.items()}
        self.steps = 0

    def step(self, net: Tensors, grads: Tensors, rate: float) -> None:
        """Update `net` in place."""
        self.steps += 1
        for name, grad in grads.items():
            self.mean[name] += 0.1 * (grad - self.mean[name])
            self.square[name] += 0.001 * (grad * grad - self.square[name])
            mean = self.mean[name] / (1 - 0.9**self.steps)
            square = self.square[name] / (1 - 0.999**self.steps)
            net[name] -= rate * mean / (np.sqrt(square) + 1e-8)


def apply_masks(net: Tensors, masks: dict[str, Mask]) -> None:
    """Zero the pruned weights in place; a mask has its weight's shape."""
    for name, mask in masks.items():
        net[name][~mask] = 0  # not a product, which would leave -0.0


def fit(
    net: Tensors,
    masks: dict[str, Mask],
    data: Split,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    epochs: int,
    rate: float,
) -> None:
    """Train `net` in place, pruned weights staying zero. An epoch drops the images left after its last full batch."""
    adam = Adam(net)
    batches = len(data.labels) // recipe.batch
    for _ in range(epochs):
        order = rng.permutation(len(data.labels))[: batches * recipe.batch]
        for rows in order.reshape(batches, recipe.batch):
            decay = 0.5 + 0.5 * math.cos(math.pi * adam.steps / (epochs * batches))
            adam.step(net, gradients(net, data.images[rows], data.labels[rows], recipe), rate * decay)
            apply_masks(net, masks)


def train(data: Split, recipe: Recipe) -> tuple[Tensors, Tensors]:
    """The dense and the pruned network."""
    rng = np.random.default_rng(recipe.seed)
    net = initial(rng)
    fit(net, {}, data, recipe, rng, epochs=recipe.epochs, rate=recipe.rate)
    dense = {name: value.copy() for name, value in net.items()}
    for step in range(1, recipe.prune_steps + 1):
        # the same fraction of the survivors goes at each step, and the last step lands on the density asked for
        density = recipe.density ** (step / recipe.prune_steps)
        masks = {f"{layer}.weight": magnitude(net[f"{layer}.weight"], density=density).mask for layer in LAYERS}
        apply_masks(net, masks)
        fit(net, masks, data, recipe, rng, epochs=recipe.retrain_epochs, rate=recipe.retrain_rate)
    return dense, net


def trace(net: Tensors, training: Split, held_back: Split) -> Tensors:
    """Layer inputs for the first 64 held-back images, and the first 256 training images for calibration."""
    inputs, _ = forward(net, held_back.images[:TRACED])
    recorded = {f"{layer}.input": x for layer, x in zip(LAYERS, inputs, strict=True)}
    return recorded | {"calibration.fc1.input": training.images[:CALIBRATION]}


def ratio(part: int, whole: int) -> dict[str, float]:
    """A count, what it is out of, and the quotient to four places."""
    return {"count": part, "of": whole, "ratio": round(part / whole, 4)}


def nonzero(x: Array) -> dict[str, float]:
    """Non-zero entries of `x`, any shape."""
    return ratio(int(np.count_nonzero(x)), x.size)


def measure(net: Tensors, training: Split, held_back: Split) -> dict[str, Any]:
    """Accuracy on the held-back images and, per layer, how many weights and inputs are non-zero.

    `inputs_never_active` counts the layer's inputs that are zero for every training image.
    """
    inputs, logits = forward(net, held_back.images)
    correct = int(np.count_nonzero(logits.argmax(axis=1) == held_back.labels))
    layers = {}
    for layer, x, seen in zip(LAYERS, inputs, forward(net, training.images)[0], strict=True):
        layers[layer] = {
            "weights": nonzero(net[f"{layer}.weight"]),
            "inputs": nonzero(x),
            "inputs_traced": nonzero(x[:TRACED]),
            "inputs_never_active": ratio(int(np.count_nonzero(~seen.any(axis=0))), seen.shape[1]),
        }
    kept = sum(int(np.count_nonzero(net[f"{layer}.weight"])) for layer in LAYERS)
    total = sum(net[f"{layer}.weight"].size for layer in LAYERS)
    return {"accuracy": ratio(correct, len(held_back.labels)), "weights": ratio(kept, total), "layers": layers}


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
        rows += [(f"{layer}: {label}", *(cell(net["layers"][layer][key]) for net in nets)) for layer in LAYERS]
    lines = ["| | dense | pruned |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return f"Seed {results['seed']}. {results['recipe']}.\n\n" + "\n".join(lines)


def with_results(readme: str, results: dict[str, Any]) -> str:
    """`readme` with the part between its two result marks replaced."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{rest.split(END)[1]}"


def write_tensors(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Write a safetensors file whose bytes depend on its content alone."""
    blob = save(tensors, metadata=metadata)
    # the library writes metadata in an order that changes from run to run; put the keys in ours
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + size]) | {"__metadata__": metadata}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob[8 + size :])


def write_all(out: Path, recipe: Recipe) -> dict[str, Any]:
    """Train, then write every output under `out` in the repository's layout; returns the results."""
    training, held_back = load_split(HERE / "digits.npz")
    dense, pruned = train(training, recipe)
    model, traces = out / "models" / "digits-mlp", out / "traces"
    model.mkdir(parents=True, exist_ok=True)
    traces.mkdir(parents=True, exist_ok=True)
    about = {"seed": str(recipe.seed), "activation_l1": str(recipe.activation_l1), "recipe": recipe.text()}
    write_tensors(model / "dense.safetensors", dense, about | {"density": "1.0"})
    write_tensors(model / "weights.safetensors", pruned, about | {"density": str(recipe.density)})
    content = (
        f"inputs of each layer of the pruned digits-mlp, after ReLU, for the first {TRACED} held-back images of "
        f"digits.npz; calibration.fc1.input: its first {CALIBRATION} training images"
    )
    about |= {"density": str(recipe.density), "model": "models/digits-mlp/weights.safetensors", "content": content}
    write_tensors(traces / "digits-mlp.safetensors", trace(pruned, training, held_back), about)
    results = {
        "seed": recipe.seed,
        "activation_l1": recipe.activation_l1,
        "density": recipe.density,
        "recipe": recipe.text(),
        "dense": measure(dense, training, held_back),
        "pruned": measure(pruned, training, held_back),
    }
    (model / "results.json").write_bytes(f"{json.dumps(results, indent=2)}\n".encode())
    readme = with_results((HERE / "README.md").read_text(encoding="utf-8"), results)
    (model / "README.md").write_bytes(readme.encode())
    return results


def main() -> None:
    """Command line."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(description="Train and prune the digits network; record its activations.")
    parser.add_argument("--activation-l1", type=float, default=defaults.activation_l1, metavar="X")
    parser.add_argument("--density", type=float, default=defaults.density, help="fraction of weights kept per layer")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--out", type=Path, default=HERE.parents[1], help="root of the tree written (this repository)")
    args = parser.parse_args()
    recipe = Recipe(seed=args.seed, activation_l1=args.activation_l1, density=args.density)
    try:
        recipe.check()
    except InputError as error:
        parser.error(str(error))
    print(table(write_all(args.out, recipe)))


if __name__ == "__main__":
    main()
