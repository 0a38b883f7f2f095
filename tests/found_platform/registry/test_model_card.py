"""Cards are for people."""

from found_platform.registry import model_card


def test_values_with_names_are_written_as_a_person_writes_them() -> None:
    assert model_card._listed({"width": 32, "window_days": 7, "kind": "gru"}) == "width 32, window days 7, kind gru"
    assert (model_card._listed(True), model_card._listed(64)) == ("yes", "64")
