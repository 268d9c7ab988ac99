"""Loads a file with ctransformers (llama.cpp of September 2023) and continues the prompt greedily."""

from ctransformers import LLM

from client import THREADS, answer, generated


def ask(arguments):
    model = LLM(str(arguments.file), model_type="llama")
    text = model(arguments.prompt, max_new_tokens=arguments.tokens, top_k=1, repetition_penalty=1.0, threads=THREADS)
    return generated(text)


answer("ctransformers", ask)
