"""Train a GRU on the digits, row by row, and write it as ONNX with its test images and the figures of its README.

Training, figures and files are those of the residual network, `models/digits-resnet/train.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

HERE = Path(__file__).resolve().parent


def resnet_script() -> ModuleType:
    """The script of the residual network, as a module."""
    spec = importlib.util.spec_from_file_location("digits_resnet_train", HERE.parent / "digits-resnet" / "train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class RowGru(nn.Module):
    """A GRU that reads an image from the top, a row of eight pixels a step, and a classifier on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 64, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, 8, 8] to scores [n, 10]."""
        states, _ = self.gru(x)
        return self.fc(states[:, -1])


if __name__ == "__main__":
    shared = resnet_script()
    shared.main(HERE, RowGru, (8, 8), shared.Recipe(epochs=60, rate=5e-3, weight_l2=1e-5))
