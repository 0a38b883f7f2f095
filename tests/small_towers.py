"""Text towers that are small enough for tests: a tiny ALBERT and a tiny Qwen2 with LoRA."""

from typing import Any

ALBERT = {
    "model_type": "albert",
    "vocab_size": 512,
    "embedding_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
QWEN = {
    "model_type": "qwen2",
    "vocab_size": 512,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 96,
}
TOWERS: dict[str, Any] = {
    "event_tower": {"architecture": ALBERT},
    "description_tower": {"architecture": QWEN, "lora_rank": 4, "checkpointing": True},
}
