"""The operator's settings."""

import pytest

from modelward.settings import SettingsError, load

COMPLETE = {"MODELWARD_SERVER_IMAGE": "a:1", "MODELWARD_ROUTER_IMAGE": "b:1", "POD_NAME": "p", "POD_UID": "u"}


def test_complete() -> None:
    loaded = load(COMPLETE)
    assert loaded.identity == "p_u"
    assert loaded.platform.server_image == "a:1"
    assert loaded.platform.cluster_domain == "cluster.local"


@pytest.mark.parametrize("missing", ["MODELWARD_SERVER_IMAGE", "MODELWARD_ROUTER_IMAGE"])
def test_a_missing_image_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        load({name: value for name, value in COMPLETE.items() if name != missing})


@pytest.mark.parametrize("text", ["0", "-1", "x", ""])
def test_a_wrong_number_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="MODELWARD_RESYNC_SECONDS"):
        load({**COMPLETE, "MODELWARD_RESYNC_SECONDS": text})


def test_without_a_pod_the_identity_is_of_this_process_alone() -> None:
    assert load({**COMPLETE, "POD_UID": ""}).identity != load({**COMPLETE, "POD_UID": ""}).identity
