"""Cross-attention fusion of the modalities (FOUND, equation 11): a learned user token asks the tokens of every modality."""

import torch
from torch import Tensor, nn

MODALITIES = ("behavior", "table", "search")


class CrossAttentionLayer(nn.Module):
    """Attention from the user token to the modality tokens, and a feed-forward layer."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm_user, self.norm_tokens, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, user: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, U, d), (B, S, d), (B, S) bool -> (B, U, d)"""
        keys = self.norm_tokens(tokens)
        attended, _ = self.attention(self.norm_user(user), keys, keys, key_padding_mask=~mask, need_weights=False)
        user = user + self.drop(attended)
        return user + self.drop(self.feed(self.norm(user)))


class CrossAttentionFusion(nn.Module):
    """Equation 11: e^f from the tokens of the modalities. One that is missing is masked; a user without any gets zeros.

    Each modality has a token of its own that is added to its tokens, so that the user token can tell them apart.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.user = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.modality = nn.Embedding(len(MODALITIES), width)
        nn.init.normal_(self.modality.weight, std=0.02)
        self.layers = nn.ModuleList(CrossAttentionLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: list[Tensor | None], masks: list[Tensor | None]) -> Tensor:
        """A modality's tokens (B, S_m, d) and which are there (B, S_m), or None where it is left out -> (B, d)"""
        pairs = [(t + self.modality.weight[i], m) for i, (t, m) in enumerate(zip(tokens, masks, strict=True)) if t is not None]
        keys, mask = torch.cat([t for t, _ in pairs], 1), torch.cat([m for _, m in pairs if m is not None], 1)
        has_tokens = mask.any(1)
        mask = mask | ~has_tokens[:, None]  # attention over nothing is not a number; the answer is thrown away below
        user = self.user.expand(len(keys), -1, -1)
        for layer in self.layers:
            user = layer(user, keys, mask)
        return self.norm(user[:, 0]) * has_tokens[:, None]
