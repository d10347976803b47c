"""Configs whose paths lead anywhere lead to files of the voice's folder, or nowhere."""

import pytest

from appliance.engines.coqui.config_paths import named_files, settle_paths


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "voice"
    path.mkdir()
    (path / "speakers.json").write_text("{}", "utf-8")
    (tmp_path / "outside.json").write_text("{}", "utf-8")
    (path / "link.json").symlink_to(tmp_path / "outside.json")
    (path / "inner").mkdir()
    return path


@pytest.mark.parametrize(
    "named",
    ["speakers.json", "/elsewhere/speakers.json", "../speakers.json", "C:\\models\\speakers.json"],
)
def test_path_when_a_file_of_this_name_is_in_the_folder_then_that_is_named(folder, named) -> None:
    config = {"model_args": {"speakers_file": named}}
    assert settle_paths(config, folder, absolute=False) == {"model_args": {"speakers_file": "speakers.json"}}
    absolute = settle_paths(config, folder, absolute=True)["model_args"]["speakers_file"]
    assert absolute == str(folder / "speakers.json")
    assert named_files(config, folder) == [folder / "speakers.json"]


@pytest.mark.parametrize(
    "named",
    ["", ".", "..", "/", "../outside.json", "link.json", "inner", "http://host/x.json", "a\0b", ".hidden"],
)
def test_path_when_no_such_file_is_in_the_folder_then_nothing_is_named(folder, named) -> None:
    (folder / ".hidden").touch()
    for field in (
        "speakers_file",
        "d_vector_file",
        "stats_path",
        "output_path",
        "gst_style_input_wav",
        "path",
    ):
        assert settle_paths({field: named}, folder, absolute=True) == {field: ""}
        assert named_files({field: named}, folder) == []


def test_path_when_it_stands_in_lists_then_each_is_settled(folder) -> None:
    config = {"d_vector_file": ["/a/speakers.json", "/b/other.json"], "datasets": [{"path": "/data"}]}
    settled = settle_paths(config, folder, absolute=False)
    assert settled == {"d_vector_file": ["speakers.json", ""], "datasets": [{"path": ""}]}


def test_other_fields_when_settled_then_as_they_were(folder) -> None:
    config = {
        "use_d_vector_file": True,
        "model": "vits",
        "audio": {"stats": 1.5},
        "names": ["speakers.json", None],
    }
    assert settle_paths(config, folder, absolute=True) == config
    assert named_files(config, folder) == []
