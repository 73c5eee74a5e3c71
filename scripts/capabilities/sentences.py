"""Sentences out of the templates of voice commands: their grammar, read and drawn from at random.

`[x]` may be left out, `(a|b)` is one of them, `<rule>` is a rule by name, `{list:slot}` one of a list's values.
"""

from __future__ import annotations

import random
import re
from typing import Any

from scripts.capabilities.corpora import Row

PER_TEMPLATE = 12
# Names of things and rooms are a household's own, so the templates leave them open, and so do the free texts.
OPEN: dict[str, dict[str, list[str]]] = {
    "en": {
        "area": ["kitchen", "living room", "bedroom", "office", "garage", "bathroom", "hallway", "meeting room"],
        "floor": ["first floor", "ground floor", "upstairs", "basement"],
        "name": ["desk lamp", "heater", "front door", "air purifier", "projector", "sprinkler", "printer", "tv"],
        "message": ["dinner is ready", "the meeting starts now", "we leave in ten minutes"],
        "search_query": ["some jazz", "the morning news", "beethoven", "yellow submarine"],
        "zone": ["work", "home", "the airport"],
        "timer_name": ["pizza", "laundry", "tea"],
        "timer_command": ["turn off the lights", "open the garage door", "stop the music"],
        "shopping_list_item": ["milk", "two apples", "printer paper"],
        "todo_list_item": ["call the plumber", "send the report", "water the plants"],
        "item": ["milk", "bread", "call the dentist"],
    },
    "zh-CN": {
        "area": ["厨房", "客厅", "卧室", "办公室", "车库", "浴室", "走廊", "会议室"],
        "floor": ["一楼", "二楼", "楼上", "地下室"],
        "name": ["台灯", "加热器", "前门", "空气净化器", "投影仪", "洒水器", "打印机", "电视"],
        "message": ["饭好了", "会议开始了", "十分钟后出发"],
        "search_query": ["爵士乐", "早间新闻", "贝多芬", "月亮代表我的心"],
        "zone": ["公司", "家", "机场"],
        "timer_name": ["披萨", "洗衣", "泡茶"],
        "timer_command": ["关灯", "打开车库门", "停止音乐"],
        "shopping_list_item": ["牛奶", "两个苹果", "打印纸"],
        "todo_list_item": ["给水管工打电话", "发送报告", "浇花"],
        "item": ["牛奶", "面包", "给牙医打电话"],
    },
}  # fmt: skip
_TOKEN = re.compile(r"[\[\]()|;]|<[^>]+>|\{[^}]+\}|[^\[\]()|;<>{}]+")


class Drawer:
    """Draws sentences of one language's templates; the same ones at every run."""

    def __init__(self, language: str, found: dict[str, Any]) -> None:
        self._open = OPEN[language]
        self._rules: dict[str, str] = found["expansion_rules"]
        self._lists: dict[str, Any] = found["lists"]
        self._random = random.Random(1)

    def draw(self, template: str) -> str:
        """One sentence."""
        tokens = _TOKEN.findall(template)
        text, rest = self._alternatives(tokens, 0)
        assert rest == len(tokens), template
        return " ".join(text.split())

    def _alternatives(self, tokens: list[str], at: int) -> tuple[str, int]:
        """What stands up to the closing bracket: one of the `|`, or all of the `;` in any order."""
        parts, text, in_any_order = [], "", False
        while at < len(tokens) and tokens[at] not in ")]":
            token = tokens[at]
            at += 1
            if token in "|;":
                parts.append(text)
                text, in_any_order = "", in_any_order or token == ";"
            elif token in "[(":
                inner, at = self._alternatives(tokens, at)
                text += "" if token == "[" and self._random.random() < 0.5 else inner
                at += 1
            elif token[0] == "<":
                text += self.draw_rule(token[1:-1])
            elif token[0] == "{":
                text += self._value(token[1:-1].partition(":")[0])
            else:
                text += token
        parts.append(text)
        if in_any_order:
            self._random.shuffle(parts)
            return " ".join(parts), at
        return self._random.choice(parts), at

    def draw_rule(self, name: str) -> str:
        """A rule's words; spaces around them are the template's."""
        rule = self._rules[name]
        text, _rest = self._alternatives(_TOKEN.findall(rule), 0)
        return text

    def _value(self, name: str) -> str:
        if name in self._open:
            return self._random.choice(self._open[name])
        found = self._lists[name]
        if "range" in found:
            return str(self._random.randint(found["range"]["from"], found["range"]["to"]))
        if "values" not in found:
            return self._random.choice(self._open["item"])
        value = self._random.choice(found["values"])
        return self.draw(value["in"] if isinstance(value, dict) else value)


def commands(language: str, found: dict[str, Any]) -> list[Row]:
    """Drawn sentences with their intent. All sentences of a template are in one half."""
    drawer = Drawer(language, found)
    rows = []
    for name, intent in found["intents"].items():
        if name == "HassRespond":
            continue  # greetings and questions to the assistant: small talk
        label = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removeprefix("Hass")).lower()
        for block in intent["data"]:
            for template in block["sentences"]:
                rows += [
                    Row(drawer.draw(template), label, f"{language[:2]} commands", group=template)
                    for _ in range(PER_TEMPLATE)
                ]
    return [row for row in rows if row.text]
