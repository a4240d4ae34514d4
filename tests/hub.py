"""A small Hugging Face Hub on this machine, for tests: as much of its protocol as a Space needs, with its rules.

What has arrived is in `spaces`. It is a server and no mock: huggingface_hub speaks to it over HTTP as it does to the real one.
"""

import base64
import hashlib
import json
import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import yaml

from fashionflow.runtime.model_folder import MODEL_VARIABLE

from . import loopback


TOKEN = "hf_" + "a1b2c3" * 6
USER = "ann"
FLAVORS = ("cpu-basic", "cpu-upgrade", "t4-small", "l4x1", "zero-a10g")
KNOWN_MODELS = {"ann/model": False, "ann/secret-model": True}
"""Whether they are private."""


@dataclass
class Space:
    sdk: str
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    commits: int = 0
    made_as: str = ""
    """The SDK that it was made with; that of its card counts as soon as there is one."""


@dataclass
class Hub:
    address: str
    spaces: dict[str, Space] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and message for requests whose "METHOD path" matches."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and token."""


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **said: str):
        self.status, self.said, self.code = status, {"error": message, **said}, code


def is_binary(content: bytes) -> bool:
    """As git tells binary files from text."""
    return b"\0" in content[:8000]


class Handler(loopback.JsonHandler):
    @property
    def hub(self) -> Hub:
        return self.server.service

    def take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        path = urlsplit(self.path).path
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append((self.command, path, token))
        headers, status = {}, 200
        try:
            for pattern, refusal in self.hub.refusals.items():
                if re.fullmatch(pattern, f"{self.command} {path}"):
                    raise Refused(*refusal)
            if token != TOKEN and not path.startswith("/lfs/"):  # whose addresses are signed
                raise Refused(401, "Invalid username or password.")
            reply = self.route(path, body)
        except Refused as error:
            reply, status = error.said, error.status
            headers = {"X-Error-Code": error.code} if error.code else {}
        self.answer(status, reply, headers)

    do_GET = do_POST = do_PUT = do_DELETE = take  # noqa: N815

    def route(self, path: str, body: bytes) -> object:
        if path.startswith("/lfs/"):
            oid = path.removeprefix("/lfs/")
            if hashlib.sha256(body).hexdigest() != oid:
                raise Refused(400, "The content does not match its hash.")
            self.hub.objects[oid] = body
            return {}
        if path == "/api/whoami-v2":
            return {"type": "user", "name": USER, "orgs": []}
        if path == "/api/validate-yaml":
            return validate_card(json.loads(body)["content"])
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if model := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+)?", path):
            if model[1] not in KNOWN_MODELS:
                raise Refused(404, "Repository not found", "RepoNotFound")
            return {"id": model[1], "private": KNOWN_MODELS[model[1]], "gated": False}
        found = re.fullmatch(r"(?:/api)?/spaces/([^/]+/[^/]+?)(?:\.git)?(/.*)?", path)
        name, rest = found[1], found[2] or ""
        if name not in self.hub.spaces:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return self.route_space(name, self.hub.spaces[name], rest, body)

    def create(self, asked: dict) -> dict:
        owner = asked.get("organization") or USER
        name = f"{owner}/{asked['name']}"
        if owner != USER:
            raise Refused(403, f"You don't have the rights to create a space under the namespace {owner!r}")
        if name in self.hub.spaces:
            raise Refused(409, "You already created this space repo", url=f"{self.hub.address}/spaces/{name}")
        assert asked["type"] == "space" and asked["sdk"] in ("gradio", "docker")
        space = self.hub.spaces[name] = Space(asked["sdk"], asked.get("visibility") == "private", made_as=asked["sdk"])
        space.files = {"README.md": b"---\nsdk: gradio\n---\n", ".gitattributes": b"*.bin filter=lfs\n"}
        return {"url": f"{self.hub.address}/spaces/{name}", "id": name}

    def route_space(self, name: str, space: Space, rest: str, body: bytes) -> object:
        if not rest or rest.startswith("/revision"):
            siblings = [{"rfilename": name} for name in space.files]
            runtime = {"stage": "RUNNING", "hardware": {"current": space.hardware, "requested": space.hardware}}
            return {"id": name, "private": space.private, "siblings": siblings, "sha": "0" * 40, "runtime": runtime}
        if rest.startswith("/tree/"):
            return [
                {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
                for path, content in space.files.items()
            ]
        if rest.startswith("/preupload/"):
            return {"files": [self.mode_of(space, file) for file in json.loads(body)["files"]]}
        if rest == "/info/lfs/objects/batch":
            return {"transfer": "basic", "objects": [self.upload_of(one) for one in json.loads(body)["objects"]]}
        if rest.startswith("/commit/"):
            return self.commit(name, space, [json.loads(line) for line in body.splitlines()])
        if rest == "/variables":
            asked = json.loads(body or b"{}")
            if self.command == "POST":
                space.variables[asked["key"]] = asked["value"]
            elif self.command == "DELETE":
                del space.variables[asked["key"]]
            return {key: {"key": key, "value": value} for key, value in space.variables.items()}
        if rest == "/hardware":
            flavor = json.loads(body)["flavor"]
            if flavor not in FLAVORS:
                raise Refused(400, f"Unknown flavor {flavor}")
            space.hardware = flavor
            return {"stage": "BUILDING", "hardware": {"current": None, "requested": flavor}}
        if rest == "/settings":
            asked = json.loads(body)
            space.private = asked.get("visibility", "private" if asked.get("private") else "public") == "private"
            return {}
        raise Refused(404, f"The stand-in does not know {rest}.")

    def mode_of(self, space: Space, file: dict) -> dict:
        """The Hub decides by the first bytes of a file where it is to be stored."""
        mode = "lfs" if is_binary(base64.b64decode(file["sample"])) or file["size"] >= 10e6 else "regular"
        there = space.files.get(file["path"])
        oid = None if there is None else hashlib.sha256(there).hexdigest() if mode == "lfs" else blob_id(there)
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def upload_of(self, asked: dict) -> dict:
        there = asked["oid"] in self.hub.objects
        actions = {"upload": {"href": f"{self.hub.address}/lfs/{asked['oid']}"}}
        return asked if there else asked | {"actions": actions}

    def commit(self, name: str, space: Space, lines: list[dict]) -> dict:
        files, large = dict(space.files), set(space.large)
        for line in lines[1:]:
            value, path = line["value"], line["value"]["path"]
            if line["key"] == "deletedFile":
                del files[path]
                large.discard(path)
            elif line["key"] == "lfsFile":
                files[path] = self.hub.objects[value["oid"]]
                large.add(path)
            else:
                files[path] = base64.b64decode(value["content"])
                if is_binary(files[path]):
                    raise Refused(400, f"Your push was rejected because it contains binary files: {path}")
        space.files, space.large, space.commits = files, large, space.commits + 1
        space.sdk = yaml.safe_load(files["README.md"].decode().split("---\n")[1])["sdk"]
        address = f"{self.hub.address}/spaces/{name}/commit/{space.commits:040x}"
        return {"success": True, "commitOid": f"{space.commits:040x}", "commitUrl": address, "hookOutput": ""}


def blob_id(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def validate_card(text: str) -> dict:
    settings = yaml.safe_load(text.split("---\n")[1])
    needed = {"gradio": {"sdk_version", "app_file"}, "docker": {"app_port"}}
    if settings.get("sdk") not in needed or not needed[settings["sdk"]] <= set(settings):
        raise Refused(400, '"sdk" must be one of gradio, docker, with its settings')
    return {"errors": [], "warnings": []}


def environment(**changes: str) -> dict[str, str]:
    """This process's environment for a child, without what names a model, a page's folder, another Hub or a login."""
    ours = ("PYTHONPATH", "GRADIO_TEMP_DIR", MODEL_VARIABLE, "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


def serving() -> AbstractContextManager[Hub]:
    """The Hub, on a free port."""
    return loopback.serving(Handler, Hub)
