"""Loads a file with xllamacpp (today's llama.cpp) and continues the prompt greedily.

Its server listens on a free port of 127.0.0.1 while it lives; the question goes to it in process.
"""

import xllamacpp

from client import THREADS, answer, generated


def ask(arguments):
    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.file)
    params.n_ctx = arguments.context
    params.cpuparams.n_threads = THREADS
    params.warmup = False
    params.offline = True
    params.ui = False
    server = xllamacpp.Server(params)
    ids = arguments.ids and [int(token) for token in arguments.ids.split(",")]
    reply = server.handle_completions({
        "prompt": ids or arguments.prompt,
        "max_tokens": arguments.tokens,
        "temperature": 0,
        # Files may recommend another one, and the server heeds that.
        "repeat_penalty": 1.0,
        # With ids the answer is ids, too, whatever they mean.
        "return_tokens": bool(ids),
        "ignore_eos": bool(ids),
        "verbose": bool(ids),
    })
    if ids:
        return {"ids": reply["__verbose"]["tokens"]}
    return generated(reply["choices"][0]["text"])


answer("xllamacpp", ask)
