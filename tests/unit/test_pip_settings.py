"""What a build of the image is told of this machine's pip."""

from __future__ import annotations

from pathlib import Path

from tests.parts.pip_settings import carried, wheel_folders


def test_settings_when_carried_to_a_build_then_hosts_but_no_folder_and_the_environment_counts() -> None:
    listed = """\
:env:.cert='/etc/ssl/certs/ca-certificates.crt'
:env:.index-url='https://index.example/simple'
global.extra-index-url='file:///opt/simple https://more.example/simple'
global.find-links='/opt/wheels'
global.index-url='https://other.example/simple'
global.no-cache-dir='true'
"""
    assert carried(listed) == {
        "index-url": "https://index.example/simple",
        "extra-index-url": "https://more.example/simple",
    }


def test_folders_of_wheels_when_named_twice_or_not_there_then_each_once_and_none_that_isnt(
    tmp_path: Path,
) -> None:
    listed = (
        f":env:.find-links='{tmp_path} /not/there https://index.example'\nglobal.find-links='{tmp_path}'\n"
    )
    assert wheel_folders(listed) == [tmp_path]
