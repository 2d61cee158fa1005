"""What named arrays are: weights of a layer, what belongs to them, and what is no layer, each with its reason.

Names and shapes say what an array is only where they leave no doubt; whatever else there is stands in `left`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from eie_sim.core.arrays import shown

WEIGHT_NAME = re.compile(r"(?P<layer>.+)[._/](weights?|kernel)(?::0)?", re.IGNORECASE)
PAIRED = re.compile(
    r"(?P<stem>(?:.*[._/])?)(?P<word>weights?|kernel|w)(?P<number>_?\d*)(?P<device>(?::0)?)", re.IGNORECASE
)
BIAS_OF = {"weights": ("biases", "bias"), "weight": ("bias",), "kernel": ("bias",), "w": ("b",)}
RECORDING = re.compile(r"(?P<layer>.+)(?:[./](?:inputs?|x)|[._/]activations?)", re.IGNORECASE)
BARE_RECORDINGS = ("activations", "activation", "inputs", "input", "acts", "x")
"""Names of inputs that say of no layer, those that are taken before others first."""

EXAMPLES = ("test_inputs", "test_labels", "train_inputs", "train_labels", "calibration")

OPTIMISER = re.compile(
    r"(^|[./])((optim|adam|opt_state|rmsprop|sgd|momentum)[^./]*|(max_)?exp_avg(_sq)?|square_avg|grads?|gradients?)($|[./])"
    r"|[._/](exp_avg(_sq)?|momentum(_buffer)?|grad)$",
    re.IGNORECASE,
)
RECURRENT = re.compile(
    r"lstm|(?<![a-z])(bi)?(gru|rnn)|(?<![a-z])(weight|w|bias|b)_[ih]h(?![a-z])|recurrent_kernel", re.IGNORECASE
)
MASK = re.compile(r"(^|[._/])(mask|masks|masked_bias|tril|triu)(?::0)?$|(attn|attention)[._/]bias$", re.IGNORECASE)
PACKED = re.compile(r"(^|[._/])(qweight|qzeros|(weight_)?packed(_weight)?|bitmask|compressed)$", re.IGNORECASE)
SCALE = re.compile(
    r"(^|[._/])([a-z]+_)*(scales?|scale_inv|zeros?|zeros?_points?|zp|absmax|quant_map|scb|g_idx|amax)(?::0)?$",
    re.IGNORECASE,
)
STATISTIC = re.compile(
    r"(^|[._/])((running|moving|batch|ema)_(mean|var|variance|std)|mean|var|variance|std|num_batches_tracked)(?::0)?$",
    re.IGNORECASE,
)
INPUTS = re.compile(
    r"(x|y|acts|inputs?|input_ids|labels?|targets?|images?|features?|samples?|hidden_states|calibration|activations?)"
    r"_?(train|test|val|valid|calib|calibration)?",
    re.IGNORECASE,
)
LOOKED_UP = re.compile(
    r"(emb|embd|embeds?|embedder|embeddings?|wordembeddings?|wte|wpe|wtt|shared|lookup|vocab|pos|positions?|positional"
    r"|codebook|table)"
)
"""Words that name a table that is looked up, where none of MULTIPLIED stands beside them."""

MULTIPLIED = re.compile(r"(proj|project|projection|linear|dense|fc|mlp|out|output|head|query|key|value|norm|conv)")


def components(name: str) -> list[str]:
    """The parts of a name between dots and slashes, in lower case, device and digits left out."""
    return [part for part in re.split(r"[./]", name.removesuffix(":0").lower()) if part and not part.isdigit()]


def no_layer(name: str, array: Any, *, has_bias: bool) -> str | None:
    """Why an array certainly is not weights of a fully connected layer, as its name or shape has it; else None."""
    for pattern, reason in (
        (OPTIMISER, "optimiser state, {}"),
        (PACKED, "packed words, {}: unpack them to floats, (out, in), first"),
        (SCALE, "scale or zero point, {}, of no integer weights here"),
        (STATISTIC, "statistics, {}, not folded"),
        (RECURRENT, "recurrent, {}, not simulated yet"),
        (MASK, "mask, {}, not applied"),
    ):
        if pattern.search(name):
            return reason.format(kind(array))
    if _is_looked_up(name) and not has_bias:
        return f"embedding, {kind(array)}, looked up and not multiplied"
    if array.ndim >= 3:
        if array.ndim >= 4 or "conv" in name.lower():
            is_bias = components(name)[-1:] == ["bias"]
            return f"mask, {kind(array)}, not applied" if is_bias else f"convolution, {kind(array)}, not simulated yet"
        if WEIGHT_NAME.fullmatch(name):
            return f"weights in three dimensions, {kind(array)}, as of experts, not simulated yet"
    return None


def _is_looked_up(name: str) -> bool:
    """True for an embedding or a table of positions: the part of the name that says what the array is, says so."""
    parts = components(name)
    own = parts[-2:] if parts[-1:] and re.fullmatch(r"weights?|kernel|w", parts[-1]) else parts[-1:]
    words = [word for part in own for word in re.split(r"[_\-:\d]+", part)]
    return any(map(LOOKED_UP.fullmatch, words)) and not any(map(MULTIPLIED.fullmatch, words))


def is_weights(name: str) -> bool:
    """True where the name alone says that a matrix is the weights of a layer."""
    return PAIRED.fullmatch(name) is not None


def is_kernel(name: str) -> bool:
    """True for names of weights that are stored (in, out): `kernel` of Keras and Flax, Conv1D of GPT-2."""
    parts = components(name)
    return parts[-1:] == ["kernel"] or (len(parts) > 1 and parts[-2] in ("c_attn", "c_proj", "c_fc", "q_attn"))


def kind(array: Any) -> str:
    """The shape of an array, and its type where that is unusual."""
    odd = "" if array.dtype.kind in "fiub" else f", dtype {shown(array.dtype)}"
    return f"shape {shown(tuple(array.shape))}{odd}"


def bias_of(matrix: str, by_name: Mapping[str, str], *, alone: bool) -> str | None:
    """The array named as the bias of a matrix. by_name : arrays that may be one, by their names in lower case."""
    names = []
    if paired := PAIRED.fullmatch(matrix):
        words = BIAS_OF[paired["word"].lower()]
        names = [f"{paired['stem']}{word}{paired['number']}{paired['device']}" for word in words]
    names += [f"{matrix}{mark}bias" for mark in "._/"]
    names += ["bias", "b"] if alone else []
    return next((by_name[each.lower()] for each in names if each.lower() in by_name), None)


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
    return network if re.fullmatch(r"weights?|kernel", matrix, re.IGNORECASE) else matrix
