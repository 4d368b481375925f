"""Speaks to a running Frontdesk through the unmodified openai package: openai_client.py FAST_URL SLOW_URL MODEL_URL KEY."""

import json
import math
import sys

import openai
from openai.types.chat import ChatCompletionMessage

fast_url, slow_url, model_url, key = sys.argv[1:]
client = openai.OpenAI(base_url=f"{fast_url}/v1", api_key=key, max_retries=0)
model = openai.OpenAI(base_url=f"{model_url}/v1", api_key=key, max_retries=0)
bare = next(model.id for model in model.models.list() if model.id != "frontdesk")
echo = next(model.id for model in client.models.list() if model.id != "frontdesk")
question = [{"role": "user", "content": "alpha beta gamma"}]


def models():
    assert "frontdesk" in [model.id for model in client.models.list()]


def whole():
    answer = client.chat.completions.create(model="frontdesk", messages=question)
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-"), answer
    assert "alpha beta gamma" in answer.choices[0].message.content, answer
    assert answer.choices[0].finish_reason == "stop", answer
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage


def stream():
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="frontdesk", messages=question, stream=True, stream_options=options)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "alpha beta gamma" in text, text
    assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) > 1, "streamed in pieces"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == "stop" and not any(reasons[:-1]), reasons
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0, chunks[-1]


def errors():
    for request, kind, param in [
        ({"model": "no-such-model"}, openai.NotFoundError, "model"),
        ({"model": "frontdesk", "n": 3}, openai.BadRequestError, "n"),
        ({"model": "frontdesk", "temperature": 9}, openai.BadRequestError, "temperature"),
        ({"model": "frontdesk", "tools": [WEATHER]}, openai.BadRequestError, "tools"),
        ({"model": echo, "tools": [WEATHER], "tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
    ]:
        try:
            client.chat.completions.create(messages=question, **request)
        except kind as error:
            assert error.param == param and error.code, error.body
        else:
            raise AssertionError(f"{request} was accepted")
    try:
        openai.OpenAI(base_url=f"{fast_url}/v1", api_key="wrong", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error.body
    else:
        raise AssertionError("a wrong key was accepted")


def timeout():
    slow = openai.OpenAI(base_url=f"{slow_url}/v1", api_key=key, max_retries=0, timeout=1.0)
    try:
        slow.chat.completions.create(model="frontdesk", messages=question)
    except openai.APITimeoutError:
        return
    raise AssertionError("no timeout")


def logprobs():
    request = {"model": bare, "messages": question, "max_tokens": 8, "logprobs": True, "top_logprobs": 3, "seed": 1}
    choice = model.chat.completions.create(**request).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content, choice
    for token in tokens:
        assert len(token.top_logprobs) == 3 and token.logprob <= token.top_logprobs[0].logprob <= 0, token
        assert sum(math.exp(other.logprob) for other in token.top_logprobs) <= 1.001, token
    chunks = list(model.chat.completions.create(stream=True, **request))
    streamed = [t for c in chunks if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in tokens], streamed


def structured():
    answer = {"type": "string", "enum": ["退货", "refund"]}
    schema = {"type": "object", "properties": {"kind": answer, "urgent": {"type": "boolean"}}, "additionalProperties": False}
    schema["required"] = ["kind", "urgent"]
    shape = {"type": "json_schema", "json_schema": {"name": "ticket", "strict": True, "schema": schema}}
    for seed in range(3):
        request = {"model": bare, "messages": question, "max_tokens": 60, "seed": seed, "response_format": shape}
        choice = model.chat.completions.create(presence_penalty=1.0, extra_body={"top_k": 20}, **request).choices[0]
        ticket = json.loads(choice.message.content)
        assert choice.finish_reason == "stop" and list(ticket) == ["kind", "urgent"], choice
        assert ticket["kind"] in answer["enum"] and isinstance(ticket["urgent"], bool), ticket
    schema["properties"]["kind"] = {"type": "strnig"}
    try:
        model.chat.completions.create(**request)
    except openai.BadRequestError as error:
        assert error.param == "response_format.json_schema" and "strnig" in error.message, error.body
    else:
        raise AssertionError("a schema that means nothing was accepted")


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
# The echo says what it is told to.
calling = [{"role": "user", "content": 'see\n<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'}]


def check_call(call):
    assert call.id.startswith("call_") and call.type == "function", call
    assert call.function.name == "weather" and json.loads(call.function.arguments) == {"city": "Bern"}, call


def result_of(message):
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    return [*calling, message, result]


def tools():
    answer = client.chat.completions.create(model=echo, messages=calling, tools=[WEATHER])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls" and message.content == "echo: see", answer
    check_call(message.tool_calls[0])
    answer = client.chat.completions.create(model=echo, messages=result_of(message), tools=[WEATHER])
    assert answer.choices[0].message.content == "echo: 18 degrees", answer


def streamed_tools():
    chunks = list(client.chat.completions.create(model=echo, messages=calling, tools=[WEATHER], stream=True))
    assert chunks[-1].choices[0].finish_reason == "tool_calls", chunks[-1]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "echo: see", deltas
    pieces = [call for delta in deltas for call in delta.tool_calls or []]
    # Tokens that come close together are one piece.
    assert {piece.index for piece in pieces} == {0}, pieces
    first, arguments = pieces[0], "".join(piece.function.arguments or "" for piece in pieces)
    function = {"name": first.function.name, "arguments": arguments}
    message = {"role": "assistant", "tool_calls": [{"id": first.id, "type": "function", "function": function}]}
    history = ChatCompletionMessage.model_validate({"content": None, **message})
    check_call(history.tool_calls[0])
    chunks = client.chat.completions.create(model=echo, messages=result_of(history), tools=[WEATHER], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: 18 degrees"


cases = [models, whole, stream, errors, timeout, logprobs, structured, tools, streamed_tools]
for case in cases:
    case()
print(f"{len(cases)} cases passed")
