"""The backend that a reader of the manual writes: Flask and the openai client, run by gunicorn. One of the peers of peers.ts."""

import os

from flask import Flask, jsonify, request
from openai import OpenAI

app = Flask(__name__)
client = OpenAI()  # OPENAI_API_KEY and OPENAI_BASE_URL are read from the environment.
MODEL = os.environ.get("OPENAI_MODEL", "gpt-3.5-turbo")


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/chat")
def chat():
    message = (request.get_json(silent=True) or {}).get("message")
    if not message:
        return jsonify(error="message is missing"), 400
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": message}])
    return jsonify(response=answer.choices[0].message.content)
