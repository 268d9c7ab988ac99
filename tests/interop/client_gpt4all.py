"""Loads a file with gpt4all (llama.cpp of mid 2024) and continues the prompt greedily, without touching the network."""

from gpt4all import GPT4All

from client import THREADS, answer, generated


def ask(arguments):
    file = arguments.file.resolve()
    model = GPT4All(
        file.name, model_path=file.parent, allow_download=False, device="cpu", n_ctx=512, n_threads=THREADS
    )
    return generated(model.generate(arguments.prompt, max_tokens=arguments.tokens, top_k=1, temp=0, repeat_penalty=1.0))


answer("gpt4all", ask)
