"""The copy that mutants are made in says the same as the sources, and no reason outlives the line it explains."""

import ast
import types

import mutation
import pytest

SOURCE = """
class A:
    @property
    def b(self):
        return 3

    c = 4


@kernel
def d(x):
    return x + 1
"""
FILES = {str(path.relative_to(mutation.ROOT)): path for path in mutation.sources(mutation.ROOT)}


def test_a_property_is_made_after_its_function_and_a_kernel_is_a_function():
    made = {}
    exec(mutation.undecorated(SOURCE), made)
    assert (made["A"]().b, made["A"].c, made["d"](1)) == (3, 4, 2)
    assert isinstance(vars(made["A"])["b"], property)
    assert isinstance(made["d"], types.FunctionType)


@pytest.mark.parametrize("file", FILES)
def test_nothing_but_decorators_is_taken_away(file):
    source = FILES[file].read_text()
    before, after = (
        [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        for text in (source, mutation.undecorated(source))
    )
    assert [ast.dump(node) for each in before for node in each.body] == [
        ast.dump(node) for each in after for node in each.body
    ]
    assert not [node.name for node in after if {"kernel", "property"} & {ast.unparse(d) for d in node.decorator_list}]


def test_every_explained_mutant_is_of_a_line_that_is_there():
    for (file, old, _), why in mutation.explained().items():
        text = " ".join(line.strip() for line in FILES[file].read_text().splitlines())
        assert old in text, (file, old, why)
