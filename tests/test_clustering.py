"""The V-measure."""

import numpy as np
import pytest

from textpipe.metrics import clustering


@pytest.mark.parametrize("seed", range(20))
def test_the_v_measure_agrees_with_scikit_learn(seed):
    from sklearn.metrics import homogeneity_completeness_v_measure

    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 200))
    classes, clusters = (rng.integers(0, int(rng.integers(1, 12)), size) for _ in range(2))
    found = clustering.v_measure([f"class {number}" for number in classes], clusters.tolist())
    expected = homogeneity_completeness_v_measure(classes, clusters)
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-12)


def test_names_of_clusters_do_not_matter_and_merged_classes_cost_homogeneity_alone():
    assert clustering.v_measure(["a", "a", "b"], [7, 7, 5])["v_measure"] == 1
    merged = clustering.v_measure(["a", "a", "b", "b"], ["x"] * 4)
    assert (merged["homogeneity"], merged["completeness"], merged["v_measure"]) == (0, 1, 0)
    assert clustering.v_measure([], [])["v_measure"] == 1


def test_as_many_clusters_as_classes_are_needed():
    with pytest.raises(ValueError, match="expected 2 as of classes, found 1"):
        clustering.v_measure(["a", "b"], [1])
