"""The server over real sockets, held against the engine itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from calibration.server.serve import ServeOptions, build, running
from calibration.server.wording import Stream, Wording
from tests.server.conftest import setup_of

PROMPT = [5, 9, 13, 21, 34]


def asked(url: str, work: Callable[[aiohttp.ClientSession], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with aiohttp.ClientSession(base_url=url) as session:
            return await work(session)

    return asyncio.run(run())


def post(url: str, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async def work(session: aiohttp.ClientSession) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with session.post(path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    return asked(url, work)


def get(url: str, path: str) -> tuple[int, str]:
    async def work(session: aiohttp.ClientSession) -> tuple[int, str]:
        async with session.get(path) as response:
            return response.status, await response.text()

    return asked(url, work)


def events(url: str, body: dict[str, Any], path: str = "/v1/completions") -> list[Any]:
    async def work(session: aiohttp.ClientSession) -> list[Any]:
        async with session.post(path, json={**body, "stream": True}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            text = await response.text()
        parts = [part.removeprefix("data: ") for part in text.split("\n\n") if part]
        assert parts[-1] == "[DONE]"
        return [json.loads(part) for part in parts[:-1]]

    return asked(url, work)


def greedy(**more: Any) -> dict[str, Any]:
    return {"model": "base", "prompt": PROMPT, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **more}


def test_models_are_the_base_and_its_adapters(address: str) -> None:
    names = [(m["id"], m["parent"]) for m in json.loads(get(address, "/v1/models")[1])["data"]]
    assert names[:2] == [("base", None), ("plain", "base")]


@pytest.mark.parametrize("model", ["base", "plain"])
def test_the_answer_is_the_engines_own_streamed_or_not(
    address: str, folders: dict[str, Path], model: str
) -> None:
    engine = setup_of(folders).engine()
    number = engine.add_request(
        PROMPT, adapter=None if model == "base" else model, max_tokens=12, ignore_eos=True
    )
    live = engine.live(number)
    while engine.busy:
        engine.step()
    wanted = Wording(folders["model"], engine.architecture.shape.vocab_size).text(live.answer)
    status, whole = post(address, "/v1/completions", greedy(model=model))
    assert status == 200
    assert whole["choices"][0]["text"] == wanted
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17}
    parts = events(address, greedy(model=model, stream_options={"include_usage": True}))
    assert "".join(part["choices"][0]["text"] for part in parts if part["choices"]) == wanted
    assert parts[-1]["usage"]["completion_tokens"] == 12
    assert len(parts) > 6  # really streamed


def test_a_chat_is_a_completion_of_its_template(address: str) -> None:
    body = {
        "model": "base",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "temperature": 0,
    }
    status, chat = post(address, "/v1/chat/completions", body)
    assert status == 200
    _, same = post(
        address, "/v1/completions", greedy(prompt="user: hi\nassistant:", max_tokens=5, ignore_eos=False)
    )
    assert chat["choices"][0]["message"]["content"] == same["choices"][0]["text"]
    parts = events(address, body, "/v1/chat/completions")
    assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    assert text == chat["choices"][0]["message"]["content"]


def test_many_at_once_get_what_they_get_alone(address: str) -> None:
    bodies = [
        greedy(model=("base", "plain")[i % 2], prompt=[3 + i, 7, 11 + i], max_tokens=6) for i in range(12)
    ]
    alone = [post(address, "/v1/completions", body)[1]["choices"][0]["text"] for body in bodies]

    async def work(session: aiohttp.ClientSession) -> list[str]:
        async def one(body: dict[str, Any]) -> str:
            async with session.post("/v1/completions", json=body) as response:
                return str((await response.json())["choices"][0]["text"])

        return list(await asyncio.gather(*map(one, bodies)))

    assert asked(address, work) == alone


def test_a_stop_string_ends_the_answer_before_it(address: str) -> None:
    text = post(address, "/v1/completions", greedy())[1]["choices"][0]["text"]
    stop = text[4:6]
    status, cut = post(address, "/v1/completions", greedy(stop=[stop]))
    assert status == 200
    assert cut["choices"][0]["text"] == text[: text.find(stop)]
    assert cut["choices"][0]["finish_reason"] == "stop"


def test_a_client_that_leaves_ends_its_request(address: str) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        body = {**greedy(max_tokens=900), "stream": True}
        async with session.post("/v1/completions", json=body) as response:
            await response.content.readline()

    asked(address, work)

    async def idle(session: aiohttp.ClientSession) -> bool:
        for _ in range(100):
            async with session.get("/metrics") as response:
                text = await response.text()
            if gauge(text, "vllm:num_requests_running") == 0:
                return True
            await asyncio.sleep(0.02)
        return False

    assert asked(address, idle)


def gauge(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def test_metrics_count_what_usage_said(address: str) -> None:
    before = get(address, "/metrics")[1]
    told = [post(address, "/v1/completions", greedy(max_tokens=n))[1]["usage"] for n in (3, 7)]
    after = get(address, "/metrics")[1]
    for name, usage in (
        ("vllm:generation_tokens_total", sum(u["completion_tokens"] for u in told)),
        ("vllm:prompt_tokens_total", sum(u["prompt_tokens"] for u in told)),
    ):
        assert gauge(after, name) - gauge(before, name) == usage
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert gauge(after, f"vllm:{name}_count") - gauge(before, f"vllm:{name}_count") == 2
    for line in after.splitlines():
        assert line.startswith("# TYPE ") or re.fullmatch(r"[a-z0-9_:]+(\{[^}]*\})? \S+", line)


def test_adapters_come_and_go(address: str) -> None:
    assert post(address, "/v1/completions", greedy(model="new"))[0] == 404
    status, said = post(address, "/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "other"})
    assert (status, said) == (200, "Success: LoRA adapter 'new' added successfully.")
    assert post(address, "/v1/completions", greedy(model="new"))[0] == 200
    assert post(address, "/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "other"})[0] == 400
    assert post(address, "/v1/unload_lora_adapter", {"lora_name": "new"})[0] == 200
    assert post(address, "/v1/completions", greedy(model="new"))[0] == 404
    assert post(address, "/v1/unload_lora_adapter", {"lora_name": "new"})[0] == 404


@pytest.mark.parametrize("path", ["../model", "/etc", "..", "missing"])
def test_an_adapter_from_elsewhere_is_refused(address: str, path: str) -> None:
    status, said = post(address, "/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": path})
    assert status == 400
    assert said["error"]["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "no JSON"),
        (b"[1]", "no JSON object"),
        ({"prompt": []}, "prompt is []"),
        (greedy(max_tokens=0), "max_tokens is 0"),
        (greedy(temperature=-1), "temperature is -1"),
        (greedy(prompt=[5000]), "outside of the vocabulary"),
        (greedy(max_tokens=5000), "allowed: at most"),
        (greedy(n=2), "n is 2"),
    ],
)
def test_bad_bodies_get_one_sentence(address: str, body: Any, said: str) -> None:
    status, answer = post(address, "/v1/completions", body)
    assert status == 400
    assert said in answer["error"]["message"]


_FIELDS = ["prompt", "max_tokens", "stop", "seed", "top_p", "model", "stream_options"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(["prompt", "max_tokens", "stop", "seed", "top_p", "model", "stream_options"]),
    value=_JSON,
)
def test_no_body_is_a_server_error(address: str, field: str, value: Any) -> None:
    status, _ = post(address, "/v1/completions", greedy(max_tokens=2) | {field: value})
    assert status in (200, 400, 404)


def test_a_key_is_asked_for(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "s3cret")
    options = ServeOptions(port=0, api_key_env="TEST_KEY", served_name="base")
    with running(build(setup_of(folders), options), options) as url:
        assert post(url, "/v1/completions", greedy(max_tokens=1))[0] == 401
        right = {"Authorization": "Bearer s3cret"}
        assert post(url, "/v1/completions", greedy(max_tokens=1), right)[0] == 200
        assert get(url, "/health")[0] == 200
        assert post(url, "/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "b"}, right)[0] == 403


def test_others_may_not_reach_it_without_a_key(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="--host is"):
        build(setup_of(folders), ServeOptions(host="0.0.0.0"))


def test_more_than_it_takes_is_told_to_come_back(folders: dict[str, Path]) -> None:
    options = ServeOptions(port=0, served_name="base", max_outstanding=2)
    with running(build(setup_of(folders), options), options) as url:

        async def work(session: aiohttp.ClientSession) -> list[int]:
            async def one() -> int:
                async with session.post("/v1/completions", json=greedy(max_tokens=200)) as response:
                    await response.read()
                    return response.status

            return list(await asyncio.gather(*(one() for _ in range(12))))

        statuses = asked(url, work)
    assert statuses.count(200) >= 2
    assert set(statuses) == {200, 503}


@given(
    text=st.text(max_size=40),
    stop=st.text(min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_a_stream_shows_the_text_before_the_stop_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, text: str, stop: str, cuts: list[int]
) -> None:
    wording = Wording(tmp_path_factory.getbasetemp(), 258)
    ids = [1 + byte for byte in text.encode()]
    stream, shown, start = Stream(wording, [stop]), "", 0
    for end in [*sorted(cut % (len(ids) + 1) for cut in cuts), len(ids)]:
        shown += stream.add(ids[start:end], last=end == len(ids))
        start = end
        if stream.stopped:
            break
    assert shown == text.split(stop)[0]
