"""Runs grouped into candidates, candidates compared on the same queries, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lens.compare.candidates import candidates
from lens.compare.comparison import _adjusted, compare, quality_table, settings_table, verdicts
from lens.compare.folds import cross_validation
from lens.compare.judge import judge
from lens.compare.worst import worst_queries
from lens.compare.worth import worth
from lens.errors import LensError
from lens.metrics import neighbours, paired_difference
from tests.compare.made import folded, items, trained


def test_seeds_are_one_candidate_and_settings_are_not() -> None:
    found = candidates([trained(0.5, 0), trained(0.5, 1), trained(2.0, 0)])
    assert [len(one.runs) for one in found] == [2, 1]
    own = [run.judged.scores.per_query["precision_at_1"] for run in found[0].runs]
    np.testing.assert_allclose(found[0].per_query["precision_at_1"], np.mean(own, axis=0))
    assert found[0].seeds.n == 2
    assert found[0].seeds.sd == pytest.approx(np.std([values.mean() for values in own], ddof=1))


def test_another_source_of_weights_is_another_candidate() -> None:
    one, other = trained(0.5, 0), trained(0.5, 1)
    other = replace(other, facts=replace(other.facts, tags={"weights": "pretrained"}))
    assert len(candidates([one, other])) == 2


def test_what_changes_the_training_is_no_repeat() -> None:
    patience = {"callbacks.early_stopping.patience": "3"}
    assert len(candidates([trained(0.5), trained(0.5, 1, params=patience)])) == 2
    shown = {"callbacks.pictures.k": "9", "trainer.accelerator": "cpu", "data.root": "/elsewhere"}
    assert len(candidates([trained(0.5), trained(0.5, 1, params=shown)])) == 1


def test_other_images_or_a_held_out_split_are_no_repeat() -> None:
    assert len(candidates([trained(0.5), trained(0.5, 1, fingerprint="g")])) == 2
    found = candidates([trained(0.6), *folded(0.6), *folded(0.6, folds=2)])
    assert sorted(len(one.runs) for one in found) == [1, 2, 4]


def test_the_same_training_again_is_no_second_seed() -> None:
    found = candidates([trained(0.5), trained(0.5), trained(0.5, 1)])
    assert sorted(len(one.runs) for one in found) == [1, 2]


def test_the_better_model_is_best_and_the_difference_is_that_of_a_paired_test() -> None:
    found = candidates([trained(3.0), trained(0.6), trained(0.61, model="n")])
    comparison = compare(found)
    assert comparison.best.name == max(found, key=lambda one: one.per_query["precision_at_1"].mean()).name
    far = next(one for one in comparison.candidates if one.runs[0].facts.run_id == "m-3.0-0-")
    difference = comparison.differences[far.name]
    values = far.per_query["precision_at_1"], comparison.best.per_query["precision_at_1"]
    assert difference.mean == pytest.approx(np.mean(values[0] - values[1]))
    oracle = stats.permutation_test(
        values, lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=2000, rng=0
    ).pvalue
    assert difference.p_value == pytest.approx(oracle, abs=0.01)
    table = quality_table(comparison).set_index("model")
    assert table["verdict"][far.name] == "worse"
    assert "no difference can be claimed" in set(table["verdict"])
    said = " ".join(verdicts(comparison))
    assert "No difference to it can be claimed" in said
    assert "Worse than it" in said


def test_p_values_are_corrected_for_all_pairs() -> None:
    comparison = compare(candidates([trained(1.0 + n / 10, model=f"m{n}") for n in range(6)]))
    ordered = sorted(comparison.differences, key=lambda name: comparison.differences[name].p_value)
    largest = 0.0
    for place, name in enumerate(ordered):  # Holm's step-down over 15 pairs, these five the smallest
        largest = max(largest, min(1.0, (15 - place) * comparison.differences[name].p_value))
        assert comparison.adjusted[name] == pytest.approx(largest)


def test_equal_models_are_seldom_told_apart_although_the_best_is_chosen_on_the_same_queries() -> None:
    random, alarms = np.random.default_rng(0), 0
    for _ in range(60):
        values = (random.random((8, 60)) < 0.5).astype(float)
        best = int(values.mean(1).argmax())
        others = [
            paired_difference(one, values[best], permutations=2000).p_value
            for place, one in enumerate(values)
            if place != best
        ]
        alarms += min(_adjusted(others, 8)) < 0.05
    assert alarms <= 7  # 5 % of 60 are 3; eight or more have a probability below 1 %


def test_runs_on_other_data_are_marked_and_not_compared() -> None:
    other = trained(0.01, model="x", fingerprint="g")
    comparison = compare(candidates([trained(0.5), trained(0.9), other]))
    assert comparison.best.runs[0].facts.run_id == "m-0.5-0-"  # x scores higher, on other items
    assert comparison.other_data == {comparison.candidates[-1].name}
    assert quality_table(comparison)["verdict"].iloc[-1] == "other data"
    assert comparison.candidates[-1].name not in comparison.differences
    assert any("not to be compared" in line for line in verdicts(comparison))


def test_a_collapsed_model_is_said_to_be_no_better_than_chance() -> None:
    run = trained(0.5)
    vectors = np.ones_like(run.embedded.vectors) / 4
    judged = judge(vectors, run.embedded.items, split="test")
    assert judged.scores.metrics == pytest.approx(judged.scores.chance)
    comparison = compare(
        candidates([replace(run, embedded=replace(run.embedded, vectors=vectors), judged=judged)])
    )
    assert any("not above chance" in line for line in verdicts(comparison))


def test_nothing_to_judge_is_one_sentence() -> None:
    with pytest.raises(LensError, match="no index"):
        compare([], {"a": "it has no index"})


def test_gap_and_losses_are_the_means_of_the_runs() -> None:
    logged = [{"train/precision_at_1": 0.9, "val/precision_at_1": p, "test/loss": p} for p in (0.5, 0.7)]
    comparison = compare(
        candidates([trained(0.5, seed, metrics=values) for seed, values in enumerate(logged)])
    )
    line = quality_table(comparison).iloc[0]
    assert (line["gap"], line["test_loss"]) == (pytest.approx(0.3), pytest.approx(0.6))
    assert np.isnan(line["train_loss"])


def test_only_settings_that_differ_are_shown() -> None:
    table = settings_table(compare(candidates([trained(0.5), trained(0.9)])))
    assert list(table.index) == ["model.noise"]


def test_folds_are_pooled_and_judged_together() -> None:
    found = candidates(folded(0.6))
    assert len(found) == 1
    assert found[0].folds
    assert len(found[0].query_ids) == 40  # each item is a query once
    result = cross_validation(found[0])
    assert result.folds.n == 4
    assert result.folds.mean == pytest.approx(
        np.mean([run.judged.scores.metrics["precision_at_1"] for run in found[0].runs])
    )
    assert result.pooled["precision_at_1"].queries == 40
    assert result.out_of_fold.scores.queries == 40
    # in the whole collection: each test item among all items, by its own fold's vectors
    hits = []
    for run in found[0].runs:
        rows = np.flatnonzero(run.embedded.items["split"] == "test")
        every = np.arange(len(run.embedded.items))
        first, _ = neighbours(run.embedded.vectors[rows], run.embedded.vectors, rows, every, 1)
        labels = run.embedded.items["category"].to_numpy()
        hits += list(labels[first[:, 0]] == labels[rows])
    assert result.whole["precision_at_1"].mean == pytest.approx(np.mean(hits))


def test_two_ways_to_train_are_compared_over_their_folds() -> None:
    comparison = compare(candidates([*folded(0.3), *folded(3.0)]))
    assert not comparison.other_data
    assert comparison.differences[comparison.candidates[1].name].queries == 40


def test_worst_queries_are_those_that_all_fail() -> None:
    comparison = compare(candidates([trained(0.8), trained(1.0)]))
    means = np.mean([one.per_query["map_at_r"] for one in comparison.candidates], axis=0)
    worst = worst_queries(comparison, count=3, k=4)
    assert worst[0].item_id == comparison.best.query_ids[np.argmin(means)]
    for query in worst:
        assert set(query.answers) == {one.name for one in comparison.candidates}
        for found in query.answers.values():
            assert len(found) == 4
            assert query.item_id not in {one.item_id for one in found}
            assert [one.cosine for one in found] == sorted((one.cosine for one in found), reverse=True)


def test_the_worth_of_a_score_is_fitted_on_validation_and_judged_on_test() -> None:
    table = items(120, ["test" if n % 3 else "val" for n in range(120)])
    run = trained(0.6, table=table)
    found = next(iter(worth(compare(candidates([run]))).values()))
    assert found.calibration is not None and found.calibrated is not None
    assert found.calibration.queries == 40
    assert found.bands["results"].sum() == found.calibrated["results"].sum() == 80 * 10
