"""lora.py: equal to peft, the absolute scale and its refusals, drift."""

from __future__ import annotations

import copy
import math

import peft
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import AdapterConfig
from salmonn_mini.models.lora import (
    LoraLinear,
    attach,
    attach_lora,
    get_lora_scale,
    lora_drift,
    lora_scale,
)

CONFIG = AdapterConfig(r=4, lora_alpha=16, lora_dropout=0.0)  # s = 4 as trained
IDS = torch.tensor([[1, 5, 9, 2]])


@pytest.fixture(scope="module")
def llama_config():
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )


@pytest.fixture
def bare_llm(llama_config) -> nn.Module:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(llama_config).eval()


def moved(model: nn.Module) -> nn.Module:
    """LoRA somewhere else than at its start, where B is zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture
def llm(bare_llm) -> peft.PeftModel:
    return moved(attach_lora(bare_llm, CONFIG))


@pytest.fixture
def by_hand() -> nn.Module:
    torch.manual_seed(0)
    return moved(
        nn.Sequential(LoraLinear(nn.Linear(6, 8), 2, 8), nn.ReLU(), LoraLinear(nn.Linear(8, 3), 2, 8))
    )


@pytest.fixture(params=["llm", "by_hand"])
def model(request) -> nn.Module:
    """peft's layers and ours must behave alike."""
    return request.getfixturevalue(request.param)


def run(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits if hasattr(model, "lm_head") else model(torch.linspace(-1, 1, 6))


def merge(model: nn.Module, back: bool = False) -> None:
    if isinstance(model, peft.PeftModel):
        (model.unmerge_adapter if back else model.merge_adapter)()
    else:
        for layer in model[::2]:
            (layer.unmerge if back else layer.merge)()


class TestByHand:
    def pair(self) -> tuple[LoraLinear, nn.Module]:
        """Our layer and peft's with the same weights."""
        torch.manual_seed(0)
        base = nn.Linear(6, 8)
        theirs = peft.get_peft_model(
            nn.ModuleDict({"q_proj": base}), peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"])
        ).base_model.model["q_proj"]
        ours = LoraLinear(nn.Linear(6, 8), 2, 8)
        with torch.no_grad():
            theirs.lora_B["default"].weight.normal_()
            ours.base_layer.load_state_dict(theirs.base_layer.state_dict())
            ours.lora_A.weight.copy_(theirs.lora_A["default"].weight)
            ours.lora_B.weight.copy_(theirs.lora_B["default"].weight)
        return ours, theirs

    def test_forward_and_gradients_equal_pefts(self):
        x, grads = torch.randn(5, 6), []
        for layer in self.pair():
            y = layer(x)
            y.square().sum().backward()
            grads.append((y.detach(), *(p.grad for p in layer.parameters() if p.requires_grad)))
        assert len(grads[0]) == 3  # the result, A and B: the base layer is frozen
        for ours, theirs in zip(*grads, strict=True):
            assert_close(ours, theirs)

    def test_merged_weights_equal_pefts_and_unmerging_brings_the_old_ones_back(self):
        ours, theirs = self.pair()
        x, before = torch.randn(5, 6), ours.base_layer.weight.clone()
        y = ours(x)
        for layer in (ours, theirs):
            layer.merge()
        ours.merge()  # a second time changes nothing
        assert_close(ours.base_layer.weight, theirs.base_layer.weight)
        assert_close(ours(x), y)
        ours.unmerge()
        assert_close(ours.base_layer.weight, before)
        assert_close(ours(x), y)

    def test_at_the_start_nothing_is_changed(self):
        layer = LoraLinear(nn.Linear(6, 8))
        x = torch.randn(5, 6)
        assert torch.equal(layer(x), layer.base_layer(x)) and layer.scale == 4.0


def test_attaching_trains_lora_on_q_and_v_alone(llm):
    names = {name for name, parameter in llm.named_parameters() if parameter.requires_grad}
    assert len(names) == 2 * 2 * 2  # layers, modules, A and B
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight" in names
    assert all(".q_proj.lora_" in name or ".v_proj.lora_" in name for name in names)
    assert get_lora_scale(llm) == 4.0


def test_attaching_by_hand_does_what_peft_does(bare_llm):
    before = run(bare_llm)
    ours = attach(copy.deepcopy(bare_llm), ("q_proj", "v_proj"), 4, 16)
    assert torch.equal(run(ours), before) and get_lora_scale(ours) == 4.0
    theirs = moved(attach_lora(bare_llm, CONFIG))
    prefix, ending = "base_model.model.", ".default.weight"
    trained = {
        name.removeprefix(prefix).replace(ending, ".weight"): weight
        for name, weight in theirs.named_parameters()
        if weight.requires_grad
    }
    own = {name: weight for name, weight in ours.named_parameters() if weight.requires_grad}
    assert own.keys() == trained.keys()
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(trained[name])
    assert_close(run(ours), run(theirs))
    assert lora_drift(ours).overall == pytest.approx(lora_drift(theirs).overall)


class Foreign(nn.Module):
    """Another's LoRA layer, with the five names."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer, self.scale, self.merged = base_layer, 4.0, False
        self.lora_A, self.lora_B = nn.Linear(6, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.scale * self.lora_B(self.lora_A(x))


def test_the_knob_turns_any_layer_with_the_five_names():
    layer = Foreign(nn.Linear(6, 8))
    x = torch.linspace(-1, 1, 6)
    with torch.no_grad(), lora_scale(layer, 0):
        assert torch.equal(layer(x), layer.base_layer(x))
    assert get_lora_scale(layer) == 4.0
    change = 4 * layer.lora_B.weight @ layer.lora_A.weight
    assert lora_drift(layer).overall == pytest.approx((change.norm() / layer.base_layer.weight.norm()).item())
    layer.merged = True
    with pytest.raises(SalmonnError, match="merged"), lora_scale(layer, 0):
        pass


def test_unknown_target_modules_are_named(bare_llm):
    with pytest.raises(SalmonnError, match=r"no linear layers named query: choose .*q_proj"):
        attach_lora(bare_llm, AdapterConfig(target_modules=("query", "v_proj")))


def test_the_scale_is_absolute(llm, llama_config):
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    alone = LlamaForCausalLM(llama_config).eval()  # the same LLM before LoRA
    with lora_scale(llm, 0):
        assert_close(run(llm), alone(IDS).logits.detach())
    with torch.no_grad():
        for name, module in llm.named_modules():
            if isinstance(module, peft.tuners.lora.LoraLayer):
                layer = alone.get_submodule(name.removeprefix("base_model.model."))
                layer.weight += 2.5 * module.lora_B["default"].weight @ module.lora_A["default"].weight
    with lora_scale(llm, 2.5):
        assert_close(run(llm), alone(IDS).logits.detach())


def test_as_trained_is_the_identity(model):
    trained = run(model)
    with lora_scale(model, 4.0):
        assert torch.equal(run(model), trained)


def test_blocks_nest_and_restore(model):
    trained = run(model)
    with lora_scale(model, 2):
        two = run(model)
        with lora_scale(model, 0.5):
            assert get_lora_scale(model) == 0.5
        assert get_lora_scale(model) == 2 and torch.equal(run(model), two)
    assert get_lora_scale(model) == 4.0 and torch.equal(run(model), trained)
    assert not torch.equal(two, trained)


def test_an_exception_restores_too(model):
    with pytest.raises(KeyError), lora_scale(model, 1):
        raise KeyError
    assert get_lora_scale(model) == 4.0


def test_merged_layers_are_refused(model):
    merge(model)
    merged = run(model)
    for refused in (lambda: lora_scale(model, 1).__enter__(), lambda: lora_drift(model)):
        with pytest.raises(SalmonnError, match=r"merged into .*unmerge"):
            refused()
    assert torch.equal(run(model), merged)
    merge(model, back=True)
    with lora_scale(model, 1):
        assert get_lora_scale(model) == 1


def test_merging_within_a_block_is_refused_and_can_be_undone(model):
    trained = run(model)
    with pytest.raises(SalmonnError, match="merged into"), lora_scale(model, 1):
        merge(model)
    merge(model, back=True)
    with lora_scale(model, 4.0):
        assert_close(run(model), trained)  # the base weights are whole


@pytest.mark.parametrize("s", [math.nan, math.inf])
def test_scales_that_are_no_numbers_are_refused(model, s):
    with pytest.raises(SalmonnError, match="must be finite"), lora_scale(model, s):
        pass


def test_models_without_lora_are_refused():
    with pytest.raises(SalmonnError, match="no LoRA layers"):
        get_lora_scale(nn.Linear(2, 2))


def test_disabled_adapters_are_refused_since_a_scale_would_do_nothing(llm):
    with llm.disable_adapter(), pytest.raises(SalmonnError, match="not active"), lora_scale(llm, 1):
        pass


def test_layers_that_differ_have_no_common_scale(by_hand):
    by_hand[0].scale = 1.0
    with pytest.raises(SalmonnError, match=r"different scales \[1.0, 4.0\]"):
        get_lora_scale(by_hand)
    with lora_scale(by_hand, 3):
        assert get_lora_scale(by_hand) == 3
    assert by_hand[0].scale == 1.0 and by_hand[2].scale == 4.0


def test_drift_is_the_relative_frobenius_norm(model):
    with lora_scale(model, 2):
        drift = lora_drift(model)
    moved_sum = size_sum = 0.0
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear | peft.tuners.lora.LoraLayer)
    }
    assert drift.layers.keys() == layers.keys()
    for name, layer in layers.items():
        A, B = (
            m["default"].weight if isinstance(m, nn.ModuleDict) else m.weight
            for m in (layer.lora_A, layer.lora_B)
        )
        change, size = (2 * B @ A).norm().item(), layer.base_layer.weight.norm().item()
        assert drift.layers[name] == pytest.approx(change / size, rel=1e-4)
        moved_sum, size_sum = moved_sum + change**2, size_sum + size**2
    assert drift.overall == pytest.approx(math.sqrt(moved_sum / size_sum), rel=1e-4)
    assert lora_drift(model).overall == pytest.approx(2 * drift.overall)
