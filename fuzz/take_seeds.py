#!/usr/bin/env python3
"""Takes the seeds of the fuzz targets from the recordings: `python3 fuzz/take_seeds.py`, equal input, equal files.

A seed is an exchange or two as the entry points in `fake-apiserver/tests/robust/entry` read them: sections that a line
`%%` separates. Symbols of the recordings become plain words; what is long is left out, so that all seeds together stay small.
"""

import gzip
import json
import pathlib
import re
import shutil
import urllib.parse

HERE = pathlib.Path(__file__).parent
CASES = HERE.parent / "fake-apiserver/tests/conformance/cases"
SEEDS = HERE / "seeds"
LONG = 2500


def cases(folder):
    with gzip.open(CASES / f"{folder}.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)


def plain(text):
    text = text.replace("«time»", "2026-01-01T00:00:00Z")
    text = re.sub(r"«rv:?(\d*)[^»]*»", lambda m: str(300 + int(m[1] or 0)), text)
    return re.sub(r"«(\w+):?(\d*)[^»]*»", r"\1\2", text)


def body_of(request):
    body = request.get("body")
    if body is None:
        return ""
    if isinstance(body, dict) and set(body) == {"$raw"}:
        return str(body["$raw"])
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def story(step):
    request = step["request"]
    headers = "".join(f"{k}: {v}\n" for k, v in (request.get("headers") or {}).items() if v is not None)
    return plain(f"{request['method']} {request['path']}\n{headers}\n{body_of(request)}")


def save(target, texts, count):
    folder = SEEDS / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = [text for text in dict.fromkeys(texts) if len(text) < LONG]
    step = max(1, len(texts) // count)
    for n, text in enumerate(texts[::step][:count]):
        (folder / f"{n:02}").write_text(text)


def exchanges(case):
    return [step for step in case["steps"] if "request" in step]


def requests():
    for folder in ["objects", "http", "list", "delete", "gc", "crd", "admission", "watch", "scale", "table", "builtins"]:
        for case in cases(folder):
            steps = [story(step) for step in exchanges(case)]
            yield "\n%%\n".join(steps[:4])


def patches():
    for case in cases("patch"):
        live = None
        for step in exchanges(case):
            kind = (step["request"].get("headers") or {}).get("Content-Type") or ""
            answer = step["response"].get("body")
            name = kind.removeprefix("application/").removesuffix("-patch+json")
            name = "strategic" if name == "strategic-merge" else name
            if live and name in ("json", "merge", "strategic"):
                head = f"{name} {live.get('apiVersion')}/{live.get('kind')}"
                yield plain("\n%%\n".join([head, json.dumps(live), body_of(step["request"])]))
            if isinstance(answer, dict) and answer.get("kind") != "Status":
                live = answer
                live.get("metadata", {}).pop("managedFields", None)


def selectors():
    found = []
    for folder in ["list", "watch", "delete", "builtins"]:
        for case in cases(folder):
            for step in exchanges(case):
                for name, text in re.findall(r"(label|field)Selector=([^&]*)", step["request"]["path"]):
                    found.append((name, urllib.parse.unquote(plain(text))))
    labels = [text for name, text in found if name == "label"]
    fields = [text for name, text in found if name == "field"]
    for n, label in enumerate(labels):
        yield "\n%%\n".join([label, labels[n * 7 % len(labels)], fields[n % len(fields)]])


def schemas():
    for case in cases("crd"):
        schema = None
        for step in exchanges(case):
            body = step["request"].get("body")
            if not isinstance(body, dict):
                continue
            if body.get("kind") == "CustomResourceDefinition":
                for version in (body.get("spec") or {}).get("versions") or []:
                    if isinstance(version, dict):
                        schema = (version.get("schema") or {}).get("openAPIV3Schema") or schema
            elif schema and step["request"]["method"] in ("POST", "PUT"):
                yield plain("\n%%\n".join([json.dumps(schema), json.dumps(body), json.dumps(body)]))


def applies():
    for case in cases("apply"):
        parts = []
        for step in exchanges(case):
            kind = (step["request"].get("headers") or {}).get("Content-Type") or ""
            body = step["request"].get("body")
            if "apply-patch" not in kind or not isinstance(body, dict):
                continue
            manager = re.search(r"fieldManager=([^&]*)", step["request"]["path"])
            force = " force" if "force=true" in step["request"]["path"] else ""
            kind = str(body.get("kind"))
            rest = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")}
            if isinstance(rest.get("metadata"), dict):
                rest["metadata"].pop("name", None)
                rest["metadata"].pop("namespace", None)
            parts.append(f"{manager[1] if manager else 'a'}{force} {kind}\n{json.dumps(rest)}")
        if parts:
            yield plain("\n%%\n".join(parts[:4]))


def rules(node):
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations") or []:
            if isinstance(rule, dict) and isinstance(rule.get("rule"), str):
                yield rule["rule"], {k: v for k, v in node.items() if k != "x-kubernetes-validations"}
        for child in node.values():
            yield from rules(child)
    if isinstance(node, list):
        for child in node:
            yield from rules(child)


def expressions():
    value = json.dumps({"a": 1, "l": [1, 2], "s": "text", "spec": {"replicas": 3}, "when": "2026-01-01T00:00:00Z"})
    for folder in ["crd", "admission"]:
        for case in cases(folder):
            for step in exchanges(case):
                body = step["request"].get("body")
                for rule, schema in rules(body):
                    yield plain("\n%%\n".join([rule, value, json.dumps(schema)]))
                if folder == "admission":
                    for text in re.findall(r'"expression": "((?:[^"\\]|\\.)*)"', json.dumps(body)):
                        yield plain("\n%%\n".join([json.loads(f'"{text}"'), value, "{}"]))


save("request", requests(), 60)
save("patch", patches(), 40)
save("selector", selectors(), 30)
save("schema", schemas(), 40)
save("apply", applies(), 30)
save("cel", expressions(), 60)
