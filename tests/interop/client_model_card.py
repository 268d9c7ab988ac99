"""Loads a model card with huggingface_hub, as the Hub's pages and tools do."""

from huggingface_hub import ModelCard

from client import answer


def ask(arguments):
    card = ModelCard.load(arguments.file)
    return {"data": card.data.to_dict(), "text": card.text}


answer("huggingface_hub", ask)
