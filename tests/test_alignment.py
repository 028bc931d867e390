"""The connector's warm-up by CTC: it learns, alone and exactly; H keeps the embeddings' size; what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from runs import (
    Tones,
    changed,
    killed_after,
    pack_tones,
    packed_recipe,
    recipe_for,
    rows,
    streams_of,
    weights,
)
from tiny import tiny_config, tiny_salmonn, tiny_toy
from torch.testing import assert_close

from salmonn_mini import pretrained
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.train import fit, load_recipe, train_recipe
from salmonn_mini.train.alignment import AlignmentPhase, blank_token
from salmonn_mini.train.checkpointing import RunDirectory, read_checkpoint
from salmonn_mini.train.run import initial_model

SHORT = {"steps": 4, "batch_size": 4}


def model_for(kind: str = "window_qformer", dropout: float = 0.1):
    """A tiny model whose H is scaled, with a token for two frames: the tones are short, and their sentences not."""
    changes = {"kind": kind, "token_scale": None, "window_seconds": 0.04, "stack_frames": 2}
    return tiny_salmonn(
        config=tiny_config(dropout, connector=tiny_config(dropout).connector.replace(**changes))
    )


def aligned(folder, **changes):
    return recipe_for(folder, **{"alignment": SHORT, "steps": 4, "save_every": 3} | changes)


def of(phase, recipe):
    return [row for row in rows(recipe) if row["phase"] == phase]


# --- what it learns --------------------------------------------------------------------------------------------------


def test_a_batch_is_learned_by_heart_and_can_be_read_off_H(tmp_path):
    settings = {"steps": 150, "batch_size": 3, "lr": 5e-3, "temperature": 0.1}
    recipe = aligned(tmp_path, alignment=settings, steps=1, batch_size=3, clips=3, eval_every=150)
    fit(model_for(dropout=0), Tones(3), recipe, eval_dataset=Tones(3))
    first, *_, last = of("alignment", recipe)
    assert first["loss"] > 2 and last["loss"] < 0.2 and last["wer"] == 0
    assert first.keys() == {"step", "phase", "loss", "gradient_norm", "lr", "left_out", "seconds"}
    (joint,) = of("joint", recipe)
    assert (
        joint["step"] == 151 and joint["lr"] == joint["lora_lr"] == 1.5e-3
    )  # their own warm-up, from the beginning


def test_the_connector_alone_learns_and_the_llm_is_not_run(tmp_path):
    model, recipe, calls = model_for(), aligned(tmp_path, steps=1), []
    before = weights(model)
    learning = {name for name in model.trainable_state() if ".lora_" not in name}
    model.base_llm.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    fit(model, Tones(), recipe)
    assert len(calls) == 1  # of the joint training's one step
    state, _ = map(
        read_checkpoint, RunDirectory(recipe).checkpoints()
    )  # of the alignment's end, and of the run's
    learned = {name for name in learning if not torch.equal(state["trained"][name], before[name])}
    assert state["trained"].keys() == learning and {n for n in learning - learned if "self" not in n} == set()
    assert changed(before, weights(model)) <= set(model.trainable_state()) and not model.training


@pytest.mark.parametrize("kind", ["stacking", "ctc"])
def test_every_connector_whose_tokens_follow_time_is_aligned(tmp_path, kind):
    recipe = aligned(tmp_path, alignment=SHORT | {"steps": 12, "lr": 1e-2}, steps=1)
    fit(model_for(kind), Tones(), recipe)
    losses = [row["loss"] for row in of("alignment", recipe)]
    assert sum(losses[-3:]) < sum(losses[:3])


def test_in_bfloat16_too(tmp_path):
    recipe = aligned(tmp_path, dtype="bfloat16", steps=1)
    fit(model_for(), Tones(), recipe)
    assert all(row["loss"] is not None and row["gradient_norm"] > 0 for row in rows(recipe))


def test_the_loss_is_that_of_ctc_clip_by_clip_in_every_batch(tmp_path):
    model, clips = model_for(dropout=0), Tones(6)
    phase, features, targets = phase_of(model, clips, tmp_path)
    with torch.no_grad():
        losses, sizes, fits = phase.losses(features, targets)
        for i, clip in enumerate(features.clips()):
            alone, *_ = phase.losses(clip, targets[i : i + 1])
            assert_close(alone[0], losses[i], atol=1e-4, rtol=1e-4)
    assert fits.all() and sizes.tolist() == [len(target) for target in targets]
    # By definition: one token, in the clip's own H, is at one place or at several in a row.
    (token, *_), clip = targets[0], features.clips()[0]
    with torch.no_grad():
        loss, *_ = phase.losses(clip, [[token]])
        H, lengths = model.get_audio_features(clip)
        rows_of = model.base_llm.get_input_embeddings().weight[phase.vocabulary]
        cosines = torch.nn.functional.cosine_similarity(H[0, :, None], rows_of[None], dim=-1)
    p = (cosines / 0.1).softmax(-1).double()
    label, blank = (phase.vocabulary.tolist().index(one) for one in (token, phase.blank))
    M = int(lengths)
    total = sum(
        p[:i, blank].prod() * p[i:j, label].prod() * p[j:, blank].prod()
        for i in range(M)
        for j in range(i + 1, M + 1)
    )
    assert_close(loss[0].double(), -total.log(), atol=1e-4, rtol=1e-4)


def phase_of(model, clips, folder):
    """A phase outside a run, and the features and targets of all clips."""
    accelerator = SimpleNamespace(device=torch.device("cpu"), autocast=torch.no_grad)
    recipe = aligned(folder)
    phase = AlignmentPhase(model, recipe, accelerator, RunDirectory(recipe))
    phase.vocabulary = phase._vocabulary(clips, 10**6)
    phase.embeddings = torch.nn.functional.normalize(
        model.base_llm.get_input_embeddings().weight.detach()[phase.vocabulary], dim=-1
    )
    features = Features.stack([model.encode([wave]) for wave in clips.waves(range(len(clips)))])
    return phase, features, [phase._target(example) for example in clips.examples]


# --- targets ---------------------------------------------------------------------------------------------------------


class Spoken(Tones):
    """Clips with answers of one's own."""

    def __init__(self, *answers: str, task: str = "asr") -> None:
        super().__init__(len(answers))
        self.examples = [
            replace(example, answer=answer, task=task)
            for example, answer in zip(self.examples, answers, strict=True)
        ]


def test_targets_longer_than_H_are_left_out_and_counted(tmp_path, capsys):
    model = model_for(dropout=0)
    sound = Spoken("a dog", "the farmer " * 40, "a bell", "a red apple")
    recipe = aligned(tmp_path, alignment=SHORT | {"steps": 3}, steps=1, clips=4)
    fit(model, sound, recipe)
    assert [row["left_out"] for row in of("alignment", recipe)] == [1, 1, 1]
    assert (
        "alignment: 3 of 12 targets were longer than their clip's tokens, and left out"
        in capsys.readouterr().err
    )
    phase, features, targets = phase_of(model, sound, tmp_path)
    losses, _, fits = phase.losses(features, targets)
    assert fits.tolist() == [True, False, True, True] and losses[1] == 0 and losses.isfinite().all()


def test_equal_tokens_in_a_row_need_a_blank_between_them(tmp_path):
    model, clips = model_for(), Tones(1)
    phase, features, _ = phase_of(model, clips, tmp_path)
    M = int(model.get_audio_features(features)[1])
    a, b = phase.vocabulary[:2].tolist()
    for target, fit_in in (
        ([a, b] * (M // 2), True),
        ([a] * ((M + 1) // 2), True),
        ([a] * (M // 2 + 1), False),
    ):
        assert phase.losses(features, [target])[2].tolist() == [fit_in], target


def test_a_clip_without_a_target_teaches_nothing(tmp_path):
    model, answers = model_for(dropout=0), ("a dog", "a bell", "anna sings", "the farmer")
    mixed = Spoken(*answers)
    mixed.examples[1] = replace(mixed.examples[1], task="gender")
    recipe = aligned(tmp_path, alignment=SHORT | {"steps": 1}, steps=1, clips=4)
    fit(model, mixed, recipe)
    phase, features, targets = phase_of(model_for(dropout=0), mixed, tmp_path)
    assert targets[1] == [] and phase.model.prompt.ids("a bell")[-1] not in phase.vocabulary
    own = [0, 2, 3]
    losses, sizes, _ = phase.losses(
        Features.stack([features.clips()[i] for i in own]), [targets[i] for i in own]
    )
    assert of("alignment", recipe)[0]["loss"] == pytest.approx(float(losses.sum() / sizes.sum()), rel=1e-4)
    with pytest.raises(SalmonnError, match=r"alignment\.tasks is asr, .*none of the clips has a task among"):
        named = aligned(tmp_path / "none", alignment=SHORT | {"tasks": ["asr"]}, clips=4)
        fit(model, Spoken(*answers, task="gender"), named)


def test_the_toy_knows_all_that_is_heard_in_a_clip():
    clips = ToyDataset({"asr": 1, "audio_caption": 1, "music_caption": 0.2}, 80, 3)
    pairs = list(zip(clips.toy_examples, clips.examples, strict=True))
    for toy, example in pairs:
        assert toy.words in example.description and example.description
        if not toy.words:
            assert "speaks" not in example.description and "No speech" not in example.description
    behind = [example for toy, example in pairs if toy.words and toy.plan.events]
    assert len(behind) > 5
    for toy, example in pairs:
        if example in behind:  # such a sound begins before the voice
            assert example.description.endswith(f". {toy.words}")
    assert any(example.task == "audio_caption" for example in behind)


def test_the_blank_is_the_unknown_token_or_without_one_a_space():
    prompt = tiny_salmonn().prompt
    assert blank_token(prompt) == prompt.tokenizer.unk_token_id == 3
    for unknown in (None, "<|endoftext|>"):
        bytes_alone = SimpleNamespace(unk_token=unknown, unk_token_id=0)
        ids = {" ": [216]}
        other = SimpleNamespace(tokenizer=bytes_alone, ids=ids.__getitem__, eos_token_id=2)
        assert blank_token(other) == 216
        ids[" "] = []
        assert blank_token(other) == 2


# --- as the rest of a run --------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_in_its_alignment_at_its_end_and_after_it_ends_as_one_that_is_not(tmp_path):
    whole, recipe = model_for(), aligned(tmp_path)
    fit(whole, Tones(), aligned(tmp_path, output_dir=str(tmp_path / "whole")))
    for steps in (2, 4, 5, 7):  # the run saves after steps 3, 4, 6 and 8
        with killed_after(steps):
            fit(model_for(), Tones(), recipe)
    model = model_for()
    assert fit(model, Tones(), recipe)["steps"] == 8
    assert not changed(weights(whole), weights(model))
    unlike_time = [{k: v for k, v in row.items() if k != "seconds"} for row in rows(recipe)]
    expected = rows(aligned(tmp_path, output_dir=str(tmp_path / "whole")))
    assert unlike_time == [{k: v for k, v in row.items() if k != "seconds"} for row in expected]
    assert [(row["step"], row["phase"]) for row in rows(recipe)] == [
        (step, "alignment" if step <= 4 else "joint") for step in range(1, 9)
    ]
    again = model_for()
    fit(again, Tones(), recipe)
    assert not changed(weights(whole), weights(again)) and len(rows(recipe)) == 8


def test_after_ctrl_c_the_model_is_as_it_was(tmp_path, monkeypatch):
    model, calls = model_for(), iter(range(3))
    before = weights(model)
    losses = AlignmentPhase.losses
    monkeypatch.setattr(AlignmentPhase, "losses", lambda *given: (next(calls), losses(*given))[1])
    with pytest.raises((StopIteration, RuntimeError)):  # as good as Ctrl-C
        fit(model, Tones(), aligned(tmp_path))
    assert not changed(before, weights(model)) and not model.training
    assert all(p.grad is None for p in model.parameters())


def test_accumulation_changes_neither_losses_nor_weights(tmp_path):
    runs = []
    for parts in (1, 3):
        changes = {"gradient_accumulation_steps": parts, "output_dir": str(tmp_path / f"{parts}")}
        recipe, model = aligned(tmp_path, steps=1, **changes), model_for(dropout=0)
        fit(model, Tones(), recipe)
        runs.append((model, [row["loss"] for row in of("alignment", recipe)]))
    (one, losses), (other, in_parts) = runs
    assert in_parts == pytest.approx(losses, abs=1e-5)
    for name, tensor in one.trainable_state().items():
        assert torch.allclose(tensor, other.trainable_state()[name], atol=1e-4), name


def test_a_stream_is_aligned_over_the_whole_vocabulary(tmp_path):
    recipe = packed_recipe(tmp_path, pack_tones(tmp_path / "packed"), alignment=SHORT, steps=1)
    fit(model_for(), streams_of(recipe), recipe)
    assert len(of("alignment", recipe)) == 4 and all(row["loss"] > 0 for row in rows(recipe))


# --- the size of H ---------------------------------------------------------------------------------------------------


def test_H_has_the_mean_norm_of_the_input_embeddings_alone_and_in_a_batch():
    model = model_for(dropout=0)  # whose embeddings are not tied
    inputs, outputs = model.base_llm.get_input_embeddings().weight, model.base_llm.lm_head.weight
    assert inputs is not outputs
    R = inputs.norm(dim=-1).mean()
    features = model.encode(Tones(4).waves(range(4)))
    with torch.no_grad():
        H, lengths = model.get_audio_features(features)
        for i, clip in enumerate(features.clips()):
            alone, _ = model.get_audio_features(clip)
            assert_close(H[i, : lengths[i]], alone[0], atol=1e-5, rtol=1e-4)
            assert_close(alone.norm(dim=-1), R.expand_as(alone[..., 0]))
            assert H[i, lengths[i] :].abs().sum() == 0
    plain = tiny_salmonn()
    assert plain.config.connector.token_scale == 1 and "embedding_norm" not in plain.state_dict()


def test_H_stays_scaled_in_the_model_that_is_saved_and_in_the_next_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    small = ["steps=1", "clips=8", "batch_size=4", "threads=1", "trackers=[]"]
    first = load_recipe("toy-stage1", [*small, "output_dir=one", "alignment={steps: 2, batch_size: 4}"])
    train_recipe(first)
    assert pretrained.read_info("one")["recipe"]["alignment"]["temperature"] == 0.1
    second = load_recipe("toy-stage1", [*small, "output_dir=two", "init=one", "alignment=null"])
    for model in (pretrained.load("one"), initial_model(second)):
        assert model.config.connector.token_scale is None
        R = model.base_llm.get_input_embeddings().weight.norm(dim=-1).mean()
        with torch.no_grad():
            H, _ = model.get_audio_features(model.encode([torch.ones(16_000)]))
        assert_close(H.norm(dim=-1), R.expand_as(H[..., 0]))
    without = load_recipe("toy-stage1", [*small, "output_dir=three", "alignment=null"])
    assert initial_model(without).config.connector.token_scale == 0.1


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["alignment={stps: 2}"], "alignment key 'stps': did you mean 'steps'"),
        (["alignment={max_steps: 2}"], "alignment key 'max_steps': did you mean 'steps'"),
        (["alignment={}"], "Alignment needs the key 'steps'"),
        (["alignment=ctc"], "alignment is 'ctc'"),
        (["alignment.steps=0"], "steps is 0.*greater than 0"),
        (["alignment.steps=2", "alignment.lr=2"], "lr is 2.0.*at most 1"),
        (["alignment.steps=2", "alignment.temperature=0"], "temperature is 0.0.*greater than 0"),
        (["alignment.steps=2", "alignment.batch_size=100000"], "at least batch_size = 100000"),
        (["alignment.steps=2", "alignment.tasks=[sing]"], "unknown task 'sing'"),
        (["alignment.steps=2", "alignment.tasks=[]"], "one task or more"),
        (["alignment.steps=2", "trainable=[lora]"], "omitted unless the connector is trained"),
        (["alignment.steps=2", "init=stage1"], "omitted unless init is scratch"),
    ],
)
def test_a_recipe_refuses_by_key_rule_and_remedy(overrides, words):
    with pytest.raises(SalmonnError, match=words):
        load_recipe("toy-stage1", overrides)


def test_a_connector_without_time_or_scaling_is_refused_and_nothing_is_lost(tmp_path):
    recipe = aligned(tmp_path)
    fit(model_for(), Tones(), recipe)
    kept = RunDirectory(recipe).checkpoints()
    with pytest.raises(SalmonnError, match=r"kind is 'segment_qformer'.*follow time: choose another"):
        fit(model_for("segment_qformer"), Tones(), recipe, fresh=True)
    with pytest.raises(SalmonnError, match=r"token_scale is 1\.0, but alignment needs null"):
        fit(tiny_salmonn(), Tones(), recipe, fresh=True)
    assert kept and RunDirectory(recipe).checkpoints() == kept


def test_a_loss_that_is_not_finite_names_the_rate_to_lower(tmp_path, monkeypatch):
    losses = AlignmentPhase.losses

    def poisoned(*given):
        each, *others = losses(*given)
        return each * torch.nan, *others

    monkeypatch.setattr(AlignmentPhase, "losses", poisoned)
    with pytest.raises(SalmonnError, match=r"not finite in 3 steps in a row.*lower alignment\.lr = 0\.0015"):
        fit(model_for(), Tones(), aligned(tmp_path))
