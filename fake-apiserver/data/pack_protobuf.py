#!/usr/bin/env python3
"""Packs the protobuf field numbers of the built-in types into `protobuf.txt`, which `protobuf` reads.

    python3 pack_protobuf.py types.txt K8S_PB_SRC > protobuf.txt

`K8S_PB_SRC` is the `src` folder of the crate k8s-pb 0.9.0, whose structs are generated from the `generated.proto` files of
Kubernetes v1.35. Only the numbers are taken: names, types and what is a pointer stand in `types.txt`. The few fields and types
that v1.36 added have no number here (they are told on standard error): an object that uses one is not spoken in protobuf.

Format: one message a line, sorted by name, columns separated by blanks.
    NAME FIELD=NUMBER…
FIELD is the JSON name; `~NAME=NUMBER` is a message whose fields stand in the parent's JSON object (an embedded Go struct).
"""
import pathlib
import re
import sys

ADMISSION = "io.k8s.api.admissionregistration.v1"

# Messages that write themselves; `protobuf` knows them by their Go type.
OWN = {"Time", "MicroTime", "Quantity", "IntOrString", "RawExtension", "FieldsV1", "JSON", "JSONSchemaPropsOrArray",
       "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray", "Patch"}

FIELD = r'#\[prost\([^\]]*?tag = "(\d+)"[^\]]*\)\]\s+pub ([\w#]+):\s*(.*?),\n\s*(?=///|#\[|$)'


def plain(name):
    return name.replace("_", "").replace("r#", "").replace("-", "").replace("$", "").lower()


def types(path):
    """JSON field names by type, in order of the file."""
    known = {}
    for line in pathlib.Path(path).read_text().splitlines():
        head, *columns = line.split("\t")
        names = [column.split(" ")[0] for column in columns]
        # apiVersion and kind of what is an object itself stand in the envelope.
        typed = any(part.startswith("=") for part in head.split(" "))
        known[head.split(" ")[0]] = [name for name in names if not (typed and name in ("apiVersion", "kind"))]
    return known


def messages(src):
    """(package, plain name) -> list of (plain field name, number, Rust type)."""
    found = {}
    for path in sorted(pathlib.Path(src).rglob("mod.rs")):
        package = ".".join(path.relative_to(src).parts[:-1]).replace("apiextensions_apiserver", "apiextensions-apiserver")
        package = "io.k8s." + package.replace("kube_aggregator", "kube-aggregator")
        text = path.read_text()
        for struct in re.finditer(r"pub struct (\w+) \{\n(.*?)\n\}", text, re.S):
            columns = re.findall(FIELD, struct[2] + "\n", re.S)
            found[package, plain(struct[1])] = [(plain(name), int(tag), "".join(kind.split())) for tag, name, kind in columns]
    return found


def main():
    known = types(sys.argv[1])
    found = messages(sys.argv[2])
    names = {(name.rsplit(".", 1)[0], plain(name.rsplit(".", 1)[1])): name for name in known}
    lines, missing = {}, []
    embedded = {}

    def line_of(package, message, json_names):
        """The columns of a message for an object with these JSON fields, and the fields it accounts for."""
        left = {plain(name): name for name in json_names}
        columns, taken = [], set()
        for name, number, kind in found[package, message]:
            if name in left:
                columns.append(f"{left[name]}={number}")
                taken.add(left[name])
                continue
            inner = re.search(r"((?:\w+::)*)(\w+)>?$", kind.rstrip(">"))
            target = (package, plain(inner[2]))
            if "super::" in kind or target not in found:
                missing.append(f"{package}.{message}: no JSON field for {name}={number} ({kind})")
                continue
            sub, sub_taken = line_of(package, target[1], json_names)
            if not sub_taken:
                missing.append(f"{package}.{message}: {name}={number} is gone")
                continue
            full = names.get(target, f"{package}.{inner[2]}")
            embedded.setdefault(full, sub)
            columns.append(f"~{full}={number}")
            taken |= sub_taken
        return columns, taken

    for name, fields in sorted(known.items()):
        package, short = name.rsplit(".", 1)
        if short in OWN:
            continue
        key = (package, plain(short))
        if key not in found and package == ADMISSION:
            # Graduated in v1.36 as it was.
            found.update({(package, m): f for (p, m), f in found.items() if p == ADMISSION + "beta1" and (package, m) not in found})
        if not fields:
            lines[name] = []
        elif key not in found:
            missing.append(f"{name}: no message")
        else:
            lines[name], taken = line_of(*key, fields)
            missing.extend(f"{name}.{field}: no number" for field in fields if field not in taken)
    for name, columns in embedded.items():
        lines.setdefault(name, columns)
    for name, columns in sorted(lines.items()):
        print(" ".join([name, *columns]))
    for line in missing:
        print(line, file=sys.stderr)


main()
