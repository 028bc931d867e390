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
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import (
    BeatsShape,
    ConnectorConfig,
    LlmShape,
    LoraSettings,
    SalmonnConfig,
    WhisperShape,
)
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
_BERT_BASE = ConnectorConfig()


@dataclass(frozen=True)
class Published:
    """A checkpoint: where it came from, its weights without buffers, and its run's settings, {} if released.

    The settings have the published names: lora_alpha, second_per_window, second_stride, window_level_Qformer,
    prompt_template, end_sym. One is ours, qformer_heads: no weight's shape tells it, and the published code has 12.
    """

    source: str
    state: Mapping[str, Tensor]
    settings: Mapping[str, Any]

    def with_overrides(self, **settings: Any) -> Published:
        """With settings that the caller knows better; None leaves a setting as it is."""
        known = {name: value for name, value in settings.items() if value is not None}
        return replace(self, settings={**self.settings, **known})

    def shape(self, key: str) -> torch.Size:
        """The shape of a weight that the sizes of the model follow from."""
        if key not in self.state:
            raise SalmonnError(
                f"{self.source} does not fit the model: missing {key}; give a checkpoint of a window-level "
                "Q-Former as the published code writes it"
            )
        return self.state[key].shape


def read_published(source: PathLike) -> Published:
    """Read a checkpoint: a file, or a Hub id.

    Raises:
        SalmonnError: no such file, or not a checkpoint of this kind.
    """
    file = find_torch_file(source)
    rule = "a SALMONN checkpoint is a file {'model': …} as published by its authors"
    checkpoint = load_pickle(file, rule)
    model = checkpoint.get("model")
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise SalmonnError(f"{file} holds {', '.join(map(str, checkpoint)) or 'nothing'}; {rule}")
    config = checkpoint.get("config")
    settings = config.get("model") if isinstance(config, dict) else None
    state = {key: tensor for key, tensor in model.items() if not _BUFFERS.search(key)}
    return Published(str(file), state, settings if isinstance(settings, dict) else {})


def published_config(published: Published, parts: Backbones, sources: Mapping[str, str]) -> SalmonnConfig:
    """Every size: the connector's and LoRA's from the checkpoint, the others from the parts themselves.

    `sources` are the parts' files, folders or Hub ids, by their names in `SalmonnConfig`.
    """
    whisper, beats, llm = parts.whisper, parts.beats, parts.llm.config
    config = SalmonnConfig(
        name="published",
        whisper=WhisperShape(hub=sources["whisper"], **_same(WhisperShape(), whisper.config))
        if whisper
        else None,
        beats=BeatsShape(hub=sources["beats"], **_same(BeatsShape(), beats.config)) if beats else None,
        llm=LlmShape(
            hub=sources["llm"],
            vocab_size=llm.vocab_size - 1,
            rope_theta=llm.rope_parameters["rope_theta"],
            add_pad_row=True,
            **_same(LlmShape(), llm, but=("vocab_size", "rope_parameters")),
        ),
        connector=_connector(published),
        lora=_lora(published),
        prompt=published.settings.get("prompt_template", SalmonnConfig.prompt),
        end=published.settings.get("end_sym", SalmonnConfig.end),
        checkpoint=sources["checkpoint"],
    )
    return config.as_published()


def load_published_weights(model: SalmonnModel, published: Published) -> None:
    """Put the checkpoint's weights into a model of its sizes; without LoRA in it, LoRA stays without effect.

    Raises:
        SalmonnError: naming every missing, unexpected and wrongly shaped key as the checkpoint spells it.
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


def _connector(published: Published) -> ConnectorConfig:
    settings = published.settings
    _, N, width = published.shape("speech_query_tokens")
    feed_forward = "speech_Qformer.bert.encoder.layer.{}.intermediate_query.dense.weight"
    heads = settings.get("qformer_heads", {_BERT_BASE.hidden_size: _BERT_BASE.num_attention_heads}.get(width))
    if heads is None:
        raise SalmonnError(
            f"{published.source}: no weight tells the attention heads of a Q-Former {width} wide (at "
            f"{_BERT_BASE.hidden_size}, as released, it has {_BERT_BASE.num_attention_heads}): give heads"
        )
    seconds = settings.get("second_per_window", _BERT_BASE.window_seconds)
    windows = settings.get("window_level_Qformer", True)
    return ConnectorConfig(
        kind="window_qformer" if windows else "segment_qformer",
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=published.shape(feed_forward.format(0))[0],
        num_hidden_layers=sum(feed_forward.format(i) in published.state for i in range(len(published.state))),
        num_query_tokens=N,
        segment_query_tokens=N,
        window_seconds=seconds,
        stride_seconds=settings.get("second_stride", seconds),
    )


def _lora(published: Published) -> LoraSettings:
    found = {key: match[1] for key in published.state if (match := _LORA_A.search(key))}
    alpha = published.settings.get("lora_alpha", LoraSettings.alpha)
    if not found:
        return LoraSettings(alpha=alpha)
    ranks = {published.state[key].shape[0] for key in found}
    if len(ranks) > 1:
        raise SalmonnError(f"{published.source} has LoRA of ranks {sorted(ranks)}; one rank is supported")
    return LoraSettings(r=ranks.pop(), alpha=alpha, target_modules=tuple(dict.fromkeys(found.values())))


def _same(
    shape: WhisperShape | BeatsShape | LlmShape, config: Any, but: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The sizes that a library's configuration has under the same names."""
    return {name: getattr(config, name) for name in shape.sizes() if name not in but}
