"""The checkpoints of SALMONN's authors: `{'model': …}`, the trained weights under the published names, and buffers.

    published                   here
    ln_speech, ln_audio         the same
    speech_query_tokens         connector.queries
    speech_Qformer.bert. …      connector.qformer.bert. …
    speech_llama_proj           connector.projection
    llama_model. …              llm. …

The buffers are not needed: rotary frequencies, position numbers, copies of BEATs' bias table. A checkpoint of a
training run also holds its settings; the released ones hold the weights alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import AdapterConfig, ConnectorConfig, SalmonnConfig, Sizes
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.state import check_fit, load_pickle
from salmonn_mini.pretrained.backbones import Backbones, PathLike, find_torch_file

_NAMES = {
    "connector.queries": "speech_query_tokens",
    "connector.qformer.": "speech_Qformer.",
    "connector.projection.": "speech_llama_proj.",
    "llm.": "llama_model.",
}
_BUFFERS = re.compile(r"\.rotary_emb\.inv_freq$|\.position_ids$|^beats\..*\.relative_attention_bias\.weight$")
_LORA_A = re.compile(r"\.(\w+)\.lora_A\.default\.weight$")
_RELEASED_WIDTH, _RELEASED_HEADS = ConnectorConfig.hidden_size, ConnectorConfig.num_attention_heads


@dataclass(frozen=True)
class Published:
    """A checkpoint: where it came from, its weights without buffers, and its run's settings, {} if released.

    The settings have the published names: lora_alpha, second_per_window, second_stride, window_level_Qformer,
    prompt_template, end_sym. One is ours, qformer_heads: no weight's shape tells it, and the published code has 12.
    """

    source: str
    state: Mapping[str, Tensor]
    settings: Mapping[str, Any]

    def shape(self, key: str) -> torch.Size:
        """The shape of a weight that the sizes of the model follow from."""
        if key not in self.state:
            remedy = "give a checkpoint of a window-level Q-Former as the published code writes it"
            raise SalmonnError(f"{self.source} does not fit the model: missing {key}; {remedy}")
        return self.state[key].shape


def read_published(source: PathLike, overrides: Mapping[str, Any]) -> Published:
    """Read a checkpoint: a file, or a Hub id. `overrides` are settings that the caller knows better, None if not.

    Raises SalmonnError if there is no such file, or it is no checkpoint of this kind.
    """
    file = find_torch_file(source)
    rule = "a SALMONN checkpoint is a file {'model': …} as published by its authors"
    checkpoint = load_pickle(file, rule)
    model, config = checkpoint.get("model"), checkpoint.get("config")
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise SalmonnError(f"{file} holds {', '.join(map(str, checkpoint)) or 'nothing'}; {rule}")
    state = {key: tensor for key, tensor in model.items() if not _BUFFERS.search(key)}
    settings = config.get("model") if isinstance(config, dict) else None
    known = {name: value for name, value in overrides.items() if value is not None}
    return Published(str(file), state, (settings if isinstance(settings, dict) else {}) | known)


def with_sizes(config: SalmonnConfig, published: Published, parts: Backbones) -> SalmonnConfig:
    """`config` with every size: the connector's and LoRA's from the checkpoint, the others from the parts."""
    llm, settings = parts.llm.config, published.settings
    vocab_size, rope_theta = llm.vocab_size - config.llm.add_pad_row, llm.rope_parameters["rope_theta"]
    return config.replace(
        whisper=_sized(config.whisper, parts.whisper),
        beats=_sized(config.beats, parts.beats),
        llm=_sized(config.llm, parts.llm, vocab_size=vocab_size, rope_theta=rope_theta),
        connector=_connector(config.connector, published),
        lora=_lora(published),
        prompt_template=settings.get("prompt_template", config.prompt_template),
        eos_token=settings.get("end_sym", config.eos_token),
    )


def load_published_weights(model: SalmonnModel, published: Published) -> None:
    """Put the checkpoint's weights into a model of its sizes; without LoRA in it, LoRA stays without effect.

    Raises SalmonnError with every missing, unexpected and wrongly shaped key as the checkpoint spells it.
    """
    own = {published_name(name): tensor for name, tensor in model.trainable_state().items()}
    if not any(".lora_" in key for key in published.state):
        own = {key: tensor for key, tensor in own.items() if ".lora_" not in key}
    remedy = "give the Whisper, BEATs and LLM that it was trained with"
    check_fit(own, published.state, published.source, remedy)
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(published.state[key])


def published_name(name: str) -> str:
    """How the published code calls a parameter of `SalmonnModel`."""
    start = next((start for start in _NAMES if name.startswith(start)), "")
    return _NAMES.get(start, "") + name.removeprefix(start)


def _sized(shape: Sizes | None, part: nn.Module | None, **others: Any) -> Any:
    """With the sizes that the part's own configuration has under the same names, and with `others`."""
    if shape is None or part is None:
        return None
    same = shape.sizes().keys() & shape.to_dict().keys()
    return shape.replace(**{name: getattr(part.config, name) for name in same} | others)


def _connector(released: ConnectorConfig, published: Published) -> ConnectorConfig:
    settings = published.settings
    _, N, width = published.shape("speech_query_tokens")
    feed_forward = "speech_Qformer.bert.encoder.layer.{}.intermediate_query.dense.weight"
    heads = settings.get("qformer_heads", _RELEASED_HEADS if width == _RELEASED_WIDTH else None)
    if heads is None:
        released_as = f"at {_RELEASED_WIDTH}, as released, it has {_RELEASED_HEADS}"
        rule = f"no weight tells the attention heads of a Q-Former {width} wide ({released_as})"
        raise SalmonnError(f"{published.source}: {rule}: give heads")
    seconds = settings.get("second_per_window", released.window_seconds)
    return released.replace(
        kind="window_qformer" if settings.get("window_level_Qformer", True) else "segment_qformer",
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=published.shape(feed_forward.format(0))[0],
        num_hidden_layers=sum(feed_forward.format(i) in published.state for i in range(len(published.state))),
        num_query_tokens=N,
        segment_query_tokens=N,
        window_seconds=seconds,
        stride_seconds=settings.get("second_stride", seconds),
    )


def _lora(published: Published) -> AdapterConfig:
    rank = {match[1]: len(x) for key, x in published.state.items() if (match := _LORA_A.search(key))}
    alpha = published.settings.get("lora_alpha", AdapterConfig.lora_alpha)
    if not rank:
        return AdapterConfig(lora_alpha=alpha)
    return AdapterConfig(r=max(rank.values()), lora_alpha=alpha, target_modules=tuple(rank))
