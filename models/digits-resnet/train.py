"""Train a small residual network on the digits, and write it as ONNX, with its test images and its README's figures.

The only file, with that of `models/digits-gru`, that needs the extra torch. The held-back images serve only to report
accuracy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxscript
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
PIXEL_MAX = 16
IMAGES = 100
"""Held-back images that the network is run on, and training images that choose its scales."""
BEGIN, END = "<!-- results: written by train.py -->", "<!-- end of results -->"


class Recipe(NamedTuple):
    """Everything a network depends on besides the data.

    rate : Adam's step size at the start of a cosine decay
    small, shrink : share of each layer's weights, its smallest ones, that lose this part of themselves after each step
        of the second half, so that pruning them costs little (Wang et al. 2021, growing regularisation, simplified)
    """

    epochs: int = 40
    batch: int = 64
    rate: float = 3e-3
    weight_l2: float = 1e-3
    small: float = 0.7
    shrink: float = 0.1
    seed: int = 0

    def text(self) -> str:
        """The recipe as one sentence."""
        return (
            f"Adam with cosine decay, batch {self.batch}, softmax cross-entropy, L2 {self.weight_l2:g} on all "
            f"parameters; {self.epochs} epochs at {self.rate:g}; in the second half the smallest {100 * self.small:g} "
            f"% of each layer's weights lose {100 * self.shrink:g} % of themselves after each step"
        )


class Split(NamedTuple):
    """Images float32 [n, ..] scaled to 0..1, and labels int64 [n]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


class Block(nn.Module):
    """Two 3x3 convolutions and what goes past them, which a 1x1 convolution fits to another size."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.past = (
            nn.Identity()
            if stride == 1 and n_in == n_out
            else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_in, height, width] to [n, n_out, ..]."""
        inside = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inside)) + self.past(x))


class ResNet(nn.Module):
    """A stem, three residual blocks of which the second has stride 2, the mean of each channel, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.block1 = Block(16, 16)
        self.block2 = Block(16, 32, stride=2)
        self.block3 = Block(32, 32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, 1, 8, 8] to scores [n, 10]."""
        x = torch.relu(self.bn(self.stem(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.fc(x.mean(dim=(2, 3)))


def load_split(sides: tuple[int, ...]) -> tuple[Split, Split]:
    """Training and held-back images of `digits.npz`, each in the order of the data set. sides : of one image"""
    with np.load(HERE.parent / "digits-mlp" / "digits.npz", allow_pickle=False) as data:
        images = data["images"].astype(np.float32).reshape(-1, *sides) / PIXEL_MAX
        labels, held = data["labels"].astype(np.int64), data["held_back"]
    return Split(images[~held], labels[~held]), Split(images[held], labels[held])


def train(make: Callable[[], nn.Module], samples: Split, recipe: Recipe) -> nn.Module:
    """A network made and trained from the seed, in evaluation mode."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(recipe.seed)
    network, rng = make(), np.random.default_rng(recipe.seed)
    images, labels = torch.from_numpy(samples.images), torch.from_numpy(samples.labels)
    batches = -(-len(labels) // recipe.batch)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_l2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs * batches)
    for epoch in range(recipe.epochs):
        for rows in np.array_split(rng.permutation(len(labels)), batches):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
            decay.step()
            if epoch >= recipe.epochs // 2:
                shrink_smallest(network, recipe)
    return network.eval()


def shrink_smallest(network: nn.Module, recipe: Recipe) -> None:
    """Make the smallest weights of each layer smaller."""
    with torch.no_grad():
        for weights in (one for one in network.parameters() if one.ndim > 1):
            size = weights.abs()
            bound = size.flatten().kthvalue(round(recipe.small * size.numel())).values
            weights.sub_(recipe.shrink * weights * (size <= bound))


def correct(network: nn.Module, samples: Split) -> int:
    """How many images are classified as labelled."""
    with torch.no_grad():
        found = network(torch.from_numpy(samples.images)).argmax(dim=1).numpy()
    return int(np.count_nonzero(found == samples.labels))


def export(network: nn.Module, example: NDArray[np.float32], path: Path) -> None:
    """Write an ONNX file with BatchNorms as they are and a free first side, without where its nodes were defined."""
    free = {0: torch.export.Dim("n")}
    program = torch.onnx.export(
        network,
        (torch.from_numpy(example),),
        dynamo=True,
        optimize=False,
        input_names=["x"],
        output_names=["scores"],
        dynamic_shapes=(free,),
        verbose=False,
    )
    model = program.model_proto
    model.graph.name = path.stem
    arrays = {array.name for array in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("Conv", "BatchNormalization", "GRU", "Gemm"):  # after its module, not its number
            weight = node.input[1]
            while weight not in arrays:
                weight = makers[weight].input[0]
            node.name = weight.rpartition(".")[0]
    for one in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        one.ClearField("metadata_props")
        one.ClearField("doc_string")
    path.write_bytes(model.SerializeToString(deterministic=True))


def results_of(network: nn.Module, recipe: Recipe, training: Split, held_back: Split) -> dict[str, Any]:
    """The recipe, versions and what was measured, as `results.json` has it."""

    def accuracy(samples: Split) -> dict[str, float]:
        right = correct(network, samples)
        return {"count": right, "of": len(samples.labels), "ratio": round(right / len(samples.labels), 4)}

    return {
        "seed": recipe.seed,
        "recipe": recipe.text(),
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "onnx": onnx.__version__,
            "onnxscript": onnxscript.__version__,
        },
        "parameters": sum(one.numel() for one in network.parameters()),
        "layers": {
            name.rpartition(".")[0] + {"weight_ih_l0": ".W", "weight_hh_l0": ".R"}.get(name.rpartition(".")[2], ""): [
                len(one),
                one[0].numel(),
            ]
            for name, one in network.named_parameters()
            if one.ndim > 1
        },
        "training": accuracy(training),
        "held_back": accuracy(held_back),
        "test": accuracy(Split(held_back.images[:IMAGES], held_back.labels[:IMAGES])),
    }


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""

    def share(name: str) -> str:
        one = results[name]
        return f"{100 * one['ratio']:.2f} % ({one['count']} / {one['of']})"

    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Seed {results['seed']}. {results['recipe']}. {versions}.\n\n"
        f"{results['parameters']:,} parameters. Accuracy in floats: {share('held_back')} of the held-back images, "
        f"{share('test')} of those of `test.npz`, {share('training')} of the training images."
    )


def write(
    out: Path, name: str, readme: Path, make: Callable[[], nn.Module], sides: tuple[int, ...], recipe: Recipe
) -> None:
    """Train, then write every file of the network into the folder of its name under `out`."""
    training, held_back = load_split(sides)
    network = train(make, training, recipe)
    results = results_of(network, recipe, training, held_back)
    folder = out / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    export(network, held_back.images[:2], folder / f"{name}.onnx")
    # savez stamps every member with 1980-01-01, and stored members do not depend on the zlib build: same bytes each run
    np.savez(folder / "test.npz", x=held_back.images[:IMAGES], labels=held_back.labels[:IMAGES])
    np.savez(folder / "calibration.npz", x=training.images[:IMAGES])
    (folder / "results.json").write_bytes(f"{json.dumps(results, indent=2)}\n".encode())
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    (folder / "README.md").write_bytes(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{rest.split(END)[1]}".encode())
    print(table(results))


def main(here: Path, make: Callable[[], nn.Module], sides: tuple[int, ...], defaults: Recipe) -> None:
    """Command line of a script that trains one network."""
    parser = argparse.ArgumentParser(description="Train a small network on the digits; write it as ONNX.")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--out", type=Path, default=here.parents[1], help="root of the tree written (this repository)")
    args = parser.parse_args()
    recipe = defaults._replace(seed=args.seed, epochs=args.epochs)
    write(args.out, here.name, here / "README.md", make, sides, recipe)


if __name__ == "__main__":
    main(HERE, ResNet, (1, 8, 8), Recipe())
