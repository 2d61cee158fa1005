"""A torch module to a graph, by way of torch's own export to ONNX without its optimiser."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from eie_sim.core.arrays import one_line
from eie_sim.core.errors import InputError, refused, require
from eie_sim.network.graph import Graph
from eie_sim.network.readers.onnx_file import contents_of
from eie_sim.network.readers.onnx_reader import graph_of


def from_torch(module: Any, example: Any) -> Graph:
    """Return the graph of a torch module for inputs of one shape; parameters have their names of the state_dict.

    example : a tensor, or a tuple of what `module` is called with
    Raise InputError where torch is missing, a module within is in training mode, or torch cannot export it.
    """
    torch = torch_for(module)
    source = f"torch module {type(module).__name__}"
    for name, part in module.named_modules():
        require(not part.training, "module", name or type(module).__name__, "is in training mode: call eval() first")
    given = example if isinstance(example, tuple) else (example,)
    tensors = [one for one in given if isinstance(one, torch.Tensor)]
    try:
        with _quiet(), torch.no_grad():
            model = torch.onnx.export(module, given, dynamo=True, optimize=False, verbose=False).model_proto
    except Exception as error:  # whatever the export and the module raise
        raise refused("module", type(module).__name__, f"torch cannot export it: {one_line(_cause(error))}") from error
    contents = contents_of(model, source)
    names = [info.name for info in contents.inputs if info.name not in contents.arrays]
    require(
        len(names) == len(tensors), "example", f"{len(tensors)} tensors", f"must be {len(names)}: {', '.join(names)}"
    )
    return graph_of(contents, dict(zip(names, tensors, strict=True)))


def torch_for(module: Any) -> Any:
    """Return torch. Raise InputError where it is missing, which says what to install, and for what is no module."""
    try:
        torch = import_module("torch")
        import_module("onnxscript")
    except ImportError as error:
        raise InputError('torch and onnxscript are not installed: pip install "eie-sim[torch]"') from error
    require(isinstance(module, torch.nn.Module), "module", type(module).__name__, "must be a torch.nn.Module")
    return torch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the export says of itself from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
