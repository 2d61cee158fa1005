"""A graph back into the torch module that it came from: parameters and the sizes that its parts state."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import one_line
from eie_sim.core.errors import InputError, few, refused, require, require_type
from eie_sim.core.files import as_path, place_for, write_whole
from eie_sim.network.floatrun import LOWERED_TOLERANCE, apart, run
from eie_sim.network.graph import Array, Graph
from eie_sim.network.readers.torch_reader import torch_for


def to_torch(module: Any, graph: Graph, *, example: Any = None, verify: bool = True) -> Any:
    """Return a copy of a torch module with the parameters and buffers of a graph, and the sizes that they need.

    module : what the graph came from by `es.from_torch`; arrays that the graph does not have stay the module's
    graph : the same with other arrays, masked or with fewer channels
    example : what `module` is called with in the check; None for the graph's own inputs
    verify : run both on that, and compare all outputs

    An array that is in the graph as it is in the module stays bit for bit; weights that are tied stay tied.
    Raise InputError where torch is missing, a part of torch cannot have the sizes of the graph, or the module cannot
    run or gives other outputs: a forward may state sizes in Python, and an export may compute weights from others.
    """
    torch = torch_for(module)
    require_type("graph", graph, Graph)
    made = _copied(module)
    tensors: dict[int, tuple[Any, list[str]]] = {}
    for prefix, part in made.named_modules(remove_duplicate=False):
        for name, tensor in {**vars(part), **part._parameters, **part._buffers}.items():
            if isinstance(tensor, torch.Tensor):
                tensors.setdefault(id(tensor), (tensor, []))[1].append(f"{prefix}.{name}".lstrip("."))
    resized = [name for tensor, names in tensors.values() if _put(torch, tensor, names, graph) for name in names]
    for prefix in dict.fromkeys(name.rpartition(".")[0] for name in resized):
        part = made.get_submodule(prefix)
        _, weights = tensors.get(id(getattr(part, "weight", None)), (None, []))
        _state_sizes(torch, prefix or type(part).__name__, part, graph, weights)
    known = {name for _, names in tensors.values() for name in names}
    strange = [name for name, one in graph.parameters.items() if name not in known and np.ptp(one.array) > 0]
    if verify:
        _require_alike(torch, made, graph, example, strange)
    elif strange:
        raise refused(
            "parameter",
            few(strange),
            "none of the module's: must be checked with verify=True, which tells whether it matters",
        )
    return made


def save_state_dict(module: Any, file: str | Path) -> None:
    """Write the state_dict of a torch module as a .safetensors file; a weight that is tied is there by all its names.

    Raise InputError for another suffix, a file that cannot be written, and a state that is no tensor.
    """
    torch = torch_for(module)
    path = place_for("file", as_path("file", file))
    require(path.suffix == ".safetensors", "file", path.name, "must end in .safetensors")
    tensors = {}
    for name, tensor in module.state_dict().items():
        require(isinstance(tensor, torch.Tensor), f"state {name}", type(tensor).__name__, "must be a tensor")
        tensors[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
    try:
        write_whole({path: import_module("safetensors.torch").save(tensors)})
    except OSError as error:
        raise InputError(f"file={file}: cannot be written: {error.strerror}") from error


def _copied(module: Any) -> Any:
    try:
        return deepcopy(module)
    except Exception as error:  # tensors that are computed, as torch.nn.utils.prune leaves them, and what users hold
        raise refused("module", type(module).__name__, f"cannot be copied: {one_line(error)}") from error


def _put(torch: Any, tensor: Any, names: list[str], graph: Graph) -> bool:
    """Give a tensor, by all its names, the array that the graph has of it. Return True where its shape changes."""
    arrays = {name: graph.parameters[name].array for name in names if name in graph.parameters}
    arrays |= {name: graph.constants[name] for name in names if name in graph.constants}
    if not arrays:
        return False
    array, *others = arrays.values()
    alike = all(np.array_equal(array, other) for other in others)
    require(alike, "parameters", ", ".join(arrays), "are one in the module: must be equal in the graph")
    rule = f"must be of {tensor.ndim} axes, as in the module"
    require(array.ndim == tensor.ndim, f"parameter {next(iter(arrays))}", f"shape {array.shape}", rule)
    new, own = torch.from_numpy(np.array(array)), tensor.detach().cpu()
    resized: bool = new.shape != own.shape
    same = torch.zeros(new.shape, dtype=torch.bool) if resized else own.to(new.dtype) == new  # graphs have float32
    if not same.all():
        new = new.to(own.dtype)
        tensor.data = (new if resized else torch.where(same, own, new)).to(tensor.device)
    return resized


def _state_sizes(torch: Any, name: str, part: Any, graph: Graph, weights: list[str]) -> None:
    """Set the sizes that a part of torch states. weights : names of its weight. Raise InputError where it cannot."""
    nn = torch.nn
    shape = tuple(part.weight.shape) if isinstance(getattr(part, "weight", None), torch.Tensor) else ()
    match part:
        case nn.Linear():
            part.out_features, part.in_features = shape
        case nn.Bilinear():
            part.out_features, part.in1_features, part.in2_features = shape
        case nn.Embedding() | nn.EmbeddingBag():
            part.num_embeddings, part.embedding_dim = shape
        case nn.PReLU():
            (part.num_parameters,) = shape
        case nn.LayerNorm() | nn.RMSNorm():
            part.normalized_shape = shape
        case nn.GroupNorm():
            (part.num_channels,) = shape
        case nn.modules.batchnorm._NormBase():
            (part.num_features,) = shape or part.running_mean.shape
        case nn.modules.conv._ConvNd():
            part.groups = _groups(graph, weights, part.groups)
            channels = [shape[0], shape[1] * part.groups]
            part.in_channels, part.out_channels = channels if part.transposed else channels[::-1]
        case nn.RNNBase():
            inner = {tuple(one.shape) for key, one in part.named_parameters() if key.startswith("weight_hh")}
            require(len(inner) == 1, "module", name, f"would have {few([*map(str, inner)])} as weight_hh: must be one")
            part.input_size, part.hidden_size = part.weight_ih_l0.shape[1], part.weight_hh_l0.shape[1]
        case nn.RNNCellBase():
            part.input_size, part.hidden_size = part.weight_ih.shape[1], part.weight_hh.shape[1]
        case nn.MultiheadAttention():
            keys = part.in_proj_weight is None  # whose widths are others
            width, first = part.out_proj.weight.shape[0], part.q_proj_weight if keys else part.in_proj_weight
            shapes = [tuple(one.shape) for one in (first, part.out_proj.weight)]
            fits = shapes == [(width if keys else 3 * width, width), (width, width)] and width % part.head_dim == 0
            rule = f"must be of one width, a multiple of {part.head_dim}: torch has no other MultiheadAttention"
            require(fits, "module", name, f"weights {few([*map(str, shapes)])}: {rule}")
            part.embed_dim, part.num_heads = width, width // part.head_dim
            part.kdim, part.vdim = (
                (part.k_proj_weight.shape[1], part.v_proj_weight.shape[1]) if keys else (width, width)
            )


def _groups(graph: Graph, weights: list[str], before: int) -> int:
    """Groups of a convolution as its node has them."""
    nodes = [node for name in weights for node in graph.readers.get(name, ())]
    for node in nodes:  # which grows by readers of what is moved
        if node.kind == "move":
            nodes += [reader for made in node.makes for reader in graph.readers.get(made, ())]
    return next((node.attributes.get("group", 1) for node in nodes if node.op in ("Conv", "ConvTranspose")), before)


def _require_alike(torch: Any, made: Any, graph: Graph, example: Any, strange: list[str]) -> None:
    """Raise InputError, which names the part, where a module cannot run or gives other outputs than the graph."""
    given, inputs = _inputs(torch, graph, example)
    probe = _copied(made).cpu().float().eval()
    try:
        with torch.no_grad():
            leaves = torch.utils._pytree.tree_leaves(probe(*given))
    except Exception as error:  # whatever a forward raises
        parts = {id(part): name for name, part in probe.named_modules()}
        selves = [id(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
        name = [parts[one] for one in selves if one in parts][-1:]
        rule = "a forward that states sizes in Python keeps them, and verify=False returns the module unrun"
        rule += "" if example is not None else "; example says what it is called with"
        said = f"cannot run with the arrays of the graph: {one_line(error)}: {rule}"
        raise refused("module", "".join(name) or type(made).__name__, said) from error
    found = [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]
    wanted = list(run(graph, inputs=inputs).values())
    rule = f"gives {len(found)} outputs, the graph {len(wanted)}"
    require(len(found) == len(wanted), "module", type(made).__name__, rule)
    for one, other in zip(found, wanted, strict=True):
        if not _alike(one, other):
            said = f"differs from the graph by {apart(one, other):.1e} of its largest output"
            said += f"; the graph also has {few(strange)}, none of the module's parameters" if strange else ""
            raise refused("module", type(made).__name__, said)


def _inputs(torch: Any, graph: Graph, example: Any) -> tuple[tuple[Any, ...], Mapping[str, Array]]:
    """What a module is called with, in float32, and the same as inputs of the graph."""
    if example is None:
        return tuple(torch.from_numpy(np.array(array)) for array in graph.examples.values()), graph.examples
    given = example if isinstance(example, tuple) else (example,)
    given = tuple(one.detach().cpu() if isinstance(one, torch.Tensor) else one for one in given)
    given = tuple(one.float() if isinstance(one, torch.Tensor) and one.is_floating_point() else one for one in given)
    arrays = [one.numpy() for one in given if isinstance(one, torch.Tensor) and (one.ndim or one.is_floating_point())]
    shapes = {name: array.shape for name, array in graph.examples.items()}
    said = [array.shape for array in arrays]
    require(said == [*shapes.values()], "example", f"shapes {said}", f"must be as the graph's inputs: {shapes}")
    return given, dict(zip(shapes, arrays, strict=True))


def _alike(one: Array, other: Array) -> bool:
    largest = np.abs(other[np.isfinite(other)]).max(initial=0)
    return one.shape == other.shape and np.allclose(one, other, 0, LOWERED_TOLERANCE * largest, equal_nan=True)
