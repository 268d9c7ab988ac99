"""Makes a tiny checkpoint of a family with random weights, and golden data for it.

    python golden.py qwen35moe --tokenizer FOLDER --llama-cpp SOURCE --bin FOLDER --out FOLDER

Needs torch, transformers and what llama.cpp's converter imports. The weights are drawn by a seed and
rounded to bf16, the logits are transformers' in f32 from what was written, and the file's keys and
tensors are what llama.cpp's converter and quantizer make of it. The layout is described in
docs/adding-a-model.md, "Golden data".
"""

import argparse
import hashlib
import json
import math
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CONFIGS = {
    "qwen35moe": {
        "class": "Qwen3_5MoeForCausalLM",
        "pre": "qwen35",
        "converter": ["--no-mtp"],
        "config": {
            "architectures": ["Qwen3_5MoeForCausalLM"],
            "model_type": "qwen3_5_moe_text",
            "attention_bias": False,
            "attn_output_gate": True,
            "dtype": "bfloat16",
            "head_dim": 32,
            "hidden_act": "silu",
            "hidden_size": 64,
            "layer_types": ["linear_attention", "full_attention"],
            "full_attention_interval": 2,
            "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_value_head_dim": 16,
            "max_position_embeddings": 1152,
            "moe_intermediate_size": 32,
            "num_attention_heads": 4,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "mrope_interleaved": True,
                "mrope_section": [3, 3, 2],
                "partial_rotary_factor": 0.5,
                "rope_theta": 10000000,
                "rope_type": "default",
            },
            "shared_expert_intermediate_size": 64,
            "tie_word_embeddings": True,
            "vocab_size": 640,
        },
    },
}


def weights(model, name):
    """Numbers for every tensor, by its part in the model."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    draw = lambda shape, scale: torch.randn(shape, generator=random) * scale
    state = {}
    for key, old in model.state_dict().items():
        shape = tuple(old.shape)
        if key.endswith("A_log"):
            new = torch.rand(shape, generator=random) * 2 - 1
        elif key.endswith("dt_bias"):
            new = draw(shape, 0.5)
        elif "norm" in key:
            new = draw(shape, 0.3)
            if key.endswith("linear_attn.norm.weight"):
                new = new + 1
            if key == "model.norm.weight":
                # The output is the embedding: signs keep a token from being its own successor.
                new = new.sign() * 2 - 1
        elif key.endswith("gate.weight") and "shared" not in key and "mlp" in key:
            new = draw(shape, 4 / math.sqrt(shape[-1]))
        else:
            new = draw(shape, 1.2 / math.sqrt(shape[-1]))
        state[key] = new.to(torch.bfloat16)
    return state


def continued(model, prompt, count):
    """The prompt with the most likely tokens behind it, and the least distance of a best to a second."""
    ids, gap = prompt, math.inf
    with torch.no_grad():
        for _ in range(count):
            row = model(ids, use_cache=False).logits[0, -1]
            top = row.topk(2).values
            gap = min(gap, float(top[0] - top[1]))
            ids = torch.cat([ids, row.argmax().view(1, 1)], dim=1)
    return ids, gap


def described(value):
    if isinstance(value, list) and len(value) > 16:
        text = json.dumps(value, ensure_ascii=False).encode()
        return {"len": len(value), "sha256": hashlib.sha256(text).hexdigest(), "head": value[:5]}
    return value


def gguf(path, reader):
    from gguf import GGUFValueType

    metadata, tensors = {}, {}
    for field in reader.fields.values():
        if field.name.startswith("GGUF."):
            continue
        types = [kind.name for kind in field.types]
        metadata[field.name] = {"type": types[:2], "value": described(field.contents())}
    for tensor in reader.tensors:
        data = tensor.data.tobytes()
        tensors[tensor.name] = {
            "type": tensor.tensor_type.name,
            "shape": [int(n) for n in tensor.shape],
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    return metadata, tensors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONFIGS)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a folder with the tokenizer's files")
    parser.add_argument("--llama-cpp", type=Path, required=True, help="llama.cpp's source")
    parser.add_argument("--bin", type=Path, required=True, help="the folder of llama-quantize")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    name, about = args.name, CONFIGS[args.name]

    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM

    model_dir = args.out / "models/tiny" / name
    golden = args.out / "golden/arch" / name
    work = args.out / "work"
    for folder in (model_dir, golden.parent, work):
        folder.mkdir(parents=True, exist_ok=True)
    (model_dir / "config.json").write_text(json.dumps(about["config"], indent=2, sort_keys=True) + "\n")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(args.tokenizer / file, model_dir / file)

    # The checkpoint, as it is published: the class's own names.
    config = AutoConfig.from_pretrained(model_dir)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = weights(model, name)
    if config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    save_file({k: v.contiguous() for k, v in state.items()}, model_dir / "model.safetensors", {"format": "pt"})

    # Logits and a continuation, of what was written.
    model, info = AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    model.eval()
    for seed in range(100):
        random = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 600, (1, 48), generator=random)
        prompt = ids[:, :12]
        greedy, gap = continued(model, prompt, 16)
        # The best token must not win by rounding.
        if gap > 2e-2:
            break
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0].float()
    save_file(
        {
            "ids": ids[0].int(),
            "logits": logits.contiguous(),
            "greedy_prompt": prompt[0].int(),
            "greedy": greedy[0, 12:].int().contiguous(),
        },
        golden.with_suffix(".safetensors"),
    )

    # llama.cpp's files.
    sys.path.insert(0, str(args.llama_cpp / "gguf-py"))
    sys.path.insert(0, str(args.llama_cpp))
    from gguf import GGUFReader

    result = {
        "gguf_arch": name,
        "pre_tokenizer": about["pre"],
        "reference": f"transformers {transformers.__version__} in f32",
        "tensors": {},
        "quantized": {},
        "logits": {"std": float(logits.std())},
        "greedy": {"prompt": prompt[0].tolist(), "ids": greedy[0, 12:].tolist()},
    }
    runner = (
        "import sys, runpy; sys.argv[0] = 'convert_hf_to_gguf.py'; sys.path.insert(0, {src!r}); "
        "sys.path.insert(0, {src!r} + '/gguf-py'); import conversion.base as base; "
        "base.TextModel.get_vocab_base_pre = lambda self, tokenizer: {pre!r}; "
        "runpy.run_path({src!r} + '/convert_hf_to_gguf.py', run_name='__main__')"
    ).format(src=str(args.llama_cpp), pre=about["pre"])
    for ty in ("bf16", "f16", "f32"):
        path = work / f"{name}.{ty}.gguf"
        subprocess.run(
            [sys.executable, "-c", runner, str(model_dir), "--outtype", ty, "--outfile", str(path), *about["converter"]],
            check=True,
        )
        metadata, tensors = gguf(path, GGUFReader(path))
        result["tensors"][ty] = tensors
        if ty == "bf16":
            result["metadata"] = metadata
    for ty in ("Q8_0", "Q4_K_M", "Q2_K", "IQ4_XS"):
        path = work / f"{name}.{ty}.gguf"
        subprocess.run([str(args.bin / "llama-quantize"), str(work / f"{name}.bf16.gguf"), str(path), ty], check=True)
        _, tensors = gguf(path, GGUFReader(path))
        keep = ("type", "sha256")
        result["quantized"][ty] = {k: {f: v[f] for f in keep} for k, v in tensors.items()}

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    cases = []
    for text in ("Hello world", " It was the best of times,\nit was the worst: 1859!", "naïve café\t日本 🙂"):
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        cases.append(
            {
                "text": text,
                "ids_without_special": plain,
                "ids_with_special": tokenizer(text)["input_ids"],
                "decoded": tokenizer.decode(plain),
            }
        )
    result["tokenizer"] = {"bos_prefix": [], "cases": cases}
    golden.with_suffix(".json").write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
