import pytest

from eie_sim.cli import main


@pytest.fixture
def ask(capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def ask(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return ask
