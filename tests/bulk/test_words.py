"""Words of the command line, as Hydra is given them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lens.bulk.words import taken_literally


@pytest.mark.parametrize(
    "value",
    [
        "49.90",
        "1e3",
        "1_000",
        "true",
        "007",
        "2012",
        "boot",
        "women's",
        "a, b (1)",
        "x=y",
        "${nothing}",
        "back\\",
    ],
)
def test_a_condition_is_the_text_that_was_written(value: str) -> None:
    (word,) = taken_literally([f"where.price={value}"])
    read = OverridesParser.create().parse_override(word)
    assert (read.key_or_group, read.is_force_add()) == ("where.price", True)
    assert read.value() == value.replace("${", "\\${")  # so OmegaConf finds no interpolation


@pytest.mark.parametrize(
    ("value", "meant"),
    [("null", None), ("[49.90,boot]", [49.9, "boot"]), ("{min: 5}", {"min": 5}), ("'a b'", "a b")],
)
def test_lists_mappings_and_quotes_of_hydra_stay(value: str, meant: object) -> None:
    (word,) = taken_literally([f"where.price={value}"])
    assert OverridesParser.create().parse_override(word).value() == meant
