"""The copy that mutants are made in says the same as the sources, and no reason outlives what it explains."""

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


def functions(folder):
    """(name, text) of functions in the files of a folder that are mutated; Class.name in a class, lines joined."""
    for file, path in FILES.items():
        if file.rpartition("/")[0] == f"eie_sim/{folder}":
            source = path.read_text()
            lines = [line.strip() for line in source.splitlines()]
            scopes = [("", ast.parse(source))]
            scopes += [
                (f"{node.name}.", node) for _, node in scopes for node in node.body if isinstance(node, ast.ClassDef)
            ]
            for prefix, scope in scopes:
                for node in scope.body:
                    if isinstance(node, ast.FunctionDef):
                        yield prefix + node.name, " ".join(lines[node.lineno - 1 : node.end_lineno])


def test_every_explained_mutant_is_of_a_fragment_that_is_in_its_function():
    texts = {folder: list(functions(folder)) for folder in {key[0] for key in mutation.explained()}}
    outdated = []
    for folder, function, before, after in mutation.explained():
        found = [text for name, text in texts[folder] if name == function]
        if not found:
            outdated.append(f"{folder} has no function {function}")
        elif not any(before in text for text in found):
            outdated.append(f"{folder}, {function} has no {before!r}, which was changed to {after!r}")
    assert outdated == []


def test_a_reason_is_of_one_change_in_one_function_in_any_file_of_its_folder():
    why = {("units/eie", "Pe.issue", "low < 2", "low <= 2"): "a reason"}
    of_reason = "eie_sim/units/eie/moved.py", "Pe.issue", "if high < 2 and low < 2:"
    assert mutation.is_explained(why, *of_reason, "if high < 2 and low <= 2:")
    assert not mutation.is_explained(why, *of_reason, "if high <= 2 and low < 2:")
    assert not mutation.is_explained(why, of_reason[0], "issue", of_reason[2], "if high < 2 and low <= 2:")
    assert not mutation.is_explained(why, "eie_sim/units/nm/a.py", *of_reason[1:], "if high < 2 and low <= 2:")
