"""BLIP-2's three ways to teach a Q-Former which sound goes with which text (arXiv 2301.12597, section 3.2).

    contrast     unimodal mask            sound and text apart; matching pairs alike, all others unlike
    matching     bidirectional mask       sound and text together; do they belong together?
    generation   multimodal causal mask   the text word by word, from the queries alone

SALMONN starts its Q-Former without them; here they show on toy pairs what the three masks are for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import ConnectorConfig
from salmonn_mini.models.qformer import QFormer, new_queries

JOINT_WIDTH = 64  # of the space in which contrast compares
TEMPERATURE = 0.07  # at the start; it is trained


class Blip2(nn.Module):
    """A Q-Former with a text side and one head for each objective.

    Every method takes Z (B, T, D) and text_ids (B, S), whose first is a start token: it stands for all of the text
    in contrast, and is what generation begins from. The masks Z_mask (B, T) and text_mask (B, S) are True at the
    real frames and tokens; without them all are real.

    `config` has the sizes; its `num_query_tokens` queries look at all of Z. D is `context_width`.
    """

    def __init__(self, config: ConnectorConfig, context_width: int, vocab_size: int) -> None:
        super().__init__()
        self.qformer = QFormer(config, context_width, vocab_size)
        self.queries = new_queries(config.num_query_tokens, config.hidden_size)
        self.sound_head = nn.Linear(config.hidden_size, JOINT_WIDTH)
        self.text_head = nn.Linear(config.hidden_size, JOINT_WIDTH)
        self.match_head = nn.Linear(config.hidden_size, 2)
        self.log_temperature = nn.Parameter(torch.tensor(TEMPERATURE).log())

    def similarity(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Every clip against every text, over the temperature: (B, B). A clip's best query counts."""
        sound, text = self._run("unimodal", Z, text_ids, **masks)
        sound = F.normalize(self.sound_head(sound), dim=-1)
        text = F.normalize(self.text_head(text[:, 0]), dim=-1)
        return torch.einsum("and,bd->abn", sound, text).amax(-1) / self.log_temperature.exp()

    def match_logits(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Logits of "apart" and "together" for each pair: (B, 2), the mean over the queries."""
        sound, _ = self._run("bidirectional", Z, text_ids, **masks)
        return self.match_head(sound).mean(1)

    def next_token_logits(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Logits of the token after each text token: (B, S, vocabulary), by the word embeddings."""
        _, text = self._run("multimodal_causal", Z, text_ids, **masks)
        return text @ self.qformer.bert["embeddings"].word_embeddings.weight.T

    def contrastive_loss(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Cross-entropy of finding the text of each clip and the clip of each text within the batch."""
        similarity = self.similarity(Z, text_ids, **masks)
        own = torch.arange(len(Z), device=Z.device)
        return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2

    def matching_loss(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Cross-entropy of telling each clip's own text from its neighbor's (BLIP-2 draws hard negatives).

        Raises:
            SalmonnError: a batch of one pair, which holds no wrong text.
        """
        B = len(Z)
        if B < 2:
            raise SalmonnError(f"matching needs wrong texts, but the batch holds {B} pair: give at least 2")
        wrong = {name: mask.roll(1, 0) if name == "text_mask" else mask for name, mask in masks.items()}
        own = self.match_logits(Z, text_ids, **masks)
        other = self.match_logits(Z, text_ids.roll(1, 0), **wrong)
        return F.cross_entropy(torch.cat([own, other]), torch.arange(2 * B, device=Z.device).lt(B).long())

    def generation_loss(self, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> Tensor:
        """Cross-entropy of each text token after the first, given the sound and the tokens before it."""
        logits = self.next_token_logits(Z, text_ids, **masks)[:, :-1]
        targets = text_ids[:, 1:]
        if "text_mask" in masks:
            targets = targets.masked_fill(~masks["text_mask"][:, 1:], -100)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def _run(self, mask: str, Z: Tensor, text_ids: Tensor, **masks: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.qformer(self.queries, Z, text_ids=text_ids, mask=mask, **masks).hidden
        N = self.queries.shape[1]
        return hidden[:, :N], hidden[:, N:]
