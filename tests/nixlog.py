"""What Nix and those who read its log make of a line that starts with "@nix ": strictly, so that a wrong type is found
here and not by a user of Nix 2.8, which ends the whole command at one."""

import json

PREFIX = b"@nix "
TRANSFER, BUILD = 101, 105
SET_PHASE, PROGRESS = 104, 105

# Of an action: each member and its type; of a list: the types of its items.
BUILD_ACTIONS = {
    "setPhase": {"phase": str},
    "start": {"id": int, "level": int, "type": int, "text": str, "fields": [str], "parent": int},
    "result": {"id": int, "type": int, "fields": [int, int, int, int]},
    "stop": {"id": int},
}


def check_types(message, members):
    for name, kind in members.items():
        value = message[name]
        kinds = kind if isinstance(kind, list) else [kind]
        values = value if isinstance(kind, list) else [value]
        if [type(item) for item in values] != kinds:
            raise ValueError(f"member {name} of {message}")


def printable(text):
    return all(c.isprintable() for c in text)


def of_build(log):
    """The instructions in what a build writes, which must be such as Nix takes from a build."""
    found = []
    for line in log.split(b"\n"):
        if not line.startswith(PREFIX):
            continue
        message = json.loads(line[len(PREFIX):].decode("utf-8"))
        check_types(message, BUILD_ACTIONS[message["action"]])
        if message.keys() - BUILD_ACTIONS[message["action"]].keys() != {"action"}:
            raise ValueError(f"more than Nix knows in {message}")
        if message["action"] == "start" and message["type"] != TRANSFER:
            raise ValueError(f"an activity that Nix drops: {message}")
        if not all(printable(value) for value in message.values() if isinstance(value, str)):
            raise ValueError(f"what acts on a terminal, in {message}")
        found.append(message)
    return found


def phases(messages):
    return [message["phase"] for message in messages if message["action"] == "setPhase"]


def transfers(messages):
    """Of each activity its text and the bytes it told, in order; it must have ended, and once."""
    running, ended = {}, []
    for message in messages:
        if message["action"] == "start":
            if message["id"] in running:
                raise ValueError(f"begun twice: {message}")
            running[message["id"]] = (message["text"], [])
        elif message["action"] == "result":
            running[message["id"]][1].append(message["fields"][0])
        elif message["action"] == "stop":
            ended.append(running.pop(message["id"]))
    if running:
        raise ValueError(f"never ended: {running}")
    return ended


def of_nix(log):
    """--log-format internal-json as nix-output-monitor reads it: phases in order, transfers as above, plain lines."""
    phases_seen, running, ended, text = [], {}, [], []
    for line in log.split(b"\n"):
        if not line.startswith(PREFIX):
            continue
        message = json.loads(line[len(PREFIX):].decode("utf-8"))
        action, fields = message["action"], message.get("fields", [])
        if action == "start" and message["type"] == TRANSFER:
            check_types(message, {"id": int, "level": int, "text": str, "fields": [str]})
            running[message["id"]] = (message["text"], [])
        elif action == "result" and message["type"] == SET_PHASE:
            check_types(message, {"id": int, "fields": [str]})
            phases_seen.append(fields[0])
        elif action == "result" and message["id"] in running:
            check_types(message, {"type": int, "fields": [int, int, int, int]})
            running[message["id"]][1].append(fields[0])
        elif action == "result" and message["type"] == PROGRESS:
            check_types(message, {"id": int, "fields": [int, int, int, int]})
        elif action == "result":
            text.append(fields[0] if fields else "")
        elif action == "stop" and message["id"] in running:
            ended.append(running.pop(message["id"]))
        elif action == "msg":
            text.append(message["msg"])
    if running:
        raise ValueError(f"never ended: {running}")
    return phases_seen, ended, text
