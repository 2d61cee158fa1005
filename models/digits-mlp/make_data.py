"""Make digits.npz once, from scikit-learn's copy of the UCI digits test set. The only file that needs scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-not-found,import-untyped,unused-ignore]

HELD_BACK = 360
SPLIT_SEED = 0


def main() -> None:
    """Write images (1797, 64) uint8, labels (1797,) uint8, held_back (1797,) bool and split_seed () int64."""
    digits = load_digits()
    images = digits.data.astype(np.uint8)
    if not np.array_equal(images, digits.data) or images.max() > 16:
        raise SystemExit("digits: pixels must be integers in 0..16")
    held_back = np.zeros(len(images), dtype=np.bool_)
    held_back[np.random.default_rng(SPLIT_SEED).permutation(len(images))[:HELD_BACK]] = True
    # savez stamps every member with 1980-01-01, and stored members do not depend on the zlib build: same bytes each run
    np.savez(
        Path(__file__).with_name("digits.npz"),
        images=images,
        labels=digits.target.astype(np.uint8),
        held_back=held_back,
        split_seed=np.int64(SPLIT_SEED),
    )


if __name__ == "__main__":
    main()
