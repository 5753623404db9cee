"""Linear probes against scikit-learn and against plain loops; what they may and may not see; coarse classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from longcut.evaluation.coarse import coarse_by_prefix, coarse_correct, read_coarse
from longcut.evaluation.linear_probe import PENALTIES, Linear, choose_and_fit, fit_lbfgs, fit_sgd, hold_out


def _clusters(count, *, classes=3, dim=5, spread=1.0, seed=0):
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim)) * 3
    targets = np.arange(count) % classes
    features = centres[targets] + draw.normal(size=(count, dim)) * spread
    return torch.from_numpy(features), torch.from_numpy(targets)


@pytest.mark.parametrize("l2", [1.0, 0.01, 0.0001])
def test_lbfgs_finds_what_scikit_learn_finds(l2):
    features, targets = _clusters(60, spread=3.0)
    ours = fit_lbfgs(features, targets, num_classes=3, l2=l2, max_steps=2000)
    theirs = LogisticRegression(C=1 / (l2 * 60), tol=1e-10, max_iter=10_000).fit(features.numpy(), targets.numpy())
    # Softmax logits are known up to a constant; of the penalised weights the sum over classes is zero.
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_, rtol=1e-3, atol=1e-4)
    centred = ours.bias.numpy() - ours.bias.numpy().mean()
    np.testing.assert_allclose(centred, theirs.intercept_ - theirs.intercept_.mean(), rtol=1e-3, atol=1e-4)


def test_separable_classes_are_separated():
    features, targets = _clusters(90, spread=0.1)
    others, wanted = _clusters(300, spread=0.1, seed=1)
    for found in (
        choose_and_fit(features.float(), targets, num_classes=3)[0],
        fit_sgd(features.float()[None], targets, num_classes=3),
    ):
        assert (found(others.float()).argmax(1) == wanted).all()


def test_the_probe_takes_features_of_any_scale():
    features, targets = _clusters(90, spread=2.0)
    others, _ = _clusters(50, spread=2.0, seed=1)
    scale = torch.tensor([1e-4, 1.0, 1e4, 30.0, 0.1], dtype=torch.float64)
    plain, l2 = choose_and_fit(features, targets, num_classes=3)
    scaled, same_l2 = choose_and_fit(features * scale + 7 * scale, targets, num_classes=3)
    assert l2 == same_l2
    torch.testing.assert_close(scaled(others * scale + 7 * scale), plain(others), rtol=1e-4, atol=1e-4)


def test_a_feature_that_never_changes_is_harmless():
    features, targets = _clusters(60)
    dead = torch.cat([features, torch.zeros(60, 1), torch.full((60, 1), 1e4)], dim=1).float()
    found, _ = choose_and_fit(dead, targets, num_classes=3)
    assert found(dead).isfinite().all()
    assert (found(dead).argmax(1) == targets).double().mean() > 0.95


def test_shuffled_labels_give_chance():
    features, targets = _clusters(300, classes=4, dim=8)
    shuffled = targets[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    others, wanted = _clusters(2000, classes=4, dim=8, seed=1)
    for found in (
        choose_and_fit(features, shuffled, num_classes=4)[0],
        fit_sgd(features[None], shuffled, num_classes=4, lr=0.1),
    ):
        assert abs((found(others).argmax(1) == wanted).double().mean() - 0.25) < 0.12


def test_the_penalty_is_the_best_on_held_out_training_samples():
    """As scikit-learn finds it on the same fifth; of equals the strongest."""
    features, targets = _clusters(120, dim=8, spread=5.0)
    grid = (10.0, 1.0, 0.1, 0.001)
    for seed in range(5):
        held = hold_out(targets.numpy(), seed=seed)
        x, y = features.numpy(), targets.numpy()
        scaled = (x - x[~held].mean(0)) / x[~held].std(0)
        scores = []
        for l2 in grid:
            theirs = LogisticRegression(C=1 / (l2 * (~held).sum()), tol=1e-8, max_iter=10_000)
            scores.append(theirs.fit(scaled[~held], y[~held]).score(scaled[held], y[held]))
        assert len(set(scores)) > 1
        found, l2 = choose_and_fit(features, targets, num_classes=3, penalties=grid, seed=seed)
        assert l2 == grid[int(np.argmax(scores))]
        scaled = (x - x.mean(0)) / x.std(0)  # and that one is fitted on all of them
        final = LogisticRegression(C=1 / (l2 * 120), tol=1e-8, max_iter=10_000).fit(scaled, y)
        np.testing.assert_allclose(found(features).softmax(1).numpy(), final.predict_proba(scaled), atol=1e-4)
    assert choose_and_fit(*_clusters(60, spread=0.1), num_classes=3)[1] == PENALTIES[0]


def test_single_samples_leave_nothing_to_choose_by():
    features, targets = _clusters(3)
    found, l2 = choose_and_fit(features, targets, num_classes=3, penalties=(0.5, 0.1))
    assert l2 == 0.5
    assert (found(features).argmax(1) == targets).all()


def test_the_sgd_recipe_is_that_of_plain_loops():
    features, targets = _clusters(10, dim=3)
    passes = torch.stack([features, features + 0.1])
    found = fit_sgd(passes, targets, num_classes=3, lr=0.5, batch_size=4, epochs=5, milestones=(2, 4), seed=3)
    generator = torch.Generator().manual_seed(3)
    weight = (0.01 * torch.randn(3, 3, generator=generator)).double().numpy()
    bias, speed_w, speed_b = np.zeros(3), np.zeros((3, 3)), np.zeros(3)
    for epoch, lr in enumerate((0.5, 0.5, 0.05, 0.05, 0.005)):
        order = torch.randperm(10, generator=generator).numpy()
        for start in (0, 4, 8):
            rows = order[start : start + 4]
            grad_w, grad_b = np.zeros((3, 3)), np.zeros(3)
            for row in rows:
                x = passes[epoch % 2, row].numpy()
                error = np.exp(weight @ x + bias) / np.exp(weight @ x + bias).sum()
                error[targets[row]] -= 1
                grad_w += np.outer(error, x) / len(rows)
                grad_b += error / len(rows)
            speed_w, speed_b = 0.9 * speed_w + grad_w, 0.9 * speed_b + grad_b
            weight, bias = weight - lr * speed_w, bias - lr * speed_b
    np.testing.assert_allclose(found.weight.numpy(), weight, rtol=1e-9)
    np.testing.assert_allclose(found.bias.numpy(), bias, rtol=1e-9)


def test_a_learning_rate_that_is_too_large_is_named():
    features, targets = _clusters(30, spread=3.0)
    with pytest.raises(ValueError, match=r"diverged at lr 1e\+38: these features need a smaller one"):
        fit_sgd(1e3 * features.float()[None], targets, num_classes=3, lr=1e38, epochs=3)


def test_held_out_samples_are_the_same_share_of_each_class():
    targets = np.array([0] * 50 + [1] * 10 + [2] * 2 + [3])
    held = hold_out(targets, seed=1)
    assert [int(held[targets == label].sum()) for label in range(4)] == [10, 2, 1, 0]
    assert (held == hold_out(targets, seed=1)).all()
    assert (held != hold_out(targets, seed=2)).any()


def test_a_linear_classifier_is_a_product_and_a_sum():
    linear = Linear(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5, -0.5]))
    assert linear(torch.tensor([[1.0, 10.0]])).tolist() == [[21.5, 42.5]]


CLASSES = ("dog_beagle", "dog_pug", "cat_tabby", "boat")


def test_a_prediction_within_the_coarse_class_counts(tmp_path):
    file = tmp_path / "coarse.csv"
    file.write_text("class,coarse\ndog_pug,dog\ndog_beagle,dog\ncat_tabby,cat\nhouse,thing\n")
    coarse = read_coarse(file, CLASSES)
    assert coarse.names == ("cat", "dog")
    assert coarse.places.tolist() == [1, 1, 0, -1]
    predicted, targets = np.array([1, 2, 0, 2, 3, 0]), np.array([0, 0, 0, 2, 3, 3])
    assert coarse_correct(predicted, targets, coarse).tolist() == [True, False, True, True, False, False]


def test_a_prefix_is_a_coarse_class():
    coarse = coarse_by_prefix(CLASSES, "_")
    assert coarse.names == ("boat", "cat", "dog")
    assert coarse.places.tolist() == [2, 2, 1, 0]
    for separator in ("-", ""):
        with pytest.raises(ValueError, match="no two classes share what stands before"):
            coarse_by_prefix(CLASSES, separator)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class,group\nboat,ship\n", "lacks the column 'coarse'"),
        ("", "lacks the column 'class'"),
        ("class,coarse\nhouse,thing\n", "names none of the classes, which are dog_beagle, dog_pug"),
        ("class,coarse\nboat,ship\nboat,thing\n", "gives the class 'boat' both as 'ship' and as 'thing'"),
        ("class,coarse\nboat,\n", "has the row 'boat','': both must be there"),
    ],
)
def test_faults_of_the_coarse_file_are_named(tmp_path, content, message):
    file = tmp_path / "coarse.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_coarse(file, CLASSES)
    with pytest.raises(ValueError, match="cannot read"):
        read_coarse(tmp_path / "none.csv", CLASSES)
