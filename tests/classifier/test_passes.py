"""Every pass is counted once, by its purpose."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.audit.questions import Questions
from cxr_audit.classifier import Classifier
from cxr_audit.classifier.passes import PassCounter
from cxr_audit.explain import Explainer, Probing
from cxr_audit.records import PassCount
from cxr_audit.records.passes import added
from cxr_audit.vocabulary import UnknownName

from tests.classifier.models import images, nested

SHAPE = (32, 32, 3)


def numbers(counter: PassCounter) -> dict[str, tuple[int, int]]:
    return {key: (count.asked, count.computed) for key, count in counter.take().items()}


def test_the_innermost_purpose_counts_and_what_has_none_is_other() -> None:
    counter = PassCounter()
    counter.measured(4, lambda: None)
    with counter.of("maps"):
        counter.measured(4, lambda: None)
        with counter.of("masking"), counter.filled_up(3):
            counter.measured(4, lambda: None)
        assert counter.measured(2, lambda: "answer") == "answer"
    assert numbers(counter) == {"other": (4, 4), "maps": (6, 6), "masking": (3, 4)}
    assert counter.take() == {}
    with pytest.raises(UnknownName, match="unknown purpose of passes 'map'"), counter.of("map"):
        pass


def test_purposes_of_one_batch_share_it_by_their_inputs() -> None:
    counter = PassCounter()
    with counter.mixed({"brightness": 9, "replaced": 3}):
        counter.measured(16, lambda: None)
    counts = counter.take()
    assert counts["brightness"].cpu_s == pytest.approx(3 * counts["replaced"].cpu_s)
    asked = {key: (count.asked, count.computed) for key, count in counts.items()}
    assert asked == {"brightness": (9, 12), "replaced": (3, 4)}


def test_counts_add_up_and_a_count_that_cannot_be_is_refused() -> None:
    first, second = {"maps": PassCount(2, 4, 1.0, 2.0)}, {"maps": PassCount(1, 4, 0.5, 1.0)}
    assert added(first, second) == {"maps": PassCount(3, 8, 1.5, 3.0)}
    with pytest.raises(ValueError, match="5 of 4 passes"):
        PassCount(5, 4)


def test_everything_that_runs_the_network_is_counted() -> None:
    """One pass a case, one more a further layer; a gradient by the input and its baseline count."""
    classifier = Classifier(nested(head="mlp"), SHAPE)
    batch = images(4)
    Explainer(classifier).explain(batch, [None] * 4, [True, True, True, False])
    assert numbers(classifier.passes) == {"other": (3, 4)}
    Explainer(classifier, layers=("backbone/conv2",)).explain(batch, [None] * 4)
    assert numbers(classifier.passes) == {"other": (8, 8)}
    explainer = Explainer(classifier, ("integrated-gradients",), probing=Probing(steps=5))
    with classifier.passes.of("maps"):
        explainer.explain(batch[:1], [None])
    assert explainer.passes_a_first_map == 1 + 5 + 1
    # Gradients are computed four at a time: 5 need 8.
    assert numbers(classifier.passes) == {"maps": (7, 10)}


def test_questions_fill_batches_up_once_and_answer_by_purpose() -> None:
    classifier = Classifier(nested(), SHAPE)
    explainer, inputs = Explainer(classifier), images(7)
    expected = explainer.ask(inputs, 4)
    _, maps = explainer.first_maps(inputs, 4)
    classifier.passes.take()
    questions = Questions(explainer, 4)
    questions.add("brightness", inputs[:5])
    questions.add("replaced", iter(inputs[5:]))
    questions.add("masking", [])
    answers = questions.ask()
    np.testing.assert_array_equal(answers["brightness"].logits, expected[:5])
    np.testing.assert_array_equal(answers["replaced"].logits, expected[5:])
    assert answers["masking"].logits.shape == (0, 1)
    np.testing.assert_allclose(answers["brightness"].maps, maps[:5], atol=1e-6)
    asked = {key: count.asked for key, count in classifier.passes.take().items()}
    assert asked == {"brightness": 5, "replaced": 2}
    # A method that asks again has no maps here: they would need further passes.
    probing = Explainer(classifier, ("smoothgrad",), probing=Probing(steps=2))
    questions = Questions(probing, 4)
    questions.add("brightness", inputs[:1])
    assert questions.ask()["brightness"].maps == []
