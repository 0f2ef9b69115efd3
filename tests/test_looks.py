"""What a person set of the layers stays when the next scene comes, and nothing else of what a page reports does."""

import pytest
from rondel.viewer import looks
from rondel.viewer.looks import Looks

SCENE = {
    "layers": [
        {"name": "image", "type": "image", "opacity": 1.0, "shaderControls": {"normalized": {"range": [10, 20]}}},
        {"name": "uncertainty", "type": "image", "visible": False, "source": "new"},
        {"name": "labels", "type": "segmentation", "selectedAlpha": 0.6, "source": "new"},
    ]
}


def reported(**changes: dict) -> dict:
    """Return the scene as a page reports it after a person changed layers of it."""
    return {"layers": [{**one, "source": "old", **changes.get(one["name"], {})} for one in SCENE["layers"]]}


def layer(state: dict, name: str) -> dict:
    return next(one for one in state["layers"] if one["name"] == name)


def test_contrast_visibility_and_opacity_stay_and_sources_do_not():
    chosen = {"shaderControls": {"normalized": {"range": [0, 90]}}}
    state = reported(image=chosen, uncertainty={"visible": None}, labels={"selectedAlpha": 0.9, "visible": False})
    dressed = looks.dress(SCENE, looks.seen(Looks("scan"), state, "scan"))
    assert layer(dressed, "image") == layer(SCENE, "image") | chosen
    assert layer(dressed, "uncertainty") == {"name": "uncertainty", "type": "image", "source": "new"}
    assert layer(dressed, "labels") == layer(SCENE, "labels") | {"selectedAlpha": 0.9, "visible": False}


def test_contrast_is_that_of_a_volume_and_opacity_goes_along():
    state = reported(image={"shaderControls": {"normalized": {"range": [0, 90]}}}, labels={"selectedAlpha": 0.9})
    elsewhere = looks.seen(Looks("scan"), state, "other")
    dressed = looks.dress(SCENE, elsewhere)
    assert layer(dressed, "image") == layer(SCENE, "image")
    assert layer(dressed, "labels")["selectedAlpha"] == 0.9


def test_a_layer_that_is_gone_for_a_while_comes_back_as_it_was():
    looked = looks.seen(Looks("scan"), reported(labels={"selectedAlpha": 0.9}), "scan")
    looked = looks.seen(looked, {"layers": [layer(SCENE, "image")]}, "scan")
    assert layer(looks.dress(SCENE, looked), "labels")["selectedAlpha"] == 0.9


@pytest.mark.parametrize("state", [None, {}, {"layers": 3}, {"layers": [3, {}, {"name": []}, {"name": "labels"}]}])
def test_what_no_client_reports_changes_no_more_than_the_looks(state):
    dressed = looks.dress(SCENE, looks.seen(Looks("scan"), state, "scan"))
    assert [one["name"] for one in dressed["layers"]] == ["image", "uncertainty", "labels"]
    assert all(dressed["layers"][i].get("source") == SCENE["layers"][i].get("source") for i in range(3))
