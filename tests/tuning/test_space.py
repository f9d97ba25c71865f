"""From the sweep grammar to distributions, and from values back to words."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lens.config import read_words
from lens.config.preflight import parse_overrides
from lens.errors import LensError
from lens.tuning.space import Space, read_space

CONF = Path(__file__).parents[2] / "conf"
FLOAT, INT, CHOICE = FloatDistribution, IntDistribution, CategoricalDistribution

MEANINGS: list[tuple[str, BaseDistribution]] = [
    ("model=vit_tiny,resnet_tiny", CHOICE(("vit_tiny", "resnet_tiny"))),
    ("model=choice(vit_tiny,resnet_tiny)", CHOICE(("vit_tiny", "resnet_tiny"))),
    ("model=glob(res*)", CHOICE(("resnet", "resnet_tiny"))),
    ("model.margin=0.1,0.2,0.4", CHOICE(("0.1", "0.2", "0.4"))),
    ("model.margin=0.1,0.1,0.2", CHOICE(("0.1", "0.2"))),
    ("model.margin=shuffle(0.1,0.2,0.4)", CHOICE(("0.1", "0.2", "0.4"))),
    ("callbacks.retrieval.ks=[1],[1,5]", CHOICE(("[1]", "[1,5]"))),
    ("name='a, b','c=d'", CHOICE(("'a, b'", "'c=d'"))),
    ("model.pretrained=true,null", CHOICE(("True", "null"))),
    ("trainer.max_epochs=range(3,9)", INT(3, 8)),
    ("trainer.max_epochs=range(9)", INT(0, 8)),
    ("trainer.max_epochs=range(3,10,3)", INT(3, 9, step=3)),
    ("trainer.max_epochs=range(9,3,-2)", INT(5, 9, step=2)),
    ("trainer.max_epochs=tag(log,range(1,65))", INT(1, 64, log=True)),
    ("model.margin=range(0.1,0.5,0.1)", FLOAT(0.1, 0.4, step=0.1)),
    ("model.margin=range(0.1,0.4,0.1)", FLOAT(0.1, 0.3, step=0.1)),
    ("model.margin=range(1,2,0.25)", FLOAT(1, 1.75, step=0.25)),
    ("model.margin=interval(0.1,0.5)", FLOAT(0.1, 0.5)),
    ("model.margin=interval(-1,1)", FLOAT(-1, 1)),
    ("model.margin=interval(1,8)", FLOAT(1, 8)),
    ("+model.margin=interval(0.1,0.5)", FLOAT(0.1, 0.5)),
    ("data.batch_size=int(interval(8,64))", INT(8, 64)),
    ("data.batch_size=tag(log,int(interval(8,64)))", INT(8, 64, log=True)),
    ("data.batch_size=int(tag(log,interval(8,64)))", INT(8, 64, log=True)),
    ("model.learning_rate=tag(log,interval(1e-5,1e-2))", FLOAT(1e-5, 1e-2, log=True)),
    ("model.learning_rate=tag(log, interval(start=1e-5, end=1e-2))", FLOAT(1e-5, 1e-2, log=True)),
]


@pytest.mark.parametrize(("word", "meant"), MEANINGS, ids=[word for word, _ in MEANINGS])
def test_the_grammar(word: str, meant: BaseDistribution) -> None:
    (dimension,) = read_space([word], CONF).dimensions
    assert dimension.distribution == meant
    assert dimension.name == word.partition("=")[0].lstrip("+")


MISTAKES = [
    ("model.margin=interval(0.5,0.1)", "give the smaller end first"),
    ("model.margin=interval(0.5,0.5)", "give the smaller end first"),
    ("model.margin=int(interval(0.1,0.9))", "give the smaller end first"),
    (
        "model.learning_rate=tag(log,interval(0,1e-2))",
        "a logarithm needs numbers above 0; the range begins at 0.0",
    ),
    ("model.learning_rate=tag(log,interval(-1,1))", "above 0"),
    ("trainer.max_epochs=tag(log,range(9))", "above 0"),
    ("trainer.max_epochs=tag(log,range(1,9,2))", "log goes with no step"),
    ("model.margin=tag(log,range(0.1,0.5,0.1))", "log goes with no step"),
    ("model.margin=tag(log,choice(0.1,0.2))", "log goes with numbers"),
    ("model.margin=tag(lgo,interval(0.1,0.2))", "the tag lgo means nothing here"),
    ("model.margin=interval(0,inf)", "finite"),
    ("model.margin=interval(nan,1)", "finite"),
    ("trainer.max_epochs=range(9,3)", "the range holds 0 numbers"),
    ("trainer.max_epochs=range(3,4)", "the range holds 1 numbers"),
    ("trainer.max_epochs=range(3,9,0)", "other than 0"),
    ("model=glob(nothing*)", "nothing is no choice"),
    ("model=glob(vit_t*)", "vit_tiny is no choice"),
    ("model.margin=0.1,0.1", "is no choice"),
    ("model.margin=intervall(0.1,0.2)", "cannot be read"),
    ("model.margin=interval(0.1)", "cannot be read"),
    ("model.margin=0.1", "Nothing to search over"),
    ("monitor=val/map_at_r,val/r_precision", "judged and kept alike"),
    ("logger.experiment=a,b", "judged and kept alike"),
]


@pytest.mark.parametrize(("word", "told"), MISTAKES, ids=[word for word, _ in MISTAKES])
def test_what_cannot_be_searched_over_is_one_sentence(word: str, told: str) -> None:
    with pytest.raises(LensError) as caught:
        read_space([word], CONF)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_setting_is_given_once() -> None:
    for other in ("model.margin=0.3", "model.margin=0.3,0.4"):
        with pytest.raises(LensError, match="model.margin is given twice"):
            read_space(["model.margin=0.1,0.2", other], CONF)
    assert len(read_words(["seed=1", "seed=2"], CONF)) == 2  # Hydra takes the last one


def test_the_words_keep_their_order_and_their_plus() -> None:
    space = read_space(["seed=3", "+model.margin=0.1,0.2", "model=vit_tiny,resnet_tiny", "name='a, b'"], CONF)
    words = space.words({"model": "vit_tiny", "model.margin": "0.2"})
    assert words == ["seed=3", "+model.margin=0.2", "model=vit_tiny", "name='a, b'"]


whole = st.integers(-(10**6), 10**6)


@given(start=whole, stop=st.integers(-50, 50), step=st.integers(-7, 7).filter(bool))
@settings(max_examples=60, deadline=None)
def test_a_range_is_what_python_and_hydra_make_of_it(start: int, stop: int, step: int) -> None:
    stop += start
    expected = sorted(range(start, stop, step))
    word = f"trainer.max_epochs=range({start},{stop},{step})"
    if len(expected) < 2:
        with pytest.raises(LensError, match=f"holds {len(expected)} numbers"):
            read_space([word], CONF)
        return
    (dimension,) = read_space([word], CONF).dimensions
    assert dimension.values() == expected
    assert expected == sorted(int(str(value)) for value in parse_overrides([word])[0].sweep_iterator())


@given(low=st.floats(1e-6, 1e3), factor=st.floats(1.001, 1e3), share=st.floats(0, 1), log=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_word_gives_the_very_number_again(low: float, factor: float, share: float, log: bool) -> None:
    high = low * factor
    inside = f"interval({low!r},{high!r})"
    space = read_space([f"model.margin=tag(log,{inside})" if log else f"model.margin={inside}"], CONF)
    value = low + share * (high - low)
    (word,) = parse_overrides(space.words({"model.margin": value}))
    assert word.value() == value and isinstance(word.value(), float)
    samples = space.dimensions[0].samples()
    assert samples[0] == low and samples[-1] == high and low < samples[1] < high


@given(st.integers(1, 9), st.integers(2, 40), st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_numbers_between_steps_have_no_stray_digits(first: int, count: int, step: int) -> None:
    word = f"model.margin=range({first / 100},{(first + step * (count - 0.5)) / 100},{step / 100})"
    (dimension,) = read_space([word], CONF).dimensions
    values = dimension.values()
    assert values is not None and len(values) == count
    assert [dimension.text(value) for value in values] == [
        repr((first + step * n) / 100) for n in range(count)
    ]
    assert dimension.distribution == FLOAT(first / 100, (first + step * (count - 1)) / 100, step=step / 100)


def test_combinations_are_listed_where_there_are_few() -> None:
    space = read_space(["model=vit_tiny,resnet_tiny", "trainer.max_epochs=range(2,5)"], CONF)
    combinations = space.combinations()
    assert combinations is not None and len({space.texts(values) for values in combinations}) == 6
    assert read_space(["model.margin=interval(0,1)", "seed=1,2"], CONF).combinations() is None
    assert read_space(["seed=range(0,1000000000000)"], CONF).combinations() is None
    assert (
        read_space([f"seed=range({10**3})", f"trainer.max_epochs=range({10**3})"], CONF).combinations()
        is None
    )


def test_the_points_hold_every_choice_and_both_ends() -> None:
    space = read_space(
        ["model=vit_tiny,resnet_tiny,clip_tiny,autoencoder_tiny", "model.margin=tag(log,interval(0.01,1))"],
        CONF,
    )
    points = space.points()
    assert [point["model"] for point in points] == [
        "vit_tiny",
        "resnet_tiny",
        "clip_tiny",
        "autoencoder_tiny",
    ]
    assert {point["model.margin"] for point in points} == {0.01, 0.1, 1.0}
    assert Space(space.items[:1]).points() == [{"model": point["model"]} for point in points]
    assert math.isclose(points[1]["model.margin"], 0.1)
