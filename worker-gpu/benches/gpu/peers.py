"""Decodes with random weights of a model's shape in vLLM or transformers: peers.py vllm|transformers MODEL CONTEXT SEQUENCES...

Every sequence begins with CONTEXT - GENERATED random tokens. What is timed is decoding: a run that generates GENERATED
tokens, less a run that generates one.
"""

import random
import sys
import tempfile
import time

import limits

GENERATED = 128
ROUNDS = 3


def write_config(name, folder):
    import transformers

    shape = limits.MODELS[name]
    config = transformers.Qwen3Config(
        architectures=["Qwen3ForCausalLM"],
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    config.save_pretrained(folder)
    return config


def prompts(count, length, vocabulary):
    return [[random.randrange(vocabulary) for _ in range(length)] for _ in range(count)]


def vllm(name, context):
    """A function that takes prompts and how much to generate."""
    from vllm import LLM, SamplingParams

    folder = tempfile.mkdtemp()
    write_config(name, folder)
    llm = LLM(
        model=folder,
        load_format="dummy",
        skip_tokenizer_init=True,
        max_model_len=context + 64,
        max_num_seqs=256,
        enable_prefix_caching=False,
    )

    def generate(batch, count):
        params = SamplingParams(max_tokens=count, min_tokens=count, ignore_eos=True, temperature=0.0, detokenize=False)
        llm.generate([{"prompt_token_ids": ids} for ids in batch], params, use_tqdm=False)

    return generate


def transformers(name, _context):
    import torch
    import transformers as hf

    config = write_config(name, tempfile.mkdtemp())
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = hf.Qwen3ForCausalLM(config).eval()
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("sdpa")

    def generate(batch, count):
        settings = hf.GenerationConfig(max_new_tokens=count, do_sample=False, eos_token_id=-1)
        model.generate_batch(batch, generation_config=settings)
        torch.cuda.synchronize()

    return generate


def seconds(generate, batch, count):
    begun = time.perf_counter()
    generate(batch, count)
    return time.perf_counter() - begun


def main():
    what, name, context = sys.argv[1], sys.argv[2], int(sys.argv[3])
    generate = {"vllm": vllm, "transformers": transformers}[what](name, context)
    vocabulary = limits.MODELS[name].vocabulary
    for sequences in map(int, sys.argv[4:]):
        rates = []
        for _ in range(ROUNDS + 1):
            batches = [prompts(sequences, context - GENERATED, vocabulary) for _ in range(2)]
            whole = seconds(generate, batches[0], GENERATED)
            rates.append(sequences * (GENERATED - 1) / (whole - seconds(generate, batches[1], 1)))
        # The first round warms up.
        limits.report(what, name, sequences, context, sorted(rates[1:])[ROUNDS // 2])


if __name__ == "__main__":
    main()
