"""A checkpoint behind OpenAI's completions API, as vLLM serves one: real HTTP on a free port.

It takes prompts as ids or text, one or many; gives texts with the marks only when asked, the ids
too if `gives_ids`, and for `echo` the likelihoods of the prompt's tokens.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


class CompletionsServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, checkpoint: Path, name: str, gives_ids: bool) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.name, self.gives_ids = name, gives_ids
        self.asked: list[dict[str, Any]] = []
        self.lock = Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def choice(self, index: int, prompt: list[int], body: dict[str, Any]) -> dict[str, Any]:
        if body.get("echo"):
            return {"index": index, "text": "", "logprobs": self.likelihoods(prompt)}
        torch.manual_seed(body.get("seed", 0))
        sampled = body["temperature"] > 0
        out = self.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=body["max_tokens"],
            do_sample=sampled,
            temperature=body["temperature"] if sampled else None,
            top_p=body["top_p"] if sampled else None,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.eos_token_id,
        )
        ids = out[0, len(prompt) :].tolist()
        ended = ids[-1] == self.tokenizer.eos_token_id
        skipped = body.get("skip_special_tokens", True)
        text = self.tokenizer.decode(ids, skip_special_tokens=skipped)
        for stop in body.get("stop") or []:
            head, found, _ = text.partition(stop)
            text, ended = head, ended or bool(found)
        reason = "stop" if ended else "length"
        choice = {"index": index, "text": text, "finish_reason": reason}
        return choice | ({"token_ids": ids} if self.gives_ids else {})

    def likelihoods(self, prompt: list[int]) -> dict[str, Any]:
        """Of the prompt's tokens behind the first, and of one more that is never read."""
        with torch.inference_mode():
            scores = self.model(torch.tensor([prompt])).logits[0].log_softmax(-1)
        of_tokens = [scores[i, token].item() for i, token in enumerate(prompt[1:])]
        best = [{"the best": row.max().item()} for row in scores[:-1]]
        return {"token_logprobs": [None, *of_tokens, 0.0], "top_logprobs": [None, *best, {}]}


class _Handler(BaseHTTPRequestHandler):
    server: CompletionsServer

    def do_GET(self) -> None:
        models = [{"id": self.server.name, "object": "model", "max_model_len": 512}]
        self._send(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] != self.server.name or self.path != "/v1/completions":
            self._send(404, {"error": {"message": f"no model {body['model']} at {self.path}"}})
            return
        prompts = body["prompt"]
        if isinstance(prompts, str) or isinstance(prompts[0], int):
            prompts = [prompts]
        if isinstance(prompts[0], str):
            prompts = [self.server.tokenizer(text).input_ids for text in prompts]
        with self.server.lock:  # torch's seed is one for all
            self.server.asked.append(body)
            choices = [self.server.choice(i, ids, body) for i, ids in enumerate(prompts)]
        self._send(200, {"object": "text_completion", "choices": choices})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *values: Any) -> None: ...


@contextmanager
def serving(
    checkpoint: Path, name: str | None = None, gives_ids: bool = True
) -> Iterator[CompletionsServer]:
    """The server, until the block ends; `name` is the checkpoint's path unless given."""
    server = CompletionsServer(checkpoint, name or str(checkpoint), gives_ids)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
