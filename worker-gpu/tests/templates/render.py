"""Renders cases.json with each template as transformers does, into rendered.json:

    python render.py qwen2.5=MODEL.gguf qwen3=tokenizer_config.json

The models' own templates are read from their files; those of this directory stand in where no model is at hand.
"""

import json
import pathlib
import struct
import sys

from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


def template_of_gguf(path):
    with open(path, "rb") as file:

        def number(form):
            return struct.unpack(form, file.read(struct.calcsize(form)))[0]

        def text():
            return file.read(number("<Q")).decode("utf-8", "replace")

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                item, count = number("<I"), number("<Q")
                return [value(item) for _ in range(count)]
            return number(NUMBERS[kind])

        file.read(4 + 4 + 8)
        fields = number("<Q")
        return dict((text(), value(number("<I"))) for _ in range(fields))["tokenizer.chat_template"]


def template(path):
    if path.endswith(".gguf"):
        return template_of_gguf(path)
    if path.endswith(".json"):
        return json.loads(pathlib.Path(path).read_text())["chat_template"]
    return pathlib.Path(path).read_text()


def message(said):
    fields = {"role": said["role"], "content": said["content"]}
    if "reasoning" in said:
        fields["reasoning_content"] = said["reasoning"]
    if "tool_calls" in said:
        fields["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.loads(call["arguments"])},
            }
            for call in said["tool_calls"]
        ]
    if "tool_call_id" in said:
        fields["tool_call_id"] = said["tool_call_id"]
    return fields


def render(source, case):
    options = {} if case["thinking"] is None else {"enable_thinking": case["thinking"]}
    tools = [{"type": "function", "function": tool} for tool in case["tools"]]
    rendered, _ = render_jinja_template(
        conversations=[[message(said) for said in case["messages"]]],
        tools=tools or None,
        chat_template=source,
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
        **options,
    )
    return rendered[0]


named = [argument.split("=", 1) for argument in sys.argv[1:]]
named += [[path.stem, str(path)] for path in sorted(HERE.glob("*.jinja"))]
cases = json.loads((HERE / "cases.json").read_text())
rendered = {name: {case["name"]: render(template(path), case) for case in cases} for name, path in named}
(HERE / "rendered.json").write_text(json.dumps(rendered, indent=1, ensure_ascii=False) + "\n")
