"""The whole model: its frozen start, late interaction, missing modalities, and gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import linear, weight
from random_histories import chosen, histories_of
from small_found import COLUMNS, DIM, TEXT, config, model, users

from models import losses
from models.found import Found, FoundConfig, LateInteraction, frozen_projection


def test_the_frozen_start_whitens_the_main_directions() -> None:
    rng = np.random.default_rng(0)
    texts, counts = rng.normal(size=(30, 6)) * [3, 1, 1, 0.5, 0.2, 0.1], rng.integers(0, 5, 30)
    center, projection = frozen_projection(torch.from_numpy(texts).float(), torch.from_numpy(counts).float(), 4, 0.25)
    total, covariance, weight = np.zeros(6), np.zeros((6, 6)), 0.0
    for text, count in zip(texts, counts, strict=True):
        total += count * text
    mean = total / counts.sum()
    for text, count in zip(texts, counts, strict=True):
        covariance += math.log1p(count) * np.outer(text - mean, text - mean)
        weight += math.log1p(count)
    variance, directions = np.linalg.eigh(covariance / weight)
    expected = np.stack([directions[:, -1 - i] / variance[-1 - i] ** 0.25 for i in range(4)])
    expected *= 2 / np.linalg.norm(expected)
    np.testing.assert_allclose(center, mean, atol=1e-6)
    for row, by_hand in zip(projection.numpy(), expected, strict=True):
        np.testing.assert_allclose(row * np.sign(row @ by_hand), by_hand, atol=1e-5)


def test_no_whitening_keeps_cosines_between_the_texts() -> None:
    texts = torch.randn(30, 6)
    center, projection = frozen_projection(texts, torch.ones(30), 6, 0.0)
    before, after = texts - center, (texts - center) @ projection.T
    torch.testing.assert_close(after @ after.T, before @ before.T, atol=1e-4, rtol=1e-4)


def test_directions_that_the_texts_do_not_span_are_left_out_and_not_raised() -> None:
    texts = torch.nn.functional.normalize(torch.randn(10, 32), dim=1).half()
    _, projection = frozen_projection(texts, torch.ones(10), 32, 0.25)
    lengths = projection.norm(dim=1)
    assert not lengths[9:].any()
    assert lengths[:9].min() > 0.3 * lengths.max()


def test_rounding_to_float16_is_no_direction() -> None:
    texts = (torch.randn(500, 4) @ torch.linalg.qr(torch.randn(64, 64))[0][:4] / 8).half()
    _, projection = frozen_projection(texts, torch.ones(500), 64, 0.25)
    assert not projection[4:].any()


def test_texts_of_nobody_in_the_training_folds_do_not_enter_the_start() -> None:
    texts, counts = torch.randn(20, 6), torch.arange(20) % 4
    poisoned = torch.where((counts == 0)[:, None], torch.nan, texts)
    for a, b in zip(frozen_projection(texts, counts, 4, 0.25), frozen_projection(poisoned, counts, 4, 0.25), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("counts", [[0.0, 0.0], [2.0, 1.0]])
def test_equal_texts_or_none_at_all_give_a_start_of_zeros(counts: list[float]) -> None:
    _, projection = frozen_projection(torch.ones(2, 6) / 6**0.5, torch.tensor(counts), 4, 0.25)
    assert not projection.any()


def test_a_model_that_learned_nothing_is_the_frozen_mean() -> None:
    untrained, histories = model(learned=False).eval(), users()
    states = untrained(histories)
    torch.testing.assert_close(states.aligned, states.start)
    mean, has_texts = histories.own_mean()
    for user in range(5):
        expected = np.zeros(DIM)
        if has_texts[user]:
            expected = untrained.start.numpy() @ (mean[user] - untrained.center).numpy()
            expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(states.start[user].detach(), expected, atol=1e-10)


def test_sentences_are_centred_projected_and_of_unit_length() -> None:
    untrained, vectors = model(learned=False), torch.randn(3, TEXT, dtype=torch.float64)
    expected = (vectors - untrained.center) @ untrained.start.T
    torch.testing.assert_close(untrained.sentences(vectors), expected / expected.norm(dim=1, keepdim=True))


def test_all_sentences_share_a_learned_direction_where_it_is_asked_for() -> None:
    whole, vectors = model(), torch.randn(3, TEXT, dtype=torch.float64)
    own = whole.sentences(vectors)
    assert whole.common is not None
    whole.common.data += torch.randn(DIM, dtype=torch.float64)
    for sentence, moved in zip(own, whole.sentences(vectors), strict=True):
        expected = sentence + whole.common
        torch.testing.assert_close(moved, expected / expected.norm())
    assert model(common=False).common is None


def test_a_user_who_has_done_nothing_is_zeros_and_the_others_have_unit_length() -> None:
    aligned = model().eval()(users()).aligned
    torch.testing.assert_close(aligned.norm(dim=1), torch.tensor([1.0, 1, 0, 1, 0], dtype=torch.float64))


def test_a_user_is_aligned_then_stage_1_then_activity() -> None:
    whole, histories = model().eval(), users()
    states, vectors = whole(histories), whole.users(histories)
    assert states.behavior is not None
    assert vectors.shape == (5, DIM + 8 + 3)
    assert torch.equal(vectors[:, :DIM], states.aligned)
    torch.testing.assert_close(vectors[:, DIM : DIM + 8], torch.nn.functional.normalize(states.behavior, dim=1))
    torch.testing.assert_close(vectors[:, DIM + 8 :], whole.activities(histories))


def test_activity_is_standardised_on_a_log_scale() -> None:
    begun = model()
    rows = torch.rand(50, 3, dtype=torch.float64) * 100 - 20
    begun.begin(begun.center, begun.start, rows)
    logged = np.array([[math.copysign(math.log1p(abs(float(v))), float(v)) for v in row] for row in rows])
    expected = (logged - logged.mean(0)) / logged.std(0, ddof=1)
    standardised = begun.activities(replace(histories_of([0] * 50), activity=rows))
    np.testing.assert_allclose(standardised, expected, atol=1e-10)
    begun.begin(begun.center, begun.start, torch.ones(4, 3))
    assert begun.activities(replace(histories_of([0] * 50), activity=rows)).isfinite().all()


@pytest.mark.parametrize(
    "left_out",
    [
        {"behavior": None},
        {"tabular": None},
        {"searches": 0},
        {"activity": 0},
        {"behavior": None, "tabular": None, "searches": 0},
        {"tabular": None, "activity": 0},
        {"behavior": None, "tabular": None, "activity": 0},
    ],
    ids=["behavior", "tabular", "searches", "activity", "all but activity", "the table", "all but searches"],
)
def test_a_modality_can_be_left_out(left_out: dict[str, object]) -> None:
    whole, histories = model(learned=True, **left_out), users()
    states = whole(histories)
    assert (states.behavior is None) == (states.context is None) == ("behavior" in left_out)
    assert (states.table is None) == ("tabular" in left_out)
    assert (states.search is None) == ("searches" in left_out)
    assert whole.users(histories).shape == (5, DIM + (0 if "activity" in left_out else 3) + (0 if "behavior" in left_out else 8))
    assert whole.concatenation(histories).shape[0] == 5
    (states.aligned @ torch.randn(DIM, dtype=torch.float64)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in whole.parameters())


def test_a_model_without_any_modality_is_refused() -> None:
    with pytest.raises(ValueError, match="a user needs one of them"):
        Found(config(behavior=None, tabular=None, searches=0, activity=0))


@pytest.mark.parametrize("most", [2, FoundConfig.searches])
def test_equation_10(most: int) -> None:
    """A token a search, with its age, for the newest ones alone; e^(R) is the mean of the vectors behind them."""
    assert FoundConfig.searches == 64
    whole, histories = model(searches=most).eval(), users(search_counts=[3, 0, 70, 1, 64])
    fused: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []
    whole.fusion.register_forward_pre_hook(lambda _, given: fused.append(given))
    states = whole(histories)
    tokens, mask = (column[2] for column in fused[0])
    assert whole.search_tokens is not None
    assert whole.search_age is not None
    assert states.search is not None
    assert tokens.shape == (5, most, 8)
    start = 0
    for user, count in enumerate(histories.search_counts.tolist()):
        expected, vectors = [], []
        for search in range(start + max(0, count - most), start + count):  # the newest are the last
            vector = weight(histories.texts[histories.search_text[search]] - whole.center)
            age = np.array([math.log1p(float(histories.search_age[search]))])
            vectors.append(vector)
            expected.append(linear(vector, whole.search_tokens) + linear(age, whole.search_age))
        start += count
        assert mask[user].tolist() == [place < len(expected) for place in range(most)]
        np.testing.assert_allclose(tokens[user, : len(expected)].detach(), np.reshape(expected, (-1, 8)), atol=1e-10)
        for state, parts in ((states.search, vectors), (states.shared["search"], expected)):
            np.testing.assert_allclose(state[user].detach(), np.mean(parts, 0) if parts else np.zeros(state.shape[1]), atol=1e-10)


def test_a_user_is_the_frozen_start_and_what_fusion_adds_to_it() -> None:
    """Equation 11 in its place: which tokens the modalities bring, and where e^f goes."""
    whole, histories = model().eval(), users()
    fused: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []
    whole.fusion.register_forward_pre_hook(lambda _, given: fused.append(given))
    states, (mean, has_texts) = whole(histories), histories.own_mean()
    behavior, table, _ = fused[0][0]
    heard = weight(whole.fusion(*fused[0]))
    assert whole.behavior_tokens is not None
    assert whole.activity_tokens is not None
    assert whole.table_tokens is not None
    assert whole.tabular is not None
    assert states.context is not None
    columns = weight(whole.tabular(histories.cells))
    for user in range(5):
        np.testing.assert_allclose(behavior[user].detach(), linear(weight(states.context[user]), whole.behavior_tokens), atol=1e-10)
        counts = linear(weight(whole.activities(histories)[user]), whole.activity_tokens)
        np.testing.assert_allclose(table[user].detach(), [counts, *linear(columns[user], whole.table_tokens)], atol=1e-10)
        start = weight(whole.user.weight) @ weight(mean[user] - whole.center)
        both = start / np.linalg.norm(start) + linear(heard[user], whole.fused)
        expected = both / np.linalg.norm(both) if has_texts[user] else np.zeros(DIM)
        np.testing.assert_allclose(states.aligned[user].detach(), expected, atol=1e-10)


@pytest.mark.parametrize("stored", [True, False])
def test_stage_1_is_stored_where_it_is_asked_for_and_the_rest_stays(stored: bool) -> None:
    whole, histories = model(stage1_stored=stored).eval(), users()
    vectors, stage1 = whole.users(histories), whole.stage1(histories)
    parts = [whole(histories).aligned, *([stage1] if stored else []), whole.activities(histories)]
    torch.testing.assert_close(vectors, torch.cat(parts, 1))
    assert whole.config.learned == DIM + stage1.shape[1] * stored
    assert stage1.shape[1] == config().behavior.width  # pyright: ignore[reportOptionalMemberAccess]


def test_a_batch_equals_its_users_one_by_one_in_any_order() -> None:
    whole, histories = model(dropout=0.2).eval(), users()
    queries = torch.randn(3, DIM, dtype=torch.float64)
    with torch.no_grad():
        vectors, scores = whole.users(histories), whole.late_scores(histories, queries)
        for order in ([0], [1], [2], [4], [3, 2, 0, 4, 1]):
            torch.testing.assert_close(whole.users(chosen(histories, order)), vectors[order])
            torch.testing.assert_close(whole.late_scores(chosen(histories, order), queries), scores[order])


@pytest.mark.parametrize("texts", [0, 3])
def test_a_batch_in_which_nobody_did_anything_is_fine(texts: int) -> None:
    whole, histories = model(), histories_of([0, 0], texts=texts, columns=COLUMNS)
    states = whole(histories)
    late = whole.late_scores(histories, torch.randn(2, DIM, dtype=torch.float64))
    assert not states.aligned.any()
    torch.testing.assert_close(late, torch.full((2, 2), math.log(0.05), dtype=torch.float64))
    (losses.alignment_loss(states.aligned, torch.randn(2, DIM, dtype=torch.float64), 10.0) + late.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in whole.parameters())


def test_a_user_who_was_only_written_to_does_not_blow_up_the_first_step() -> None:
    untrained, histories = model(learned=False), users()
    loss = losses.alignment_loss(untrained(histories).aligned, torch.randn(5, DIM, dtype=torch.float64), untrained.temperature)
    loss.backward()
    assert torch.nn.utils.get_total_norm([p.grad for p in untrained.parameters() if p.grad is not None]) < 1e3


def test_late_interaction_is_a_loop_over_events() -> None:
    torch.manual_seed(0)
    late, histories = LateInteraction().double(), users()
    for parameter in late.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    cosines = torch.rand(6, 2, dtype=torch.float64) * 2 - 1
    scores = late(histories, cosines).detach()
    p = {name: parameter.detach().numpy() for name, parameter in late.named_parameters()}

    def hit(text: int, query: int, channel: int, exposed: bool, age: float) -> float:
        resembles = 1 / (1 + math.exp(-p["sharpness"] * (float(cosines[text, query]) - p["floor"])))
        fresh = math.exp(-age / math.exp(p["decay"])) + 1 / (1 + math.exp(-p["steady"]))
        return resembles * math.exp(p["channel"][channel] + (p["exposed"] if exposed else 0)) * fresh

    for query in range(2):
        event = search = 0
        for user in range(5):
            total = 0.0
            for _ in range(int(histories.event_counts[user])):
                total += hit(
                    int(histories.event_text[event]),
                    query,
                    int(histories.event_channel[event]),
                    bool(histories.event_exposed[event]),
                    float(histories.event_age[event]),
                )
                event += 1
            for _ in range(int(histories.search_counts[user])):
                total += hit(int(histories.search_text[search]), query, 3, False, float(histories.search_age[search]))
                search += 1
            assert scores[user, query].item() == pytest.approx(math.log(total + 0.05), rel=1e-9)


def test_late_interaction_learns_and_its_gradients_are_right() -> None:
    late, histories = LateInteraction().double(), users()
    cosines = (torch.rand(6, 2, dtype=torch.float64) * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: late(histories, c), (cosines,))
    late(histories, cosines).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in late.parameters())


def test_more_of_what_a_query_asks_for_never_lowers_the_score() -> None:
    late = LateInteraction().double()
    histories = histories_of([3, 4], texts=2)
    histories.event_text[:], histories.event_exposed[:] = torch.tensor([0, 0, 0, 0, 0, 0, 1]), False
    histories = replace(histories, event_age=torch.tensor([9.0, 8, 7, 9, 8, 7, 1], dtype=torch.float64))
    histories.event_channel[:] = 0
    one, other = late(histories, torch.tensor([[0.1], [0.9]], dtype=torch.float64))
    assert other > one


def test_alignment_reaches_every_trained_parameter() -> None:
    whole, histories = model(), users(texts=12)
    assert whole.behavior is not None
    states = whole(histories)
    sentences = whole.sentences(torch.randn(5, TEXT, dtype=torch.float64))
    loss = losses.alignment_loss(states.aligned, sentences, whole.temperature)
    (loss + whole.late_scores(histories, sentences).square().sum()).backward()
    elsewhere = ("behavior.next_window", "tabular.generator", "tabular.replaced", "tabular.columns.heads", "tabular.columns.mask")
    for name, parameter in whole.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns != name.startswith(elsewhere), name


def test_the_temperature_is_bounded() -> None:
    whole = model()
    whole.scale.data.fill_(9.0)
    assert whole.temperature.item() == pytest.approx(100, rel=1e-3)


def test_the_model_runs_under_mixed_precision() -> None:
    whole, histories = model().float(), users(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        states = whole(histories)
        sentences = whole.sentences(torch.randn(5, TEXT))
        late = whole.late_scores(histories, sentences)
        (losses.alignment_loss(states.aligned.float(), sentences.float(), 10.0) + late.float().sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in whole.parameters())
