# SPDX-License-Identifier: Apache-2.0
"""Hyperparameters of `pandion-nano`, shared by training, evaluation and export."""

SEGMENTER = {
    "architecture": "sam", "image_encoder": "tiny_vit", "image_size": 512,
    "embed_dims": [32, 64, 128, 160], "depths": [1, 2, 4, 2], "num_heads": [1, 2, 4, 5],
    "window_sizes": [8, 8, 8, 8], "prompt_embed_dim": 128,
    "decoder": {"depth": 2, "num_heads": 8, "mlp_dim": 512},
    "pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375],
}

LABELER = {
    "architecture": "osprey", "image_size": 384, "mask_shape": 112,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}

# Hugging Face's LLaMA keys and Osprey's `mm_*` ones; `vocab_size` is that of the tokenizer.
LLM = {
    "architectures": ["OspreyLlamaForCausalLM"], "model_type": "osprey", "hidden_act": "silu",
    "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 6,
    "intermediate_size": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False, "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 128,
    "mm_mask_width": 128, "mm_vision_dims": [32, 64, 128, 256], "mm_vision_depths": [2, 2, 6, 2],
}
