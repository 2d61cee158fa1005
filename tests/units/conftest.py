import pytest
from registering import HERE, forget, install, path_with


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs a package of units for one test: entry points as name=place, the toy's for none."""

    def installed(package="toy", **points):
        folder = tmp_path / f"installed-{package}"
        install(folder, points, package)
        monkeypatch.syspath_prepend(HERE)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", path_with())
        forget()

    yield installed
    monkeypatch.undo()
    forget()


@pytest.fixture
def toy(installed):
    """The toy, found by its name."""
    from toy import UNIT

    installed()
    return UNIT
