"""Roles of named arrays: weights of a layer, what belongs to them, and what is no layer, each with its reason.

Names and shapes say what an array is only where they leave no doubt; whatever else there is stands in `left`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from eie_sim.core.arrays import shown

WEIGHT_NAME = re.compile(r"(?P<layer>.+)[._/](weights?|kernel)(?::0)?", re.I)
PAIRED = re.compile(r"(?P<stem>(?:.*[._/])?)(?P<word>weights?|kernel|w)(?P<rest>_?\d*)(?P<device>(?::0)?)", re.I)
SUFFIXED = re.compile(r"(?P<stem>(?:.*[./])?)(?P<word>w|coef)(?P<rest>_\w*)(?P<device>)", re.I)
"""Weights whose layer is named after the letter, as W_fc1 is, and scikit-learn's."""

BIAS_OF = {
    "weights": ("biases", "bias", "b"),
    "weight": ("bias", "biases", "b"),
    "kernel": ("bias", "b"),
    "w": ("b", "bias"),
    "coef": ("intercept",),
}
RECORDING = re.compile(r"(?P<layer>.+)(?:[./](?:inputs?|x)|[._/](?:activations?|acts|inputs?))", re.I)
BARE_RECORDINGS = ("activations", "activation", "inputs", "input", "acts", "x")
"""Names of inputs that say of no layer, those that are taken before others first."""

EXAMPLES = ("test_inputs", "test_labels", "train_inputs", "train_labels", "calibration")

OPTIMISER = re.compile(
    r"(^|[./])(optim(izer|iser)?s?|optim_state|opt_state|(max_)?exp_avg(_sq)?|square_avg|grads?|adam|momentum)($|[./])"
    r"|(^|[./])(exp_avg(_sq)?|momentum(_buffer)?|velocity|grads?|adam)_(weights?|kernel|w)_?\d*$"
    r"|(^|[./])(exp_avg_|momentum_buffer[./]|velocity[./]|adam_[mv][./])"
    r"|(^|[./])optimi[sz]er[^./]*[./]|[._/](exp_avg(_sq)?|momentum(_buffer)?|grad)$|(^|[./])(mu|nu)[./]params[./]",
    re.I,
)
RECURRENT = re.compile(r"(^|[._/])((weight|w|bias|b)_([ih]h|hr)(_l\d+)?(_reverse)?|recurrent_kernel)(?::0)?$", re.I)
MASK = re.compile(
    r"(^|[._/])(masked_bias|tril|triu)(?::0)?$|(^|[./])masks?[./]|(^|[./])([^./]*[^a-z./])?masks?([^a-z./][^./]*)?$"
    r"|weights?masks?(?::0)?$",
    re.I,
)
PACKED = re.compile(r"(^|[._/])(qweight|qzeros|w_q|(weight_)?packed(_weight)?|bitmask|compressed|blocks)$", re.I)
PART = re.compile(r"(^|[._/])((weight|bias)_orig|weight_[guv]|original\d*)$", re.I)
SCALE = re.compile(
    r"(^|[._/])(scales?|scale_inv|zeros?|zeros?_points?|zp|absmax|quant_map|scb|g_idx|amax)(_\d+)?(?::0)?$"
    r"|(^|[./])scales?[._](w|weights?|kernel)_?\d*$",
    re.I,
)
SCALING = re.compile(
    r"(^|[._/])[^./]*(scal|zero|absmax|amax|offset|quant_map|delta|scb|g_idx|zp)[^./]*(?::0)?$"
    r"|(^|[._/])(weight_shape|weight_s|perm|s|step_size|weight_(alpha|max|min))$|[._/]quant_state([._/]|$)",
    re.I,
)
"""Names of whatever may say what integers stand for."""

STATISTIC = re.compile(
    r"(^|[._/])((running|moving|batch|ema)_(mean|var|variance|std)|mean|var|variance|std|num_batches_tracked)(?::0)?$"
    r"|[./](mu|sigma|rm|rv)$",
    re.I,
)
NORM = re.compile(r"(^|[._/\d])([a-z]*norm|ln|bn)_?\d*[._/](weight|bias|scale|gamma|beta)(?::0)?$", re.I)
INPUTS = re.compile(
    r"(x|y|acts|inputs?|input_ids|labels?|targets?|images?|features?|samples?|hidden_states|calibration|activations?)"
    r"_?(train|test|val|valid|calib|calibration)?",
    re.I,
)
EMBEDDING = re.compile(r"embs?|embd|embeds?|embedder|embeddings?|wte|wpe|wtt")
LOOKED_UP = re.compile(
    r"shared|lookup|lut|vocab|tokens?|words?|chars?|users?|items?|learned|glove|vectors?|factors?|mf|"
    r"pos|positions?|positional|relative|absolute|ids|index|codebook|tables?|bias|weights?"
)
"""Words that name a table that is looked up, where no others stand beside them."""

CELL = re.compile(r"(bi)?(lstm|gru|rnn)")
MULTIPLIED = re.compile(
    r"proj|project|projection|linear|dense|fc|mlp|out|output|head|query|key|value|norm|conv|classifier"
)

PACKED_REASON = "packed words, {}: unpack them to floats, (out, in), first"


def components(name: str) -> list[str]:
    """The parts of a name between dots and slashes, in lower case, device and digits left out."""
    return [part for part in re.split(r"[./]", name.removesuffix(":0").lower()) if part and not part.isdigit()]


def _own_words(name: str) -> list[str]:
    """The words of the part of a name that says what the array is: the module's of its `weight`, else its last."""
    parts = [part for part in re.split(r"[./]", name.removesuffix(":0")) if part and not part.isdigit()]
    general = parts[-1:] and re.fullmatch(r"weights?|kernel|w|bias", parts[-1], re.I)
    own = (parts[-2:-1] if general else parts[-1:]) or parts
    split = re.sub(r"([a-z])([A-Z])", r"\1_\2", "_".join(own))
    return [word for word in re.split(r"[_\-:\d]+", split.lower()) if word and word not in ("weight", "weights", "w")]


def no_layer(name: str, array: Any, *, has_bias: bool) -> str | None:
    """Return why an array certainly is no weights of a fully connected layer, by its name or shape; else None."""
    words = _own_words(name)
    multiplied = any(map(MULTIPLIED.fullmatch, words))
    is_cell = not multiplied and not has_bias and any(map(CELL.fullmatch, words))
    for said, reason in (
        (OPTIMISER.search(name), "optimiser state, {}"),
        (PACKED.search(name), PACKED_REASON),
        (PART.search(name), "part of a weight, {}, whose other parts are not here"),
        (SCALE.search(name), "scale or zero point, {}, of no integer weights here"),
        (STATISTIC.search(name), "statistics, {}, not folded"),
        (RECURRENT.search(name) or is_cell, "recurrent, {}, not simulated yet"),
        (MASK.search(name), "mask, {}, not applied"),
        (_is_looked_up(name, words, multiplied) and not has_bias, "embedding, {}, looked up and not multiplied"),
        (NORM.search(name) and array.ndim == 1, "normalisation, {}, not applied"),
        (components(name)[-1:] == ["bias"] and sum(side > 1 for side in array.shape) >= 2, "mask, {}, not applied"),
        (array.ndim >= 4 or (array.ndim == 3 and "conv" in name.lower()), "convolution, {}, not simulated yet"),
        (
            array.ndim == 3 and WEIGHT_NAME.fullmatch(name),
            "three-dimensional weights, {}, not simulated yet",
        ),
    ):
        if said:
            return reason.format(kind(array))
    return None


def _is_looked_up(name: str, words: list[str], multiplied: bool) -> bool:
    """True for an embedding or a table of positions."""
    if re.search(r"rel(ative)?_(attention|pos|position)_bias|(^|[./])embedding_bags?[./]", name):
        return True
    if any(map(EMBEDDING.fullmatch, words)):
        return not multiplied or EMBEDDING.fullmatch(words[-1]) is not None
    return len(words) > 0 and words != ["bias"] and all(map(LOOKED_UP.fullmatch, words))


def is_weights(name: str) -> bool:
    """True where the name alone says that a matrix is the weights of a layer."""
    return PAIRED.fullmatch(name) is not None


def layout_of(name: str) -> str:
    """The kind of weights that a file stores alike: `kernel` (Keras, Flax), `conv1d` (GPT-2's names), else `weight`."""
    parts = components(name)
    if parts[-1:] in (["kernel"], ["_kernel"]) or name.endswith("/vars/0"):  # Keras
        return "kernel"
    return "conv1d" if len(parts) > 1 and parts[-2] in ("c_attn", "c_proj", "c_fc", "q_attn") else "weight"


def kind(array: Any) -> str:
    """The shape of an array, and its type where that is unusual."""
    odd = "" if array.dtype.kind in "fiub" else f", dtype {shown(array.dtype)}"
    return f"shape {shown(tuple(array.shape))}{odd}"


def by_names(arrays: Iterable[str]) -> dict[str, str]:
    """Arrays by their names, and in lower case where only one has that name."""
    names = list(arrays)
    lower = Counter(each.lower() for each in names)
    return {each.lower(): each for each in names if lower[each.lower()] == 1} | {each: each for each in names}


def bias_of(matrix: str, by_name: Mapping[str, str], *, alone: bool) -> str | None:
    """The array named as the bias of a matrix, None where none is. by_name : arrays as `by_names` has them."""
    names = []
    if paired := PAIRED.fullmatch(matrix) or SUFFIXED.fullmatch(matrix):
        capital = paired["word"][0].isupper()
        words = [word.capitalize() if capital else word for word in BIAS_OF[paired["word"].lower()]]
        words += [word for word in BIAS_OF[paired["word"].lower()] if capital]
        names = [f"{paired['stem']}{word}{paired['rest']}{paired['device']}" for word in words]
    names += [f"{matrix[:-1]}1"] if matrix.endswith("/vars/0") else []  # Keras
    names += [f"{matrix}{mark}{word}" for word in ("bias", "b") for mark in "._/"]
    names += ["bias", "b"] if alone else []
    found = next((by_name[each] for name in names for each in (name, name.lower()) if each in by_name), None)
    return None if found == matrix else found


def layer_names(matrices: Collection[str], network: str) -> dict[str, str]:
    """A name for the layer of each matrix: `X` of `X.weight`, the network's of a bare `weight`, else the array's own.

    Where two would be the same, both keep their arrays' names.
    """
    short = {each: _layer_name(each, network) for each in matrices}
    uses: dict[str, int] = {}
    for layer in short.values():
        uses[layer] = uses.get(layer, 0) + 1
    return {each: layer if uses[layer] == 1 else each for each, layer in short.items()}


def _layer_name(matrix: str, network: str) -> str:
    if found := WEIGHT_NAME.fullmatch(matrix):
        return found["layer"]
    return network if re.fullmatch(r"weights?|kernel", matrix, re.I) else matrix
