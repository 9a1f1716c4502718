"""Models of sequences as what is looked into: their own predictions, on input as it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import recurnn
from recurnn import insight
from recurnn.errors import ConfigError, DataError
from recurnn.insight.reading import readings
from recurnn.insight.report import named_figures
from recurnn.models.sequence_comparison import Scored


def sequences(lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(200.0, 30.0, size=(n, 2)) for n in lengths]


LENGTHS = [9, 3, 7, 5, 9, 6, 4, 8]


def test_a_classifier_with_numbers_of_any_lengths():
    X, y = sequences(LENGTHS), np.array(list("abababab"))
    model = recurnn.SequenceClassifier(hidden_size=4, epochs=1, validation=0, pooling="last")
    model.fit(X, y)
    subject = model.subject(X[::-1], y[::-1], rows=3, lag=2)
    chosen = [X[::-1][k] for k in (0, 4, 7)]  # evenly spread, to be rounded to even
    assert subject.lengths.tolist() == [len(x) for x in chosen]
    assert float(subject.x.abs().max()) < 8  # scaled: no verdict on what the model does itself
    p = torch.softmax(subject.predict().detach(), 1).numpy()
    np.testing.assert_allclose(p, model.predict_proba(chosen), rtol=1e-4)
    label = ["ab".index(v) for v in y[::-1][[0, 4, 7]]]
    want = -np.log(model.predict_proba(chosen)[np.arange(3), label])
    np.testing.assert_allclose(subject.losses().detach(), want, rtol=1e-4)
    found = insight.inspect(subject)
    assert "unscaled input" not in [v.name for v in found.verdicts]
    assert found.subject.configuration["hidden size"] == 4
    with pytest.raises(ConfigError, match="rows is 0; expected a whole number of at least 1"):
        model.subject(X, y, rows=0)


def test_a_classifier_of_texts_has_their_tokens_as_labels():
    X = ["the cat sat", "a dog ran off"] * 6
    y = [0, 1] * 6
    model = recurnn.SequenceClassifier(hidden_size=4, epochs=1, validation=0).fit(X, y)
    subject = model.subject(X, y, rows=2)
    assert list(subject.labels) == ["the", "cat", "sat"]
    p = torch.softmax(subject.predict().detach(), 1).numpy()
    np.testing.assert_allclose(p, model.predict_proba([X[0], X[-1]]), rtol=1e-5)


def test_a_regressor_whose_numbers_are_as_many_as_its_steps():
    X = np.random.default_rng(4).normal(size=(10, 3, 2))
    y = X.sum(axis=2) * 50 + 1000
    model = recurnn.SequenceRegressor(hidden_size=4, epochs=1, validation=0, loss="mae").fit(X, y)
    subject = model.subject(X, y, rows=10)
    assert subject.lengths is None
    error = np.abs(model.predict(X) - y) / y.std(0)
    np.testing.assert_allclose(subject.losses().detach(), error.mean(1), rtol=1e-3)
    changed = insight.occlusion(subject, [0])  # of all three numbers, not of the last
    spread = model.predict(X).std(0) / y.std(0)
    x = torch.tensor(X).float()
    x[:, -1] = x.mean((0, 1))
    other = (model.predict(x.numpy()) - model.predict(X)) / y.std(0)
    want = np.sqrt(np.square(other).mean() / np.square(spread).mean())
    assert changed["change"].iloc[0] == pytest.approx(want, rel=1e-3)


def test_a_classifier_whose_steps_have_places_is_not_cut():
    X = np.random.default_rng(4).normal(size=(10, 6, 2))
    model = recurnn.SequenceClassifier(hidden_size=4, epochs=1, validation=0)
    subject = model.fit(X, list("ab" * 5)).subject(X, list("ab" * 5))
    assert model._settled["pooling"] == "flat"
    table = insight.loss_by_context(subject)
    hidden = subject.x.clone()
    hidden[:, :4] = hidden.mean((0, 1))
    want = subject.losses(hidden).mean().item()
    assert table.set_index("context")["loss"][2] == pytest.approx(want, rel=1e-5)


SENTENCES = [["the", "sea", "rises"], ["a", "rain"], ["the", "rain", "falls", "now"]] * 8
TAGS = [["D", "N", "V"], ["D", "N"], ["D", "N", "V", "A"]] * 8


def tagger(**options: object) -> recurnn.SequenceTagger:
    model = recurnn.SequenceTagger(
        hidden_size=5, embedding_size=4, letter_size=3, epochs=2, learning_rate=0.05,
        batch_size=8, **options,
    )  # fmt: skip
    return model.fit(SENTENCES, TAGS)


def test_a_tagger_is_looked_at_in_the_middle_of_each_sentence():
    model = tagger()
    subject = model.subject(SENTENCES[2:5], TAGS[2:5])
    assert subject.lengths.tolist() == [4, 3, 2]
    assert subject.at.tolist() == [1, 1, 0]
    assert list(subject.labels) == SENTENCES[2]
    p = torch.softmax(subject.predict().detach(), -1).numpy()
    for row, want in enumerate(model.predict_proba(SENTENCES[2:5])):
        np.testing.assert_allclose(p[row, : len(want)], want, rtol=1e-4)
    k = model.classes_.tolist().index("N")
    loss = subject.last_loss(subject.losses().detach())
    assert loss[0].item() == pytest.approx(-np.log(p[0, 1, k]), rel=1e-4)
    found = insight.inspect(subject)
    assert list(found.occlusion["lag"]) == [-2, -1, 0, 1]
    assert (found.occlusion["change"] > 1e-6).all()
    assert list(found.flows) == ["network.layers.0.l0", "network.layers.0.l0_reverse"]
    for flow in found.flows.values():
        assert len(flow.decay.curve) == 3
        assert (flow.decay.curve[1:] > 0).any()
    coloured, contributed = readings(found, ["f"])
    assert coloured.text[0][:4] == SENTENCES[2]
    f = found.record["network.layers.0.l0_reverse"].values["f"][:, 0].mean(1)
    np.testing.assert_allclose(coloured.values[0, :4], f, rtol=1e-6)
    assert contributed.note == "To what is said of step 1, “rain”."


def test_a_tagger_of_one_way_is_looked_at_where_it_ends():
    subject = tagger(bidirectional=False).subject(SENTENCES[:3], TAGS[:3])
    assert subject.at is None
    assert subject.ends.tolist() == [2, 1, 3]


def test_tags_chosen_together_have_their_probability_one_by_one():
    model = tagger(crf=True)
    subject = model.subject(SENTENCES[:2], TAGS[:2])
    log = subject.predict().detach()
    network = model._network
    with torch.no_grad():
        scores = subject.module.network.scores(
            subject.module.embedding(subject.x), subject.lengths
        )[0].double()
    crf = network.crf
    steps, tags = scores.shape
    each = {}
    for line in itertools.product(range(tags), repeat=steps):
        total = crf.start_transitions[line[0]] + crf.end_transitions[line[-1]]
        total = total + sum(scores[t, k] for t, k in enumerate(line))
        total = total + sum(crf.transitions[a, b] for a, b in itertools.pairwise(line))
        each[line] = total.item()
    whole = np.logaddexp.reduce(list(each.values()))
    for t, k in ((0, 1), (1, 0), (2, 2)):
        want = np.logaddexp.reduce([v for line, v in each.items() if line[t] == k]) - whole
        assert log[0, t, k].item() == pytest.approx(want, rel=1e-4)
    assert list(insight.inspect(subject).flows) == [
        "network.layers.0.l0", "network.layers.0.l0_reverse",
    ]  # fmt: skip


def test_a_tagger_of_numbers_gets_them_scaled():
    X = sequences(LENGTHS)
    y = [["ab"[t % 2] for t in range(len(x))] for x in X]
    model = recurnn.SequenceTagger(hidden_size=4, epochs=1, batch_size=4).fit(X, y)
    subject = model.subject(X, y)
    p = torch.softmax(subject.predict().detach(), -1).numpy()
    np.testing.assert_allclose(p[1, :3], model.predict_proba(X)[1], rtol=1e-3)
    assert subject.real_of(subject.x).abs().max() < 5
    with pytest.raises(DataError, match="a tag that the model was not fitted on"):
        model.subject(X, [["c", *tags[1:]] for tags in y])


SOURCES = ["ab", "ba", "abb", "bba", "aab", "bab"] * 4


def translator(**options: object) -> recurnn.Seq2Seq:
    model = recurnn.Seq2Seq(
        hidden_size=6, embedding_size=4, epochs=2, validation=0, target="tokens", **options
    )
    return model.fit(SOURCES, [" ".join(s.upper()) for s in SOURCES])


@pytest.mark.parametrize("attention", ["general", "bahdanau", None])
def test_a_translator_reads_source_and_target_one_after_the_other(attention):
    model = translator(attention=attention)
    pairs = ["abb", "ba"], ["A B A", "B"]
    subject = model.subject(*pairs)
    assert list(subject.labels) == ["a", "b", "b", "<end>", "<end>", "A", "B"]
    assert subject.lengths.tolist() == [4 + 3, 3 + 1]
    module = model._network
    for row, (source, target) in enumerate(zip(*pairs, strict=True)):
        ids = [next(u.encode_all([text])) for u, text in
               zip(model._units, (source, target), strict=True)]  # fmt: skip
        x = torch.tensor([*ids[0], 1])[:, None]
        before = torch.tensor([1, *ids[1][:-1]])[:, None]
        with torch.no_grad():
            a = module(x, torch.tensor([len(x)]), before, torch.tensor([len(before)]))
            want = module.log_probabilities(a)[:, 0]
            got = subject.predict()[row, len(x) : len(x) + len(before)]
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        assert subject.last_loss(subject.losses())[row].item() == pytest.approx(
            -want[-1, ids[1][-1]].item(), rel=1e-4
        )
    # where a token is altered another row's stands, of its own side
    other = subject.exchanged
    assert other[0].tolist() == [*subject.x[1, [0, 1, 2, 0]].tolist(), *[subject.x[1, 3]] * 3]
    found = insight.inspect(subject)
    assert (found.occlusion["change"] > 0).any()
    names = [name for name, _ in named_figures(found)]
    assert ("attention-in-row-1" in names) == (attention is not None)
    texts = {f.title.rsplit(" of ")[-1]: f.text for f in readings(found) if "Text by" in f.title}
    assert texts["network.layers.0"][0][:3] == ["<end>", "A", "B"]
    assert texts["network.encoder.layers.0.backward_layer"][0][:4] == ["a", "b", "b", "<end>"]


def test_the_attention_of_a_report_is_that_of_the_model():
    model = translator()
    subject = model.subject(["abb", "ba"], ["A B A", "B"])
    want = model.attend("abb", "A B A")
    np.testing.assert_allclose(subject.attended[0].weights, want.weights, rtol=1e-5)
    figure = dict(named_figures(insight.inspect(subject, experiments=False)))["attention-in-row-1"]
    assert list(figure.columns) == ["a", "b", "b", "<end>"]
    assert list(figure.rows) == ["A", "B", "A", "<end>"]
    np.testing.assert_allclose(figure.values, want.weights, rtol=1e-5)


def test_a_generator_of_texts_is_read_without_its_condition():
    names, said = ["it", "de"] * 8, ["ciao", "hallo"] * 8
    model = recurnn.SequenceGenerator(hidden_size=6, epochs=2, validation=0).fit(names, said)
    subject = model.subject(["de", "it"], ["hallo", "ciao"])
    assert subject.x.shape == (5, 2)
    assert list(subject.labels) == ["<end>", *"hall"]
    with torch.no_grad():
        nats = subject.losses()
    (condition, before, steps), target = model._data(
        model._conditions.numbers(np.array(["de", "it"])), model._forms(["hallo", "ciao"])
    ).batch(torch.arange(2))
    with torch.no_grad():
        h = model._network(condition, before, steps)
        want = -torch.log_softmax(model._network.output.logits(h), -1)
    for t in range(4):
        assert nats[1, t].item() == pytest.approx(want[t, 1, target[t, 1]].item(), rel=1e-4)
    total, gap = insight.attributions(subject)  # of the tokens' embedding, not the condition's
    assert total.shape == (2, 5)
    assert total.abs().sum() > 0
    assert gap < 0.02


def test_a_generator_of_points_has_its_own_loss():
    random = np.random.default_rng(0)
    points = [random.normal(50, 9, size=(n, 2)) for n in (6, 4, 5, 3)] * 3
    model = recurnn.SequenceGenerator(hidden_size=6, epochs=1, validation=0, components=3)
    model.fit(["a", "b"] * 6, points)
    subject = model.subject(["a", "b"], points[:2])
    assert subject.x.shape == (6, 2, 3)
    with torch.no_grad():
        nats = subject.loss_of_rows(subject.losses()) * subject.lengths
    per = model.score(["a", "b"], points[:2])
    assert nats.sum().item() / 10 == pytest.approx(-per, rel=1e-4)
    found = insight.inspect(subject)
    assert found.occlusion["change"].iloc[0] > 0.1
    assert "unscaled input" not in [v.name for v in found.verdicts]


def test_the_baseline_that_did_clearly_better_is_told():
    model = tagger()
    assert model.subject(SENTENCES[:3], TAGS[:3]).beaten_by == ""
    for ours, theirs, told in ((0.5, 0.9, "majority"), (0.9, 0.902, ""), (0.9, 0.5, "")):
        rows = [Scored("LSTM", {"accuracy": ours, "all right": 0.1}, 1.0, recurrent=True),
                Scored("majority", {"accuracy": theirs, "all right": 0.1}, 1.0)]  # fmt: skip
        model.comparison = sorted(rows, key=lambda row: -row.scores["accuracy"])
        assert model.subject(SENTENCES[:3], TAGS[:3]).beaten_by == told


def test_a_language_model_is_judged_beside_its_n_gram(tmp_path):
    (tmp_path / "t.txt").write_text('He said: "hold (on)" to me.\n' * 60)
    model = recurnn.LanguageModel(hidden_size=6, batch_size=4, steps=24, epochs=1)
    model.fit(tmp_path / "t.txt")
    (network,) = (row for row in model.comparison if row.recurrent)
    best = min(model.comparison, key=lambda row: row.nats)
    assert best.nats < 0.9 * network.nats
    assert model.subject(tmp_path / "t.txt").beaten_by == best.model
    model.comparison = [network]
    assert model.subject(tmp_path / "t.txt").beaten_by == ""


def test_a_subject_goes_to_another_device_with_all_its_data():
    lengths = torch.tensor([4, 2, 3])
    x = torch.ones(3, 4, 2)
    moved = recurnn.Subject(torch.nn.Linear(2, 1), x, torch.ones(3), lengths=lengths, others=x).on(
        torch.device("meta")
    )
    assert {v.device.type for v in (moved.x, moved.y, moved.lengths, moved.others)} == {"meta"}
