"""Loads a file with xllamacpp (today's llama.cpp) and continues the prompt greedily.

Its server listens on a free port of 127.0.0.1 while it lives; the question goes to it in process.
"""

import xllamacpp

from client import THREADS, answer, generated


def ask(arguments):
    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.file)
    params.n_ctx = 512
    params.cpuparams.n_threads = THREADS
    params.warmup = False
    params.offline = True
    params.ui = False
    server = xllamacpp.Server(params)
    reply = server.handle_completions({
        "prompt": arguments.prompt,
        "max_tokens": arguments.tokens,
        "temperature": 0,
    })
    return generated(reply["choices"][0]["text"])


answer("xllamacpp", ask)
