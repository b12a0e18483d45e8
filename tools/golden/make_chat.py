#!/usr/bin/env python3
"""Makes tests/golden/chat/cases.json: templates, contexts and what Python's jinja2 makes of them.

    python3 tools/golden/make_chat.py            writes the cases
    python3 tools/golden/make_chat.py --shared   says how the cases of ../shared/data/chat-templates
                                                 differ from Python, and writes nothing

The environment is set up as transformers sets it up (its chat_template_utils): Jinja's immutable
sandbox, trim_blocks, lstrip_blocks, loop controls, the tag generation, its tojson, raise_exception.
All templates here are written for this test, in the style of what models ship.
"""
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_generation")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _generation(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        for name in dict(*args, **kwargs):
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, *args, **kwargs)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError("underscore")


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["namespace"] = Namespace
    return env


def render(template, context):
    try:
        return {"expected": environment().from_string(template).render(**context)}
    except Exception as error:  # whatever Python raises is what the case is about
        return {"error": f"{type(error).__name__}: {error}"}


def spelled(text):
    """JavaScript's spelling of Python's values."""
    for a, b in (("True", "true"), ("False", "false"), ("None", "null"),
                 ("Undefined", "undefined"), ("'", '"')):
        text = text.replace(a, b)
    return text


def shared():
    folder = ROOT.parent / "shared" / "data" / "chat-templates"
    for name in ("cases-llama-cpp.json", "cases-jinja-engine.json"):
        cases = json.loads((folder / name).read_text())
        count = {"same": 0, "spelling": 0, "other": 0, "Python raises": 0}
        for case in cases:
            got = render(case["template"], case["context"])
            if "error" in got:
                kind = "Python raises"
            elif got["expected"] == case["expected"]:
                kind = "same"
            elif spelled(got["expected"]) == spelled(case["expected"]):
                kind = "spelling"
            else:
                kind = "other"
            count[kind] += 1
            if kind in ("other", "Python raises"):
                print(f"{name}: {case['name']}: {kind}: {got.get('error', '')}")
        print(name, count)


def main():
    if sys.argv[1:] == ["--shared"]:
        return shared()
    from chat_cases import CASES  # noqa: E402  (beside this file)
    names = [name for name, _, _ in CASES]
    assert len(names) == len(set(names)), "two cases share a name"
    cases = [{"name": n, "template": t, "context": c, **render(t, c)} for n, t, c in CASES]
    made = {"made_by": "tools/golden/make_chat.py", "python": sys.version.split()[0],
            "jinja2": jinja2.__version__, "cases": cases}
    path = ROOT / "tests" / "golden" / "chat" / "cases.json"
    path.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(cases)} cases, {sum('error' in c for c in cases)} of them errors, to {path}")


if __name__ == "__main__":
    main()
