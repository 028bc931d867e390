"""Bayes' rule over instructions and answers: every term, and that probabilities are probabilities."""

import itertools
import math

import pytest
import torch
from tiny import tiny_config, tiny_salmonn
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.bayes import bayes_table
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel

INSTRUCTIONS = ("Write it down.", "Say it in German.", "Tell me a story.")
ANSWERS = ("the farmer buys a red apple", "a dog barks , then a bell rings")


@pytest.fixture(scope="module")
def model() -> SalmonnModel:
    return tiny_salmonn()


@pytest.fixture(scope="module")
def clip(model) -> Features:
    return model.encode([torch.randn(9000, generator=torch.Generator().manual_seed(1)) * 0.1])


@pytest.fixture(scope="module")
def table(model, clip):
    return bayes_table(model, clip, INSTRUCTIONS, ANSWERS)


def test_scores_are_the_models_own(model, clip, table):
    for a, answer in enumerate(ANSWERS):
        for i, instruction in enumerate(INSTRUCTIONS):
            own = model.log_prob(clip, [instruction], [answer])
            torch.testing.assert_close(table.log_likelihood[a, i], own[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(
            table.log_bare[a], model.log_prob(clip, [""], [answer])[0], atol=1e-4, rtol=1e-5
        )


def test_bayes_rule_holds_term_by_term(table):
    log_instruction = -math.log(len(INSTRUCTIONS))
    rule = table.log_prior[:, None] + table.log_posterior - log_instruction
    torch.testing.assert_close(rule, table.log_likelihood)
    torch.testing.assert_close(table.log_posterior.exp().sum(1), torch.ones(len(ANSWERS)))
    mean = table.log_likelihood.double().exp().mean(1).log()
    torch.testing.assert_close(table.log_prior.double(), mean, atol=1e-4, rtol=1e-4)


def test_the_losing_term_adds_up(table):
    terms = table.losing_term(wanted=1, rival=0, instruction=2)
    whole = table.log_likelihood[1, 2] - table.log_likelihood[0, 2]
    assert terms["total"] == pytest.approx(terms["prior"] + terms["posterior"])
    assert terms["total"] == pytest.approx(float(whole), abs=1e-4)


def test_perplexity_counts_the_end_symbol(model, table):
    tokens = len(model.tokenizer(ANSWERS[0], add_special_tokens=False).input_ids) + 1
    expected = math.exp(-float(table.log_likelihood[0, 1]) / tokens)
    assert float(table.perplexity[0, 1]) == pytest.approx(expected, rel=1e-4)


def test_all_answers_together_have_probability_one():
    """Over a vocabulary of six every Y up to three tokens is scored: ended ones whole, longer ones as prefixes."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    torch.manual_seed(0)
    config = tiny_config().replace(beats=None)
    whisper = tiny_salmonn(config=config).whisper
    sizes = config.llm.sizes() | {"vocab_size": len(vocabulary)}
    llm = LlamaForCausalLM(LlamaConfig(**sizes, initializer_range=0.4))
    model = SalmonnModel(config, whisper, None, llm, tokenizer)
    H, lengths = model.get_audio_features(model.encode([torch.randn(8000) * 0.1]))
    words = [word for word in vocabulary if word != "</s>"]
    answers = [" ".join(y) for n in range(4) for y in itertools.product(words, repeat=n)]
    probabilities = []
    with torch.no_grad():
        for answer in answers:
            logits, targets, _ = model.answer_logits(
                model.splice(H, lengths, ["a b"], [answer], max_answer_tokens=3)
            )
            probabilities.append(math.exp(-float(cross_entropy(logits, targets, reduction="sum"))))
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert max(probabilities) < 0.9


def test_one_clip_at_a_time(model, clip):
    with pytest.raises(SalmonnError, match="2 clips"):
        bayes_table(model, Features.stack([clip, clip]), INSTRUCTIONS, ANSWERS)
