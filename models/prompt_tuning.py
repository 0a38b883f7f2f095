"""Prompt tuning (FOUND, section 4.4.2): learnable tokens before the demand's sentence, moved by seed users; all else is frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import masked_mean, triplet_loss
from models.saved import Model, reads_sentences
from models.text_encoder import MAX_TOKENS, TextEncoder, Tokenize


@dataclass(frozen=True)
class PromptOptions:
    """How a prompt is tuned."""

    tokens: int = 8
    margin: float = 0.2  # alpha of equation 14
    anchor: float = 0.3  # pull to the query of the sentence alone: ten users overfit a prompt. 0 is the paper's loss
    learning_rate: float = 0.01
    steps: int = 20
    patience: int = 4  # steps without a lower loss after which it stops


@dataclass(frozen=True)
class Prompt:
    """A tuned prompt: its tokens (P, E) among the text model's input embeddings, the query (K,) they make, and its loss."""

    tokens: Tensor
    query: Tensor
    loss: float
    steps: int


Seeds = tuple[Tensor, Tensor]
"""Aligned vectors of positive (P, K) and of negative (N, K) seed users; at least one of either."""


def prompt_loss(query: Tensor, positives: Tensor, negatives: Tensor, start: Tensor, options: PromptOptions) -> Tensor:
    """Equation 14 as a mean over all pairs of a positive and a negative user, and the pull to where the sentence alone is.

    (K,), (P, K), (N, K), (K,) of unit length -> ()
    """
    pairs = len(positives) * len(negatives)
    return triplet_loss(query, positives, negatives, options.margin) / pairs + options.anchor * (1 - query @ start)


def tune(
    model: Model, encoder: TextEncoder, demand: str, seeds: Sequence[Seeds], options: PromptOptions | None = None, seed: int = 0
) -> list[Prompt]:
    """A prompt for each set of seeds: its query is nearer to the positive users than to the negative ones (equation 14).

    The tokens enter the model's own text tower, where it has one, else the frozen encoder, and the gradient goes to them alone. The
    sets are tuned side by side in one batch and do not touch one another. Each starts at the words of the sentence, stops when its
    loss has not fallen for `patience` steps, and keeps the tokens of its lowest loss. Equal seeds and `seed` give equal prompts.
    """
    options = options or PromptOptions()
    backbone, tokenize, last = _reader(model, encoder)
    words, mask = _words(backbone, tokenize, demand, options.tokens)
    seeds = [(near.to(words), far.to(words)) for near, far in seeds]
    tokens = _begin(words, len(seeds), options.tokens, seed).requires_grad_()
    with torch.no_grad():
        start = model.sentences(encode(backbone, words, mask, words.new_zeros((1, 0, words.shape[1])), last))[0]
    best: list[Prompt | None] = [None] * len(seeds)
    optimizer = torch.optim.Adam([tokens], lr=options.learning_rate)
    for step in range(options.steps + 1):
        queries = model.sentences(encode(backbone, words, mask, tokens, last))
        losses = [prompt_loss(query, *users, start, options) for query, users in zip(queries, seeds, strict=True)]
        going = False
        for i, loss in enumerate(losses):
            lowest = best[i]
            if lowest is not None and step - lowest.steps > options.patience:
                continue
            going = True
            if lowest is None or loss.item() < lowest.loss:
                best[i] = Prompt(tokens[i].detach().clone(), queries[i].detach().clone(), loss.item(), step)
        if not going:
            break
        (tokens.grad,) = torch.autograd.grad(torch.stack(losses).sum(), [tokens])
        optimizer.step()
    return [prompt for prompt in best if prompt is not None]


def encode(backbone: nn.Module, words: Tensor, mask: Tensor, tokens: Tensor, last: bool) -> Tensor:
    """Unit vectors (B, D) of a sentence with soft tokens before it, pooled as the text model pools.

    Args:
        words: (L, E) input embeddings of the sentence.
        mask: (L,) bool, which of them are no padding.
        tokens: (B, P, E) soft tokens.
        last: whether the last token's state is the text's vector, as in decoders; else it is the mean of all.
    """
    inputs = torch.cat([tokens, words.expand(len(tokens), -1, -1)], 1)
    attention_mask = torch.cat([mask.new_ones(tokens.shape[1]), mask]).expand(len(tokens), -1)
    hidden = backbone(inputs_embeds=inputs, attention_mask=attention_mask.long()).last_hidden_state  # (B, P + L, D)
    return F.normalize(hidden[:, int(attention_mask[0].sum()) - 1] if last else masked_mean(hidden, attention_mask), dim=-1)


def _reader(model: Model, encoder: TextEncoder) -> tuple[nn.Module, Tokenize, bool]:
    """What reads this model's sentences: a text model, its tokenizer, and whether its last token is the text's vector."""
    if reads_sentences(model):
        tower = model.description_tower
        assert tower is not None
        return tower.model.eval(), tower.tokenize, tower.last
    return encoder.model, encoder.tokenize, False


def _words(backbone: Any, tokenize: Tokenize, demand: str, tokens: int) -> tuple[Tensor, Tensor]:
    """Input embeddings (L, E) of the demand and which are there (L,), cut so that soft tokens have room."""
    embedding = backbone.get_input_embeddings()
    inputs = {k: v[0, : MAX_TOKENS - tokens].to(embedding.weight.device) for k, v in tokenize([demand]).items()}
    with torch.no_grad():
        return embedding(inputs["input_ids"]), inputs["attention_mask"].bool()


def _begin(words: Tensor, sets: int, tokens: int, seed: int) -> Tensor:
    """(sets, tokens, E): the sentence's words over again, with a little noise, the same for every set."""
    noise = torch.randn((tokens, words.shape[1]), generator=torch.Generator().manual_seed(seed)).to(words)
    again = words[torch.arange(tokens, device=words.device) % len(words)]
    return (again + 0.1 * words.std() * noise).repeat(sets, 1, 1)
