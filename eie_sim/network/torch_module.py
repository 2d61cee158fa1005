"""A graph back into the torch module that it came from: parameters and the sizes that its parts state."""

from __future__ import annotations

import traceback
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import one_line
from eie_sim.core.errors import as_array, few, refused, require, require_type
from eie_sim.core.files import place_for, write_file
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
        raise refused("parameter", few(strange), "is none of the module's: verify=True tells whether that matters")
    return made


def save_state_dict(module: Any, file: str | Path) -> None:
    """Write the state_dict of a torch module as a .safetensors file; a weight that is tied is there by all its names.

    Raise InputError for another suffix, a file that cannot be written, and a state that is no tensor.
    """
    torch = torch_for(module)
    path = place_for("file", file)
    require(path.suffix == ".safetensors", "file", path.name, "must end in .safetensors")
    tensors = {}
    for name, tensor in module.state_dict().items():
        require(isinstance(tensor, torch.Tensor), f"state {name}", type(tensor).__name__, "must be a tensor")
        tensors[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
    write_file("file", file, import_module("safetensors.torch").save(tensors))


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
        tensor.grad, tensor.data = None, (new if resized else torch.where(same, own, new)).to(tensor.device)
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
            nodes = [node for name in weights for node in graph.readers.get(name, ()) if "Conv" in node.op]
            part.groups = nodes[0].attributes.get("group", 1) if nodes else part.groups
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
            part.kdim, part.vdim = width, width
            if keys:
                part.kdim, part.vdim = part.k_proj_weight.shape[1], part.v_proj_weight.shape[1]


def _require_alike(torch: Any, made: Any, graph: Graph, example: Any, strange: list[str]) -> None:
    """Raise InputError, which names the part, where a module cannot run or gives other outputs than the graph."""

    def arrays(values: Any) -> list[Array]:
        tensors = [one for one in torch.utils._pytree.tree_leaves(values) if isinstance(one, torch.Tensor)]
        return [as_array("tensor", one) for one in tensors]

    given = example if isinstance(example, tuple) else (example,)
    if example is None:
        given = tuple(torch.from_numpy(np.array(array)) for array in graph.examples.values())
    given = tuple(one.float() if torch.is_tensor(one) and one.is_floating_point() else one for one in given)
    inputs = [one for one in arrays(given) if one.ndim or one.dtype.kind == "f"]  # others are constants of the graph
    shapes, wanted = [one.shape for one in inputs], [one.shape for one in graph.examples.values()]
    require(shapes == wanted, "example", f"shapes {shapes}", f"must be of {wanted}, as the graph's inputs are")
    probe, name = _copied(made).cpu().float().eval(), type(made).__name__
    rule = "a forward that states sizes in Python keeps them, and verify=False returns the module as it is"
    try:
        with torch.no_grad():
            found = arrays(probe(*(one.cpu() if torch.is_tensor(one) else one for one in given)))
    except Exception as error:  # whatever a forward raises
        parts = {id(part): part_name for part_name, part in probe.named_modules()}
        selves = [id(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
        inner = "".join([parts[one] for one in selves if one in parts][-1:]) or name
        rule += "; example says what it is called with" if example is None else ""
        raise refused("module", inner, f"cannot run with the graph's arrays: {one_line(error)}: {rule}") from error
    outputs = list(run(graph, inputs=dict(zip(graph.examples, inputs, strict=True))).values())
    require(len(found) == len(outputs), "module", name, f"gives {len(found)} outputs, the graph {len(outputs)}")
    for one, other in zip(found, outputs, strict=True):
        most = LOWERED_TOLERANCE * np.abs(other[np.isfinite(other)]).max(initial=0)
        if one.shape != other.shape or not np.allclose(one, other, 0, most, equal_nan=True):
            also = f"; the graph also has {few(strange)}, none of the module's parameters" if strange else ""
            said = f"differs from the graph by {apart(one, other):.1e} of its largest output{also}"
            raise refused("module", name, f"{said}: {rule}")
