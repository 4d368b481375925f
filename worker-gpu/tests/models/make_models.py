"""Makes the tiny random models of this directory, with golden logits and greedy answers.

    python make_models.py        # needs torch, transformers, tokenizers and safetensors

The weights are random but the same at every run. They are rounded to the format in which they are saved before the
golden numbers are computed, in 32-bit floats, so that a reader who widens them gets the same numbers.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

HERE = Path(__file__).parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Added, but not special: they are shown.
PLAIN = ["<think>", "</think>"]
TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "The customer asks when the parcel arrives, and the answer is on Monday. You'll see that it's there.",
    "How can I reset my password? Open the settings, choose security and follow the link in the mail.",
    "The invoice 2024-117 was paid twice; we'll return the second payment within 14 days.",
    "退货需要多久?收到包裹以后七天之内。密码忘记了怎么办?请打开设置。",
    "Où est mon colis ? Grüße aus München, señor. Здравствуйте, как дела?",
    "def answer(question):\n    return knowledge[question]\n\n\treturn None  # 😀🎉",
] * 4
# Prompts of so many tokens; blocks of the cache hold 32.
LENGTHS = [1, 31, 32, 33, 64, 107]
GENERATED = 40


def tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=507, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.add_special_tokens({"additional_special_tokens": SPECIAL})
    fast.add_tokens(PLAIN)
    return fast


def weights(model, dtype):
    """Random weights that make confident, varied answers."""
    numbers = torch.Generator().manual_seed(20240229)
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=numbers)
        if weight.dim() == 2:
            value = noise * 1.4 / weight.shape[1] ** 0.5
        elif "norm" in name:
            value = 1 + 0.2 * noise
        else:
            value = 0.3 * noise
        weight.data = value.to(dtype).float()


def golden(model, fast):
    """Logits after the last token of each prompt, and what is chosen greedily after it; ids of texts and chats."""
    numbers = torch.Generator().manual_seed(11)
    tensors, cases = {}, []
    for length in LENGTHS:
        prompt = torch.randint(0, 500, (1, length), generator=numbers)
        with torch.no_grad():
            logits = model(prompt).logits[0]
            answer = model.generate(prompt, max_new_tokens=GENERATED, do_sample=False, eos_token_id=None)[0, length:]
        tensors[f"logits.{length}"] = logits[-1].clone()
        cases.append({"prompt": prompt[0].tolist(), "answer": answer.tolist()})
    texts = ["Hello, it's 12 o'clock.", " two  spaces\n\n\tand 2024 numbers", "密码 München — 😀", "<|im_end|> <think>x"]
    encoded = [{"text": text, "ids": fast.backend_tokenizer.encode(text, add_special_tokens=False).ids} for text in texts]
    chats = [chat(model, fast, length) for length in LENGTHS[1:]]
    return tensors, {"cases": cases, "encoded": encoded, "chats": chats}


def chat(model, fast, length):
    """A conversation that the template makes `length` tokens of; every digit is one."""

    def ids(content):
        messages = [{"role": "user", "content": content}]
        text = fast.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return fast.backend_tokenizer.encode(text, add_special_tokens=False).ids

    content = "Where is my parcel? "[: 20 if length > 40 else 2]
    content += "7" * (length - len(ids(content)))
    prompt = torch.tensor([ids(content)])
    assert prompt.shape[1] == length
    with torch.no_grad():
        answer = model.generate(prompt, max_new_tokens=GENERATED, do_sample=False)[0, length:]
    return {"content": content, "ids": prompt[0].tolist(), "answer": answer.tolist()}


def save(name, config, dtype, shard="50GB"):
    torch.manual_seed(0)
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    fast = tokenizer()
    config.eos_token_id = fast.convert_tokens_to_ids("<|im_end|>")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = [config.eos_token_id, fast.convert_tokens_to_ids("<|endoftext|>")]
    model.generation_config.pad_token_id = fast.convert_tokens_to_ids("<|endoftext|>")
    weights(model, dtype)
    tensors, words = golden(model, fast)
    model.to(dtype).save_pretrained(out, max_shard_size=shard)
    fast.save_pretrained(out)
    save_file(tensors, out / "golden.safetensors")
    (out / "golden.json").write_text(json.dumps(words, ensure_ascii=False) + "\n")
    for file in out.iterdir():
        file.chmod(0o644)


SIZES = dict(vocab_size=512, num_hidden_layers=3, max_position_embeddings=512, hidden_act="silu")

save(
    "qwen3",
    Qwen3Config(
        **SIZES, hidden_size=64, intermediate_size=112, num_attention_heads=10, num_key_value_heads=2, head_dim=16,
        tie_word_embeddings=True, rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    torch.bfloat16,
)
save(
    "qwen2",
    Qwen2Config(
        **SIZES, hidden_size=64, intermediate_size=112, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=False, rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    torch.float16,
)
save(
    "llama",
    LlamaConfig(
        **SIZES, hidden_size=64, intermediate_size=112, num_attention_heads=8, num_key_value_heads=2,
        tie_word_embeddings=False, rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    ),
    torch.float32,
    shard="400KB",
)
